"""Active recognition: name the marked object, which is badly seen from the start.

After World-In-World (arXiv 2510.18135): M = 2 plans of L = 4 actions, one of them carried out, K = 10
decisions, and an answer as soon as the recogniser is 95 % sure.
"""

from __future__ import annotations

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
from worldloop.envs.habitat.scans import last_number
from worldloop.envs.habitat.world import HabitatWorld
from worldloop.envs.house.generate import CATEGORIES
from worldloop.tasks.embodied_qa_judges import words_of
from worldloop.tasks.house import HouseTask, house_of, intended_poses
from worldloop.tasks.scans import pixel_boxes, true_future, with_extra, with_frames


class ActiveRecognition(HouseTask):
    """Success is the right category, named when sure or when the budget is used up."""

    name = "active-recognition"
    summary = "name the object in the red box, which is badly seen from the start"
    budgets = Budgets(rollouts=2, horizon=4, execute=1, budget=10, confidence=0.95)
    privileges = ("true_boxes",)
    provides = (*HouseTask.provides, "target_box")
    agent_sees = ("target_box", "collided")
    default_agent = "heuristic"
    scan_instances = True

    def __init__(self, scenes: str = "") -> None:
        """`scenes`: the folder of the scans that a list of World-In-World names, which are walked in with Habitat."""
        self.scenes = str(scenes)
        self._classes: tuple[str, ...] = tuple(CATEGORIES)

    def open_scans(self, episodes: list[Episode]) -> None:
        """As everywhere; the possible answers are then the categories of the list. InputError for a bad `target_id`."""
        super().open_scans(episodes)
        for episode in episodes:
            _instance(episode)
        self._classes = tuple(sorted({str(e.goal["category"]) for e in episodes}))

    def goal(self, environment: Environment, episode: Episode) -> Goal:
        """The instruction and the list of categories."""
        self._target(environment, episode)
        return Goal("What is the object in the red box?", classes=self._classes)

    def observe(self, environment: Environment, episode: Episode, observation: Observation) -> Observation:
        """Adds `target_box` while the target's bounds are in view; in a scan, while a pixel of it is."""
        if isinstance(environment, HabitatWorld):
            assert observation.segmentation is not None
            return _outlined(observation, observation.segmentation, self._target(environment, episode))
        assert observation.pose is not None
        return self._marked(environment, episode, observation, observation.pose)

    def imagined(
        self, environment: Environment, episode: Episode, now: Observation, candidates: Sequence[Candidate]
    ) -> list[Candidate]:
        """Adds the box to imagined frames, where the target would be from the pose the plan intends.

        A model that reports its frames' true poses (the oracle, which may bump into things) is taken at
        its word. In a scan it is the box that would really be seen, had the plan been carried out.
        """
        if isinstance(environment, HabitatWorld):
            return self._imagined_in_scan(environment, episode, candidates)
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
            out.append(with_frames(c, frames))
        return out

    def _imagined_in_scan(
        self, world: HabitatWorld, episode: Episode, candidates: Sequence[Candidate]
    ) -> list[Candidate]:
        target, out = self._target(world, episode), []
        for c in candidates:
            if c.rollout is not None:
                future = true_future(world, c.plan)
                c = with_frames(c, [_outlined(f, s, target) for f, s in zip(c.rollout.frames, future)])
            out.append(c)
        return out

    def score(self, environment: Environment, episode: Episode, outcome: Outcome) -> Score:
        """1 for the right category, else 0. In scans, whose names are anybody's, spelling and plural do not matter."""
        answer = outcome.belief.answer if outcome.belief is not None else None
        category = str(episode.goal["category"])
        right = answer == category
        if isinstance(environment, HabitatWorld) and answer is not None:
            right = right or (bool(words_of(answer)) and words_of(answer) == words_of(category))
        return Score(right, float(right))

    def _target(self, environment: Environment, episode: Episode) -> int:
        if isinstance(environment, HabitatWorld):
            number = _instance(episode)
            if number not in environment.instances():
                raise InputError(
                    f"episode {episode.id}: the scan has no semantic annotations for its target_id {number}; Habitat "
                    f"finds them beside {environment.path.name}, with the *.scene_dataset_config.json of the data set"
                )
            return number
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
        return with_extra(frame, target_box=np.array(box, np.float32))


def _instance(episode: Episode) -> int:
    """The instance number of a scan's target: a whole number, or the last one of a text."""
    given = episode.goal.get("target")
    number = last_number(given) if isinstance(given, str) else given
    if not isinstance(number, int) or isinstance(number, bool):
        raise InputError(
            f"episode {episode.id}: the scan has no semantic annotations for its target_id {given!r}, which must be the "
            "number of an instance"
        )
    return number


def _outlined(frame: Observation, instances: np.ndarray, target: int) -> Observation:
    """The frame with the box around the target's pixels in int32 [H,W], if it has any."""
    box = pixel_boxes(instances).get(target)
    return frame if box is None else with_extra(frame, target_box=np.array(box, np.float32))
