"""The plot of a study as an SVG file of its own: one panel for each measure, every arm with its interval."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from markupsafe import Markup

from worldloop.stats import Estimate
from worldloop.studies.result import Arm, Reference, StudyResult, is_percent, is_success

WIDTH, MARGIN, GAP = 880, 24, 28
PANEL = (WIDTH - 2 * MARGIN - GAP) // 2
PLOT_HEIGHT, ABOVE, BELOW, LEFT = 190, 46, 66, 46
"""Of a panel: the plot itself, the space for its title, for the labels below it, and for the numbers beside it."""
COLOURS = ("#2a5db0", "#c2571a", "#1b7a3d")
DASHES = {"none": "2 3", "frozen": "7 3 1 3", "oracle": "9 4", "chance": "1 5"}
STYLE = (
    "text{font:12px system-ui,-apple-system,'Segoe UI',Roboto,sans-serif;fill:#1c1f23}"
    ".title{font-size:17px;font-weight:600}.head{font-size:13px;font-weight:600}"
    ".dim,.number{fill:#5d656e;font-size:11px}.grid{stroke:#e6e8eb}.axis{stroke:#9aa2ab}"
    ".reference{stroke:#5d656e;stroke-width:1.5;fill:none}.bar,.join{stroke:currentColor;fill:none}"
    ".bar{stroke-width:2}.join{stroke-width:1;opacity:.45}circle{fill:currentColor}"
    ".number{paint-order:stroke;stroke:#fff;stroke-width:3px}"
)


def draw(result: StudyResult) -> str:
    """The whole plot as SVG text. Bars are intervals; lines are controls; positions are evenly spaced."""
    series = list(dict.fromkeys(a.series for a in result.arms))
    lines = list(dict.fromkeys(r.name for r in result.references))
    words = textwrap.wrap(f"{result.verdict[:1].upper()}{result.verdict[1:]}", 128)
    parts = [_text(MARGIN, 34, f"{result.study}: {result.claim}", "title")]
    parts += [_text(MARGIN, 58 + 17 * i, line) for i, line in enumerate(words)]
    top = 58 + 17 * len(words) + 8
    parts.append(_legend([s for s in series if s], lines, top))
    top += 22
    panel_height = ABOVE + PLOT_HEIGHT + BELOW
    for i, measure in enumerate(result.measures):
        x, y = MARGIN + (i % 2) * (PANEL + GAP), top + (i // 2) * panel_height
        parts.append(_panel(result, measure, series, x, y))
    height = top + math.ceil(len(result.measures) / 2) * panel_height + 26
    note = "Bars are 95 % intervals. Arms are evenly spaced, not to scale."
    parts.append(_text(MARGIN, height - 12, note, "dim"))
    body = Markup("\n").join(parts)
    return str(
        Markup(
            '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {0} {1}" width="{0}" height="{1}" role="img" '
            'aria-label="{2}"><style>{3}</style><rect width="100%" height="100%" fill="#fff"/>\n{4}\n</svg>\n'
        ).format(WIDTH, height, f"{result.study}: {result.verdict}", Markup(STYLE), body)
    )


@dataclass(frozen=True)
class _Axes:
    """Where things are in a panel."""

    left: float
    top: float
    low: float
    high: float
    labels: tuple[str, ...]

    @property
    def bottom(self) -> float:
        return self.top + PLOT_HEIGHT

    @property
    def right(self) -> float:
        return self.left + PANEL - LEFT

    def y(self, value: float) -> float:
        share = (min(max(value, self.low), self.high) - self.low) / (self.high - self.low)
        return round(self.bottom - share * PLOT_HEIGHT, 1)

    @property
    def step(self) -> float:
        return (self.right - self.left) / len(self.labels)

    def x(self, label: str, shift: float = 0.0) -> float:
        return round(self.left + (self.labels.index(label) + 0.5 + shift) * self.step, 1)


def _panel(result: StudyResult, measure: str, series: Sequence[str], x: float, y: float) -> Markup:
    arms = [a for a in result.arms if measure in a.estimates]
    lines = [r for r in result.references if r.measure == measure]
    low, high = _range([a.estimates[measure] for a in arms], [r.estimate for r in lines])
    axes = _Axes(x + LEFT, y + ABOVE, low, high, tuple(dict.fromkeys(a.label for a in arms)))
    percent = is_percent(measure)
    counts = sorted({a.estimates[measure].n for a in arms})
    kind = "episodes" if is_success(measure) else "trials"
    title = f"{measure}{', %' if percent else ''}"
    number = "–".join(dict.fromkeys(str(c) for c in (counts[0], counts[-1])))
    show = _percent if percent else _plain
    parts = [
        _text(x, y + 16, title, "head"),
        _text(axes.right, y + 16, f"{number} {kind} for each arm", "dim", "end"),
        _grid(axes, _whole if percent else _plain),
    ]
    for label in axes.labels:
        for i, words in enumerate(label.split(" (", 1)):
            words = f"({words}" if i else words
            parts.append(_text(axes.x(label), axes.bottom + 17 + 14 * i, words, "", "middle"))
    below = 17 + 14 * any(" (" in label for label in axes.labels)
    parts.append(_text((axes.left + axes.right) / 2, axes.bottom + below + 19, result.axis, "dim", "middle"))
    parts += [_reference(r, axes, show) for r in lines if r.estimate.value is not None]
    for i, name in enumerate(series):
        shift = (i - (len(series) - 1) / 2) * 0.3
        parts.append(_series([a for a in arms if a.series == name], measure, axes, shift, i, show))
    return Markup('<g class="panel" data-measure="{}">{}</g>').format(measure, Markup("").join(parts))


def _series(
    arms: Sequence[Arm], measure: str, axes: _Axes, shift: float, index: int, show: Callable[[float], str]
) -> Markup:
    places = [(a, axes.x(a.label, shift), a.estimates[measure]) for a in arms]
    seen = [(a, x, e) for a, x, e in places if e.value is not None]
    parts = []
    if len(seen) > 1 and all(a.x is not None for a in arms):
        points = " ".join(f"{x},{axes.y(e.value or 0.0)}" for _, x, e in seen)
        parts.append(Markup('<polyline class="join" points="{}"/>').format(points))
    for arm, x, found in seen:
        parts.append(_point(arm, x, found, axes, show))
    colour = COLOURS[index % len(COLOURS)]
    return Markup('<g style="color:{}">{}</g>').format(colour, Markup("").join(parts))


def _point(arm: Arm, x: float, found: Estimate, axes: _Axes, show: Callable[[float], str]) -> Markup:
    value = found.value or 0.0
    y, parts, top = axes.y(value), [], axes.y(value)
    words = f"{arm.name}: {show(value)}"
    if found.low is not None and found.high is not None:
        a, b = axes.y(found.low), axes.y(found.high)
        top, words = b, f"{words} ({show(found.low)} to {show(found.high)})"
        shape = f"M{x},{a}V{b}M{x - 4},{a}h8M{x - 4},{b}h8"
        parts.append(Markup('<path class="bar" d="{}"/>').format(shape))
    else:
        words += f" (no interval: {found.note})"
    parts.append(Markup('<circle cx="{}" cy="{}" r="4"/>').format(x, y))
    parts.append(_text(x, top - 6, show(value), "number", "middle"))
    return Markup('<g class="arm" data-arm="{}"><title>{}</title>{}</g>').format(
        arm.name, words, Markup("").join(parts)
    )


def _reference(line: Reference, axes: _Axes, show: Callable[[float], str]) -> Markup:
    value = line.estimate.value or 0.0
    left, right = axes.left, axes.right
    here = next((x for x in axes.labels if line.label and x.split(" ")[0] == line.label), "")
    if here:
        left, right = axes.x(here, -0.42), axes.x(here, 0.42)
    return Markup(
        '<g class="line" data-reference="{0}"><title>{0}: {1}</title>'
        '<line class="reference" x1="{2}" x2="{3}" y1="{4}" y2="{4}" stroke-dasharray="{5}"/></g>'
    ).format(line.name, show(value), left, right, axes.y(value), _dash(line.name))


def _grid(axes: _Axes, show: Callable[[float], str]) -> Markup:
    parts = []
    for i in range(5):
        value = axes.low + i * (axes.high - axes.low) / 4
        y = axes.y(value)
        parts.append(
            Markup('<line class="{}" x1="{}" x2="{}" y1="{}" y2="{}"/>').format(
                "grid" if i else "axis", axes.left, axes.right, y, y
            )
        )
        parts.append(_text(axes.left - 7, y + 4, show(value), "dim", "end"))
    return Markup("").join(parts)


def _legend(series: Sequence[str], lines: Sequence[str], y: float) -> Markup:
    parts, x = [], float(MARGIN)
    for i, name in enumerate(series):
        parts.append(
            Markup('<circle cx="{}" cy="{}" r="4" style="color:{}"/>').format(x + 5, y, COLOURS[i % 3])
        )
        parts.append(_text(x + 15, y + 4, name, "dim"))
        x += 34 + 6.2 * len(name)
    for name in lines:
        parts.append(
            Markup('<line class="reference" x1="{}" x2="{}" y1="{}" y2="{}" stroke-dasharray="{}"/>').format(
                x, x + 30, y, y, _dash(name)
            )
        )
        parts.append(_text(x + 36, y + 4, name, "dim"))
        x += 56 + 6.2 * len(name)
    return Markup('<g class="legend">{}</g>').format(Markup("").join(parts))


def _range(arms: Sequence[Estimate], lines: Sequence[Estimate]) -> tuple[float, float]:
    """Round ends, within 0 and 1, that hold every interval and line."""
    ends = [v for e in arms for v in (e.value, e.low, e.high) if v is not None]
    ends += [e.value for e in lines if e.value is not None]
    if not ends:
        return 0.0, 1.0
    unit = 0.2 if max(ends) - min(ends) > 0.4 else 0.04
    low = max(0.0, math.floor(min(ends) / unit - 1e-9) * unit)
    high = min(1.0, math.ceil(max(ends) / unit + 0.3) * unit)
    return round(low, 6), round(max(high, low + unit), 6)


def _dash(name: str) -> str:
    return DASHES.get(name.split(" ")[0], "4 2")


def _percent(value: float) -> str:
    return f"{100 * value:.1f}"


def _whole(value: float) -> str:
    return _percent(value).removesuffix(".0")


def _plain(value: float) -> str:
    return f"{value:.3f}"


def _text(x: float, y: float, text: str, kind: str = "", anchor: str = "start") -> Markup:
    return Markup('<text x="{}" y="{}" class="{}" text-anchor="{}">{}</text>').format(
        x, y, kind, anchor, text
    )
