"""Running no more episodes than a verdict needs."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from worldloop.core import InputError
from worldloop.engine import select
from worldloop.stats import scene_order
from worldloop.view.sequential import SequentialBoard

if TYPE_CHECKING:
    from worldloop.cli.run import Job

RunSome = Callable[["Job", Collection[str], bool], Any]
"""Runs some episodes of a job, and whether others were run just before."""
Judge = Callable[[Sequence[Path]], list[SequentialBoard]]


def until_decided(jobs: Sequence[Job], run_some: RunSome, judge: Judge) -> list[SequentialBoard]:
    """Run each task's models scene by scene, in the order in which they are judged, each up to its verdict.

    As many scenes at a time as keep all episodes in flight busy. InputError for a task without `none` or with nothing beside it.
    """
    tasks: dict[str, list[Job]] = {}
    for job in jobs:
        tasks.setdefault(job.settings.task, []).append(job)
    for task, group in tasks.items():
        names = [job.model.card.name for job in group]
        if "none" not in names or len(group) < 2:
            raise InputError(f"--until-decided compares models with `none`; name it and others for {task}")
    boards = []
    for group in tasks.values():
        base = next(job for job in group if job.model.card.name == "none")
        episodes = select(base.task, base.settings)
        scenes = iter(scene_order([e.scene for e in episodes]))
        at_once = max(1, base.settings.concurrency * len(set(e.scene for e in episodes)) // len(episodes))
        open_jobs, begun = [job for job in group if job is not base], False
        while open_jobs and (some := set(islice(scenes, at_once))):
            ids = {e.id for e in episodes if e.scene in some}
            for job in (base, *open_jobs):
                run_some(job, ids, begun)
            begun = True
            (board,) = judge([job.folder for job in group])
            decided = {row.model for row in board.rows if row.decided}
            open_jobs = [job for job in open_jobs if job.model.card.name not in decided]
        boards += judge([job.folder for job in group])
    return boards
