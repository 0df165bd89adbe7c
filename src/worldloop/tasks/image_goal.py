"""Image-goal navigation: go where this picture was taken, and say when you are there.

After World-In-World (arXiv 2510.18135): M = 3 plans of L = 5 actions, three of them carried out, K = 20
decisions, success within 0.5 m. There the environment stops the agent; here the agent must decide to
stop, and the oracle stop is a privilege to be asked for.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

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
    Score,
)
from worldloop.envs.habitat.world import HabitatWorld, place_of
from worldloop.tasks.episodes import check_place
from worldloop.tasks.house import HouseTask, house_of

TOLD = "Go where this picture was taken, and stop."


class ImageGoal(HouseTask):
    """Success is standing within `radius` metres (along the floor) of the goal, having stopped."""

    summary = "go where the goal picture was taken, and stop there"
    budgets = Budgets(rollouts=3, horizon=5, execute=3, budget=20)
    agent_sees = ("collided",)
    default_agent = "heuristic"
    name = "image-goal"
    scan_places = ("start", "goal")

    def __init__(self, oracle_stop: bool = False, radius: float = 0.5, scenes: str = "") -> None:
        """`oracle_stop`: the environment stops the agent at the goal (privilege). `radius`: metres. `scenes`: the folder
        of the scans that a list of World-In-World names, which are walked in with Habitat.
        """
        if not 0 < radius < 100:
            raise InputError(f"image-goal: the radius is a distance in metres, got {radius}")
        self.oracle_stop, self.radius = bool(oracle_stop), float(radius)
        self.scenes = str(scenes)
        self.privileges: tuple[str, ...] = ("oracle_stop",) if oracle_stop else ()
        self.version = (
            "1" + ("+oracle-stop" if oracle_stop else "") + (f"+r{radius:g}" if radius != 0.5 else "")
        )

    def goal(self, environment: Environment, episode: Episode) -> Goal:
        """The picture seen from the goal."""
        if isinstance(environment, HabitatWorld):
            return Goal(TOLD, image=environment.view(place_of(episode, "goal")).rgb)
        check_place(episode.goal, f"episode {episode.id}: goal")
        world, (x, y) = house_of(environment), episode.goal["position"]
        if not world.loaded.nav.is_free((x, y)):
            raise InputError(f"episode {episode.id}: nobody can stand at the goal ({x}, {y})")
        picture = world.view(world.pose(x, y, episode.goal["yaw_deg"])).rgb
        return Goal(TOLD, image=picture)

    def observe(self, environment: Environment, episode: Episode, observation: Observation) -> Observation:
        """Nothing is added."""
        return observation

    def imagined(
        self, environment: Environment, episode: Episode, now: Observation, candidates: Sequence[Candidate]
    ) -> list[Candidate]:
        """Nothing is added."""
        return list(candidates)

    def done(self, environment: Environment, episode: Episode) -> bool:
        """With the oracle stop, as soon as the agent is close enough."""
        return self.oracle_stop and self._distance(environment, episode) <= self.radius

    def score(self, environment: Environment, episode: Episode, outcome: Outcome) -> Score:
        """Score is the success; metrics are `spl`, `shortest` and the final `distance` in metres."""
        shortest = self._shortest(environment, episode)
        distance = self._distance(environment, episode)
        success = (outcome.stopped or self.oracle_stop) and distance <= self.radius
        spl = float(success) * shortest / max(outcome.path_length, shortest, 1e-9)
        metrics = {"spl": spl, "shortest": shortest, "distance": distance}
        return Score(success, float(success), {k: float(v) for k, v in metrics.items() if math.isfinite(v)})

    def _shortest(self, environment: Environment, episode: Episode) -> float:
        if isinstance(environment, HabitatWorld):
            return environment.geodesic(place_of(episode, "start"), place_of(episode, "goal"))
        return float(
            house_of(environment).loaded.nav.geodesic(
                tuple(episode.start["position"]), tuple(episode.goal["position"])
            )
        )

    def _distance(self, environment: Environment, episode: Episode) -> float:
        if isinstance(environment, HabitatWorld):
            return environment.geodesic(environment.state, place_of(episode, "goal"))
        world = house_of(environment)
        return float(world.loaded.nav.geodesic(np.array(world.position), np.array(episode.goal["position"])))
