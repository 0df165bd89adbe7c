"""The plot of a study of correlations as an SVG file of its own: success over a metric, a panel for each pair, a point for each model."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup

from worldloop.stats import Estimate
from worldloop.studies.plot import MARGIN, STYLE, WIDTH

COLUMNS = 2
PANEL, HEIGHT = 400, 250
"""Width and height of a panel, in which the plot itself leaves room for numbers and titles."""
LEFT, ABOVE, BELOW = 44, 46, 42


@dataclass(frozen=True)
class Point:
    """One model in one panel."""

    number: int
    """Its number in the legend."""
    name: str
    x: Estimate
    y: Estimate


@dataclass(frozen=True)
class Panel:
    """Success in one task over one metric."""

    title: str
    x_label: str
    y_label: str
    note: str
    """What stands at the right of the title, such as the correlation."""
    points: tuple[Point, ...]


def draw_scatter(title: str, verdict: str, panels: Sequence[Panel], names: Sequence[str]) -> str:
    """The whole figure as SVG text; `names` in the order of their numbers, from 1."""
    words = textwrap.wrap(f"{verdict[:1].upper()}{verdict[1:]}", 128)
    parts = [_text(MARGIN, 34, title, "title")]
    parts += [_text(MARGIN, 58 + 17 * i, line) for i, line in enumerate(words)]
    top = 58 + 17 * len(words) + 8
    for i, panel in enumerate(panels):
        x, y = MARGIN + (i % COLUMNS) * (PANEL + 32), top + (i // COLUMNS) * (HEIGHT + 26)
        parts.append(_panel(panel, x, y))
    bottom = top + math.ceil(len(panels) / COLUMNS) * (HEIGHT + 26) + 12
    rows = math.ceil(len(names) / 3)
    for i, name in enumerate(names):
        words_x = MARGIN + (i // rows) * ((WIDTH - 2 * MARGIN) / 3)
        parts.append(_text(words_x, bottom + 17 * (i % rows), f"{i + 1}  {_short(name)}", "dim"))
    height = bottom + 17 * rows + 22
    note = "Bars are 95 % intervals. Each number is a model; the legend is below the panels."
    parts.append(_text(MARGIN, height - 10, note, "dim"))
    return str(
        Markup(
            '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {0} {1}" width="{0}" height="{1}" role="img" '
            'aria-label="{2}"><style>{3}</style><rect width="100%" height="100%" fill="#fff"/>\n{4}\n</svg>\n'
        ).format(WIDTH, height, f"{title}: {verdict}", Markup(STYLE), Markup("\n").join(parts))
    )


def _short(name: str, most: int = 40) -> str:
    """What a column of the legend has room for: of a long name the end, which is where files differ."""
    return name if len(name) <= most else f"…{name[-most + 1 :]}"


def _panel(panel: Panel, x: float, y: float) -> Markup:
    left, right = x + LEFT, x + PANEL
    top, bottom = y + ABOVE, y + HEIGHT - BELOW
    x_ticks, y_ticks = (_ticks([getattr(p, axis) for p in panel.points]) for axis in "xy")
    (x_low, x_high), (y_low, y_high) = ((t[0], t[-1]) for t in (x_ticks, y_ticks))

    def across(value: float) -> float:
        return round(left + (min(max(value, x_low), x_high) - x_low) / (x_high - x_low) * (right - left), 1)

    def up(value: float) -> float:
        return round(bottom - (min(max(value, y_low), y_high) - y_low) / (y_high - y_low) * (bottom - top), 1)

    parts = [_text(x, y + 16, panel.title, "head"), _text(right, y + 34, panel.note, "dim", "end")]
    for i, value in enumerate(y_ticks):
        parts.append(_line(left, up(value), right, up(value), "grid" if i else "axis"))
        parts.append(_text(left - 7, up(value) + 4, f"{100 * value:.4g}", "dim", "end"))
    parts += [_text(across(v), bottom + 15, f"{v:.4g}", "dim", "middle") for v in x_ticks]
    parts.append(_text(x, y + 34, panel.y_label, "dim"))
    parts.append(_text((left + right) / 2, bottom + 33, panel.x_label, "dim", "middle"))
    for p in panel.points:
        here = across(p.x.value or 0.0), up(p.y.value or 0.0)
        bars = []
        if p.x.low is not None and p.x.high is not None:
            bars.append(_line(across(p.x.low), here[1], across(p.x.high), here[1], "bar"))
        if p.y.low is not None and p.y.high is not None:
            bars.append(_line(here[0], up(p.y.low), here[0], up(p.y.high), "bar"))
        words = f"{p.name}: {p.x.value or 0:.3g}, {100 * (p.y.value or 0):.1f} %"
        parts.append(
            Markup(
                '<g class="model" data-model="{0}" style="color:#2a5db0"><title>{1}</title>'
                '<g style="opacity:.35">{2}</g><circle cx="{3}" cy="{4}" r="8"/>'
                '<text x="{3}" y="{5}" text-anchor="middle" style="fill:#fff;font-size:10px;font-weight:600">{6}</text></g>'
            ).format(p.name, words, Markup("").join(bars), here[0], here[1], here[1] + 3.5, p.number)
        )
    return Markup('<g class="panel" data-panel="{}">{}</g>').format(panel.title, Markup("").join(parts))


def _ticks(found: Sequence[Estimate]) -> list[float]:
    """Three to seven round numbers, the first and last of which hold every value and interval."""
    ends = [v for e in found for v in (e.value, e.low, e.high) if v is not None and math.isfinite(v)]
    low, high = (min(ends), max(ends)) if ends else (0.0, 1.0)
    if high - low < 1e-9 * max(abs(low), abs(high), 1.0):
        low, high = low - 0.05 * max(abs(low), 1.0), high + 0.05 * max(abs(high), 1.0)
    rough = (high - low) / 5
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(step for n in (1, 2, 5, 10) if (step := n * power) >= 0.999 * rough)
    # Of values that are at a round number but for rounding, that number is the end.
    first, last = math.floor(low / step + 1e-6), math.ceil(high / step - 1e-6)
    return [float(f"{i * step:.12g}") for i in range(first, last + 1)]


def _line(x1: float, y1: float, x2: float, y2: float, kind: str) -> Markup:
    return Markup('<line class="{}" x1="{}" y1="{}" x2="{}" y2="{}"/>').format(kind, x1, y1, x2, y2)


def _text(x: float, y: float, text: str, kind: str = "", anchor: str = "start") -> Markup:
    return Markup('<text x="{}" y="{}" class="{}" text-anchor="{}">{}</text>').format(
        x, y, kind, anchor, text
    )
