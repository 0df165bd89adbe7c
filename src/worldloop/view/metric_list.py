"""All metrics with what a reader of their scores must know."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from rich import box
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from worldloop.metrics.metric import Metric
from worldloop.view.leaderboard_table import escape
from worldloop.view.metric_table import ARROWS

HEADINGS = ("metric", "unit", "range", "needs", "weights", "reacts to", "ignores", "source")


def about(metric: Metric) -> dict[str, Any]:
    """JSON-ready; an end of the range that does not exist is None."""
    low, high = (v if math.isfinite(v) else None for v in (metric.low, metric.high))
    names = (
        "name",
        "group",
        "summary",
        "unit",
        "better",
        "worst",
        "source",
        "over",
        "weights",
        "optional",
        "version",
    )
    found = {n: getattr(metric, n) for n in names}
    lists = {n: list(getattr(metric, n)) for n in ("needs", "reacts", "ignores", "unclaimed")}
    return {**found, **lists, "low": low, "high": high, "tolerance": metric.tolerance}


def listed_rich(metrics: Sequence[Metric]) -> RenderableType:
    """For a terminal; how to get what does not come with the package stands below."""
    table = Table(box=box.SIMPLE_HEAD)
    for heading in ("metric", "what it says", "needs", "weights", "source"):
        table.add_column(heading, overflow="fold")
    group = ""
    for m in metrics:
        if m.group != group:
            group = m.group
            table.add_row(Text(group, style="dim italic"), "", "", "", "")
        first = Text(m.name, style="bold").append(f" {ARROWS[m.better]}")
        unit = f" [{m.unit}]" if m.unit else ""
        first.append(f"\n{_range(m)}{unit}", style="dim")
        table.add_row(first, Text(m.summary), Text(_needs(m)), Text(m.weights or "none"), Text(m.source))
    notes = [f"{m.name} runs only when named with --metrics: {m.optional}" for m in metrics if m.optional]
    return Group(table, *(Text(n, style="dim") for n in notes))


def listed_markdown(metrics: Sequence[Metric]) -> str:
    """A section for each group, as it stands in docs/metrics.md."""
    lines: list[str] = []
    group = ""
    for m in metrics:
        if m.group != group:
            group = m.group
            lines += [
                "",
                f"### {group}",
                "",
                "| " + " | ".join(HEADINGS) + " |",
                "|---" * len(HEADINGS) + "|",
            ]
        first = f"**{escape(m.name)}** {ARROWS[m.better]} {escape(m.summary)}"
        cells = [
            m.unit,
            _range(m),
            _needs(m),
            _weights(m),
            ", ".join(m.reacts) + "".join(f"; not claimed of {kind}" for kind in m.unclaimed),
            ", ".join(m.ignores),
            m.source,
        ]
        lines.append("| " + " | ".join([first, *(escape(c) for c in cells)]) + " |")
    return "\n".join(lines).strip() + "\n"


def _range(m: Metric) -> str:
    low, high = (f"{v:g}".replace("inf", "∞") for v in (m.low, m.high))
    return f"{low} to {high}"


def _needs(m: Metric) -> str:
    sets = ["sets of clips"] if m.over == "set" else []
    return ", ".join(["frames", *m.needs, *sets])


def _weights(m: Metric) -> str:
    return f"{m.weights or 'none'}{f' ({m.optional})' if m.optional else ''}"
