"""The reference of `mscn_naturalness`: what pictures of training houses and tables are like."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from worldloop.core import Episode, InputError, generator
from worldloop.envs.house.render import camera_pose
from worldloop.envs.house.scenes import load_scene
from worldloop.envs.house.splits import check_disjoint
from worldloop.envs.tabletop.layout import FAMILIES, scene_id
from worldloop.envs.tabletop.world import TabletopWorld
from worldloop.metrics.shared.grey import grey
from worldloop.metrics.shared.mscn import FEATURES, Reference, mscn_features


@dataclass(frozen=True)
class NaturalnessConfig:
    """Settings of the fit."""

    views: int = 30
    """Of each house."""
    tables: int = 250
    """Views of tables, each of a layout of its own."""
    size: int = 128
    """Pixels of a side."""
    shrinkage: float = 0.05
    """Share of the covariance that is replaced by its diagonal: features that always go together would otherwise make
    the slightest deviation look enormous."""
    seed: int = 0


def fit_naturalness(houses: Sequence[str], config: NaturalnessConfig | None = None) -> Reference:
    """One Gaussian for houses, one for tables. SplitError for a scene of `val` or `test`; InputError for too few views."""
    config = config or NaturalnessConfig()
    check_disjoint(houses, [])
    worlds = {"house": _house_views(houses, config), "table": _table_views(config)}
    for name, views in worlds.items():
        if len(views) <= 2 * FEATURES:
            raise InputError(f"{len(views)} views of {name} for {FEATURES} features; take more")
    rows = [mscn_features(grey(views)) for views in worlds.values()]
    covariances = []
    for row in rows:
        covariance = np.cov(row.T)
        covariances.append(
            (1 - config.shrinkage) * covariance + config.shrinkage * np.diag(np.diag(covariance))
        )
    return Reference(np.stack([r.mean(axis=0) for r in rows]), np.stack(covariances), tuple(worlds))


def _house_views(houses: Sequence[str], config: NaturalnessConfig) -> np.ndarray:
    views = []
    for scene in houses:
        random, loaded = generator(config.seed, "naturalness", scene), load_scene(scene)
        for _ in range(config.views):
            x, y = loaded.nav.random_free_point(random)
            pose = camera_pose(x, y, 22.5 * int(random.integers(16)), 1.25)
            views.append(loaded.renderer.pinhole(pose, config.size, 90.0).rgb)
    return np.stack(views)


def _table_views(config: NaturalnessConfig) -> np.ndarray:
    views, world = [], TabletopWorld(size=config.size)
    for number in range(config.tables):
        scene = scene_id("train", FAMILIES[number % len(FAMILIES)], number // len(FAMILIES))
        views.append(world.reset(Episode(f"view-{number}", "naturalness", scene, number, {}, {}, 1)).rgb)
    world.close()
    return np.stack(views)
