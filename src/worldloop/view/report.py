"""The report: one self-contained HTML file that says what runs show, and lets a reader watch them.

The page loads nothing from anywhere: pictures are data URIs, the script and the style are in the file, and
a content security policy forbids everything else. Whatever comes from a run folder is escaped.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from worldloop.core import InputError
from worldloop.runs import Run
from worldloop.runs.disk import replace_text
from worldloop.view import metric_text
from worldloop.view.leaderboard import leaderboard
from worldloop.view.leaderboard_table import TaskBoard, outcomes, table_columns
from worldloop.view.metric_table import ARROWS, MetricTable
from worldloop.view.report_pictures import Embedded, Encoding, Pictures
from worldloop.view.report_plots import Plot, interval_plots
from worldloop.view.report_provenance import (
    Failure,
    Source,
    Timing,
    failures,
    shared_settings,
    source,
    timing,
)
from worldloop.view.report_replay import SYMBOLS, Replay, Shot, Step, make_replay, pick_episodes
from worldloop.view.report_text import CONTROLS, Verdict, task_summary, verdicts

LARGEST = 15_000_000
"""Bytes of a report."""


@dataclass(frozen=True)
class Section:
    """What the page shows of one task."""

    board: TaskBoard
    confidence: float
    """Nominal coverage of the intervals, such as 0.95."""
    summary: str
    verdicts: list[Verdict]
    plots: list[Plot]
    settings: list[tuple[str, str]]
    failures: list[Failure]
    timing: Timing | None
    sources: list[Source]
    replays: list[Replay]

    @property
    def legend(self) -> list[Step]:
        """The arrows that occur, in the order of `SYMBOLS`."""
        seen = {step for replay in self.replays for step in replay.steps()}
        return [s for s in (Step(*pair) for pair in SYMBOLS.values()) if s in seen]

    @property
    def example(self) -> list[tuple[str, Shot]]:
        """Pictures that explain the task, with captions: how an episode begins, what is asked for, how one ended well."""
        if not self.replays:
            return []
        first = self.replays[0]
        shown = [
            ("what the agent sees first", first.plays[0].turns[0].view),
            ("the goal picture", first.goal),
        ]
        ends = (p.turns[-1] for p in first.plays if p.record.success and len(p.turns) > 1)
        end = next(ends, None)
        if end is not None:
            shown.append(("just before it succeeded", end.view))
        return [(words, shot) for words, shot in shown if shot is not None]

    @property
    def controls(self) -> list[tuple[str, str]]:
        """The controls that were run, each with its purpose."""
        present = {r.model for r in self.board.rows}
        return [(name, text) for name, text in CONTROLS.items() if name in present]


def write_report(
    runs: Sequence[Run],
    path: Path,
    *,
    replays: int = 3,
    allow_missing_controls: bool = False,
    largest: int = LARGEST,
    metrics: Sequence[MetricTable] = (),
) -> None:
    """Write runs as one HTML file: verdicts, tables, interval plots, episode replays and provenance.

    `metrics` are tables of open-loop scores, which get a section of their own; without runs they are all of the page.

    `replays` is how many episodes of each task can be watched; they are taken from those that have stored
    frames, preferably where models differ in outcome, and are the same for all models. `largest` is the size
    of the file in bytes: pictures are embedded as stored while they fit, else compressed, and when that is
    not enough episodes are left out, the least telling first; the page says so. Only text alone can exceed
    it. Equal runs give equal files.

    Raises InputError when runs cannot be compared or a control is missing (see `leaderboard`) or `replays`
    is negative, and RunFolderError when a run's records or frames are damaged or the file cannot be written.
    """
    if replays < 0:
        raise InputError(f"--replays must be at least 0, got {replays}")
    pictures, sections = Pictures(), list[Section]()
    if runs or not metrics:
        found = leaderboard(runs, allow_missing_controls=allow_missing_controls)
        sections = [_section(board, found.confidence, runs, replays, pictures) for board in found.tasks]
    page = _fitted(sections, metrics, pictures, largest)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"cannot make the folder {path.parent}: {error.strerror or error}") from None
    replace_text(path, page, durable=False)


def _section(
    board: TaskBoard, confidence: float, runs: Sequence[Run], count: int, pictures: Pictures
) -> Section:
    by_folder = {str(r.folder): r for r in runs}
    own = [(row.label, by_folder[row.folder]) for row in board.rows]
    episodes = pick_episodes([r for _, r in own], count) if count else []
    found = [make_replay(board.task, episode, own, pictures) for episode in episodes]
    return Section(
        board=board,
        confidence=confidence,
        summary=task_summary(board.task),
        verdicts=verdicts(board),
        plots=interval_plots(board),
        settings=shared_settings(board.settings),
        failures=failures(own),
        timing=timing(own),
        sources=[source(label, run) for label, run in own],
        replays=[r for r in found if r is not None],
    )


def _fitted(
    sections: Sequence[Section], metrics: Sequence[MetricTable], pictures: Pictures, largest: int
) -> str:
    """The page with as many replays as fit, in the best quality that fits."""
    most = max((len(s.replays) for s in sections), default=0)
    for kept in range(most, -1, -1):
        shown = [replay for s in sections for replay in s.replays[:kept]]
        bare = len(_render(sections, metrics, kept, None, []).encode())
        wanted = [p for replay in shown for p in replay.pictures()]
        # Each embedded picture brings its element's text besides the data URI.
        room = largest - bare - 120 * len({p.key for p in wanted}) - 400
        fit = pictures.fit(wanted, room)
        if fit is not None or kept == 0:
            encoding, embedded = fit or (None, [])
            return _render(sections, metrics, kept, encoding, embedded)
    raise AssertionError("a page without replays always fits")


def _render(
    sections: Sequence[Section],
    metrics: Sequence[MetricTable],
    kept: int,
    encoding: Encoding | None,
    embedded: Sequence[Embedded],
) -> str:
    environment = Environment(
        loader=PackageLoader("worldloop.view", "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    # Our own files, which hold no closing tag of the element they are put into.
    script, style = (_own(environment, name) for name in ("report.js", "report.css"))
    return environment.get_template("report.html.j2").render(
        sections=sections,
        metrics=metrics,
        metric_columns=metric_text.columns,
        metric_row=metric_text.row,
        metric_lines=metric_text.shown,
        arrows=ARROWS,
        kept=kept,
        dropped=sum(len(s.replays[kept:]) for s in sections),
        note=encoding.note if encoding else "",
        embedded=embedded,
        script=script,
        script_hash=base64.b64encode(hashlib.sha256(script.encode()).digest()).decode(),
        style=style,
        table_columns=table_columns,
        outcomes=outcomes,
        controls=_controls(sections),
    )


def _own(environment: Environment, name: str) -> Markup:
    assert environment.loader is not None
    return Markup(environment.loader.get_source(environment, name)[0])


def _controls(sections: Sequence[Section]) -> list[tuple[str, str]]:
    """Every control of any task, once, in the order of `CONTROLS`."""
    present = {name for s in sections for name, _ in s.controls}
    return [(name, text) for name, text in CONTROLS.items() if name in present]
