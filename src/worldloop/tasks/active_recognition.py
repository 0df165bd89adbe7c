"""Active recognition: name the marked object, which is badly seen from the start.

After World-In-World (arXiv 2510.18135): M = 2 plans of L = 4 actions, one of them carried out, K = 10
decisions, and an answer as soon as the recogniser is 95 % sure.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

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
from worldloop.envs.house.generate import CATEGORIES
from worldloop.tasks.house import HouseTask, house_of, intended_poses


class ActiveRecognition(HouseTask):
    """Success is the right category, named when sure or when the budget is used up."""

    name = "active-recognition"
    summary = "name the object in the red box, which is badly seen from the start"
    budgets = Budgets(rollouts=2, horizon=4, execute=1, budget=10, confidence=0.95)
    privileges = ("true_boxes",)
    provides = (*HouseTask.provides, "target_box")
    agent_sees = ("target_box", "collided")
    default_agent = "heuristic"

    def goal(self, environment: Environment, episode: Episode) -> Goal:
        """The instruction and the list of categories."""
        self._target(environment, episode)
        return Goal("What is the object in the red box?", classes=tuple(CATEGORIES))

    def observe(self, environment: Environment, episode: Episode, observation: Observation) -> Observation:
        """Adds `target_box` while the target's bounds are in view."""
        assert observation.pose is not None
        return self._marked(environment, episode, observation, observation.pose)

    def imagined(
        self, environment: Environment, episode: Episode, now: Observation, candidates: Sequence[Candidate]
    ) -> list[Candidate]:
        """Adds the box to imagined frames, where the target would be from the pose the plan intends.

        A model that reports its frames' true poses (the oracle, which may bump into things) is taken at
        its word.
        """
        out = []
        for c in candidates:
            if c.rollout is None:
                out.append(c)
                continue
            poses = intended_poses(now, c.plan)
            frames = tuple(
                self._marked(environment, episode, f, pose if f.pose is None else f.pose)
                for f, pose in zip(c.rollout.frames, poses)
            )
            out.append(replace(c, rollout=replace(c.rollout, frames=frames)))
        return out

    def score(self, environment: Environment, episode: Episode, outcome: Outcome) -> Score:
        """1 for the right category, else 0."""
        right = outcome.belief is not None and outcome.belief.answer == episode.goal["category"]
        return Score(right, float(right))

    def _target(self, environment: Environment, episode: Episode) -> int:
        things = house_of(environment).loaded.things
        target, category = episode.goal.get("target"), episode.goal.get("category")
        if not isinstance(target, int) or target not in things or things[target].category != category:
            raise InputError(f"episode {episode.id}: {episode.scene} has no {category!r} with id {target!r}")
        return target

    def _marked(
        self, environment: Environment, episode: Episode, frame: Observation, pose: np.ndarray
    ) -> Observation:
        box = house_of(environment).project_box(self._target(environment, episode), pose)
        if box is None:
            return frame
        return replace(frame, extra={**frame.extra, "target_box": np.array(box, np.float32)})
