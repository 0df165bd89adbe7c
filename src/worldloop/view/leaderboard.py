"""Runs in, leaderboard out: each model against acting without one, on the same episodes."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from worldloop.core import PRIVILEGES, InputError
from worldloop.runs import EPISODE_STATUSES, Run, find_runs, read_run
from worldloop.stats import Estimate, holm, mcnemar_exact, mean_interval, paired_difference, utility, wilson
from worldloop.view.leaderboard_notes import footnotes
from worldloop.view.leaderboard_table import Leaderboard, Row, TaskBoard

MODEL_KEYS = ("model", "model_settings")
"""Keys of a run's spec that say which model it is; all others must be equal within a task."""


def leaderboard(
    runs: Iterable[Run | str | Path],
    *,
    baseline: str = "none",
    ceiling: str = "oracle",
    confidence: float = 0.95,
    allow_missing_controls: bool = False,
) -> Leaderboard:
    """Compare the models of each task with acting without a model, episode by episode.

    `runs` are runs, run folders or folders of runs. Within a task they may differ in their model alone and
    must have the same list of episodes. A model is called better (or worse) when its Holm-adjusted exact
    McNemar p is at most 1 - confidence and the interval of its difference to `baseline`
    excludes 0. Episodes that did not finish are failures. Unfinished runs are shown without a success rate
    and take no part in the comparison.

    Raises InputError when there is no run, when runs of a task cannot be compared (the message names the
    difference), when a model has two runs, and when a task has no run of `baseline` or `ceiling`, unless
    `allow_missing_controls`.
    """
    tasks = by_task(_read(runs))
    if not tasks:
        raise InputError("there is no run to compare; give a run folder or a folder of runs")
    boards = [
        _board(task, found, baseline, ceiling, confidence, allow_missing_controls)
        for task, found in sorted(tasks.items())
    ]
    return Leaderboard(boards, confidence)


def by_task(runs: Iterable[Run]) -> dict[str, list[Run]]:
    """Runs by the task they are of."""
    tasks: dict[str, list[Run]] = {}
    for run in runs:
        tasks.setdefault(str(run.header.spec.get("task", "")), []).append(run)
    return tasks


@dataclass(frozen=True, eq=False)
class _Contender:
    """A run with its columns as arrays, in the order of the episode list."""

    run: Run

    @property
    def name(self) -> str:
        return str(self.run.header.spec.get("model", ""))

    @cached_property
    def success(self) -> np.ndarray:
        return self.column("success").astype(np.float64)

    @cached_property
    def scenes(self) -> list[str]:
        return self.run.episodes["scene"].to_pylist()

    def column(self, name: str) -> np.ndarray:
        return np.asarray(self.run.episodes[name].to_pylist())

    def metric(self, name: str) -> np.ndarray | None:
        """float64 [n] with nan where an episode lacks the metric; None when every episode does."""
        if f"metric.{name}" not in self.run.episodes.column_names:
            return None
        values = self.run.episodes[f"metric.{name}"].to_pylist()
        return np.array([np.nan if v is None else v for v in values], np.float64)


def _read(runs: Iterable[Run | str | Path]) -> list[Run]:
    given = [runs] if isinstance(runs, Run | str | Path) else list(runs)
    folders = find_runs([r for r in given if not isinstance(r, Run)])
    return [r for r in given if isinstance(r, Run)] + [read_run(folder) for folder in folders]


def _board(
    task: str, runs: Sequence[Run], baseline: str, ceiling: str, confidence: float, allow_missing: bool
) -> TaskBoard:
    reference = next((r for r in runs if r.header.spec.get("model") == baseline), runs[0])
    for run in runs:
        check_comparable(task, reference, run)
    contenders = [_Contender(r) for r in runs]
    labels = _labels(task, contenders)
    none, oracle = (_control(task, contenders, name, allow_missing) for name in (baseline, ceiling))
    shown = {
        "path": any((c.column("path_length") > 0).any() for c in contenders if c.run.episodes.num_rows),
        "score": any((c.column("score") != c.success).any() for c in contenders),
    }
    rows = [_row(c, labels[i], shown, confidence) for i, c in enumerate(contenders)]
    rows = _compare(rows, contenders, none, oracle, confidence)
    rows.sort(
        key=lambda r: (not r.complete, -(r.success_rate.value or 0.0) if r.success_rate else 0.0, r.label)
    )
    used = [p for r in rows for p in r.privileges]
    scenes = len({s for c in contenders for s in c.scenes})
    return TaskBoard(
        task=task,
        settings={
            k: v for k, v in reference.header.spec.items() if k not in (*MODEL_KEYS, "task", "episodes")
        },
        episodes=len(reference.header.episode_ids),
        scenes=scenes,
        baseline=baseline,
        ceiling=ceiling,
        rows=rows,
        footnotes=footnotes(rows, [r.header for r in runs], baseline, ceiling, confidence, scenes),
        privileges={p: PRIVILEGES.get(p, p) for p in sorted(set(used), key=_privilege_order)},
    )


def _control(
    task: str, contenders: Sequence[_Contender], name: str, allow_missing: bool
) -> _Contender | None:
    """The one complete run of a control model, or None; InputError when it is missing or not the only one."""
    found = [c for c in contenders if c.name == name]
    if len(found) > 1:
        folders = " and ".join(str(c.run.folder) for c in found[:2])
        raise InputError(
            f"task {task!r} has several runs of the control {name!r}: {folders}; give one of them"
        )
    if not found and not allow_missing:
        raise InputError(
            f"task {task!r} has no run of the control {name!r}: without it no one can tell whether a model "
            "helps; run it with the same settings, or allow missing controls on purpose"
        )
    return found[0] if found and found[0].run.complete else None


def _privilege_order(name: str) -> tuple[int, str]:
    known = list(PRIVILEGES)
    return (known.index(name) if name in known else len(known), name)


def check_comparable(task: str, reference: Run, run: Run) -> None:
    """InputError, naming the first difference, unless the runs differ in their model alone."""
    ours, theirs = reference.header, run.header
    for key in sorted((ours.spec.keys() | theirs.spec.keys()) - set(MODEL_KEYS)):
        a, b = ours.spec.get(key), theirs.spec.get(key)
        if json.dumps(a, sort_keys=True) != json.dumps(b, sort_keys=True):
            raise InputError(
                f"runs of task {task!r} differ in {key}: {_short(a)} in {reference.folder}, {_short(b)} in "
                f"{run.folder}; compare them separately, or run them with the same {key}"
            )
    if ours.episode_ids != theirs.episode_ids or ours.episodes_hash != theirs.episodes_hash:
        what = "list of episodes" if ours.episode_ids != theirs.episode_ids else "content of the episodes"
        raise InputError(
            f"runs of task {task!r} differ in the {what}: {len(ours.episode_ids)} in {reference.folder}, "
            f"{len(theirs.episode_ids)} in {run.folder}; a paired comparison needs the same episodes"
        )


def _labels(task: str, contenders: Sequence[_Contender]) -> list[str]:
    """Names, with the settings that tell models of one name apart; InputError for two runs of one model."""
    headers = [c.run.header for c in contenders]
    settings: list[dict[str, Any]] = []
    for header in headers:
        found = header.spec.get("model_settings")
        settings.append(found if isinstance(found, dict) else {})
    labels = []
    for i, c in enumerate(contenders):
        same = [j for j, other in enumerate(contenders) if other.name == c.name]
        keys = sorted({k for j in same for k in settings[j]})
        varying = [k for k in keys if any(settings[j].get(k) != settings[same[0]].get(k) for j in same)]
        extra = [f"{k}={_short(settings[i].get(k))}" for k in varying]
        if len({headers[j].weights_hash for j in same}) > 1:
            extra.append(f"weights={headers[i].weights_hash[:8] or 'none'}")
        labels.append(f"{c.name}:{','.join(extra)}" if extra else c.name)
    for i, label in enumerate(labels):
        if label in labels[:i]:
            first = contenders[labels.index(label)].run.folder
            raise InputError(
                f"task {task!r} has two runs of model {label!r}: {first} and {contenders[i].run.folder}; "
                "give one of them"
            )
    return labels


def _row(c: _Contender, label: str, shown: dict[str, bool], confidence: float) -> Row:
    run, n = c.run, c.run.episodes.num_rows
    statuses = run.episodes["status"].to_pylist()
    successes = int(c.success.sum())
    done = run.complete

    def mean(values: np.ndarray, low: float | None = None, high: float | None = None) -> Estimate | None:
        return mean_interval(values, c.scenes, confidence, within=(low, high)) if done else None

    spl = c.metric("spl")
    if spl is not None:
        # A crashed episode has no path to weigh, and leaving it out would reward crashing.
        spl = np.where([s != "finished" for s in statuses], 0.0, spl)
    return Row(
        label=label,
        model=c.name,
        folder=str(run.folder),
        complete=done,
        n=n,
        total=len(run.header.episode_ids),
        successes=successes,
        not_finished={s: statuses.count(s) for s in EPISODE_STATUSES if s != "finished" and s in statuses},
        success_rate=wilson(successes, n, confidence) if done else None,
        score=mean(c.column("score")) if shown["score"] else None,
        steps=float(c.column("steps").mean()) if done else None,
        spl=None if spl is None or np.isnan(spl).any() else mean(spl, 0.0, 1.0),
        path_length=mean(c.column("path_length"), 0.0) if shown["path"] else None,
        privileges=run.header.privileges,
        verdict="not compared" if done else "incomplete",
    )


def _compare(
    rows: Sequence[Row],
    contenders: Sequence[_Contender],
    none: _Contender | None,
    oracle: _Contender | None,
    confidence: float,
) -> list[Row]:
    """Rows with differences, tests, utilities and verdicts, as far as the controls are complete."""
    out = list(rows)
    if none is None:
        return out
    tested = []
    for i, (row, c) in enumerate(zip(rows, contenders)):
        if not row.complete:
            continue
        if oracle is not None:
            found = utility(c.success, none.success, oracle.success, c.scenes, confidence)
            if c in (none, oracle) and found.value is not None:
                found = replace(found, low=None, high=None, note="by definition")
            out[i] = replace(out[i], utility=found)
        if c is none:
            out[i] = replace(out[i], verdict="baseline")
            continue
        d = paired_difference(c.success, none.success, c.scenes, confidence)
        out[i] = replace(out[i], difference=d, p_value=mcnemar_exact(d.wins, d.losses))
        tested.append(i)
    for i, p in zip(tested, holm([out[i].p_value or 0.0 for i in tested])):
        out[i] = replace(out[i], p_holm=p, verdict=_verdict(out[i], p, confidence))
    return out


def _verdict(row: Row, p: float, confidence: float) -> str:
    d = row.difference
    if d is None or d.low is None or d.high is None or p > 1 - confidence:
        return "no difference shown"
    return "better" if d.low > 0 else "worse" if d.high < 0 else "no difference shown"


def _short(value: Any) -> str:
    text = json.dumps(value)
    return text if len(text) <= 40 else text[:37] + "..."
