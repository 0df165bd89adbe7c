"""Closed-loop runs of a study: ordinary run folders, resumed or taken as they are."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path

import numpy as np

from worldloop.agents import AGENTS
from worldloop.core import Agent, InputError, Task, WorldModel
from worldloop.engine import RunSettings, run, select
from worldloop.engine.check import usable
from worldloop.engine.run import make_header
from worldloop.models import MODELS
from worldloop.runs import Run, RunHeader, find_runs, read_run
from worldloop.studies.evaluation import Evaluation, Progress
from worldloop.studies.verdicts import Sample
from worldloop.tasks import TASKS


@dataclass(eq=False)
class ClosedLoop:
    """The tasks of a study, and the folder with its runs."""

    settings: Evaluation
    out: Path
    progress: Progress = field(default=lambda what, done, total: None)

    @cached_property
    def tasks(self) -> dict[str, Task]:
        """The tasks by name; empty in a study of the open loop only. InputError for an unknown one."""
        names = self.settings.tasks if self.settings.closed_loop else ()
        return {name: TASKS.create(name) for name in names}

    def run_settings(self, task: str, model: str, rollouts: int | None = None) -> RunSettings:
        """What a run of this study is asked to do."""
        s = self.settings
        return RunSettings(
            task,
            model,
            split=s.split,
            episodes=s.episodes_of(task),
            rollouts=rollouts,
            seed=s.seed,
            concurrency=s.concurrency,
        )

    def run(self, task_name: str, name: str, model: WorldModel, rollouts: int | None) -> Run:
        """The run of an arm: the one that is there, finished here or among the reference runs, or a new one."""
        task, settings = self.tasks[task_name], self.run_settings(task_name, name, rollouts)
        episodes, folder = select(task, settings), self.out / "runs" / task_name / name
        agent, total, count = self._agent(task), len(episodes), 0
        if self._kept and (kept := self._reference(task, usable(model, name), settings)) is not None:
            return kept
        if (folder / "run.json").exists():
            count = read_run(folder).episodes.num_rows

        def progressed(_: object) -> None:
            nonlocal count
            count += 1
            self.progress(f"{task_name}: {name}", count, total)

        self.progress(f"{task_name}: {name}", count, total)
        run(task, model, agent, settings, folder, progress=progressed)
        return read_run(folder)

    @cached_property
    def _kept(self) -> list[Run]:
        """The reference runs."""
        folder = self.settings.reference_runs
        return [] if folder is None else [read_run(f) for f in find_runs(folder)]

    def _reference(self, task: Task, model: WorldModel, settings: RunSettings) -> Run | None:
        """The part that is wanted of a reference run: of the same list, or of the whole one of which it is the beginning."""
        for asked in dict.fromkeys((settings, replace(settings, episodes=None))):
            wanted = make_header(task, model, self._agent(task), asked, select(task, asked), {})
            if (same := _same(self._kept, wanted)) is not None:
                return same.first(len(select(task, settings)))
        return None

    def _agent(self, task: Task) -> Agent:
        return AGENTS.create(task.default_agent, task=task.name)

    def kept_control(self, name: str, rollouts: int | None) -> dict[str, Run]:
        """The reference runs of a control by task; InputError where one is missing or was made another way."""
        if self.settings.reference_runs is None:
            return {}
        model, out = MODELS.create(name), {}
        for task_name, task in self.tasks.items():
            settings = self.run_settings(task_name, name, rollouts)
            if (kept := self._reference(task, model, settings)) is None:
                episodes = select(task, settings)
                wanted = make_header(task, model, self._agent(task), settings, episodes, {})
                raise _missing(self._kept, wanted, self.settings.reference_runs)
            out[task_name] = kept
        return out


def sample_of(done: Run) -> Sample:
    """Success of each episode; what did not finish is a failure."""
    values = np.asarray(done.episodes["success"].to_pylist(), np.float64)
    statuses = done.episodes["status"].to_pylist()
    failed = "" if "finished" in statuses else next(iter(faults(done)), "no reason given")
    return Sample(values, tuple(done.episodes["scene"].to_pylist()), failed)


def faults(done: Run) -> dict[str, int]:
    rows = zip(done.episodes["status"].to_pylist(), done.episodes["error"].to_pylist())
    return dict(
        Counter((error or status)[:300] for status, error in rows if status != "finished").most_common(3)
    )


def imagined(done: Run) -> float:
    """Rollouts simulated for each decision that proposed plans."""
    simulated = done.candidates["simulated"].to_pylist()
    keys = set(zip(done.candidates["episode_id"].to_pylist(), done.candidates["decision"].to_pylist()))
    return round(sum(simulated) / len(keys), 3) if keys else 0.0


def _same(runs: Sequence[Run], wanted: RunHeader) -> Run | None:
    """The first complete run that was made in the same way."""
    return next((r for r in runs if r.complete and r.header.spec_hash == wanted.spec_hash), None)


def _missing(runs: Sequence[Run], wanted: RunHeader, folder: str) -> InputError:
    """Why none of the runs is the wanted one."""
    task, name = wanted.spec["task"], wanted.spec["model"]
    found = [r for r in runs if (r.header.spec.get("task"), r.header.spec.get("model")) == (task, name)]
    if not found:
        return InputError(
            f"{folder} has no run of {name!r} in {task}; leave --reference-runs out to run it here"
        )
    ours, theirs = wanted.identity(), found[0].header.identity()
    differ = sorted(k for k in ours.keys() | theirs.keys() if ours.get(k) != theirs.get(k))
    reason = f"differs in {', '.join(differ)}" if differ else "is not complete"
    return InputError(
        f"the run of {name!r} in {found[0].folder} {reason}; give runs of the same list and settings, or leave "
        "--reference-runs out"
    )
