"""Views of things in houses, rendered, described and labelled: what the recogniser learns from."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from scipy.ndimage import gaussian_filter

from worldloop.agents.perception import Perception, PerceptionConfig
from worldloop.agents.perception.answerer import VECTOR, view_vectors
from worldloop.agents.perception.head_training import Views
from worldloop.core import InputError, generator
from worldloop.envs.house.mesh import Instance
from worldloop.envs.house.render import camera_pose
from worldloop.envs.house.scenes import LoadedScene, load_scene
from worldloop.envs.house.visibility import project_box

log = logging.getLogger(__name__)

ATTEMPTS = 40
"""Camera positions tried for one view before the target is given up."""
SMALLEST_BOX = 3.0
"""Pixels; a target whose box has a shorter side is not looked at."""


@dataclass(frozen=True)
class ViewConfig:
    """How views are drawn."""

    targets_per_scene: int = 24
    views_per_target: int = 5
    """Apart from each other in training; in validation and test steps of one walk, as an agent sees them."""
    distance: tuple[float, float] = (0.4, 4.5)
    """Metres between the camera and the middle of the target, on the floor plan."""
    step: tuple[float, float] = (0.2, 0.7)
    """Metres between neighbouring views of a walk."""
    size: int = 128
    """Side of the rendered picture in pixels."""
    hfov_deg: float = 90.0
    camera_height: float = 1.25
    off_centre_deg: float = 40.0
    """Largest angle between the optical axis and the direction to the target."""
    min_pixels: int = 12
    """A view is kept if so many pixels of the target are in sight, or `min_share` of it and 4 pixels."""
    min_share: float = 0.03
    hard_share: float = 0.4
    """Training views sought where the target is mostly hidden or small in the picture. Left to
    chance these are rare, and the head would be too sure of them."""
    hard_visible: float = 0.5
    """A view is hard below this visible share, or with at most `hard_pixels` of the target in sight."""
    hard_pixels: int = 50
    hard_walks: float = 0.8
    """The same for the first views of walks, on which the answer is calibrated: an agent is set down where
    the target is badly seen."""
    degraded_share: float = 0.3
    """Training views that are shown a second time as a world model might imagine them (`degrade`)."""
    free_share: float = 0.1
    """Training views kept whatever is in sight. An agent gets the box of a hidden target too, and must be
    unsure then; for the same reason only the first view of a walk has to show something."""
    categories: tuple[str, ...] | None = None
    """What is worth naming; None means the generator's list."""
    seed: int = 0


@dataclass(frozen=True, eq=False)
class HouseViews:
    """Rendered and described views of one split."""

    vectors: np.ndarray
    """float32 [N,2570]."""
    categories: list[str]
    scenes: list[str]
    targets: list[str]
    visible: np.ndarray
    """float32 [N], visible share of the pixels that the target would have alone."""
    metres: np.ndarray
    """float32 [N], distance on the floor plan."""

    def labelled(self, classes: Sequence[str]) -> Views:
        """The views of the known classes, with class indices."""
        index = {name: i for i, name in enumerate(classes)}
        keep = [i for i, name in enumerate(self.categories) if name in index]
        return Views(
            self.vectors[keep],
            np.array([index[self.categories[i]] for i in keep], np.int64),
            [self.scenes[i] for i in keep],
            [self.targets[i] for i in keep],
        )


def collect_views(
    scenes: Sequence[str],
    config: ViewConfig,
    walk: bool = False,
    perception: Perception | None = None,
) -> HouseViews:
    """Render and describe views of things in scenes; depends on the scene ids and the settings alone.

    walk: whether the views of a target are steps of one walk.
    """
    # Every view is new: a memory would only fill up.
    perception = perception or Perception(PerceptionConfig(memo_bytes=0))

    def one(scene: str) -> HouseViews:
        part = _scene_views(scene, config, perception, walk)
        log.info("%s: %d views", scene, len(part.categories))
        return part

    # Two at a time: while one scene's light is baked, another one's views go through the network.
    with ThreadPoolExecutor(2, thread_name_prefix="worldloop-collect") as pool:
        parts = list(pool.map(one, scenes))
    if not sum(len(p.categories) for p in parts):
        raise InputError(f"no view of anything recognisable in {len(scenes)} scenes")
    return HouseViews(
        np.concatenate([p.vectors for p in parts]),
        [c for p in parts for c in p.categories],
        [s for p in parts for s in p.scenes],
        [t for p in parts for t in p.targets],
        np.concatenate([p.visible for p in parts]),
        np.concatenate([p.metres for p in parts]),
    )


def _scene_views(scene: str, config: ViewConfig, perception: Perception, walk: bool) -> HouseViews:
    loaded = load_scene(scene)
    random = generator("recogniser_views", config.seed, scene)
    spoil = generator("degraded_views", config.seed, scene)
    images, boxes, categories, targets, visible, metres = [], [], [], [], [], []
    for thing in _choose_targets(loaded, config, random):
        place = None
        for _ in range(config.views_per_target):
            free = place is not None if walk else random.random() < config.free_share
            view = None
            if not free and random.random() < (config.hard_walks if walk else config.hard_share):
                view = sample_view(loaded, thing, config, random, hard=True)
            if view is None:
                view = sample_view(loaded, thing, config, random, near=place if walk else None, free=free)
            if view is None:
                break
            place = (float(view.pose[0, 3]), float(view.pose[1, 3]))
            shown = [loaded.renderer.pinhole(view.pose, config.size, config.hfov_deg).rgb]
            if not walk and spoil.random() < config.degraded_share:
                shown.append(degrade(shown[0], spoil))
            for image in shown:
                images.append(image)
                boxes.append(view.box)
                categories.append(thing.category)
                targets.append(thing.name)
                visible.append(view.visible)
                metres.append(view.metres)
    vectors = view_vectors(perception, images, boxes, config.hfov_deg)
    return HouseViews(
        vectors.reshape(-1, VECTOR),
        categories,
        [scene] * len(categories),
        targets,
        np.array(visible, np.float32),
        np.array(metres, np.float32),
    )


def degrade(image: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """A picture as imagination may get it: less sharp, off in colour, noisy. uint8 [H,W,3] to the same."""
    sigma = random.uniform(0.5, 2.5) * image.shape[1] / 128
    soft = gaussian_filter(image.astype(np.float32), (sigma, sigma, 0), mode="nearest")
    gain = random.uniform(0.9, 1.1, 3)
    noise = random.normal(0.0, random.uniform(0.0, 6.0), image.shape)
    return np.clip(np.rint(soft * gain + noise), 0, 255).astype(np.uint8)


def _choose_targets(loaded: LoadedScene, config: ViewConfig, random: np.random.Generator) -> list[Instance]:
    """Up to `targets_per_scene` different things, category by category, so that all get their turn."""
    wanted = _generated_categories() if config.categories is None else config.categories
    by_category: dict[str, list[Instance]] = {}
    for thing in loaded.things.values():
        if not thing.structure and thing.category in wanted:
            by_category.setdefault(thing.category, []).append(thing)
    queues = [
        [by_category[name][i] for i in random.permutation(len(by_category[name]))]
        for name in sorted(by_category)
    ]
    chosen: list[Instance] = []
    while len(chosen) < config.targets_per_scene and any(queues):
        for i in random.permutation(len(queues)):
            if queues[i] and len(chosen) < config.targets_per_scene:
                chosen.append(queues[i].pop())
    return chosen


def _generated_categories() -> Sequence[str]:
    from worldloop.envs.house.generate import CATEGORIES

    return CATEGORIES


class View(NamedTuple):
    """Where to look at a thing from."""

    pose: np.ndarray
    """float64 [4,4], camera-to-world."""
    box: tuple[float, float, float, float]
    visible: float
    """Share of its pixels that nothing hides."""
    metres: float


def sample_view(
    loaded: LoadedScene,
    thing: Instance,
    config: ViewConfig,
    random: np.random.Generator,
    near: tuple[float, float] | None = None,
    free: bool = False,
    hard: bool = False,
) -> View | None:
    """A random view with a thing's box in it, or None when `ATTEMPTS` draws found no such place.

    near: the place of the view before, from which this one is a step away. free: whether the thing itself
    may be hidden. hard: whether it must be mostly hidden or small.
    """
    middle = (np.array(thing.lower[:2]) + np.array(thing.upper[:2])) / 2
    for _ in range(ATTEMPTS):
        angle = random.uniform(0, 2 * np.pi)
        origin, reach = (middle, config.distance) if near is None else (np.array(near), config.step)
        x, y = origin + random.uniform(*reach) * np.array([np.cos(angle), np.sin(angle)])
        away = float(np.hypot(x - middle[0], y - middle[1]))
        if not loaded.nav.is_free((x, y)) or not config.distance[0] <= away <= config.distance[1]:
            continue
        towards = np.degrees(np.arctan2(middle[1] - y, middle[0] - x))
        yaw = towards + random.uniform(-config.off_centre_deg, config.off_centre_deg)
        pose = camera_pose(float(x), float(y), float(yaw), config.camera_height)
        box = project_box(thing, pose, config.size, config.hfov_deg)
        if box is None or min(box[2] - box[0], box[3] - box[1]) < SMALLEST_BOX:
            continue
        seen = loaded.visibility.visible_pixels(thing.id, pose, config.size, config.hfov_deg)
        alone = loaded.visibility.unoccluded_pixels(thing.id, pose, config.size, config.hfov_deg)
        share = seen / max(alone, seen, 1)
        if hard and share >= config.hard_visible and seen > config.hard_pixels:
            continue
        if free or seen >= config.min_pixels or (seen >= 4 and share >= config.min_share):
            return View(pose, box, share, away)
    return None
