"""Naming the marked object: the answerer and the reviser of active recognition."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from worldloop.agents.perception.answerer import Recogniser, shipped_recogniser_path
from worldloop.agents.perception.service import Perception
from worldloop.core import Belief, Candidate, Decision, Observation, Situation

NOTHING_SEEN = Belief(None, 0.0)


@dataclass(frozen=True)
class EvidenceConfig:
    """How views become a belief."""

    keep: int = 4
    """Of the imagined views of a decision only so many count: the clearest ones."""
    sharpness: float = 2.0
    """A view counts by its own top probability to this power: what is hardly seen hardly counts."""
    smallest: float = 3.0
    """Pixels; a target whose box has a shorter side is not looked at."""
    first_trust: float = 0.5
    """What imagination counts, beside 1 for a real view, before any of it could be checked."""
    first_trials: float = 1.0
    """How many checks that first trust is worth."""


class Trust:
    """How far imagination is believed: each step, what was predicted is compared with what came.

    A check is the overlap of what the recogniser makes of the predicted view and of the real one: the sum over
    classes of the smaller probability, 1 for a perfect model; 0 when the target is in one view alone.
    """

    def __init__(self, situation: Situation, config: EvidenceConfig) -> None:
        self._memory, self._config = situation.memory, config

    @property
    def value(self) -> float:
        """In [0,1]: the mean of the checks so far, and of the first trust."""
        checks: list[float] = self._memory.get("trust_checks", [])
        trials = self._config.first_trials
        return (self._config.first_trust * trials + sum(checks)) / (trials + len(checks))

    def check(self, predicted: np.ndarray | None, real: np.ndarray | None) -> None:
        """Compare the class probabilities [C] of a predicted and a real view; None is out of view."""
        if predicted is None and real is None:
            return
        overlap = 0.0 if predicted is None or real is None else float(np.minimum(predicted, real).sum())
        self._memory.setdefault("trust_checks", []).append(overlap)


class Evidence:
    """Logits of views, real and imagined; each real view is looked at once."""

    def __init__(
        self,
        perception: Perception,
        recogniser: Recogniser | None = None,
        config: EvidenceConfig | None = None,
    ) -> None:
        self.perception = perception
        self.recogniser = recogniser or Recogniser.load(shipped_recogniser_path())
        self.config = config or EvidenceConfig()

    async def real(self, situation: Situation) -> np.ndarray:
        """Logits [V,C] of all real views so far in which the target is marked."""
        known: list[np.ndarray | None] = situation.memory.setdefault("real_logits", [])
        new = await self._look(situation, situation.history[len(known) :])
        for predicted, came in zip(self._predicted(situation, len(new)), new):
            Trust(situation, self.config).check(self._shares(predicted), self._shares(came))
        known.extend(new)
        return self._stack(known)

    async def imagined(self, situation: Situation, candidates: Sequence[Candidate]) -> list[np.ndarray]:
        """Logits [V,C] of each candidate's imagined views in which the target is marked."""
        return [self._stack(views) for views in await self._imagined(situation, candidates)]

    async def certainties(self, situation: Situation, candidates: Sequence[Candidate]) -> list[float]:
        """What each candidate's views would settle: the mean certainty, 0 where the target is out of view."""
        rows = await self._imagined(situation, candidates)
        sums = [self.recogniser.certainty(self._stack(row)).sum() / max(len(row), 1) for row in rows]
        return [round(float(s), 6) for s in sums]

    def belief(self, situation: Situation, real: np.ndarray, imagined: np.ndarray) -> Belief:
        """The calibrated belief from real and imagined logits together."""
        logits = np.concatenate([real, imagined])
        if not len(logits):
            return NOTHING_SEEN
        trust = Trust(situation, self.config).value
        weights = np.concatenate([np.ones(len(real)), np.full(len(imagined), trust)])
        weights = weights * self.recogniser.clarity(logits) ** self.config.sharpness
        return self.recogniser.belief(logits, weights, situation.goal.classes)

    def clearest(self, logits: np.ndarray) -> np.ndarray:
        """The surest of the imagined views; more of them mostly repeat one another."""
        order = np.argsort(-self.recogniser.clarity(logits), kind="stable")
        return logits[order[: self.config.keep]]

    async def _imagined(
        self, situation: Situation, candidates: Sequence[Candidate]
    ) -> list[list[np.ndarray | None]]:
        """For each candidate the logits of its frames. They are looked at once per decision, in one call."""
        decision, known = situation.memory.get("imagined", (-1, {}))
        if decision != situation.decision:
            known = {}
            situation.memory["imagined"] = situation.decision, known
        new = [(c, c.rollout) for c in candidates if c.rollout is not None and id(c.rollout) not in known]
        looks = iter(await self._look(situation, [f for _, r in new for f in r.frames]))
        for c, r in new:
            known[id(r)] = c, [next(looks) for _ in r.frames]
        return [known[id(c.rollout)][1] if c.rollout else [] for c in candidates]

    @staticmethod
    def _predicted(situation: Situation, steps: int) -> list[np.ndarray | None]:
        """What was imagined of the last `steps` actions before they were carried out; nothing if it was not."""
        done = tuple(situation.actions[len(situation.actions) - steps :])
        for candidate, views in situation.memory.get("imagined", (-1, {}))[1].values():
            if steps and candidate.plan.actions[:steps] == done:
                return views[:steps]
        return []

    async def _look(self, situation: Situation, views: Sequence[Observation]) -> list[np.ndarray | None]:
        """Logits [C] of each view; None where the target is out of view or too small."""
        out: list[np.ndarray | None] = [None] * len(views)
        seen = [i for i, v in enumerate(views) if self._large(v.extra.get("target_box"))]
        if seen:
            images, boxes = [views[i].rgb for i in seen], [views[i].extra["target_box"] for i in seen]
            hfov = views[seen[0]].hfov_deg
            logits = await situation.compute(self.recogniser.look, self.perception, images, boxes, hfov)
            for i, row in zip(seen, logits):
                out[i] = row
        return out

    def _large(self, box: np.ndarray | None) -> bool:
        return box is not None and bool(min(box[2] - box[0], box[3] - box[1]) >= self.config.smallest)

    def _shares(self, logits: np.ndarray | None) -> np.ndarray | None:
        return None if logits is None else self.recogniser.shares(logits[None])[0]

    def _stack(self, logits: Sequence[np.ndarray | None]) -> np.ndarray:
        rows = [row for row in logits if row is not None]
        return np.stack(rows) if rows else np.zeros((0, len(self.recogniser.classes)), np.float32)


@dataclass(frozen=True)
class RecogniserAnswerer:
    """Fuses what it has really seen with what it is shown of imagination, as far as that has proved true.

    Imagination is not remembered: it may end an episode early, but the last word has what was really seen.
    """

    evidence: Evidence

    async def answer(self, situation: Situation, imagined: Sequence[Candidate] = ()) -> Belief:
        """The belief; its confidence is 0 while the target has never been in view."""
        real = await self.evidence.real(situation)
        views = await self.evidence.imagined(situation, imagined)
        return self.evidence.belief(
            situation, real, self.evidence.clearest(np.concatenate([real[:0], *views]))
        )


@dataclass(frozen=True)
class CertaintyReviser:
    """Score-and-select: the plan whose views would settle most what the target is."""

    evidence: Evidence
    margin: float = 0.0
    """By how much another plan must be better than the first one."""

    async def revise(self, situation: Situation, candidates: Sequence[Candidate]) -> Decision:
        """The best candidate by imagined certainty, or the first proposal when nothing is imagined."""
        if any(c.rollout is None for c in candidates):
            return first_proposal(candidates)
        scores = await self.evidence.certainties(situation, candidates)
        return select(candidates, scores, self.margin, "its views would settle most")


def first_proposal(candidates: Sequence[Candidate], reason: str = "first proposal") -> Decision:
    """The decision of an agent that cannot look ahead."""
    return Decision(candidates[0].plan.actions, 0, tuple(None for _ in candidates), reason)


def select(candidates: Sequence[Candidate], scores: Sequence[float], margin: float, reason: str) -> Decision:
    """The best-scored candidate, unless the first proposal is within `margin` of it."""
    best = int(np.argmax(scores))
    if scores[best] < scores[0] + margin:
        best, reason = 0, "no other plan looks better"
    return Decision(candidates[best].plan.actions, best, tuple(scores), reason)
