"""What is to be done for one subject in one folder: which cases it is asked, which scores still hold, what is written."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from worldloop.core import RunFolderError
from worldloop.engine.measure.score import Score, clip_key, reduced, score_case, score_clip, twin_key
from worldloop.engine.measure.subject import Answer, Subject
from worldloop.metrics.cases import Case, CaseSpec
from worldloop.metrics.clip import Clip
from worldloop.metrics.metric import Metric
from worldloop.runs.scores import CaseEntry, ScoreWriter, SetId, members_key

log = logging.getLogger(__name__)


@dataclass(eq=False)
class Work:
    """One subject with its folder: what is still to be done there, and the doing of it."""

    subject: Subject
    writer: ScoreWriter
    specs: Sequence[CaseSpec]
    metrics: Sequence[Metric]
    keep: int
    weights: Mapping[str, str]
    """Of each metric, a hash."""
    sources: Mapping[str, str]
    """Of each case, the hash of the files that hold its answer."""
    clips: dict[SetId, dict[int, Clip]] = field(default_factory=dict)
    """Of the sets that are still to be scored, by place in the list."""

    def __post_init__(self) -> None:
        self.alone = [m for m in self.metrics if m.over == "clip"]
        self.together = [m for m in self.metrics if m.over == "set"]
        self.twins = any("twin" in m.needs for m in self.metrics)
        self.plain = {m.name for m in self.alone if "twin" not in m.needs}
        self.sets = {s for s in self.writer.header.sets() if self.missing(s.id, self.together)}

    def missing(self, case: str, metrics: Sequence[Metric]) -> list[Metric]:
        """The metrics that have no score of their present version and weights yet."""
        entry = self.writer.entries.get(case)
        return [m for m in metrics if entry is None or not entry.has(m.name, m.version, self.weights[m.name])]

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
        if self.twins and case.twin is not None and not entry.twin_status:
            return None  # the twin was not asked for before
        answer = Answer("asked", frames, twin, entry.reason, entry.seconds, entry.twin_status)
        same = clip_key(case, answer) == entry.clip and twin_key(answer) == entry.twin_clip
        return answer if same else None

    def score(self, i: int, case: Case, answer: Answer) -> CaseEntry:
        """The new entry of a case: old scores of the same clip stay, and where there is none again. Runs in a thread; writes nothing but frames."""
        spec, old = self.specs[i], self.writer.entries.get(self.specs[i].id)
        key = clip_key(case, answer) if answer.frames is not None else ""
        frames, twin = (
            self.writer.put_frames(a) if a is not None and self._keeps(i) else ()
            for a in (answer.frames, answer.twin)
        )
        entry = CaseEntry(
            spec.id,
            i,
            spec.domain,
            spec.kind,
            spec.scene,
            answer.status,
            answer.reason,
            key,
            answer.seconds,
            frames,
            twin,
            source=self.sources[spec.id],
            twin_status=answer.twin_status,
            twin_clip=twin_key(answer),
        )
        if old is not None and (old.clip, old.status) == (key, answer.status):
            entry = self._going_on(old, entry)
        todo = [m for m in self.alone if not entry.has(m.name, m.version, self.weights[m.name])]
        return replace(entry, scores=entry.scores | self._signed(score_case(case, answer, todo)))

    def _going_on(self, old: CaseEntry, entry: CaseEntry) -> CaseEntry:
        """The new entry with what still holds of the old one, whose clip is the same: scores that do not read another twin."""
        entry = replace(entry, seconds=old.seconds)
        if not entry.twin_status:  # this time nobody asked for it
            kept = {n: getattr(old, n) for n in ("reason", "twin", "twin_status", "twin_clip", "scores")}
            return replace(entry, **kept)
        same = (old.twin_status, old.twin_clip) == (entry.twin_status, entry.twin_clip)
        still = same or not old.twin_status
        return replace(entry, scores={n: s for n, s in old.scores.items() if still or n in self.plain})

    def _signed(self, scores: dict[str, Score]) -> dict[str, Score]:
        """With the weights that they were made with."""
        return {name: [*score, self.weights[name]] for name, score in scores.items()}

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
            key, twins = members_key(members), old.twin_clip if old is not None else ""
            if any("twin" in m.needs for m in self.together):
                twins = members_key(members, twins=True)
            # What was scored before a case of the set came out differently is scored again.
            same = old is not None and (old.clip, old.twin_clip or twins) == (key, twins)
            scores: dict[str, Score] = dict(old.scores) if old is not None and same else {}
            todo = self.missing(group.id, self.together) if same else self.together
            scores |= self._signed({m.name: _set_score(m, clips, members) for m in todo})
            where = (len(self.specs) + self.writer.header.sets().index(group), group.domain, group.kind)
            self.writer.write(
                CaseEntry(group.id, *where, "", "asked", clip=key, scores=scores, twin_clip=twins)
            )


def _set_score(metric: Metric, clips: Sequence[Clip], members: Sequence[CaseEntry]) -> Score:
    def status_of(member: CaseEntry) -> str:
        twin = "twin" in metric.needs and member.status == "asked"
        return member.twin_status if twin else member.status

    for status in ("failed", "unfit"):
        bad = [e for e in members if status_of(e) == status]
        if bad:
            words = f"{len(bad)} of {len(members)} clips: {bad[0].reason}"
            return [metric.version, status, None, words[:1000]]
    if not all(metric.applies(c) for c in clips):
        return [metric.version, "lacking", None, ""]
    return score_clip(metric, clips)


def _set_of(spec: CaseSpec) -> SetId:
    return SetId(spec.domain, spec.kind)
