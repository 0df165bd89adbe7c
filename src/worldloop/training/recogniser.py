"""Training the recogniser on the house: render views of things, extract features, fit and calibrate a head."""

from __future__ import annotations

import itertools
import logging
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from worldloop.agents.perception.answerer import Recogniser, shipped_recogniser_path
from worldloop.agents.perception.calibration import fuse, report
from worldloop.agents.perception.head_training import HeadConfig, evaluate, train_head
from worldloop.core import SplitError
from worldloop.training.recogniser_views import HouseViews, ViewConfig, collect_views

log = logging.getLogger(__name__)

VISIBILITY_BINS = (0.0, 1e-6, 0.1, 0.3, 0.6, 1.0)
"""Edges of the visible shares by which accuracy is reported; the first bin is wholly hidden."""


@dataclass(frozen=True)
class TrainConfig:
    """Settings of `train_recogniser`. Scene counts are per style."""

    scenes: int = 60
    """Training scenes."""
    views: int = 120
    """Views in each scene; rounded down to whole targets of `view.views_per_target`."""
    validation_scenes: int = 12
    test_scenes: int = 12
    styles: tuple[str, ...] = ("A", "B", "C")
    seed: int = 0
    out: Path | None = None
    """Folder for `recogniser.safetensors` and its card; None replaces the packaged head."""
    view: ViewConfig = field(default_factory=ViewConfig)
    head: HeadConfig = field(default_factory=HeadConfig)


def train_recogniser(config: TrainConfig | None = None) -> dict[str, Any]:
    """Render, train, calibrate, test and write the recogniser; returns its card.

    The card tells data, scenes, steps, seconds and the metrics on validation and test scenes, the latter
    also by visible share and by class. SplitError when a scene is in two splits, InputError when a
    split yields no views.
    """
    config = config or TrainConfig()
    started = time.perf_counter()
    splits = {
        name: scene_ids(config.styles, split, count)
        for name, split, count in (
            ("train", "train", config.scenes),
            ("validation", "val", config.validation_scenes),
            ("test", "test", config.test_scenes),
        )
    }
    everything = [scene for scenes in splits.values() for scene in scenes]
    if len(set(everything)) != len(everything):
        raise SplitError("a scene is in two splits")
    view = replace(
        config.view, targets_per_scene=max(1, config.views // config.view.views_per_target), seed=config.seed
    )
    head = replace(config.head, seed=config.seed)
    views = {name: collect_views(scenes, view, walk=name != "train") for name, scenes in splits.items()}
    classes = sorted(set(views["train"].categories))
    card = {
        "data": f"worldloop house, styles {', '.join(config.styles)}, rendered at {view.size} px",
        "scenes": {name: len(scenes) for name, scenes in splits.items()},
        "views": {name: len(v.categories) for name, v in views.items()},
        "collect_seconds": round(time.perf_counter() - started, 1),
        "settings": {k: v for k, v in asdict(view).items() if k != "categories"},
    }
    recogniser = train_head(
        views["train"].labelled(classes), views["validation"].labelled(classes), classes, head, card
    )
    recogniser.card = {
        **recogniser.card,
        "test": held_out_report(recogniser, views["test"], head),
        "seconds": round(time.perf_counter() - started, 1),
    }
    packaged = shipped_recogniser_path()
    output = config.out / packaged.name if config.out else packaged
    recogniser.save(output)
    log.info("recogniser written to %s", output)
    return dict(recogniser.card)


def scene_ids(styles: Sequence[str], split: str, count: int) -> list[str]:
    """The first `count` scenes of a split in every style."""
    return [f"house/{split}/{style}/{index:04d}" for style in styles for index in range(count)]


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
        name = "hidden" if high == VISIBILITY_BINS[1] else f"{0 if low < 0.01 else low:g}-{high:g}"
        by_share[name] = report(p[rows], labelled.labels[rows])
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
