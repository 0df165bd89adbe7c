"""Training of the reading of free space: ridge regression on views of training houses."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from worldloop.agents.perception.efficientnet import spatial_features
from worldloop.agents.perception.free_space import (
    BEARINGS,
    CELLS,
    FARTHEST,
    STRIDE,
    VECTOR,
    FreeSpace,
    column_vectors,
)
from worldloop.core import generator
from worldloop.envs.house.render import camera_pose
from worldloop.envs.house.scenes import load_scene
from worldloop.envs.house.splits import check_disjoint


@dataclass(frozen=True)
class FreeSpaceConfig:
    """Settings of the training."""

    views: int = 120
    """Of each scene."""
    ridge: float = 30.0
    """Penalty on squared weights, features having unit deviation."""
    seed: int = 0


def free_views(scenes: Sequence[str], config: FreeSpaceConfig) -> tuple[np.ndarray, np.ndarray]:
    """`column_vectors` float32 [N,5,VECTOR] of random views, and the true metres float32 [N,5] along each bearing."""
    vectors, metres = [], []
    for scene in scenes:
        rng, loaded = generator(config.seed, "free space", scene), load_scene(scene)
        images = []
        for _ in range(config.views):
            x, y = loaded.nav.random_free_point(rng)
            yaw = 22.5 * int(rng.integers(16))
            images.append(loaded.renderer.pinhole(camera_pose(x, y, yaw, 1.25), 128, 90.0).rgb)
            row = []
            for bearing in BEARINGS:
                angle = math.radians(yaw + bearing)
                step = FARTHEST * math.cos(angle), FARTHEST * math.sin(angle)
                (ex, ey), _ = loaded.nav.move((x, y), step)
                row.append(math.hypot(ex - x, ey - y))
            metres.append(row)
        vectors.append(column_vectors(spatial_features(images, CELLS * STRIDE, STRIDE)))
    return np.concatenate(vectors), np.array(metres, np.float32)


def train_free_space(
    scenes: Sequence[str], test_scenes: Sequence[str], config: FreeSpaceConfig | None = None
) -> FreeSpace:
    """Fit log(1 + metres) on `scenes` and put the errors on `test_scenes` into the card.

    SplitError when scenes are shared or held out.
    """
    config = config or FreeSpaceConfig()
    check_disjoint(scenes, test_scenes)
    vectors, metres = free_views(scenes, config)
    x = vectors.reshape(-1, VECTOR)
    scale = np.maximum(x.std(axis=0), 1e-3).astype(np.float32)
    scale[-len(BEARINGS) :] = 1.0
    x = (x / scale).astype(np.float64)
    penalty = np.full(VECTOR, config.ridge)
    penalty[-len(BEARINGS) :] = 1e-3
    weights = np.linalg.solve(x.T @ x + np.diag(penalty), x.T @ np.log1p(metres.reshape(-1)))
    found = FreeSpace(weights.astype(np.float32), scale)
    held, truth = free_views(test_scenes, config)
    guess = found.read(held)
    error = guess - truth
    card = {
        "trained_on": list(scenes),
        "views": len(vectors),
        "tested_on": list(test_scenes),
        "test_views": len(held),
        "mean_absolute_error_m": [round(float(v), 3) for v in np.abs(error).mean(axis=0)],
        "explained_variance": round(float(1 - error.var() / truth.var()), 3),
        "bearings_deg": list(BEARINGS),
    }
    return FreeSpace(found.weights, found.scale, card)
