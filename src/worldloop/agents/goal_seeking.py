"""Finding the place where a picture was taken: proposer and reviser of image-goal navigation.

Both judge a view by its perceptual distance to the goal picture. The proposer knows real views alone: it
looks around, turns to where the goal looked most familiar, and walks there. The reviser looks at imagined
views of the proposed plans.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from worldloop.agents.odometry import headings_seen, odometry, turn_to
from worldloop.agents.perception.images import resize
from worldloop.agents.perception.service import Perception
from worldloop.agents.recognition import first_proposal, select
from worldloop.core import Candidate, Decision, InputError, Situation


@dataclass(frozen=True)
class GoalConfig:
    """Constants of the goal seeker, chosen on validation scenes."""

    stop_below: float = 0.30
    """Perceptual distance at which a real view counts as the goal itself."""
    near_below: float = 0.45
    """Below this the goal is near, and plans turn in small steps."""
    size: int = 64
    """Side in pixels at which views are compared: coarse enough to be quick and to forgive a step."""
    rather: float = 0.01
    """By how much another plan must look closer than the first proposal."""


class GoalViews:
    """Distances of views to the goal picture; each real view is judged once."""

    def __init__(self, perception: Perception, config: GoalConfig | None = None) -> None:
        self.perception, self.config = perception, config or GoalConfig()

    async def real(self, situation: Situation) -> list[float]:
        """The distance of every real view so far."""
        known: list[float] = situation.memory.setdefault("goal_distances", [])
        new = [o.rgb for o in situation.history[len(known) :]]
        if new:
            known.extend(await self.distances(situation, new))
        return known

    async def distances(self, situation: Situation, images: Sequence[np.ndarray]) -> list[float]:
        """Perceptual distances of images to the goal picture, rounded to 1e-6."""
        if situation.goal.image is None:
            raise InputError("this agent needs a goal picture; use it with image-goal")
        found = await situation.compute(self._judge, list(images), situation.goal.image)
        return [round(float(d), 6) for d in found]


    def _judge(self, images: list[np.ndarray], goal: np.ndarray) -> np.ndarray:
        small = [resize(i, self.config.size) for i in images]
        return self.perception.stlpips(small, resize(goal, self.config.size))


class GoalProposer:
    """Look around, turn to the most familiar heading, walk on; the other proposals turn aside."""

    def __init__(self, views: GoalViews) -> None:
        self.views = views

    async def propose(self, situation: Situation) -> list[Candidate]:
        """Straight on, left and right, then finer and coarser turns; the preferred one first."""
        distances = await self.views.real(situation)
        poses = odometry(situation)
        turn = self._wish(situation, distances, poses)
        step = self._turn_step(situation)
        near = distances[-1] < self.views.config.near_below
        wide = (0, 3, -3) if not near else (0, 1, -1)
        menu = list(dict.fromkeys([*wide, 1, -1, 3, -3, 2, -2, 4, -4, 5, -5]))[: max(3, situation.rollouts)]
        wished = round(turn / step)
        ranked = sorted(menu, key=lambda n: (abs(n - wished), n))
        plans = [Candidate(self._plan(situation, n), prior=-float(i)) for i, n in enumerate(ranked)]
        return plans[: situation.rollouts]

    def _wish(
        self, situation: Situation, distances: list[float], poses: list[tuple[float, float, float]]
    ) -> float:
        """Degrees that the agent would like to turn now, on the strength of real views alone."""
        here, memory = poses[-1], situation.memory
        best = int(np.argmin(distances))
        blocked = bool(situation.observation.extra.get("collided", False))
        station = memory.setdefault("station", here)
        seen = headings_seen(poses, station)
        if (
            not memory.get("looked_around")
            and not seen.all()
            and distances[best] >= self.views.config.stop_below
        ):
            return 67.5
        memory["looked_around"] = True
        away = turn_to(poses[best][2], here[2])
        if blocked:
            return 67.5 if situation.draw("aside").random() < 0.5 else -67.5
        return away

    @staticmethod
    def _turn_step(situation: Situation) -> float:
        turns = [abs(p.yaw_deg) for p in situation.vocabulary.primitives if p.yaw_deg]
        return turns[0] if turns else 22.5

    @staticmethod
    def _plan(situation: Situation, turns: int):  # type: ignore[no-untyped-def]
        left = next(p.name for p in situation.vocabulary.primitives if p.yaw_deg > 0)
        right = next(p.name for p in situation.vocabulary.primitives if p.yaw_deg < 0)
        ahead = next(p.name for p in situation.vocabulary.primitives if p.forward > 0)
        names = [left if turns > 0 else right] * abs(turns) + [ahead] * situation.horizon
        return situation.vocabulary.plan(names[: situation.horizon])


class GoalReviser:
    """Stops where the real view is the goal; otherwise takes the plan whose views come closest to it."""

    def __init__(self, views: GoalViews) -> None:
        self.views = views

    async def revise(self, situation: Situation, candidates: Sequence[Candidate]) -> Decision:
        """Stop, the best imagined plan, or the first proposal when nothing is imagined."""
        now = (await self.views.real(situation))[-1]
        if now < self.views.config.stop_below:
            return Decision((), None, tuple(None for _ in candidates), "this looks like the goal", stop=True)
        if any(c.rollout is None for c in candidates):
            return first_proposal(candidates)
        scores = []
        for c in candidates:
            assert c.rollout is not None
            scores.append(-min(await self.views.distances(situation, [f.rgb for f in c.rollout.frames])))
        return select(candidates, scores, self.views.config.rather, "comes closest to the goal picture")
