"""Training the recogniser on the house: render views of things, extract features, fit and calibrate a head."""

from __future__ import annotations

import itertools
import logging
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from worldloop.agents.perception import Perception, PerceptionConfig
from worldloop.agents.perception.answerer import (
    VECTOR,
    Recogniser,
    shipped_recogniser_path,
    view_vectors,
)
from worldloop.agents.perception.calibration import fuse, report
from worldloop.agents.perception.head_training import HeadConfig, Views, evaluate, train_head
from worldloop.core import InputError, SplitError, generator
from worldloop.envs.house.mesh import Instance
from worldloop.envs.house.render import camera_pose
from worldloop.envs.house.scenes import LoadedScene, load_scene
from worldloop.envs.house.visibility import project_box

log = logging.getLogger(__name__)

VISIBILITY_BINS = (0.0, 0.1, 0.3, 0.6, 1.0)
"""Edges of the visible shares by which accuracy is reported."""
ATTEMPTS = 40
"""Camera positions tried for one view before the target is given up."""


@dataclass(frozen=True)
class RecogniserConfig:
    """Settings of `train_recogniser`. Scene counts are per style."""

    styles: tuple[str, ...] = ("A", "B", "C")
    train_scenes: int = 60
    validation_scenes: int = 12
    test_scenes: int = 12
    targets_per_scene: int = 24
    views_per_target: int = 5
    distance: tuple[float, float] = (0.4, 4.5)
    """Metres between the camera and the middle of the target, on the floor plan."""
    size: int = 128
    """Side of the rendered picture in pixels."""
    hfov_deg: float = 90.0
    camera_height: float = 1.25
    off_centre_deg: float = 40.0
    """Largest angle between the optical axis and the direction to the target."""
    min_pixels: int = 12
    """A view is kept if so many pixels of the target are in sight, or `min_share` of it and 4 pixels."""
    min_share: float = 0.03
    seed: int = 0
    head: HeadConfig = field(default_factory=HeadConfig)
    output: Path | None = None
    """Where the head is written; None is the packaged file."""


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


def train_recogniser(config: RecogniserConfig | None = None) -> dict[str, Any]:
    """Render, train, calibrate, test and write the recogniser; returns its card.

    The card tells data, scenes, steps, seconds and the metrics on validation and test scenes, the latter
    also by visible share and by class. SplitError when a scene is in two splits, InputError when a
    split yields no views.
    """
    config = config or RecogniserConfig()
    started = time.perf_counter()
    splits = {
        name: scene_ids(config.styles, split, count)
        for name, split, count in (
            ("train", "train", config.train_scenes),
            ("validation", "val", config.validation_scenes),
            ("test", "test", config.test_scenes),
        )
    }
    everything = [scene for scenes in splits.values() for scene in scenes]
    if len(set(everything)) != len(everything):
        raise SplitError("a scene is in two splits")
    views = {name: collect_views(scenes, config) for name, scenes in splits.items()}
    classes = sorted(set(views["train"].categories))
    card = {
        "data": f"worldloop house, styles {', '.join(config.styles)}, rendered at {config.size} px",
        "scenes": {name: len(scenes) for name, scenes in splits.items()},
        "views": {name: len(v.categories) for name, v in views.items()},
        "collect_seconds": round(time.perf_counter() - started, 1),
        "settings": {k: v for k, v in asdict(config).items() if k not in ("head", "output")},
    }
    recogniser = train_head(
        views["train"].labelled(classes), views["validation"].labelled(classes), classes, config.head, card
    )
    recogniser.card = {
        **recogniser.card,
        "test": held_out_report(recogniser, views["test"], config.head),
        "seconds": round(time.perf_counter() - started, 1),
    }
    output = config.output or shipped_recogniser_path()
    recogniser.save(output)
    log.info("recogniser written to %s", output)
    return dict(recogniser.card)


def scene_ids(styles: Sequence[str], split: str, count: int) -> list[str]:
    """The first `count` scenes of a split in every style."""
    return [f"house/{split}/{style}/{index:04d}" for style in styles for index in range(count)]


def collect_views(
    scenes: Sequence[str], config: RecogniserConfig, perception: Perception | None = None
) -> HouseViews:
    """Render and describe views of things in scenes; depends on the scene ids and the settings alone."""
    # Every view is new: a memory would only fill up.
    perception = perception or Perception(PerceptionConfig(memo_bytes=0))

    def one(scene: str) -> HouseViews:
        part = _scene_views(scene, config, perception)
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


def _scene_views(scene: str, config: RecogniserConfig, perception: Perception) -> HouseViews:
    loaded = load_scene(scene)
    random = generator("recogniser_views", config.seed, scene)
    images, boxes, categories, targets, visible, metres = [], [], [], [], [], []
    for thing in _choose_targets(loaded, config.targets_per_scene, random):
        for _ in range(config.views_per_target):
            view = sample_view(loaded, thing, config, random)
            if view is None:
                break
            pose, box, share, away = view
            images.append(loaded.renderer.pinhole(pose, config.size, config.hfov_deg).rgb)
            boxes.append(box)
            categories.append(thing.category)
            targets.append(thing.name)
            visible.append(share)
            metres.append(away)
    vectors = view_vectors(perception, images, boxes, config.hfov_deg)
    return HouseViews(
        vectors.reshape(-1, VECTOR),
        categories,
        [scene] * len(categories),
        targets,
        np.array(visible, np.float32),
        np.array(metres, np.float32),
    )


def _choose_targets(loaded: LoadedScene, count: int, random: np.random.Generator) -> list[Instance]:
    """Up to `count` different things; rare categories come first in every round, so all get their turn."""
    by_category: dict[str, list[Instance]] = {}
    for thing in loaded.things.values():
        if not thing.structure:
            by_category.setdefault(thing.category, []).append(thing)
    queues = [
        [by_category[name][i] for i in random.permutation(len(by_category[name]))]
        for name in sorted(by_category)
    ]
    chosen: list[Instance] = []
    while len(chosen) < count and any(queues):
        for i in random.permutation(len(queues)):
            if queues[i] and len(chosen) < count:
                chosen.append(queues[i].pop())
    return chosen


def sample_view(
    loaded: LoadedScene, thing: Instance, config: RecogniserConfig, random: np.random.Generator
) -> tuple[np.ndarray, tuple[float, float, float, float], float, float] | None:
    """A pose [4,4] from which a thing can be told, its box, its visible share and its distance in metres.

    None when no free place of `ATTEMPTS` tried shows enough of it.
    """
    middle = (np.array(thing.lower[:2]) + np.array(thing.upper[:2])) / 2
    for _ in range(ATTEMPTS):
        away, angle = random.uniform(*config.distance), random.uniform(0, 2 * np.pi)
        aside = random.uniform(-config.off_centre_deg, config.off_centre_deg)
        x, y = middle - away * np.array([np.cos(angle), np.sin(angle)])
        if not loaded.nav.is_free((x, y)):
            continue
        pose = camera_pose(float(x), float(y), float(np.degrees(angle) + aside), config.camera_height)
        box = project_box(thing, pose, config.size, config.hfov_deg)
        if box is None:
            continue
        seen = loaded.visibility.visible_pixels(thing.id, pose, config.size, config.hfov_deg)
        if seen < 4:
            continue
        alone = loaded.visibility.unoccluded_pixels(thing.id, pose, config.size, config.hfov_deg)
        share = seen / max(alone, seen)
        if seen >= config.min_pixels or share >= config.min_share:
            return pose, box, share, float(away)
    return None


def held_out_report(
    recogniser: Recogniser, views: HouseViews, head: HeadConfig | None = None
) -> dict[str, Any]:
    """Accuracy and calibration by number of views, and of single views by visible share and by class."""
    labelled = views.labelled(recogniser.classes)
    known = np.array([name in recogniser.classes for name in views.categories])
    visible = views.visible[known]
    logits = recogniser.logits(labelled.vectors)
    p = np.stack([fuse(row[None], recogniser.fusion) for row in logits])
    by_share = {}
    for low, high in itertools.pairwise(VISIBILITY_BINS):
        rows = (visible >= low) & ((visible < high) | (high == VISIBILITY_BINS[-1]))
        by_share[f"{low:g}-{high:g}"] = report(p[rows], labelled.labels[rows])
    by_class = {
        name: {
            "count": int((labelled.labels == i).sum()),
            "accuracy": float((p[labelled.labels == i].argmax(1) == i).mean()),
        }
        for i, name in enumerate(recogniser.classes)
        if (labelled.labels == i).any()
    }
    return {
        "by_views": evaluate(recogniser, labelled, head),
        "by_visible_share": by_share,
        "by_class": by_class,
        "unknown_categories": sorted({n for n in views.categories if n not in recogniser.classes}),
    }
