"""Measure subjects on cases: build, ask, score, write; the same call goes on where it was stopped and repeats nothing."""

from __future__ import annotations

import json
import math
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from worldloop.core import InputError
from worldloop.core.threads import available_cpus
from worldloop.engine.measure.subject import Answer, Subject
from worldloop.engine.measure.weights import check_weights
from worldloop.engine.measure.work import Work
from worldloop.engine.run import git_revision, versions
from worldloop.metrics.cases import VERSIONS, Case, CaseSpec, build_case
from worldloop.metrics.metric import Metric
from worldloop.runs.scores import CaseEntry, MetricInfo, ScoreHeader, ScoreWriter

BASELINES = ("frozen", "shuffled", "oracle")
"""Measured beside whatever is asked for. To copy the last frame is `frozen`: a model that goes on from its own frames has no
other last frame than the first one."""


@dataclass(frozen=True)
class MeasureSettings:
    """How to measure. No score depends on any of this."""

    batch: int = 4
    """Cases that are asked together."""
    workers: int = 0
    """Threads that build cases and score clips; 0: as many as there are processors."""
    keep: int = 1
    """Store the imagined frames of the first so many cases of each kind; -1: of all."""
    suite: str = "full"
    """Noted in the header."""
    retry_failed: bool = False
    """Do cases again in which something failed before."""
    build: Callable[[CaseSpec], Case] = build_case
    """Makes a case of its spec."""

    def __post_init__(self) -> None:
        if self.batch < 1 or self.workers < 0 or self.keep < -1:
            raise InputError("a batch has 1 case or more, and numbers of threads and frames count from 0")


Progress = Callable[[str, int, int], None]
"""Called with what is being done, how much of it is done, and how much there is."""


def measure(
    subjects: Sequence[tuple[Subject, Path]],
    specs: Sequence[CaseSpec],
    metrics: Sequence[Metric],
    settings: MeasureSettings | None = None,
    *,
    baselines: Sequence[tuple[Subject, Path]] = (),
    given: Mapping[str, Any] | None = None,
    progress: Progress = lambda what, done, total: None,
) -> list[ScoreHeader]:
    """Measure each subject into its folder; the headers, in order, those of the baselines last.

    baselines: subjects that are measured beside the others for comparison; what others are called makes none of them a baseline.
    SplitError for a subject that was made from scenes of the cases,
    RunFolderError for folders that hold something else, MissingExtraError for a metric that lacks what it needs.
    """
    settings = settings or MeasureSettings()
    every = [*((s, folder, False) for s, folder in subjects), *((s, folder, True) for s, folder in baselines)]
    if not specs or not metrics or not every:
        raise InputError("there is nothing to measure: name a model, a metric and a case")
    for subject, _, _ in every:
        subject.check_scenes({s.scene for s in specs})
    with ExitStack() as stack:
        works, weights = [], check_weights(metrics)
        for subject, folder, baseline in every:
            header = _header(
                subject, specs, [info(m, weights[m.name]) for m in metrics], settings, baseline, given or {}
            )
            sources = {s.id: subject.source(s.id) for s in specs}
            opened = ScoreWriter.open(folder, header, retry_failed=settings.retry_failed, sources=sources)
            works.append(
                Work(subject, stack.enter_context(opened), specs, metrics, settings.keep, weights, sources)
            )
        with ThreadPoolExecutor(settings.workers or available_cpus(), "worldloop-measure") as pool:
            try:
                _through(works, specs, settings, pool, progress)
            except BaseException:
                pool.shutdown(wait=True, cancel_futures=True)
                raise
        for work in works:
            work.score_sets()
        return [work.writer.finish() for work in works]


def _header(
    subject: Subject,
    specs: Sequence[CaseSpec],
    metrics: Sequence[MetricInfo],
    settings: MeasureSettings,
    baseline: bool,
    given: Mapping[str, Any],
) -> ScoreHeader:
    return ScoreHeader(
        spec=subject.identity(),
        cases=tuple({"id": s.id, **s.to_dict()} for s in specs),
        metrics=tuple(m.to_dict() for m in metrics),
        suite=settings.suite,
        arguments_given=json.loads(json.dumps(dict(given))),
        versions=dict(versions()),
        git_revision=git_revision(),
        baseline=baseline,
        case_versions={k: VERSIONS[k] for k in sorted({s.kind for s in specs}) if k in VERSIONS},
        **subject.about(),
    )


def info(metric: Metric, weights: str) -> MetricInfo:
    """What a table must know of a metric that reads weights of this hash."""
    low, high = (v if math.isfinite(v) else None for v in (metric.low, metric.high))
    m = metric
    return MetricInfo(
        m.name, m.version, m.group, m.summary, m.unit, m.better, low, high, float(m.worst), m.over, weights
    )


@dataclass(frozen=True, eq=False)
class _Pending:
    """A clip that is being scored."""

    work: Work
    case: Case
    answer: Answer
    entry: Future[CaseEntry]


def _through(
    works: Sequence[Work],
    specs: Sequence[CaseSpec],
    settings: MeasureSettings,
    pool: ThreadPoolExecutor,
    progress: Progress,
) -> None:
    """All cases in batches: while one batch is asked, the next one is built and the one before is scored."""
    wanted = [i for i in range(len(specs)) if any(w.wants(i) for w in works)]
    batches = [wanted[i : i + settings.batch] for i in range(0, len(wanted), settings.batch)]

    def start(number: int) -> list[Future[Case]]:
        some = batches[number] if number < len(batches) else []
        return [pool.submit(settings.build, specs[i]) for i in some]

    done = {id(w): sum(not w.wants(i) for i in range(len(specs))) for w in works}

    pending: deque[_Pending] = deque()

    def write(most: int) -> None:
        """Put down what has been scored, in order; waits while more than so many clips are on the way."""
        while pending and (len(pending) > most or pending[0].entry.done()):
            p = pending.popleft()
            p.work.write(p.entry.result(), p.case, p.answer)
            done[id(p.work)] += 1
            progress(p.work.subject.name, done[id(p.work)], len(specs))

    for w in works:
        progress(w.subject.name, done[id(w)], len(specs))
    ahead = start(0)
    for number, batch in enumerate(batches):
        cases = list(zip(batch, (f.result() for f in ahead)))
        ahead = start(number + 1)
        for work in works:
            mine = [(i, case) for i, case in cases if work.wants(i)]
            for (i, case), answer in zip(mine, work.answer(mine)):
                entry = pool.submit(work.score, i, case, answer)
                pending.append(_Pending(work, case, answer, entry))
            write(settings.batch * len(works))
    write(0)
