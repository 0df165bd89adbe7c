"""Tables of metrics for a terminal, and as Markdown."""

from __future__ import annotations

import math
from collections.abc import Sequence

from rich import box
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from worldloop.stats import Estimate
from worldloop.view.leaderboard_table import escape, printable
from worldloop.view.metric_table import ARROWS, MetricCell, MetricLine, MetricTable
from worldloop.view.wide import Wide

NONE = "–"
Cell = tuple[str, str, str, str]
"""Value, interval, coverage, and `better`, `worse` or nothing."""
_STYLE = {"better": "green", "worse": "red", "": ""}


def to_rich(tables: Sequence[MetricTable]) -> RenderableType:
    """Tables for a terminal: means with intervals and coverage below, then the differences to baselines."""
    parts: list[RenderableType] = []
    for t in tables:
        parts.append(_grid(t, t.title, t.models, [row(t, line)[: len(t.models)] for line in shown(t)]))
        if t.compared:
            headings = columns(t)[len(t.models) :]
            cells = [row(t, line)[len(t.models) :] for line in shown(t)]
            parts.append(_grid(t, "Difference on the same cases", headings, cells))
        parts += [*(Text(printable(n), style="dim") for n in t.notes), Text()]
    return Group(*parts)


def _grid(t: MetricTable, title: str, headings: Sequence[str], cells: Sequence[Sequence[Cell]]) -> Wide:
    def build(which: Sequence[int]) -> Table:
        table = Table(title=Text(printable(title), style="bold"), title_justify="left", box=box.SIMPLE_HEAD)
        table.add_column("metric", overflow="fold")
        for i in which:
            table.add_column(Text(printable(headings[i])), justify="right", overflow="fold")
        group = ""
        for line, some in zip(shown(t), cells):
            if line.info.group != group:
                group = line.info.group
                table.add_row(Text(group, style="dim italic"), *[""] * len(which))
            first = Text(printable(line.info.name), style="bold").append(f" {ARROWS[line.info.better]}")
            if line.info.unit:
                first.append(f"\n{printable(line.info.unit)}", style="dim")
            table.add_row(first, *(_rich(some[i]) for i in which))
        return table

    return Wide(build, len(headings))


def shown(table: MetricTable) -> list[MetricLine]:
    """The lines of metrics that apply to any of the cases."""
    return [line for line in table.lines if line.applies]


def to_markdown(tables: Sequence[MetricTable]) -> str:
    """One section for each table."""
    sections = []
    for t in tables:
        headings = ["metric", "unit", *columns(t)]
        lines = [
            f"### {escape(t.title)}",
            "",
            "| " + " | ".join(escape(h) for h in headings) + " |",
            "|---|---|" + "---:|" * (len(headings) - 2),
        ]
        for line in shown(t):
            texts = [" ".join(filter(None, (a, f"({b})" if b else "", c))) for a, b, c, _ in row(t, line)]
            cells = [f"{escape(line.info.name)} {ARROWS[line.info.better]}", escape(line.info.unit), *texts]
            lines.append("| " + " | ".join(cells) + " |")
        sections.append("\n".join([*lines, "", *(f"- {escape(n)}" for n in t.notes)]))
    return "\n\n".join(sections) + "\n"


def columns(table: MetricTable) -> list[str]:
    """Headings of all columns but the first."""
    return [*table.models, *(f"{m} - {r}" for m, r in table.compared)]


def row(table: MetricTable, line: MetricLine) -> list[Cell]:
    """The cells of a line, in the order of `columns`."""
    means = [_mean(cell) for cell in line.cells]
    return means + [_difference(line, table.cell(line, m), r) for m, r in table.compared]


def _mean(cell: MetricCell | None) -> Cell:
    if cell is None:
        return NONE, "", "", ""
    if cell.mean is None or cell.mean.value is None:
        return NONE, "", cell.coverage, ""
    return number(cell.mean.value), _interval(cell.mean), cell.coverage, ""


def _difference(line: MetricLine, cell: MetricCell | None, reference: str) -> Cell:
    found = None if cell is None else cell.differences.get(reference)
    if cell is None or found is None or found.value is None:
        return NONE, "", "", ""
    return number(found.value, "+"), _interval(found, "+"), "", line.verdict(cell, reference)


def _interval(estimate: Estimate, sign: str = "") -> str:
    if estimate.low is None or estimate.high is None:
        return ""
    return f"{number(estimate.low, sign)}, {number(estimate.high, sign)}"


def number(value: float, sign: str = "") -> str:
    """A finite number to three significant digits, and none behind a large number's point."""
    if abs(value) < 1e-9:  # rounding, which is no difference
        return "0"
    digits = max(0, 2 - math.floor(math.log10(abs(value))))
    return f"{value:{sign}.{digits}f}" if digits <= 5 else f"{value:{sign}.1e}"


def _rich(cell: Cell) -> Text:
    value, interval, coverage, verdict = cell
    text = Text(value, style=_STYLE[verdict])
    for below in (interval, coverage):
        if below:
            text.append(f"\n{below}", style="dim")
    return text
