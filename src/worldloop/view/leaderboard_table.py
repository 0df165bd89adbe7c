"""The leaderboard as data, and as JSON, Markdown and a terminal table."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from rich import box
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from worldloop.stats import Estimate, PairedDifference
from worldloop.view.wide import Wide

VERDICTS = ("better", "worse", "no difference shown", "baseline", "incomplete", "not compared")
_STYLE = {"better": "green", "worse": "red", "incomplete": "yellow", "baseline": "dim", "not compared": "dim"}
_SUPERSCRIPT = str.maketrans("0123456789,", "⁰¹²³⁴⁵⁶⁷⁸⁹˒")
NONE = "–"


@dataclass(frozen=True)
class Row:
    """One model on one task."""

    label: str
    """The model's name, with its settings where they are needed to tell two rows apart."""
    model: str
    """The model's name."""
    folder: str
    """Where the run is."""
    complete: bool
    """Whether every episode of the list has an outcome."""
    n: int
    """Episodes that have an outcome."""
    total: int
    """Episodes of the list."""
    successes: int
    not_finished: dict[str, int]
    """Episodes that crashed, timed out or were refused, by status; each is a failure."""
    success_rate: Estimate | None
    """With Wilson's interval; None while incomplete, since what finishes first is no fair sample."""
    score: Estimate | None
    """The task's graded score, where it says more than success."""
    steps: float | None
    """Mean number of actions."""
    spl: Estimate | None
    """Success weighted by path length, where the task has it; 0 for an episode that did not finish."""
    path_length: Estimate | None
    """Mean metres travelled, where the task has it."""
    privileges: tuple[str, ...]
    """What the run read of the simulator's truth."""
    difference: PairedDifference | None = None
    """SR minus that of the baseline, over the same episodes."""
    p_value: float | None = None
    """Exact McNemar p against the baseline."""
    p_holm: float | None = None
    """The same after Holm's adjustment over the models of the task."""
    utility: Estimate | None = None
    """(SR - SR_none) / (SR_oracle - SR_none)."""
    verdict: str = "not compared"
    """One of `VERDICTS`."""


@dataclass(frozen=True)
class TaskBoard:
    """One task: runs that differ in their model alone."""

    task: str
    settings: dict[str, Any]
    """What all runs share: agent, split, seed, budgets."""
    episodes: int
    scenes: int
    baseline: str
    ceiling: str
    rows: list[Row]
    """Complete runs by success rate, best first; then the incomplete ones."""
    footnotes: list[str] = field(default_factory=list)
    """How to read the numbers, and what to beware of."""
    privileges: dict[str, str] = field(default_factory=dict)
    """Privileges that occur, with their meaning; their positions, from 1, are the marks of the rows."""

    def marks(self, row: Row) -> str:
        """The row's privilege marks, such as `1,3`."""
        known = list(self.privileges)
        return ",".join(str(known.index(p) + 1) for p in known if p in row.privileges)

    @property
    def title(self) -> str:
        """Task, number of episodes and scenes, and the shared settings that have a short form."""
        shown = [f"{k} {v}" for k, v in self.settings.items() if isinstance(v, str | int | float) and v != ""]
        return f"{self.task}: {self.episodes} episodes in {self.scenes} scenes ({', '.join(shown)})"


@dataclass(frozen=True)
class Leaderboard:
    """Does this world model help? One table per task."""

    tasks: list[TaskBoard]
    confidence: float

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready; undefined numbers are None."""
        return asdict(self)

    def to_markdown(self) -> str:
        """One section per task, with its footnotes."""
        return "\n\n".join(_markdown(board) for board in self.tasks) + "\n"

    def to_rich(self) -> RenderableType:
        """Tables for a terminal; intervals stand below their values."""
        parts: list[RenderableType] = []
        for board in self.tasks:
            notes = [Text(printable(line), style="dim") for line in _footnotes(board)]
            parts += [_rich(board), *notes, Text()]
        return Group(*parts)


Cell = tuple[str, str]
"""A value and what stands below it."""


def table_columns(board: TaskBoard) -> list[tuple[str, list[Cell]]]:
    """Headings with one cell per row; columns that no row fills are left out."""
    rows = board.rows
    columns = [
        ("SR %", [_success(r) for r in rows]),
        ("score", [_number(r.score, 2) for r in rows]),
        ("SPL", [_number(r.spl, 2) for r in rows]),
        (f"SR - {board.baseline}", [_number(r.difference, 1, 100, "+") for r in rows]),
        ("p Holm", [_p(r) for r in rows]),
        ("utility", [_number(r.utility, 2) for r in rows]),
        ("steps", [(NONE if r.steps is None else f"{r.steps:.1f}", "") for r in rows]),
        ("path m", [_number(r.path_length, 2) for r in rows]),
    ]
    return [(heading, cells) for heading, cells in columns if any(c[0] != NONE for c in cells)]


def _success(row: Row) -> Cell:
    if row.success_rate is None:
        return NONE, f"{row.n} of {row.total} run"
    return _number(row.success_rate, 1, 100)


def _number(estimate: Estimate | None, digits: int, scale: float = 1, sign: str = "") -> Cell:
    if estimate is None or estimate.value is None:
        return NONE, ""
    form = f"{{:{sign}.{digits}f}}"

    def show(value: float) -> str:
        return form.format(round(value * scale, digits) + 0.0)  # no minus sign on zero

    if estimate.low is None or estimate.high is None:
        return show(estimate.value), ""
    return show(estimate.value), f"{show(estimate.low)}, {show(estimate.high)}"


def _p(row: Row) -> Cell:
    if row.p_holm is None or row.p_value is None:
        return NONE, ""
    return _p_text(row.p_holm), f"raw {_p_text(row.p_value)}"


def _p_text(p: float) -> str:
    return "<.001" if p < 0.001 else f"{p:.3f}".lstrip("0") if p < 1 else "1"


def outcomes(row: Row) -> str:
    """`18/24`, and what did not finish."""
    parts = [f"{row.successes}/{row.n}"]
    parts += [f"{count} {status.replace('_', ' ')}" for status, count in row.not_finished.items() if count]
    return ", ".join(parts)


def _footnotes(board: TaskBoard) -> list[str]:
    marks = [f"[{i}] {name}: {what}." for i, (name, what) in enumerate(board.privileges.items(), start=1)]
    return marks + board.footnotes


def _markdown(board: TaskBoard) -> str:
    columns = table_columns(board)
    lines = [
        f"### {escape(board.title)}",
        "",
        "| " + " | ".join(["model", "successes", *(escape(h) for h, _ in columns), "verdict"]) + " |",
        "|" + "---|" * 2 + "---:|" * len(columns) + "---|",
    ]
    for i, row in enumerate(board.rows):
        marks = board.marks(row)
        cells = [escape(row.label) + (f"<sup>{marks}</sup>" if marks else ""), outcomes(row)]
        for _, column in columns:
            value, below = column[i]
            cells.append(f"{value} ({below})" if below else value)
        verdict = f"**{row.verdict}**" if row.verdict in ("better", "worse") else row.verdict
        lines.append("| " + " | ".join([*cells, verdict]) + " |")
    return "\n".join([*lines, "", *(f"- {escape(note)}" for note in _footnotes(board))])


def escape(text: str) -> str:
    """Text that cannot break a Markdown table or smuggle HTML into it."""
    text = " ".join(printable(text).replace("&", "&amp;").replace("<", "&lt;").split())
    return "".join(f"\\{c}" if c in "\\|*_`[]" else c for c in text)


def printable(text: str) -> str:
    """Text without control characters, which could drive the terminal."""
    return "".join(c if c.isprintable() else " " for c in text)


def _rich(board: TaskBoard) -> Wide:
    columns = table_columns(board)

    def build(which: Sequence[int]) -> Table:
        table = Table(
            title=Text(printable(board.title), style="bold"),
            title_justify="left",
            box=box.SIMPLE_HEAD,
            padding=(0, 1),
        )
        table.add_column("model", overflow="fold", max_width=24)
        some = [columns[i] for i in which if i < len(columns)]
        for heading, _ in some:
            table.add_column(Text(heading), justify="right", no_wrap=True)
        with_verdict = len(columns) in which
        if with_verdict:
            table.add_column("verdict", max_width=13)
        for i, row in enumerate(board.rows):
            first = Text(printable(row.label), style="bold")
            first.append(board.marks(row).translate(_SUPERSCRIPT))
            first.append(f"\n{outcomes(row)}", style="dim")
            cells = [Text(c[i][0] + "\n").append(c[i][1], style="dim") for _, c in some]
            if with_verdict:
                cells.append(Text(row.verdict, style=_STYLE.get(row.verdict, "")))
            table.add_row(first, *cells)
        return table

    return Wide(build, len(columns) + 1)
