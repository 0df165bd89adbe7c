"""Which open-loop metric goes with task success: whether the frames follow the actions, or how good they look?"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import numpy as np

from worldloop.core import InputError, WorldModel
from worldloop.engine.check import unfit, usable
from worldloop.engine.measure import MeasureSettings, ModelSubject, measure
from worldloop.metrics.cases import CaseSpec, list_cases
from worldloop.metrics.metric import Metric, choose_metrics
from worldloop.models import MODELS
from worldloop.runs.scores import MetricInfo, Scores, read_scores
from worldloop.stats import FEWEST, Outcomes, mean_interval
from worldloop.studies.bench import Bench
from worldloop.studies.correlations import CONTROL, QUALITY, CorrelationTable, MeasuredModel, summary
from worldloop.studies.evaluation import Evaluation, Progress, settings_dict
from worldloop.studies.recipe import conclude
from worldloop.studies.result import Arm, StudyResult, study_folder, success_in
from worldloop.studies.scatter import Panel, Point, draw_scatter
from worldloop.studies.verdicts import estimate, signed

NAME = "controllability-vs-quality"
CLAIM = "task success goes with controllability, not with visual quality"
KINDS = {"manipulation": ("table",)}
HOUSE = ("walk", "loop")
"""Kinds of cases that are like what is imagined in a task; houses are the rule."""
DEFAULT = (
    "oracle,oracle-blur:sigma=1,oracle-blur:sigma=2,oracle-blur:sigma=4,oracle-blur:sigma=8,oracle-wrong:share=0.25,"
    "oracle-wrong:share=0.5,oracle-wrong,shuffled,blind,frozen,pointcloud,video-base,video-lora,video-table"
)


@dataclass(frozen=True)
class ControllabilityVsQuality:
    """Settings of `controllability_vs_quality`."""

    models: tuple[str, ...]
    """Specs of world models, as `worldloop run` takes them."""
    out: Path = Path("studies") / NAME
    cases: int = 24
    """Cases of each kind."""
    suites: tuple[str, ...] = ("quality", "controllability", "geometry")
    """Suites whose metrics are correlated."""
    evaluation: Evaluation = field(default_factory=Evaluation)

    def __post_init__(self) -> None:
        if len(set(self.models)) < len(self.models):
            raise InputError("--models names a model twice")
        if len(self.models) < FEWEST:
            raise InputError(
                f"a correlation over fewer than {FEWEST} models says next to nothing; --models names {len(self.models)}"
            )
        if not self.evaluation.closed_loop:
            raise InputError("task success is measured in the closed loop; drop --open-loop-only")


def controllability_vs_quality(
    config: ControllabilityVsQuality, progress: Progress = lambda what, done, total: None
) -> StudyResult:
    """Run every model in every task, measure it on cases of the task's kind, and correlate over models.

    A model that cannot be asked in a task is left out of that task, with a note. The same call goes on where it was cut off.
    Raises InputError for models, tasks and settings that cannot be used.
    """
    with study_folder(config.out, NAME):
        work = _Work(config, progress)
        work.bench.check()
        work.measure_together()
        found = {spec: work.measured(spec) for spec in config.models}
        tables = [_table(task, found, work.infos) for task in work.bench.tasks]
        findings = [finding for table in tables for finding in table.findings()]
        result = conclude(
            NAME,
            CLAIM,
            "model",
            [_arm(spec, m) for spec, m in found.items()],
            [],
            findings,
            work.notes,
            {
                "models": config.models,
                "cases": config.cases,
                "suites": config.suites,
                "correlations": [row for table in tables for row in table.rows()],
                **settings_dict(config.evaluation),
            },
            config.out,
            verdict=summary(findings),
            picture=lambda r: draw_scatter(
                f"{NAME}: {CLAIM}", r.verdict, _panels(tables, list(found)), list(found)
            ),
        )
    return result


@dataclass(eq=False)
class _Work:
    """Whatever has been measured stays in the study's folder and is not measured again."""

    config: ControllabilityVsQuality
    progress: Progress
    notes: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.bench = Bench(self.config.evaluation, self.config.out, self.progress)

    @cached_property
    def metrics(self) -> list[Metric]:
        """All that is said of a clip by itself and needs nothing that does not come with the package."""
        chosen = [m for suite in self.config.suites for m in choose_metrics(suite)]
        return [m for m in chosen if m.over == "clip" and not m.optional]

    @property
    def infos(self) -> dict[str, Metric]:
        """By name."""
        return {m.name: m for m in self.metrics}

    def measure_together(self) -> None:
        """Put the cases to all models without weights at once: what only the truth tells is then computed once.

        Of those with weights, one is in memory at a time, and is measured when its turn comes.
        """
        groups = dict[tuple[str, ...], dict[str, WorldModel]]()
        for spec in self.config.models:
            model, name = self._model(spec)
            for task_name, task in self.bench.tasks.items() if not model.card.weights_hash else ():
                if unfit(task, model) is None:
                    groups.setdefault(KINDS.get(task_name, HOUSE), {})[name] = model
        for kinds, models in groups.items():
            self._measure(models, kinds)

    def measured(self, spec: str) -> MeasuredModel:
        """One model in every task it can be asked in."""
        model, name = self._model(spec)
        success, scores = {}, {}
        for task_name, task in self.bench.tasks.items():
            if (reason := unfit(task, model)) is not None:
                self.notes.append(f"{spec} is left out of {task_name}{reason}.")
                continue
            kinds = KINDS.get(task_name, HOUSE)
            self._measure({name: model}, kinds)
            scores[task_name] = self._scores(name, kinds)
            success[task_name] = self.bench.success(task_name, name, model)
        return MeasuredModel(success, scores)

    @staticmethod
    def _model(spec: str) -> tuple[WorldModel, str]:
        """The model, and what its folders are called."""
        model = usable(MODELS.create(spec), spec)
        if not model.card.imagines:
            raise InputError(f"{spec!r} imagines nothing, so it has no metrics; name another")
        return model, re.sub(r"[^\w.=-]+", "-", spec)

    def _folder(self, name: str, kinds: Sequence[str]) -> Path:
        return self.config.out / "metrics" / "-".join(kinds) / name

    def _measure(self, models: Mapping[str, WorldModel], kinds: Sequence[str]) -> None:
        """Measure by name what the folders do not have yet."""
        specs: list[CaseSpec] = list_cases(kinds, self.config.cases, self.config.evaluation.seed)
        subjects = [(ModelSubject(m), self._folder(n, kinds)) for n, m in models.items()]
        measure(subjects, specs, self.metrics, MeasureSettings(keep=0), progress=self.progress)

    def _scores(self, name: str, kinds: Sequence[str]) -> dict[str, Outcomes]:
        found = read_scores(self._folder(name, kinds))
        return {info.name: kept for info in found.header.infos() if (kept := _outcomes(found, info))}


def _outcomes(scores: Scores, info: MetricInfo) -> Outcomes | None:
    """What one metric says of one model, better upwards; a failure is the worst. None where it says nothing."""
    sign, values, scenes = (1.0 if info.better == "higher" else -1.0), [], []
    for row in scores.of(info.name):
        value = row.value if row.status == "scored" else info.worst if row.status == "failed" else None
        if value is not None:
            values.append(sign * value)
            scenes.append(row.scene)
    return Outcomes(np.array(values), tuple(scenes)) if values else None


def _table(task: str, found: Mapping[str, MeasuredModel], metrics: Mapping[str, Metric]) -> CorrelationTable:
    return CorrelationTable(task, metrics, {name: m for name, m in found.items() if task in m.success})


def _arm(spec: str, model: MeasuredModel) -> Arm:
    """A model with its success in each task; its metrics are in the folders."""
    values = {success_in(task): estimate(success_in(task), s) for task, s in model.success.items()}
    metrics = {
        task: {name: float(o.values.mean()) for name, o in scores.items()}
        for task, scores in model.scores.items()
    }
    return Arm(spec, spec, "", None, values, {"metrics_better_upwards": metrics})


def _panels(tables: Sequence[CorrelationTable], names: Sequence[str]) -> list[Panel]:
    out = []
    for table in tables:
        for metric in (CONTROL, QUALITY):
            if metric not in table.correlations:
                continue
            r = table.correlations[metric]["pearson"]
            flipped = table.metrics[metric].better == "lower"
            points = tuple(
                _point(names.index(name) + 1, name, m, table.task, metric)
                for name, m in table.models.items()
                if metric in m.scores[table.task]
            )
            label = f"{'minus ' if flipped else ''}{metric.replace('_', ' ')} →"
            out.append(Panel(f"{table.task}", label, "success, %", f"r = {signed(r, 2)}", points))
    return out


def _point(number: int, name: str, model: MeasuredModel, task: str, metric: str) -> Point:
    found = model.scores[task][metric]
    x = mean_interval(found.values, found.clusters)
    return Point(number, name, x, estimate(success_in(task), model.success[task]))
