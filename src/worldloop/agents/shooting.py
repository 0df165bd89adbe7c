"""The agent that fits any task: plans drawn at random, and the best of what is imagined of them.

Random shooting: M plans of L actions, every action held for a few steps, because an action that changes at every step
cancels itself out. The reviser knows nothing of the task: it adds up the rewards that a model imagines, or compares the
last imagined picture with the goal's. Without either it takes the first plan, as it does without a model.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass

import numpy as np

from worldloop.agents.recognition import first_proposal, select
from worldloop.core import (
    Action,
    Agent,
    Candidate,
    Decision,
    InputError,
    Plan,
    Rollout,
    Situation,
    Vocabulary,
)

ANSWERED = ("active-recognition", "embodied-qa")
"""Tasks that ask for an answer, which this agent has none to give."""
TRIES = 20
"""Draws for each plan before two equal ones are put up with."""


@dataclass(frozen=True)
class ShootingConfig:
    """How plans are drawn."""

    repeat: int = 4
    """An action is held for 1 to so many steps, evenly drawn."""

    def __post_init__(self) -> None:
        if not 1 <= self.repeat <= 1000:
            raise InputError(f"shooting: an action is repeated 1 to 1,000 times, got repeat={self.repeat}")


def shooting(task: str, repeat: int = 4) -> Agent:
    """Random shooting for any task that asks no question; InputError for one that does."""
    if task in ANSWERED:
        raise InputError(f"agent 'shooting' acts and answers nothing; {task} needs --agent heuristic or vlm")
    config = ShootingConfig(repeat)
    return Agent(
        "shooting", "random plans", ShootingProposer(config), ShootingReviser(), settings=asdict(config)
    )


@dataclass(frozen=True)
class ShootingProposer:
    """M plans of held random actions; which comes first is chance."""

    config: ShootingConfig

    async def propose(self, situation: Situation) -> list[Candidate]:
        """M plans, different from one another where that can be had."""
        rng = situation.draw("shooting")
        found: dict[tuple[Action, ...], Plan] = {}
        plans: list[Plan] = []
        for _ in range(situation.rollouts):
            for _ in range(TRIES):
                plan = draw_plan(situation.vocabulary, situation.horizon, self.config.repeat, rng)
                if plan.actions not in found:
                    break
            found[plan.actions] = plan
            plans.append(plan)
        return [Candidate(p, prior=-float(i)) for i, p in enumerate(plans)]


def draw_plan(vocabulary: Vocabulary, horizon: int, repeat: int, rng: np.random.Generator) -> Plan:
    """A plan of evenly drawn actions, each held for 1 to `repeat` steps. Actions that stop are left out."""
    moving = [p.name for p in vocabulary.primitives if not p.stops]
    actions: list[Action] = []
    while len(actions) < horizon:
        if vocabulary.discrete:
            action = Action(moving[rng.integers(len(moving))])
        else:
            action = Action(vocabulary.name, tuple(rng.uniform(vocabulary.low, vocabulary.high).tolist()))
        actions += [action] * int(rng.integers(1, repeat + 1))
    return vocabulary.plan(actions[:horizon])


@dataclass(frozen=True)
class ShootingReviser:
    """Score-and-select by imagined reward, else by likeness to the goal picture."""

    async def revise(self, situation: Situation, candidates: Sequence[Candidate]) -> Decision:
        """The best candidate, the first one among equals; the first proposal where nothing can be compared."""
        rollouts = [c.rollout for c in candidates if c.rollout is not None]
        if len(rollouts) < len(candidates):
            return first_proposal(candidates)
        if all(r.reward is not None for r in rollouts):
            return select(candidates, [imagined_return(r) for r in rollouts], 0.0, "highest imagined reward")
        if situation.goal.image is not None:
            scores = await situation.compute(likeness, rollouts, situation.goal.image)
            return select(candidates, scores, 0.0, "ends nearest to the goal picture")
        return first_proposal(candidates, "no imagined reward and no goal picture to go by")


def imagined_return(rollout: Rollout) -> float:
    """Sum of the imagined rewards, each counted as far as the episode is not over before it."""
    assert rollout.reward is not None
    going = np.ones(len(rollout.reward))
    if rollout.done is not None:
        going[1:] = np.cumprod(1.0 - np.clip(np.asarray(rollout.done, float), 0.0, 1.0))[:-1]
    return float(np.asarray(rollout.reward, float) @ going)


def likeness(rollouts: Sequence[Rollout], goal: np.ndarray) -> list[float]:
    """Minus the ST-LPIPS distance of each last frame to the goal uint8 [H,W,3]; InputError when sizes differ.

    Pictures too small for it are compared by their mean absolute difference, in 0..1.
    """
    from worldloop.agents.build import shared_perception  # torch is loaded by who needs it
    from worldloop.agents.perception.stlpips import MIN_SIZE

    last = np.stack([r.frames[-1].rgb for r in rollouts])
    if last.shape[1:] != goal.shape:
        raise InputError(f"the goal picture is {list(goal.shape)}, what is seen {list(last.shape[1:])}")
    if min(goal.shape[:2]) >= MIN_SIZE:
        return [-float(d) for d in shared_perception().stlpips(last, goal)]
    return [-float(d) for d in np.abs(last.astype(float) - goal).mean(axis=(1, 2, 3)) / 255]
