"""The controls every leaderboard needs: models whose usefulness is known in advance.

Without them a table cannot tell imagination that helps from a loop that helps anyway.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from scipy.ndimage import gaussian_filter

from worldloop.core import (
    InputError,
    ModelCard,
    Observation,
    Plan,
    Query,
    RewardingSimulator,
    Rollout,
    derive_seed,
)
from worldloop.core.errors import ModelError


class NoModel:
    """`none`: no imagination. The loop takes the proposer's first plan."""

    card = ModelCard("none", "no world model: the agent follows its first proposal", "none", imagines=False)

    def simulate(self, queries: Sequence[Query]) -> list[Rollout]:
        """Never called by the loop; ModelError if it is."""
        raise ModelError("the model 'none' imagines nothing")


class Frozen:
    """`frozen`: the present frame, again and again."""

    card = ModelCard("frozen", "repeats the present frame", "none")

    def simulate(self, queries: Sequence[Query]) -> list[Rollout]:
        """L copies of the last observation's image for each query."""
        return [Rollout((_image_of(q.history[-1]),) * len(q.plan)) for q in queries]


def _image_of(observation: Observation) -> Observation:
    return Observation(observation.rgb, hfov_deg=observation.hfov_deg)


class _Simulated:
    """Base of the controls that run the simulator and then spoil the plan or the pictures."""

    card: ModelCard
    lanes = 64
    """The simulator renders without holding the interpreter: as many batches at once as there are workers."""

    def plan(self, query: Query) -> Plan:
        """The plan that is really simulated."""
        return query.plan

    def picture(self, frame: Observation) -> Observation:
        """What is shown of a simulated frame. No pose: the model claims to have followed the plan."""
        return _image_of(frame)

    def simulate(self, queries: Sequence[Query]) -> list[Rollout]:
        """The simulator's frames, spoilt; with its rewards where it has any."""
        out = []
        for q in queries:
            if q.simulator is None:
                raise ModelError(f"model {self.card.name!r} needs an environment that can simulate itself")
            plan = self.plan(q)
            if isinstance(q.simulator, RewardingSimulator):
                true = q.simulator.rewarded(plan)
            else:
                true = Rollout(q.simulator.rollout(plan))
            # What a plan would have earned belongs to its frames: of another plan, it is wrong like them.
            out.append(Rollout(tuple(map(self.picture, true.frames)), true.reward, true.done))
        return out


class Oracle(_Simulated):
    """`oracle`: the simulator itself; the ceiling of what imagination can bring to this agent."""

    card = ModelCard("oracle", "the simulator itself", "code", ("simulator",))

    def picture(self, frame: Observation) -> Observation:
        """Everything, the true pose included."""
        return replace(_image_of(frame), pose=frame.pose, depth=frame.depth)


class OracleBlur(_Simulated):
    """`oracle-blur`: the right future in blurred pictures. Ugly but controllable."""

    def __init__(self, sigma: float = 2.0) -> None:
        """`sigma`: standard deviation of the Gaussian blur, in pixels of a 128-pixel image."""
        if not 0 < sigma <= 64:
            raise InputError(f"oracle-blur: sigma lies between 0 and 64 pixels, got {sigma}")
        self.sigma = float(sigma)
        summary = "the simulator, blurred: ugly but controllable"
        self.card = ModelCard("oracle-blur", summary, "code", ("simulator",), settings={"sigma": self.sigma})

    def picture(self, frame: Observation) -> Observation:
        """The blurred frame with its true pose."""
        sigma = self.sigma * frame.rgb.shape[1] / 128
        blurred = gaussian_filter(frame.rgb.astype(np.float32), (sigma, sigma, 0), mode="nearest")
        return Observation(np.rint(blurred).astype(np.uint8), hfov_deg=frame.hfov_deg, pose=frame.pose)


class OracleWrong(_Simulated):
    """`oracle-wrong`: sharp true frames of other actions than the ones asked for."""

    def __init__(self, share: float = 1.0) -> None:
        """`share`: how many of the actions are replaced, above 0 and up to 1 (all of them)."""
        if not 0 < share <= 1:
            raise InputError(f"oracle-wrong: share lies above 0 and up to 1, got {share}")
        self.share = float(share)
        summary = "the simulator under other actions: sharp, wrong"
        settings = {} if self.share == 1 else {"share": self.share}
        self.card = ModelCard("oracle-wrong", summary, "code", ("simulator",), settings=settings)

    def plan(self, query: Query) -> Plan:
        """The asked share of actions replaced, each by another one that moves."""
        rng = np.random.default_rng(derive_seed(query.seed, "wrong"))
        wrong = _random_plan(query.plan, rng, different=True)
        if self.share == 1:
            return wrong
        kept = rng.random(len(wrong)) >= self.share
        actions = zip(query.plan.actions, wrong.actions, kept)
        return Plan(wrong.vocabulary, tuple(asked if keep else other for asked, other, keep in actions))


class Shuffled(_Simulated):
    """`shuffled`: true frames of another candidate's plan."""

    card = ModelCard(
        "shuffled", "the simulator under another candidate's plan", "code", ("simulator", "other_plans")
    )

    def plan(self, query: Query) -> Plan:
        """One of the other candidates' plans; with no other candidate, other actions."""
        rng = np.random.default_rng(derive_seed(query.seed, "shuffled"))
        others = [p for p in query.alternatives if p != query.plan]
        return others[rng.integers(len(others))] if others else _random_plan(query.plan, rng, different=True)


class Blind(_Simulated):
    """`blind`: ignores the actions. Every candidate gets the same true frames of one random plan."""

    card = ModelCard(
        "blind", "the simulator under a random plan: ignores the actions", "none", ("simulator",)
    )

    def plan(self, query: Query) -> Plan:
        """A random plan that depends on the state alone, and so is the same for all candidates."""
        key = query.simulator.key if query.simulator else ""
        return _random_plan(query.plan, np.random.default_rng(derive_seed(key, "blind")))


def _random_plan(plan: Plan, rng: np.random.Generator, different: bool = False) -> Plan:
    vocabulary = plan.vocabulary
    if not vocabulary.discrete:
        low, high = np.array(vocabulary.low), np.array(vocabulary.high)
        return vocabulary.plan(rng.uniform(low, high, (len(plan), len(low))))
    moving = [p.name for p in vocabulary.primitives if not p.stops]
    names = []
    for old in plan.names:
        choice = [n for n in moving if n != old] if different and len(moving) > 1 else moving
        names.append(choice[rng.integers(len(choice))])
    return vocabulary.plan(names)
