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

    imagined_weight: float = 1.0
    """What an imagined view counts, beside 1 for a real one."""
    keep: int = 4
    """Imagined views that are remembered over the episode: the clearest ones."""
    stride: int = 1
    """Of the imagined frames every n-th is looked at, counted from the last one."""
    sharpness: float = 2.0
    """A view counts by its own top probability to this power: what is hardly seen hardly counts."""
    smallest: float = 3.0
    """Pixels; a target whose box has a shorter side is not looked at."""


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
        known = situation.memory.setdefault("real_logits", [])
        looked = situation.memory.get("views_looked_at", 0)
        known.extend(await self._look(situation, situation.history[looked:]))
        situation.memory["views_looked_at"] = len(situation.history)
        return self._stack(known)

    async def imagined(self, situation: Situation, candidate: Candidate) -> np.ndarray:
        """Logits [V,C] of a candidate's imagined views."""
        frames = candidate.rollout.frames if candidate.rollout else ()
        return self._stack(await self._look(situation, frames[:: -self.config.stride]))

    def belief(self, situation: Situation, real: np.ndarray, imagined: np.ndarray) -> Belief:
        """The calibrated belief from real and imagined logits together."""
        logits = np.concatenate([real, imagined])
        if not len(logits):
            return NOTHING_SEEN
        weights = np.concatenate([np.ones(len(real)), np.full(len(imagined), self.config.imagined_weight)])
        weights = weights * self.recogniser.clarity(logits) ** self.config.sharpness
        return self.recogniser.belief(logits, weights, situation.goal.classes)

    def clearest(self, logits: np.ndarray) -> np.ndarray:
        """The surest of the imagined views so far; more of them mostly repeat one another."""
        order = np.argsort(-self.recogniser.clarity(logits), kind="stable")
        return logits[order[: self.config.keep]]

    async def _look(self, situation: Situation, views: Sequence[Observation]) -> list[np.ndarray]:
        marked = [
            (v.rgb, b) for v in views if (b := v.extra.get("target_box")) is not None and self._large(b)
        ]
        if not marked:
            return []
        images, boxes = zip(*marked)
        hfov = views[0].hfov_deg
        return list(await situation.compute(self.recogniser.look, self.perception, images, boxes, hfov))

    def _large(self, box: np.ndarray) -> bool:
        return bool(min(box[2] - box[0], box[3] - box[1]) >= self.config.smallest)

    def _stack(self, logits: Sequence[np.ndarray]) -> np.ndarray:
        return np.stack(logits) if len(logits) else np.zeros((0, len(self.recogniser.classes)), np.float32)


@dataclass(frozen=True)
class RecogniserAnswerer:
    """Fuses what it has really seen with what it is shown of imagination."""

    evidence: Evidence

    async def answer(self, situation: Situation, imagined: Sequence[Candidate] = ()) -> Belief:
        """The belief; its confidence is 0 while the target has never been in view."""
        real = await self.evidence.real(situation)
        bank = situation.memory.setdefault("imagined_logits", real[:0])
        views = [await self.evidence.imagined(situation, c) for c in imagined]
        bank = self.evidence.clearest(np.concatenate([bank, *views]))
        situation.memory["imagined_logits"] = bank
        return self.evidence.belief(situation, real, bank)


@dataclass(frozen=True)
class ConfidenceReviser:
    """Score-and-select: the plan that leads past the clearest single view of the target."""

    evidence: Evidence
    margin: float = 0.05
    """Another plan must promise this much more confidence than the first one."""

    async def revise(self, situation: Situation, candidates: Sequence[Candidate]) -> Decision:
        """The best candidate by imagined confidence, or the first proposal when nothing is imagined."""
        if any(c.rollout is None for c in candidates):
            return first_proposal(candidates)
        scores = []
        for c in candidates:
            clarity = self.evidence.recogniser.clarity(await self.evidence.imagined(situation, c))
            scores.append(round(float(clarity.max(initial=0.0)), 6))
        return select(candidates, scores, self.margin, "promises the clearest view")


def first_proposal(candidates: Sequence[Candidate], reason: str = "first proposal") -> Decision:
    """The decision of an agent that cannot look ahead."""
    return Decision(candidates[0].plan.actions, 0, tuple(None for _ in candidates), reason)


def select(candidates: Sequence[Candidate], scores: Sequence[float], margin: float, reason: str) -> Decision:
    """The best-scored candidate, unless the first proposal is within `margin` of it."""
    best = int(np.argmax(scores))
    if scores[best] < scores[0] + margin:
        best, reason = 0, "no other plan looks better"
    return Decision(candidates[best].plan.actions, best, tuple(scores), reason)
