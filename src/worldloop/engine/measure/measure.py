"""Measure subjects on cases: build, ask, score, write; the same call goes on where it was stopped and repeats nothing."""

from __future__ import annotations

import json
import logging
import math
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from worldloop.core import InputError, RunFolderError
from worldloop.core.threads import available_cpus
from worldloop.engine.measure.score import Score, clip_key, reduced, score_case, score_clip
from worldloop.engine.measure.subject import Answer, Subject
from worldloop.engine.run import git_revision, versions
from worldloop.metrics.cases import Case, CaseSpec, build_case
from worldloop.metrics.clip import Clip
from worldloop.metrics.metric import Metric
from worldloop.runs.scores import CaseEntry, MetricInfo, ScoreHeader, ScoreWriter, SetId

log = logging.getLogger(__name__)
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
        works = []
        for subject, folder, baseline in every:
            header = _header(subject, specs, metrics, settings, baseline, given or {})
            writer = stack.enter_context(ScoreWriter.open(folder, header, retry_failed=settings.retry_failed))
            works.append(_Work(subject, writer, specs, metrics, settings.keep))
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
    metrics: Sequence[Metric],
    settings: MeasureSettings,
    baseline: bool,
    given: Mapping[str, Any],
) -> ScoreHeader:
    return ScoreHeader(
        spec=subject.identity(),
        cases=tuple({"id": s.id, **s.to_dict()} for s in specs),
        metrics=tuple(info(m).to_dict() for m in metrics),
        suite=settings.suite,
        arguments_given=json.loads(json.dumps(dict(given))),
        versions=dict(versions()),
        git_revision=git_revision(),
        baseline=baseline,
        **subject.about(),
    )


def info(metric: Metric) -> MetricInfo:
    """What a table must know of a metric."""
    low, high = (v if math.isfinite(v) else None for v in (metric.low, metric.high))
    m = metric
    return MetricInfo(
        m.name, m.version, m.group, m.summary, m.unit, m.better, low, high, float(m.worst), m.over
    )


@dataclass(eq=False)
class _Work:
    """One subject with its folder."""

    subject: Subject
    writer: ScoreWriter
    specs: Sequence[CaseSpec]
    metrics: Sequence[Metric]
    keep: int
    clips: dict[SetId, dict[int, Clip]] = field(default_factory=dict)
    """Of the sets that are still to be scored, by place in the list."""

    def __post_init__(self) -> None:
        self.alone = [m for m in self.metrics if m.over == "clip"]
        self.together = [m for m in self.metrics if m.over == "set"]
        self.twins = any("twin" in m.needs for m in self.metrics)
        self.sets = {s for s in self.writer.header.sets() if self.missing(s.id, self.together)}

    def missing(self, case: str, metrics: Sequence[Metric]) -> list[Metric]:
        """The metrics that have no score of their present version yet."""
        entry = self.writer.entries.get(case)
        return [m for m in metrics if entry is None or not entry.has(m.name, m.version)]

    def wants(self, i: int) -> bool:
        """Whether the clip of a case is needed."""
        spec = self.specs[i]
        return (
            bool(self.missing(spec.id, self.alone))
            or _set_of(spec) in self.sets
            or spec.id not in self.writer.entries
        )

    def answer(self, cases: Sequence[tuple[int, Case]]) -> list[Answer]:
        """From the frames that were kept, else from the subject."""
        known = {i: self._kept(i, case) for i, case in cases}
        asked = iter(self.subject.ask([case for i, case in cases if known[i] is None], self.twins))
        return [known[i] or next(asked) for i, _ in cases]

    def _kept(self, i: int, case: Case) -> Answer | None:
        entry = self.writer.entries.get(self.specs[i].id)
        if entry is None or entry.status != "asked" or not entry.frames:
            return None
        try:
            frames, twin = (
                np.stack([self.writer.frames.get(k) for k in keys]) if keys else None
                for keys in (entry.frames, entry.twin)
            )
        except RunFolderError as error:
            log.warning("%s; the model is asked again", error)
            return None
        if self.twins and case.twin is not None and twin is None and not entry.reason:
            return None  # the twin was not asked for before
        answer = Answer("asked", frames, twin, entry.reason, entry.seconds)
        return answer if clip_key(case, answer) == entry.clip else None

    def score(self, i: int, case: Case, answer: Answer) -> CaseEntry:
        """The new entry of a case: old scores of the same clip stay. Runs in a thread; writes nothing but frames."""
        spec, old = self.specs[i], self.writer.entries.get(self.specs[i].id)
        key = clip_key(case, answer) if answer.frames is not None else ""
        same = old is not None and old.clip == key and old.status == answer.status == "asked"
        before: dict[str, Score] = dict(old.scores) if old is not None and same else {}
        todo = self.missing(spec.id, self.alone) if same else self.alone
        frames, twin = (
            self.writer.put_frames(a) if a is not None and self._keeps(i) else ()
            for a in (answer.frames, answer.twin)
        )
        return CaseEntry(
            spec.id,
            i,
            spec.domain,
            spec.kind,
            spec.scene,
            answer.status,
            answer.reason,
            key,
            old.seconds if old is not None and same else answer.seconds,
            frames,
            twin,
            before | score_case(case, answer, todo),
        )

    def _keeps(self, i: int) -> bool:
        number = sum(s.kind == self.specs[i].kind for s in self.specs[:i])
        return self.keep < 0 or number < self.keep

    def write(self, entry: CaseEntry, case: Case, answer: Answer) -> None:
        """Put an entry down, unless it says nothing new; hold on to the clip where its set is still to be scored."""
        old = self.writer.entries.get(entry.case)
        if old is None or old.to_dict() != entry.to_dict():
            self.writer.write(entry)
        group = _set_of(self.specs[entry.index])
        if group in self.sets and answer.frames is not None:
            clip = reduced(case.clip(answer.frames, answer.twin), self.together)
            self.clips.setdefault(group, {})[entry.index] = clip

    def score_sets(self) -> None:
        """Score what is scored over sets of cases: those to which a metric applies. One clip that failed fails its set."""
        for group in [s for s in self.writer.header.sets() if s in self.sets]:
            members = [self.writer.entries[s.id] for s in self.specs if _set_of(s) == group]
            clips = [clip for _, clip in sorted(self.clips.get(group, {}).items())]
            old = self.writer.entries.get(group.id)
            scores: dict[str, Score] = {} if old is None else dict(old.scores)
            for metric in self.missing(group.id, self.together):
                scores[metric.name] = _set_score(metric, clips, members)
            where = (len(self.specs) + self.writer.header.sets().index(group), group.domain, group.kind)
            self.writer.write(CaseEntry(group.id, *where, "", "asked", scores=scores))


def _set_score(metric: Metric, clips: Sequence[Clip], members: Sequence[CaseEntry]) -> Score:
    for status in ("failed", "unfit"):
        bad = [e for e in members if e.status == status]
        if bad:
            words = f"{len(bad)} of {len(members)} clips: {bad[0].reason}"
            return [metric.version, status, None, words[:1000]]
    if not all(metric.applies(c) for c in clips):
        return [metric.version, "lacking", None, ""]
    return score_clip(metric, clips)


def _set_of(spec: CaseSpec) -> SetId:
    return SetId(spec.domain, spec.kind)


@dataclass(frozen=True, eq=False)
class _Pending:
    """A clip that is being scored."""

    work: _Work
    case: Case
    answer: Answer
    entry: Future[CaseEntry]


def _through(
    works: Sequence[_Work],
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
