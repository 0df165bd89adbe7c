"""Embodied question answering: walk through a house until the question can be answered.

After the A-EQA protocol of World-In-World (arXiv 2510.18135) on questions in OpenEQA's categories: M = 3 plans of L =
14 actions and at most 250 steps in all; here seven actions of a plan are carried out, in at most 36 decisions. The answer
is graded 1 to 5 by a judge, and the score is 100 (grade - 1) / 4.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence
from typing import Any

import numpy as np

from worldloop.core import (
    Action,
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
from worldloop.core.numbers import finite
from worldloop.envs.habitat.scans import HabitatConfig
from worldloop.envs.habitat.world import HabitatWorld
from worldloop.envs.house.visibility import Box
from worldloop.envs.house.world import HouseWorld
from worldloop.tasks.embodied_qa_judges import BEST, JUDGES, Judge, score_of
from worldloop.tasks.house import PANORAMA_HEIGHT, HouseTask, house_of
from worldloop.tasks.openeqa import import_openeqa, is_openeqa
from worldloop.tasks.scans import check_walkable, pixel_boxes, things, true_future, with_extra, with_frames

MOST_STEPS = 250
"""Primitive steps of an episode, whatever the settings."""
MIN_PIXELS = 24
"""Pixels of the picture that a thing must take up to get a box."""
LEEWAY = 1.0
"""Metres: shortest paths count as at least this long, for who sees the answer at once still has to look around."""


class Counted:
    """Stands before a world's class and counts the steps taken since the last reset."""

    steps = 0

    def reset(self, episode: Episode) -> Observation:
        """As the world does."""
        self.steps = 0
        observation: Observation = super().reset(episode)  # type: ignore[misc]
        return observation

    def step(self, action: Action | str) -> Observation:
        """As the world does."""
        self.steps += 1
        observation: Observation = super().step(action)  # type: ignore[misc]
        return observation


class CountedHouse(Counted, HouseWorld):
    """A house world that counts steps."""


class CountedScan(Counted, HabitatWorld):
    """A scan that counts steps."""


class EmbodiedQa(HouseTask):
    """Success is an answer of grade 5: it means the same as an accepted one."""

    name = "embodied-qa"
    summary = "answer a question about a house by walking through it"
    budgets = Budgets(rollouts=3, horizon=14, execute=7, budget=36, confidence=0.9)
    privileges: tuple[str, ...] = ("true_boxes", "true_tracks")
    provides = (*HouseTask.provides, "object_boxes", "object_tracks")
    agent_sees = ("object_boxes", "object_tracks", "collided")
    default_agent = "heuristic"
    scan_instances = True

    def __init__(self, judge: str | Judge = "scripted", scenes: str = "", **options: Any) -> None:
        """judge: the name of a judge (`JUDGES`), which gets the options, or one. scenes: the folder of the scans that
        a file of A-EQA names, which are walked in with Habitat.

        InputError for an unknown name or options the judge does not have.
        """
        if options and not isinstance(judge, str):
            raise InputError(
                f"options {', '.join(options)} belong to a judge that is named, not to a given one"
            )
        self.judge: Judge = JUDGES.create(judge, **options) if isinstance(judge, str) else judge
        self.scenes = str(scenes)
        self.version = "1" if self.judge.name == "scripted" else f"1+{self.judge.name}"
        self.resources = (self.judge,) if isinstance(self.judge, Resource) else ()

    def episodes(self, split: str) -> list[Episode]:
        """The fixed list of a split, or of a file: worldloop's own, or OpenEQA's, which is a plain list.

        InputError for any other, for recordings that nobody can walk in, and for scans where Habitat is missing.
        """
        if not (split.endswith(".json") and is_openeqa(split)):
            return super().episodes(split)
        episodes = import_openeqa(split, self.budgets.budget)
        for episode in episodes:
            check_walkable(episode)
        self.open_scans(episodes)
        self.scan_hfov_deg = _common_hfov(episodes, split)
        return episodes

    def environment(self, needs: Collection[str] = ()) -> CountedHouse | CountedScan:
        """A house, or a scan, that also tells which pixels show which thing: boxes come from there."""
        if self.scans is not None:
            return CountedScan(self.scans, self.scan_config(needs))
        around = any(n.startswith("panorama") for n in needs)
        return CountedHouse(
            panorama_height=PANORAMA_HEIGHT if around else None,
            depth=any("depth" in n for n in needs),
            segmentation=True,
            scene_cache=12,
        )

    def goal(self, environment: Environment, episode: Episode) -> Goal:
        """The question, and nothing else."""
        _checked(episode)
        return Goal(str(episode.goal["question"]))

    def observe(self, environment: Environment, episode: Episode, observation: Observation) -> Observation:
        """Adds `object_boxes` and `object_tracks` of the things in sight."""
        assert observation.pose is not None and observation.segmentation is not None
        if isinstance(environment, HabitatWorld):
            return _boxed_in_scan(environment, observation, observation.segmentation)
        return _boxed(house_of(environment), observation, observation.pose, observation.segmentation)

    def imagined(
        self, environment: Environment, episode: Episode, now: Observation, candidates: Sequence[Candidate]
    ) -> list[Candidate]:
        """Adds the boxes of what would really be in sight, had the plan been carried out, walls included.

        A model that shows something else has its picture looked at in the wrong places.
        """
        if isinstance(environment, HabitatWorld):
            return [_foreseen(environment, c) for c in candidates]
        world, out = house_of(environment), []
        for c in candidates:
            if c.rollout is not None:
                frames = []
                for frame, place in zip(c.rollout.frames, world.simulator().places(c.plan)):
                    pose = world.pose(place.x, place.y, place.yaw_deg)
                    # Half the resolution is enough to tell what is in sight.
                    truth = world.loaded.renderer.pinhole(pose, world.camera.size // 2, world.camera.hfov_deg)
                    frames.append(_boxed(world, frame, pose, truth.segmentation, MIN_PIXELS // 4))
                c = with_frames(c, frames)
            out.append(c)
        return out

    def done(self, environment: Environment, episode: Episode) -> bool:
        """When the steps are used up."""
        return isinstance(environment, Counted) and environment.steps >= MOST_STEPS

    def accepted_answers(self, episode: Episode) -> tuple[str, ...]:
        """What counts as right, the answer itself first: for the scorer and for reports, never for the agent."""
        goal = _checked(episode)
        return tuple(dict.fromkeys([goal["answer"], *(goal.get("extra_answers") or ())]))

    def score(self, environment: Environment, episode: Episode, outcome: Outcome) -> Score:
        """Score 0 to 100; metrics are `grade` (1 to 5), `spl`, `shortest` and whether it was `answered`.

        `shortest` is a lower bound of the way to see all that the answer rests on, and at least a metre. In scans
        nobody knows where that is: `spl` and `shortest` are left out unless the goal has `shortest`.
        """
        goal = _checked(episode)
        given = outcome.belief.answer if outcome.belief is not None else None
        grade = self.judge.judge(goal["question"], self.accepted_answers(episode), given) if given else 1
        success = grade >= BEST
        metrics = {"grade": float(grade)}
        if "shortest" in goal or not isinstance(environment, HabitatWorld):
            shortest = max(float(goal.get("shortest", 0.0)), LEEWAY)
            metrics["spl"] = float(success) * shortest / max(outcome.path_length, shortest)
            metrics["shortest"] = shortest
        metrics["answered"] = float(bool(given))
        return Score(success, score_of(grade), metrics)


def _checked(episode: Episode) -> dict[str, Any]:
    goal = dict(episode.goal)
    if not all(isinstance(goal.get(k), str) and goal[k] for k in ("question", "answer")):
        raise InputError(f"episode {episode.id}: its goal needs a question and an answer")
    extra, shortest = goal.get("extra_answers") or [], goal.get("shortest", 0.0)
    if not isinstance(extra, list | tuple) or not all(isinstance(e, str) for e in extra):
        raise InputError(f"episode {episode.id}: extra_answers is a list of texts")
    if not isinstance(shortest, int | float) or not math.isfinite(shortest) or shortest < 0:
        raise InputError(f"episode {episode.id}: shortest is a length in metres")
    return goal


def _boxed(
    world: HouseWorld, frame: Observation, pose: np.ndarray, segmentation: np.ndarray, least: int = MIN_PIXELS
) -> Observation:
    """The frame with boxes x0, y0, x1, y1 float32 [n,4] of furniture in sight, from left to right, and ids int32 [n]."""
    counts = np.bincount(segmentation.ravel())
    found = []
    for i in np.flatnonzero(counts >= least):
        thing = world.loaded.things.get(int(i))
        if thing is not None and not thing.structure and (box := world.project_box(int(i), pose)) is not None:
            found.append((box, int(i)))
    return _with_boxes(frame, found)


def _boxed_in_scan(world: HabitatWorld, frame: Observation, instances: np.ndarray) -> Observation:
    """The frame with boxes around the pixels of what is annotated as a thing; none where nothing is annotated."""
    known = things(world)
    return _with_boxes(frame, [(b, i) for i, b in pixel_boxes(instances, MIN_PIXELS).items() if i in known])


def _foreseen(world: HabitatWorld, candidate: Candidate) -> Candidate:
    """The candidate with the boxes that its plan would really bring in a scan."""
    if candidate.rollout is None:
        return candidate
    future = zip(candidate.rollout.frames, true_future(world, candidate.plan))
    return with_frames(candidate, [_boxed_in_scan(world, frame, instances) for frame, instances in future])


def _common_hfov(episodes: Sequence[Episode], where: str) -> float:
    """Degrees that the camera of all questions sees; InputError where they differ, or are no angle."""
    given = [e.goal.get("hfov", HabitatConfig.hfov_deg) for e in episodes]
    for hfov in given:
        if not finite(hfov) or not 10 <= hfov <= 170:
            raise InputError(f"{where}: hfov is an angle of 10 to 170 degrees, got {hfov!r}")
    if min(given) != max(given):
        shown = ", ".join(f"{h:g}" for h in sorted(set(given)))
        raise InputError(
            f"{where}: its questions differ in hfov ({shown}); make a file of each, a run has one camera"
        )
    return float(given[0])


def _with_boxes(frame: Observation, found: list[tuple[Box, int]]) -> Observation:
    found.sort()
    boxes = np.array([box for box, _ in found], np.float32).reshape(-1, 4)
    tracks = np.array([i for _, i in found], np.int32)
    return with_extra(frame, object_boxes=boxes, object_tracks=tracks)
