"""What was really looked at: counts of scores by axis and domain, from folders of scores and of runs.

The axes are those by which WorldOlympiad compares suites: long video, physical, geometry and interaction, in gaming, robotics and
the real world. Here houses that are drawn by a renderer stand in for the real world (`indoor`), and the table says so.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from rich import box
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from worldloop.metrics.cases import DOMAINS
from worldloop.runs import RunHeader
from worldloop.runs.scores import MetricInfo, ScoreHeader, Scores
from worldloop.runs.scores.reader import rows_wanted
from worldloop.view.leaderboard_table import escape, printable

AXES = ("long video", "physical", "geometry", "interaction")
GROUP_AXES = {
    "long": "long video",
    "physics": "physical",
    "geometry": "geometry",
    "interaction": "interaction",
    "controllability": "interaction",
}
"""Axis of each group of metrics; the quality of pictures is none of them."""
LONG_KINDS = ("long",)
"""Kinds of case that are long videos: metrics of the group `long` apply to short clips too, which say nothing of this axis."""
TASK_DOMAINS = {
    "active-recognition": "indoor",
    "image-goal": "indoor",
    "embodied-qa": "indoor",
    "manipulation": "robotics",
}
"""Domain of each task of its own: acting in the loop is interaction there."""


@dataclass(frozen=True)
class Published:
    """What another suite covers, as told by WorldOlympiad's comparison."""

    suite: str
    axes: tuple[str, ...]
    domains: tuple[str, ...]
    """Of `gaming`, `robotics` and `real`."""


SOURCE = "comparison of suites in WorldOlympiad's paper, not checked against each suite's own code"
PUBLISHED = (
    Published("VBench", (), ("real",)),
    Published("VBench++", ("long video",), ("real",)),
    Published("VBench-2.0", ("physical",), ("real",)),
    Published("MIND", ("long video", "interaction"), ("gaming",)),
    Published("EWMBench", ("interaction",), ("robotics",)),
    Published("WorldEval", ("interaction",), ("robotics",)),
    Published("WorldArena", ("physical", "geometry", "interaction"), ("robotics",)),
    Published("WorldOlympiad", AXES, ("gaming", "robotics", "real")),
)


@dataclass
class CoverageCell:
    """One axis in one domain."""

    metrics: set[str] = field(default_factory=set)
    cases: set[str] = field(default_factory=set)
    scored: int = 0
    """Scores that are there, over all models but the baselines."""
    wanted: int = 0
    """Scores that there could be; in unfinished folders every one that is not there yet."""
    models: set[str] = field(default_factory=set)
    episodes: int = 0
    """Of closed-loop runs."""
    tasks: set[str] = field(default_factory=set)

    @property
    def filled(self) -> bool:
        """Whether anything was looked at."""
        return bool(self.scored or self.episodes)

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready."""
        return {k: sorted(v) if isinstance(v, set) else v for k, v in vars(self).items()}


@dataclass(frozen=True)
class Coverage:
    """All axes in all domains."""

    cells: dict[str, dict[str, CoverageCell]]
    """Axis -> domain -> cell."""
    elsewhere: list[str]
    """What ran and belongs to no cell, in words."""
    unfinished: list[str]
    """Folders that were cut off, in words."""

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready."""
        own = {a: {d: c.to_dict() for d, c in row.items()} for a, row in self.cells.items()}
        others = [asdict(p) for p in PUBLISHED]
        notes = {"elsewhere": self.elsewhere, "unfinished": self.unfinished}
        return {"covered": own, **notes, "published": others, "source": SOURCE}


def coverage(scores: Sequence[Scores], runs: Sequence[tuple[RunHeader, int]] = ()) -> Coverage:
    """Counts from what really ran; each run with the number of its episodes that finished.

    Models that are in a folder for comparison only (frozen, shuffled, oracle) and closed loops without a world model count for
    nothing: they say nothing of what was looked at in a model. What was to be scored is known from each folder's header, so that a
    folder that was cut off does not pass for a whole one.
    """
    cells = {axis: {domain: CoverageCell() for domain in DOMAINS} for axis in AXES}
    elsewhere: dict[str, None] = {}
    unfinished = list[str]()
    for found in scores:
        if found.header.baseline:
            continue
        if not found.complete:
            done, wanted = len(found.rows), rows_wanted(found.header)
            unfinished.append(
                f"{found.header.name} is unfinished: {done} of {wanted} scores in {found.folder}"
            )
        rows = {(r.case, r.metric): r for r in found.rows}
        for case, kind, domain, info in _asked(found.header):
            row = rows.get((case, info.name))
            if row is not None and row.status == "lacking":
                continue
            axis = GROUP_AXES.get(info.group)
            if axis is None or domain not in DOMAINS:
                what = f"metrics of {info.group}" if axis is None else f"cases of {domain}"
                elsewhere[f"{what} belong to no axis here"] = None
                continue
            if info.group == "long" and kind not in LONG_KINDS:
                elsewhere[f"metrics of long on cases of {kind}, which are short, belong to no axis here"] = (
                    None
                )
                continue
            cell = cells[axis][domain]
            cell.wanted += 1
            if row is not None and row.status == "scored":
                cell.scored += 1
                cell.metrics.add(row.metric)
                cell.cases.add(row.case)
                cell.models.add(found.header.name)
    for header, finished in runs:
        task, model = str(header.spec.get("task", "")), str(header.spec.get("model", ""))
        if model in ("none", "frozen", "shuffled", "oracle"):
            continue
        if task not in TASK_DOMAINS:
            elsewhere[f"runs of task {task} belong to no domain here"] = None
            continue
        if header.status != "complete":
            told = f"{finished} of {len(header.episode_ids)} episodes"
            unfinished.append(f"{model} is unfinished in {task}: {told} finished")
        cell = cells["interaction"][TASK_DOMAINS[task]]
        cell.episodes += finished
        cell.tasks.add(task)
        cell.models.add(model)
    return Coverage(cells, list(elsewhere), unfinished)


def _asked(header: ScoreHeader) -> Iterator[tuple[str, str, str, MetricInfo]]:
    """Id, kind and domain of every case or set, with every metric that is asked of it."""
    for info in header.infos():
        if info.over == "set":
            yield from ((s.id, s.kind, s.domain, info) for s in header.sets())
        else:
            yield from ((str(c["id"]), str(c["kind"]), str(c["domain"]), info) for c in header.cases)


def shown(cell: CoverageCell) -> list[str]:
    """A cell in a few short lines."""
    if not cell.filled:
        return ["–"]
    lines = []
    if cell.scored:
        lines.append(f"{len(cell.metrics)} metrics x {len(cell.cases)} cases")
        lines.append(f"{cell.scored}/{cell.wanted} scores")
    if cell.episodes:
        lines.append(f"{cell.episodes} episodes ({', '.join(sorted(cell.tasks))})")
    return lines


NOTES = (
    "indoor: rendered houses, which stand in for real-world video here. gaming: the same houses, driven by held keys.",
    "Baselines and loops without a world model are not counted; the quality of pictures is no axis.",
    "Long video: cases of 200 steps alone, whatever metrics of long say of shorter ones.",
)


def to_rich(found: Coverage) -> RenderableType:
    """What ran, and what other suites are said to cover."""
    own = Table(title="Covered by what ran", title_justify="left", box=box.SIMPLE_HEAD)
    for heading in ("axis", *DOMAINS):
        own.add_column(heading)
    for axis, row in found.cells.items():
        own.add_row(Text(axis, style="bold"), *(Text(printable("\n".join(shown(c)))) for c in row.values()))
    others = Table(title="Published coverage of other suites", title_justify="left", box=box.SIMPLE_HEAD)
    for heading in ("suite", *AXES, "domains"):
        others.add_column(heading)
    for p in PUBLISHED:
        others.add_row(p.suite, *("✓" if a in p.axes else "–" for a in AXES), ", ".join(p.domains))
    notes = [
        *NOTES,
        *(f"{e}." for e in (*found.unfinished, *found.elsewhere)),
        f"Source of the second table: {SOURCE}.",
    ]
    return Group(own, others, *(Text(printable(n), style="dim") for n in notes))


def to_markdown(found: Coverage) -> str:
    """The same as Markdown."""
    lines = ["| axis | " + " | ".join(DOMAINS) + " |", "|---" * (1 + len(DOMAINS)) + "|"]
    for axis, row in found.cells.items():
        lines.append(f"| {axis} | " + " | ".join(escape("; ".join(shown(c))) for c in row.values()) + " |")
    lines += ["", "| suite | " + " | ".join(AXES) + " | domains |", "|---" * (2 + len(AXES)) + "|"]
    for p in PUBLISHED:
        marks = " | ".join("✓" if a in p.axes else "–" for a in AXES)
        lines.append(f"| {p.suite} | {marks} | {', '.join(p.domains)} |")
    notes = [
        *NOTES,
        *(f"{e}." for e in (*found.unfinished, *found.elsewhere)),
        f"Source of the second table: {SOURCE}.",
    ]
    return "\n".join([*lines, "", *(f"- {escape(n)}" for n in notes)]) + "\n"
