"""The leaderboard's intervals as small SVG drawings."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from markupsafe import Markup

from worldloop.view.leaderboard_table import Row, TaskBoard
from worldloop.view.report_text import CONTROLS, percent, points

WIDTH, LEFT, RIGHT = 340, 12, 328
"""Pixels of an interval plot, and the ends of its axis."""
ROW_HEIGHT, AXIS_HEIGHT = 36, 26


@dataclass(frozen=True)
class Mark:
    """A value with its interval in one row of a plot."""

    label: str
    value: float
    low: float | None
    high: float | None
    kind: str
    """CSS class: `control`, `better`, `worse` or `plain`."""


@dataclass(frozen=True)
class Plot:
    """A titled drawing."""

    title: str
    caption: str
    svg: Markup


def interval_plots(board: TaskBoard) -> list[Plot]:
    """Success rate, difference to the baseline and utility of a task's models, as far as they exist."""
    rows = board.rows
    rates = [_mark(r, r.success_rate) for r in rows if r.success_rate]
    gaps = [_mark(r, r.difference) for r in rows if r.difference]
    uses = [_mark(r, r.utility) for r in rows if r.utility and r.utility.value is not None]
    plots = []
    if rates:
        svg = intervals(rates, (0.0, 1.0), percent, f"Success rates on {board.task}")
        plots.append(Plot("Success rate", "share of episodes solved, Wilson interval", svg))
    if gaps:
        ends = [v for m in gaps for v in (m.value, m.low, m.high) if v is not None]
        reach = min(1.0, max(0.1, math.ceil(10 * max(map(abs, ends))) / 10))
        name = f"Difference to {board.baseline} on {board.task}"
        svg = intervals(gaps, (-reach, reach), points, name, zero=True)
        plots.append(
            Plot(
                f"Difference to {board.baseline}",
                "percentage points on the same episodes; left of zero is worse",
                svg,
            )
        )
    if uses:
        svg = intervals(uses, (-1.0, 2.0), _plain, f"Utility on {board.task}", zero=True)
        note = (
            f"0: no better than {board.baseline}; 1: as good as {board.ceiling}; arrows: the interval goes on"
        )
        plots.append(Plot("Utility", note, svg))
    return plots


def _mark(row: Row, estimate: object) -> Mark:
    kind = row.verdict if row.verdict in ("better", "worse") else "plain"
    value, low, high = (getattr(estimate, n) for n in ("value", "low", "high"))
    return Mark(row.label, value or 0.0, low, high, "control" if row.model in CONTROLS else kind)


def _plain(value: float) -> str:
    return f"{value:.2f}".replace("-", "−")


def intervals(
    marks: Sequence[Mark],
    domain: tuple[float, float],
    show: Callable[[float], str],
    name: str,
    *,
    zero: bool = False,
) -> Markup:
    """An SVG with one row for each mark: label and numbers above, dot and interval below.

    What lies outside `domain` is drawn at its edge with an arrow; the numbers stay as they are.
    """
    low, high = domain

    def x(value: float) -> float:
        share = (min(max(value, low), high) - low) / (high - low)
        return round(LEFT + share * (RIGHT - LEFT), 1)

    bottom = ROW_HEIGHT * len(marks) + 4
    ticks = [low + i * (high - low) / 4 for i in range(5)] if high - low != 3 else [-1.0, 0.0, 1.0, 2.0]
    parts = [_axis(x, ticks, show, bottom)]
    if zero:
        parts.append(Markup('<line class="zero" x1="{0}" x2="{0}" y1="0" y2="{1}"/>').format(x(0.0), bottom))
    for i, mark in enumerate(marks):
        parts.append(_row(mark, x, domain, show, i * ROW_HEIGHT))
    words = "; ".join(f"{m.label} {_numbers(m, show)}" for m in marks)
    return Markup(
        '<svg class="intervals" viewBox="0 0 {} {}" role="img" aria-label="{}: {}">{}</svg>'
    ).format(WIDTH, bottom + AXIS_HEIGHT, name, words, Markup("").join(parts))


def _axis(
    x: Callable[[float], float], ticks: Sequence[float], show: Callable[[float], str], y: int
) -> Markup:
    out = [Markup('<line class="axis" x1="{}" x2="{}" y1="{}" y2="{}"/>').format(LEFT, RIGHT, y, y)]
    for i, tick in enumerate(ticks):
        anchor = "start" if i == 0 else "end" if i == len(ticks) - 1 else "middle"
        out.append(
            Markup(
                '<line class="tick" x1="{0}" x2="{0}" y1="0" y2="{1}"/><text class="tick" x="{0}" y="{2}" '
                'text-anchor="{3}">{4}</text>'
            ).format(x(tick), y, y + 16, anchor, show(tick))
        )
    return Markup("").join(out)


def _row(
    mark: Mark,
    x: Callable[[float], float],
    domain: tuple[float, float],
    show: Callable[[float], str],
    top: int,
) -> Markup:
    y = top + 24
    parts = [
        Markup('<text x="{}" y="{}">{}</text>').format(LEFT, top + 14, _short(mark.label, 22)),
        Markup('<text class="number" x="{}" y="{}" text-anchor="end">{}</text>').format(
            RIGHT, top + 14, _numbers(mark, show)
        ),
    ]
    if mark.low is not None and mark.high is not None:
        a, b = x(mark.low), x(mark.high)
        parts.append(Markup('<line class="bar" x1="{}" x2="{}" y1="{}" y2="{}"/>').format(a, b, y, y))
        for beyond, end, away in ((mark.low < domain[0], a, -1), (mark.high > domain[1], b, 1)):
            shape = (
                f"M{end - 6 * away},{y - 5}L{end},{y}L{end - 6 * away},{y + 5}"
                if beyond
                else f"M{end},{y - 4}V{y + 4}"
            )
            parts.append(Markup('<path class="cap" d="{}"/>').format(shape))
    if domain[0] <= mark.value <= domain[1]:
        parts.append(Markup('<circle cx="{}" cy="{}" r="4.5"/>').format(x(mark.value), y))
    return Markup('<g class="{}">{}</g>').format(mark.kind, Markup("").join(parts))


def _numbers(mark: Mark, show: Callable[[float], str]) -> str:
    if mark.low is None or mark.high is None:
        return show(mark.value)
    return f"{show(mark.value)} ({show(mark.low)} to {show(mark.high)})"


def _short(text: str, length: int) -> str:
    return text if len(text) <= length else text[: length - 1] + "…"
