"""Episodes of others in scanned buildings: read from their own files, and walked in with Habitat."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from worldloop.core import Candidate, Environment, Episode, InputError, Observation, Plan
from worldloop.envs.habitat.scans import INSTALL, available
from worldloop.envs.habitat.world import SCENES as HABITAT_SCENES
from worldloop.envs.habitat.world import HabitatWorld, place_of, scene_path

OPENEQA_SCENES = "openeqa/"
"""How the names of an episode history of OpenEQA begin."""
STRUCTURE = frozenset(
    {"wall", "floor", "ceiling", "window", "door", "stairs", "railing", "column", "beam", "misc", "void", "unlabeled",
     "remove", "board panel", ""}
)  # fmt: skip
"""Categories of what belongs to the building, or is no thing; as MP3D names them."""


def check_walkable(episode: Episode) -> None:
    """InputError for a question about a recording of OpenEQA, which does not say where one would start to walk."""
    if episode.scene.startswith(OPENEQA_SCENES):
        raise InputError(
            f"episode {episode.id}: {episode.scene.removeprefix(OPENEQA_SCENES)!r} is the recording of a walk, and nobody "
            "knows where to start in the scan: walking with Habitat needs scene_id, start_position and start_rotation of "
            "every question, as World-In-World's file of A-EQA has them. Or run the lists in the package (--split val)"
        )


def open_scans(episodes: Sequence[Episode], folder: str, places: Sequence[str] = ("start",)) -> Path:
    """The folder of the scans of a list; InputError when Habitat, a scan or one of the `places` that each episode must
    have is not there, saying what to do.
    """
    first = episodes[0]
    if not available():
        raise InputError(
            f"episode {first.id}: {first.scene.removeprefix(HABITAT_SCENES)!r} is a scan, and Habitat-Sim, with which it "
            f"is walked in, is not installed: {INSTALL}. Or run the lists in the package (--split val)"
        )
    if not folder:
        raise InputError(
            f"{first.task} in scans needs the folder they are in: --task {first.task}:scenes=FOLDER"
        )
    for episode in episodes:
        scene_path(Path(folder), episode)
        for place in places:
            place_of(episode, place)
    return Path(folder)


def pixel_boxes(segmentation: np.ndarray, least: int = 1) -> dict[int, tuple[float, float, float, float]]:
    """Instance number -> x0, y0, x1, y1 around its pixels in int [H,W], edges of pixels.

    Instances of fewer than `least` pixels are left out.
    """
    ids, inverse, counts = np.unique(segmentation.ravel(), return_inverse=True, return_counts=True)
    inverse = inverse.ravel()
    places = np.indices(segmentation.shape).reshape(2, -1)[::-1]  # columns, rows
    low = np.full((2, len(ids)), max(segmentation.shape))
    high = np.zeros((2, len(ids)), int)
    for axis in (0, 1):
        np.minimum.at(low[axis], inverse, places[axis])
        np.maximum.at(high[axis], inverse, places[axis] + 1)
    boxes = np.concatenate([low, high]).T.astype(float).tolist()
    return {int(i): (x0, y0, x1, y1) for i, n, (x0, y0, x1, y1) in zip(ids, counts, boxes) if n >= least}


def is_thing(category: str) -> bool:
    """Whether a category of a scan's annotations is of something that stands or hangs in the building."""
    return category.strip().lower().replace("_", " ") not in STRUCTURE


def things(world: HabitatWorld) -> Mapping[int, str]:
    """Instance number -> category of what is annotated in a scan, without the building itself and number 0, which is nothing."""
    return {i: name for i, name in world.instances().items() if i != 0 and is_thing(name)}


def true_future(environment: Environment, plan: Plan) -> tuple[np.ndarray, ...]:
    """The L instance pictures int32 [H,W] that a plan would really bring in a scan. For boxes only; nothing moves."""
    assert isinstance(environment, HabitatWorld)
    shown = tuple(frame.segmentation for frame in environment.simulator().rollout(plan))
    return tuple(picture for picture in shown if picture is not None)


def with_extra(frame: Observation, **extra: np.ndarray) -> Observation:
    """The frame with further named arrays."""
    return replace(frame, extra={**frame.extra, **extra})


def with_frames(candidate: Candidate, frames: Sequence[Observation]) -> Candidate:
    """The candidate with other imagined frames; it must have a rollout."""
    assert candidate.rollout is not None
    return replace(candidate, rollout=replace(candidate.rollout, frames=tuple(frames)))
