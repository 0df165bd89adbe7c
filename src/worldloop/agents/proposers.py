"""Proposers that fit any task with named primitives: enumerate, random and beam."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from worldloop.agents.motion import all_plans, moving_actions
from worldloop.core import Candidate, Situation


class EnumerateProposer:
    """Each single action repeated L times, in the order of the vocabulary; the first M of them."""

    async def propose(self, situation: Situation) -> list[Candidate]:
        """At most one plan per primitive."""
        names = moving_actions(situation.vocabulary)[: situation.rollouts]
        plans = [situation.vocabulary.plan([n] * situation.horizon) for n in names]
        return [Candidate(p, prior=-float(i)) for i, p in enumerate(plans)]


class RandomProposer:
    """M different plans of uniformly random actions."""

    async def propose(self, situation: Situation) -> list[Candidate]:
        """Fewer than M only when fewer exist."""
        names = moving_actions(situation.vocabulary)
        rng = situation.draw("random plans")
        wanted = min(situation.rollouts, len(names) ** min(situation.horizon, 12))
        found: dict[tuple[str, ...], None] = {}
        while len(found) < wanted:
            found[tuple(names[i] for i in rng.integers(len(names), size=situation.horizon))] = None
        return [Candidate(situation.vocabulary.plan(p), prior=-float(i)) for i, p in enumerate(found)]


class BeamProposer:
    """Plans that end as far apart as possible: greedy farthest-point selection over all plans."""

    turn_metres = 0.6
    """A half turn counts like a step of this length when end poses are compared."""

    async def propose(self, situation: Situation) -> list[Candidate]:
        """M plans; the first leads farthest ahead."""
        plans, paths = all_plans(situation.vocabulary, situation.horizon)
        turn = np.radians(paths[:, -1, 2])
        ends = np.column_stack(
            [paths[:, -1, :2], self.turn_metres * np.cos(turn), self.turn_metres * np.sin(turn)]
        )
        return [Candidate(plans[i], prior=-float(k)) for k, i in enumerate(spread(ends, situation.rollouts))]


def spread(points: np.ndarray, count: int, first: int | None = None) -> Sequence[int]:
    """Indices of up to `count` of the points [P,D], each as far as possible from those before."""
    chosen = [int(np.argmax(points[:, 0])) if first is None else first]
    gap = np.linalg.norm(points - points[chosen[0]], axis=1)
    while len(chosen) < min(count, len(points)):
        chosen.append(int(np.argmax(gap)))
        gap = np.minimum(gap, np.linalg.norm(points - points[chosen[-1]], axis=1))
    return chosen
