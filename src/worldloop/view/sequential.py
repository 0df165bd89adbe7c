"""Runs in, verdicts out that hold although one may stop as soon as there is one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from rich import box
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from worldloop.core import InputError
from worldloop.runs import Run
from worldloop.stats import SequentialVerdict, sequential_verdict
from worldloop.view.leaderboard import by_task, check_comparable
from worldloop.view.leaderboard_table import escape, printable

_STYLE = {"better": "green", "worse": "red", "alike": "yellow"}


@dataclass(frozen=True)
class SequentialRow:
    """One model on one task, against the baseline."""

    model: str
    found: SequentialVerdict
    done: int
    """Episodes that both runs have, whether or not they were looked at."""

    @property
    def decided(self) -> bool:
        """Whether there is a verdict."""
        return self.found.verdict != "undecided"


@dataclass(frozen=True)
class SequentialBoard:
    """One task."""

    task: str
    baseline: str
    episodes: int
    """Of the whole list."""
    confidence: float
    """Of all verdicts of the task together."""
    rows: list[SequentialRow]

    @property
    def saved(self) -> float:
        """Share of the models' episodes that no verdict needed, in [0, 1]; a model without a verdict needs all."""
        needed = sum(row.found.episodes if row.decided else self.episodes for row in self.rows)
        return 1.0 - needed / max(1, self.episodes * len(self.rows))


def sequential_boards(
    runs: Sequence[Run], baseline: str = "none", confidence: float = 0.95, margin: float | None = None
) -> list[SequentialBoard]:
    """Every model of each task against the baseline, scene after scene, up to its verdict.

    A run may be unfinished: what counts is the scenes that are done in both runs, up to the first that is not. With K models
    beside the baseline, each is judged at 1 - (1 - confidence) / K, so that all verdicts hold together. InputError when a
    task lacks the baseline or has nothing beside it, or runs cannot be compared.
    """
    boards = []
    for task, found in sorted(by_task(runs).items()):
        bases = [r for r in found if r.header.spec.get("model") == baseline]
        others = [r for r in found if r.header.spec.get("model") != baseline]
        if len(bases) != 1 or not others:
            raise InputError(
                f"task {task!r} has {len(bases)} runs of {baseline!r} and {len(others)} of others; a comparison "
                "needs one, and at least one"
            )
        base = bases[0]
        each = 1.0 - (1.0 - confidence) / len(others)
        rows = []
        for run in others:
            check_comparable(task, base, run)
            rows.append(_row(run, base, each, margin))
        boards.append(SequentialBoard(task, baseline, len(base.header.episode_ids), confidence, rows))
    return boards


def _row(run: Run, base: Run, confidence: float, margin: float | None) -> SequentialRow:
    ids = base.header.episode_ids
    a, b = (
        dict(zip(r.episodes["episode_id"].to_pylist(), r.episodes["success"].to_pylist()))
        for r in (run, base)
    )
    done = np.array([i in a and i in b for i in ids])
    scenes = run.header.scenes or base.header.scenes
    if not scenes:
        if not done.all():
            raise InputError(
                f"{run.folder} is not finished, and does not say which episodes are of one scene; finish it first"
            )
        known = dict(zip(base.episodes["episode_id"].to_pylist(), base.episodes["scene"].to_pylist()))
        scenes = tuple(known[i] for i in ids)
    ours, theirs = ([float(outcome.get(i, 0.0)) for i in ids] for outcome in (a, b))
    found = sequential_verdict(ours, theirs, scenes, confidence, margin, done=done)
    return SequentialRow(str(run.header.spec.get("model", "")), found, int(done.sum()))


def boards_dict(boards: Sequence[SequentialBoard]) -> dict[str, Any]:
    """JSON-ready."""
    return {"tasks": [{**asdict(board), "saved": board.saved} for board in boards]}


HEADINGS = ("model", "verdict", "after", "SR difference %")


def boards_rich(boards: Sequence[SequentialBoard]) -> RenderableType:
    """Tables for a terminal."""
    parts: list[RenderableType] = []
    for board in boards:
        table = Table(box=box.SIMPLE_HEAD)
        for heading in HEADINGS:
            table.add_column(heading, justify="left" if heading in ("model", "verdict") else "right")
        for row in board.rows:
            model, verdict, after, difference = _cells(board, row)
            style = _STYLE.get(row.found.verdict, "")
            table.add_row(Text(printable(model), style="bold"), Text(verdict, style=style), after, difference)
        notes = [Text(printable(n), style="dim") for n in _notes(board)]
        parts += [Text(printable(_title(board)), style="bold"), table, *notes, Text()]
    return Group(*parts)


def boards_markdown(boards: Sequence[SequentialBoard]) -> str:
    """One section for each task."""
    sections = []
    for board in boards:
        lines = [
            f"### {escape(_title(board))}",
            "",
            "| " + " | ".join(HEADINGS) + " |",
            "|---|---|---:|---:|",
            *("| " + " | ".join(escape(c) for c in _cells(board, row)) + " |" for row in board.rows),
            "",
            *(f"- {escape(n)}" for n in _notes(board)),
        ]
        sections.append("\n".join(lines))
    return "\n\n".join(sections) + "\n"


def _title(board: SequentialBoard) -> str:
    return f"{board.task}: {board.episodes} episodes, against {board.baseline}, scene after scene"


def _cells(board: SequentialBoard, row: SequentialRow) -> tuple[str, str, str, str]:
    f = row.found
    difference = f"{100 * f.difference:+.1f} ({100 * f.low:+.0f}, {100 * f.high:+.0f})" if f.episodes else "–"
    return row.model, f.verdict, f"{f.episodes} of {board.episodes}", difference


def _notes(board: SequentialBoard) -> list[str]:
    note = (
        "Bets on paired differences: one may look for a verdict after every scene, and those of this table hold together "
        f"at {100 * board.confidence:g} %. Intervals are as of the verdict."
    )
    if any(row.decided for row in board.rows):
        note += f" {100 * board.saved:.0f} % of the models' episodes were not needed."
    notes = [note]
    for row in board.rows:
        if not row.decided and (unused := row.done - row.found.episodes):
            notes.append(
                f"{row.model}: {unused} more episodes are done, but scenes count in an order drawn beforehand, up to the first "
                "that is unfinished."
            )
    return notes
