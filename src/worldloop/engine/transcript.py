"""What is written down about an episode while it is played."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from worldloop.actions import yaw_of
from worldloop.core import Belief, Candidate, Decision, Goal, Observation
from worldloop.runs import CandidateRecord, DecisionRecord


@dataclass(frozen=True, eq=False)
class Turn:
    """One turn of the loop, as it happened."""

    episode_id: str
    number: int
    """Of the decision, from 0."""
    goal: Goal
    before: Observation
    """What was seen before deciding."""
    decision: Decision
    candidates: list[Candidate]
    carried: tuple[str, ...]
    """The actions that were carried out."""
    belief: Belief | None
    seconds: Mapping[str, float]
    accepted: tuple[str, ...] = ()
    """Answers that count as right, where the task asks for one: for the reader alone."""


@dataclass
class Transcript:
    """The records of an episode. Turns are noted one after the other, from any thread."""

    keep_frame: Callable[[np.ndarray], str] | None
    """Stores an image and returns its hash; None keeps no images."""
    _records: list[tuple[DecisionRecord, list[CandidateRecord]]] = field(default_factory=list)
    _closed: bool = False
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def note(self, turn: Turn) -> None:
        """Write down a turn; one that comes after `close` is left out."""
        position, yaw = _place(turn.before)
        decision = DecisionRecord(
            episode_id=turn.episode_id,
            decision=turn.number,
            frame=self._frame(turn.before.rgb),
            panorama=self._frame(turn.before.panorama),
            position=position,
            yaw_deg=yaw,
            chosen=turn.decision.chosen,
            actions=turn.carried,
            reason=turn.decision.reason,
            stop=turn.decision.stop,
            answer=turn.belief.answer if turn.belief else None,
            confidence=turn.belief.confidence if turn.belief else None,
            details_json=json.dumps(self._details(turn), sort_keys=True),
            seconds=dict(turn.seconds),
        )
        candidates = [self._candidate(turn, i, c) for i, c in enumerate(turn.candidates)]
        with self._lock:
            if not self._closed:
                self._records.append((decision, candidates))

    def close(self) -> tuple[tuple[DecisionRecord, ...], tuple[CandidateRecord, ...]]:
        """All records; from now on none is added (a turn of an episode that ran out of time, say)."""
        with self._lock:
            self._closed = True
        return tuple(d for d, _ in self._records), tuple(c for _, cs in self._records for c in cs)

    def _candidate(self, turn: Turn, index: int, candidate: Candidate) -> CandidateRecord:
        rollout, scores = candidate.rollout, turn.decision.scores
        details = dict(candidate.details)
        if rollout is not None and any(boxes := [_box(f) for f in rollout.frames]):
            details["boxes"] = boxes
        return CandidateRecord(
            episode_id=turn.episode_id,
            decision=turn.number,
            candidate=index,
            plan=tuple(map(str, candidate.plan.actions)),
            prior=candidate.prior,
            score=scores[index] if index < len(scores) else None,
            simulated=rollout is not None,
            chosen=turn.decision.chosen == index,
            frames=tuple(self._frame(f.rgb) for f in rollout.frames) if rollout else (),
            details_json=json.dumps(details, sort_keys=True),
            seconds=rollout.seconds if rollout else 0.0,
        )

    def _details(self, turn: Turn) -> dict[str, Any]:
        details = dict(turn.decision.details)
        if turn.belief is not None and turn.belief.details:
            details["belief"] = dict(turn.belief.details)
        if box := _box(turn.before):
            details["box"] = box
        if turn.number == 0:
            details["goal_text"] = turn.goal.text
            if turn.accepted:
                details["accepted"] = list(turn.accepted)
            if turn.goal.image is not None:
                details["goal_frame"] = self._frame(turn.goal.image)
        return details

    def _frame(self, image: np.ndarray | None) -> str:
        """The hash of a stored image, or an empty string."""
        return "" if image is None or self.keep_frame is None else self.keep_frame(image)


def _box(observation: Observation) -> list[float] | None:
    box = observation.extra.get("target_box")
    return None if box is None else [round(float(v), 1) for v in box]


def _place(observation: Observation) -> tuple[tuple[float, float], float]:
    if observation.pose is None:
        return (0.0, 0.0), 0.0
    x, y = observation.pose[:2, 3]
    return (round(float(x), 6), round(float(y), 6)), round(yaw_of(observation.pose), 6)
