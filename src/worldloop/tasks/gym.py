"""Any Gymnasium environment with pictures as a task: fixed lists of seeds, and the environment's own idea of success.

Success is decided by the first of these that applies:

1. `info["success"]` or `info["is_success"]`, where the environment tells: it was true after some step;
2. the return (the sum of all rewards) reached `success_return`, which is the environment's own `reward_threshold`
   unless it is set;
3. the environment ended the episode (`terminated`) with a reward above zero.

The score is the return, without a discount.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from worldloop.core import (
    Budgets,
    Candidate,
    Environment,
    Episode,
    Goal,
    InputError,
    Observation,
    Outcome,
    Resource,
    Score,
)
from worldloop.envs.gym.instance import GymConfig
from worldloop.envs.gym.probe import Interface, explore
from worldloop.envs.gym.world import GymWorld, Instances
from worldloop.envs.stage import on_stage

SPLITS = {"mini": (0, 10), "val": (1_000, 50), "test": (10_000, 100)}
"""Split -> the first of its seeds, and how many there are."""


class GymTask:
    """A Gymnasium environment; `worldloop run --env gym:CartPole-v1`."""

    summary = "act so that the environment's rewards add up"
    privileges: tuple[str, ...] = ()
    agent_sees: tuple[str, ...] = ()
    provides: tuple[str, ...] = ()
    default_agent = "shooting"

    def __init__(
        self,
        env: str = "",
        steps: int | None = None,
        size: int = 128,
        success_return: float | None = None,
        **make: Any,
    ) -> None:
        """env: Gymnasium's id, with `module:` before it where a module must be imported that registers it.

        steps: longest episode (the environment's own). size: longer side of the pictures in pixels, 0 for the
        environment's own. success_return: see the module. Everything else goes to `gymnasium.make`. Raises InputError
        for an environment that cannot be made, seen or acted in; MissingExtraError when it is drawn by pygame.
        """
        self.config = GymConfig(env, steps, size, make)
        if success_return is not None and not np.isfinite(success_return):
            raise InputError(f"gym: success_return is a number, got {success_return}")
        self.interface: Interface = on_stage(explore, self.config)
        if self.interface.shortened and self.interface.threshold is not None and success_return is None:
            raise InputError(
                f"{env} counts as solved at a return of {self.interface.threshold:g} in its own number of steps; with "
                f"steps={steps} say what counts here: success_return=..."
            )
        threshold = self.interface.threshold if success_return is None else success_return
        self.success_return = None if threshold is None else float(threshold)
        self.name = f"gym:{env}"
        self.version = self._version(success_return)
        # 20 actions ahead decide whether a pole falls; a quarter of them is carried out, as in most planners that
        # look again. There can never be more decisions than steps.
        horizon = min(20, self.interface.limit)
        self.budgets = Budgets(8, horizon, min(5, horizon), self.interface.limit)
        self._instances = Instances(self.interface)
        self.resources: tuple[Resource, ...] = (_Closing(self._instances),)

    def no_simulator(self) -> str | None:
        """Set for an environment that does other things after the same seed and actions."""
        if self.interface.restore:
            return None
        return (
            f"{self.config.env} is not deterministic (the same seed and actions led to other pictures or rewards), so "
            "nothing can say what would have happened; models that do not run the simulator can be used"
        )

    def episodes(self, split: str) -> list[Episode]:
        """The fixed seeds of `mini` (10), `val` (50) or `test` (100); InputError for any other split."""
        if split not in SPLITS:
            raise InputError(f"{self.name} has the splits {', '.join(SPLITS)}, not {split!r}")
        first, count = SPLITS[split]
        return [self.episode(split, seed) for seed in range(first, first + count)]

    def environment(self, needs: Collection[str] = ()) -> GymWorld:
        """A world of this environment."""
        return GymWorld(self.interface, self._instances)

    def goal(self, environment: Environment, episode: Episode) -> Goal:
        """What the environment says its goal is, in words or as a picture."""
        first = gym_of(environment).played.first
        return Goal(
            first.words or f"Act in {self.config.env} so that its rewards add up to much.", image=first.goal
        )

    def observe(self, environment: Environment, episode: Episode, observation: Observation) -> Observation:
        """Nothing is added."""
        return observation

    def imagined(
        self, environment: Environment, episode: Episode, now: Observation, candidates: Sequence[Candidate]
    ) -> list[Candidate]:
        """Nothing is added."""
        return list(candidates)

    def done(self, environment: Environment, episode: Episode) -> bool:
        """When the environment ends the episode, or at the limit of steps."""
        return gym_of(environment).played.last.over

    def score(self, environment: Environment, episode: Episode, outcome: Outcome) -> Score:
        """The score is the return; see the module for success. `length` is the number of steps."""
        played = gym_of(environment).played
        if played.success is not None:
            success = played.success
        elif self.success_return is not None:
            success = played.total >= self.success_return
        else:
            success = played.last.terminated and played.last.reward > 0
        return Score(
            bool(success), played.total, {"return": played.total, "length": float(len(played.actions))}
        )

    def episode(self, split: str, seed: int) -> Episode:
        """The episode of a seed, which is a scene of its own."""
        name = f"{self.name.partition(':')[2]}/{seed}"
        start = {"position": [0.0, 0.0], "yaw_deg": 0.0}  # the seed says where it begins
        return Episode(f"{split}-{seed}", self.name, f"gym/{name}", seed, start, {}, self.interface.limit)

    def _version(self, success_return: float | None) -> str:
        """Runs of one task under different settings must not be mixed."""
        given: Mapping[str, Any] = {
            "steps": self.config.steps,
            "size": None if self.config.size == 128 else self.config.size,
            "success_return": success_return,
            **self.config.make,
        }
        parts = [f"{k}={v}" for k, v in given.items() if v is not None]
        return "+".join(["1", *parts, *(["not-deterministic"] if not self.interface.restore else [])])


def gym_of(environment: Environment) -> GymWorld:
    """The environment as a Gymnasium world; InputError for any other."""
    if not isinstance(environment, GymWorld):
        raise InputError(f"this task needs a Gymnasium world, not {type(environment).__name__}")
    return environment


class _Closing:
    """Closes idle environments when a run ends."""

    per_process = True

    def __init__(self, instances: Instances) -> None:
        self._instances = instances

    async def open(self, folder: Path, spec: Mapping[str, Any], keep_frame: Any) -> None:
        """Nothing is needed: environments are made when they are asked for."""

    async def close(self) -> None:
        """Close them; the next run makes new ones."""
        on_stage(self._instances.close)
