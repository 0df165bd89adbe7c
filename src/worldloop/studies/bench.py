"""Measures the arms of a study and its controls.

Whatever has been measured stays in the study's folder and is not measured again.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from worldloop.core import Episode, Task, WorldModel
from worldloop.engine import select
from worldloop.models import MODELS
from worldloop.studies.closed_loop import ClosedLoop, faults, imagined, sample_of
from worldloop.studies.evaluation import Evaluation, Progress
from worldloop.studies.open_loop import OpenLoop
from worldloop.studies.result import success_in
from worldloop.studies.verdicts import Sample

CONTROLS = ("none", "oracle")


@dataclass(frozen=True, eq=False)
class Measured:
    """One arm, or one control, with all that was measured of it."""

    samples: Mapping[str, Sample]
    """By measure."""
    facts: Mapping[str, Any]
    seconds: Mapping[str, float]
    notes: tuple[str, ...] = ()


@dataclass(eq=False)
class Bench:
    """The trials and lists of a study, and the folder with what has been measured."""

    settings: Evaluation
    out: Path
    progress: Progress = field(default=lambda what, done, total: None)

    def __post_init__(self) -> None:
        self._open = OpenLoop(self.settings, self.out, self.progress)
        self._closed = ClosedLoop(self.settings, self.out, self.progress)

    @property
    def tasks(self) -> dict[str, Task]:
        """The tasks by name; empty in a study of the open loop only. InputError for an unknown one."""
        return self._closed.tasks

    def episodes(self, task: str) -> list[Episode]:
        """The list of a task."""
        return select(self.tasks[task], self._closed.run_settings(task, "none"))

    def open_loop(self, name: str, model: WorldModel) -> tuple[dict[str, Sample], float]:
        """Controllability and recovered actions of each trial, and the seconds it took."""
        return self._open.score(name, model)

    def check(
        self, rollouts: Sequence[int | None] = (None,), controls: Mapping[str, int | None] | None = None
    ) -> None:
        """InputError for tasks, lists and settings that cannot be used; before anything is trained or run."""
        for name, task in self.tasks.items():
            for count in rollouts:
                settings = self._closed.run_settings(name, "none", count)
                settings.resolve(task)
                select(task, settings)
        for name in CONTROLS if self.tasks else ():
            self._closed.kept_control(name, (controls or {}).get(name))

    def measure(
        self, name: str, model: WorldModel, rollouts: int | None = None, open_loop: bool = True
    ) -> Measured:
        """Open loop, then each task, with whatever the folder has already."""
        samples: dict[str, Sample] = {}
        seconds: dict[str, float] = {}
        notes = []
        facts: dict[str, Any] = {
            "model": model.card.name,
            "weights_hash": model.card.weights_hash,
            "not_finished": {},
        }
        if open_loop:
            found, seconds["open_loop"] = self.open_loop(name, model)
            samples |= found
        for task in self.tasks:
            done = self._closed.run(task, name, model, rollouts)
            samples[success_in(task)] = sample_of(done)
            seconds[task] = round(done.header.seconds, 1)
            if found_faults := faults(done):
                facts["not_finished"][task] = found_faults
                text = "; ".join(f"{count} x {why}" for why, count in found_faults.items())
                notes.append(f"{task}, {name}: episodes that did not finish count as failures: {text}")
            facts.setdefault("imagined_per_decision", {})[task] = imagined(done)
        return Measured(samples, facts, seconds, tuple(notes))

    def success(self, task: str, name: str, model: WorldModel) -> Sample:
        """How every episode of a task's list ended."""
        return sample_of(self._closed.run(task, name, model, None))

    def controls(self, rollouts: Mapping[str, int | None] | None = None) -> dict[str, Measured]:
        """`none` and `oracle` in every task, from the reference runs where those are given.

        `rollouts`: M by control, where it is not the task's own.
        """
        out = {}
        for name in CONTROLS if self.tasks else ():
            count = (rollouts or {}).get(name)
            kept = self._closed.kept_control(name, count)
            samples, seconds, folders, failures = {}, {}, {}, {}
            for task in self.tasks:
                done = kept.get(task) or self._closed.run(task, name, MODELS.create(name), count)
                samples[success_in(task)] = sample_of(done)
                seconds[task] = round(done.header.seconds, 1)
                folders[task] = str(done.folder)
                failures[task] = faults(done)
            facts = {
                "runs": folders,
                "rollouts": count,
                "not_finished": {t: f for t, f in failures.items() if f},
            }
            out[name] = Measured(samples, facts, seconds)
        return out
