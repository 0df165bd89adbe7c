"""How metrics respond to planted defects, for a terminal."""

from __future__ import annotations

from collections.abc import Sequence

from rich import box
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from worldloop.engine.measure.sanity import Response, Sanity
from worldloop.view.wide import Wide

_MARKS = {
    "reacts": ("✓", "green"),
    "fails to react": ("✗", "red"),
    "ignores": ("○", "dim"),
    "fails to ignore": ("✗", "red"),
}


def sanity_rich(found: Sanity) -> RenderableType:
    """A row for each metric, a column for each defect that could be planted: the change at full strength, and below at all strengths in turn."""
    defects = list(dict.fromkeys(r.defect for r in found.responses if _cell(r).plain))
    table = Wide(lambda which: _block(found, [defects[i] for i in which]), len(defects))
    failed = [r for r in found.responses if not r.kept]
    untested = [r for r in found.responses if r.verdict == "untested"]
    tried = sum(r.verdict not in ("", "untested") for r in found.responses)
    strengths = ", ".join(f"{s:g}" for s in found.strengths[1:])
    notes = [
        f"Change against no defect in standard deviations of the metric over all that was planted, at full strength; below at {strengths}. "
        "Minus is worse. ✓ claimed to react and does, ○ claimed to ignore and does, ✗ does not do as claimed.",
        f"{tried - len(failed)} of {tried} claims hold.",
        *(
            f"✗ {r.metric} {r.verdict} {'to ' if 'react' in r.verdict else ''}{r.defect}: {_means(r)}"
            for r in failed
        ),
        *(f"{r.metric}: its claim about {r.defect} could not be tested on these cases" for r in untested),
    ]
    return Group(table, *(Text(n, style="red" if n.startswith("✗ ") else "dim") for n in notes))


def _block(found: Sanity, defects: Sequence[str]) -> Table:
    """Some of the defects; metrics to which none of them could be done are left out."""
    table = Table(title="Metrics under planted defects", title_justify="left", box=box.SIMPLE_HEAD)
    table.add_column("metric", overflow="fold")
    for name in defects:
        table.add_column(Text(name), justify="right", overflow="fold")
    rows: dict[str, dict[str, Text]] = {}
    for r in found.responses:
        if r.defect in defects:
            rows.setdefault(r.metric, {})[r.defect] = _cell(r)
    for name, cells in rows.items():
        if any(cell.plain for cell in cells.values()):
            table.add_row(Text(name, style="bold"), *(cells[d] for d in defects))
    return table


def _cell(r: Response) -> Text:
    if r.change[-1] is None:
        return Text("untested" if r.claim else "", style="dim")
    mark, style = _MARKS.get(r.verdict, ("", ""))
    text = Text(f"{mark} {r.change[-1]:+.2f}".strip(), style=style)
    return text.append("\n" + " ".join(f"{v or 0.0:+.1f}" for v in r.change), style="dim")


def _means(r: Response) -> str:
    return " ".join("–" if v is None else f"{v:.4g}" for v in r.raw) + f" over {r.cases} cases"
