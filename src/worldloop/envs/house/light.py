"""Baked light: lamps with soft shadows, one diffuse bounce and ambient occlusion, stored on the surfaces.

Light varies slowly along a surface, so it is sampled on a barycentric grid of about `SPACING` metres within
each triangle. Large walls get many samples without adding a triangle to the ray tree; a chair leg gets one
per corner. Samples with the same place and normal are computed once.
"""

from __future__ import annotations

import logging
import os
import tempfile
import zipfile
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from worldloop.envs.house import light_kernels as kernels
from worldloop.envs.house.embree import RayScene
from worldloop.envs.house.mesh import TriangleScene

logger = logging.getLogger(__name__)

BAKE_VERSION = 5
"""Part of the cache's file names: raise it whenever baking changes its result."""
SPACING = 0.16
FURNITURE_SPACING = 0.25
GROUND_SPACING = 0.09
"""Metres between samples where things stand: it is the shadow at their feet that puts them there."""
MAX_DIVISIONS = 64
TYPICAL_LIGHT = 0.62
MAX_LAMPS = 4
_CHUNK = 4096


@dataclass(frozen=True, slots=True, eq=False)
class BakedLight:
    """Irradiance on the barycentric grid of every triangle.

    A triangle with n divisions owns (n + 1)(n + 2) / 2 consecutive samples, row by row along corner 1.
    """

    values: np.ndarray
    """float32 [Q,3], linear; `TYPICAL_LIGHT` is a well-lit place."""
    offsets: np.ndarray
    """int32 [T], first sample of each triangle."""
    divisions: np.ndarray
    """int32 [T], 1 or more."""

    @staticmethod
    def uniform(scene: TriangleScene, value: float = 1.0) -> BakedLight:
        """The same light everywhere: for tests and for looking at geometry alone."""
        count = len(scene.positions)
        return BakedLight(
            np.full((3 * count, 3), value, np.float32),
            np.arange(count, dtype=np.int32) * 3,
            np.ones(count, np.int32),
        )


@dataclass(frozen=True, slots=True, eq=False)
class SampleGrid:
    """Where light is sampled: the grid of every triangle, and the distinct samples behind it."""

    offsets: np.ndarray
    divisions: np.ndarray
    inverse: np.ndarray
    """int32 [Q], the distinct sample of each grid point."""
    points: np.ndarray
    """float32 [P,3]."""
    normals: np.ndarray
    """float32 [P,3]."""
    solid: np.ndarray
    """bool [P], part of the building: lit on the front only."""
    glowing: np.ndarray
    """bool [P], window panes: they shine with daylight."""


def sample_grid(scene: TriangleScene) -> SampleGrid:
    """Lay the light grid over a scene; deterministic, and quick enough not to be stored."""
    corners = np.ascontiguousarray(scene.positions, np.float32)
    structure, panes = np.zeros((2, max(scene.things, default=0) + 1), bool)
    for thing in scene.things.values():
        structure[thing.id], panes[thing.id] = thing.structure, thing.category == "window"
    solid = structure[scene.instances]
    level = scene.normals[:, :, 2].min(axis=1) > 0.95
    spacing = np.where(level, GROUND_SPACING, np.where(solid, SPACING, FURNITURE_SPACING))
    divisions = _divisions(corners, spacing)
    counts = (divisions + 1) * (divisions + 2) // 2
    offsets = (np.cumsum(counts) - counts).astype(np.int32)
    total = int(counts.sum())
    points, normals = np.empty((total, 3), np.float32), np.empty((total, 3), np.float32)
    keys = np.empty(total, np.uint64)
    corner_normals = np.ascontiguousarray(scene.normals, np.float32)
    kernels.place_samples(corners, corner_normals, solid, offsets, divisions, points, normals, keys)
    _, first, inverse = np.unique(keys, return_index=True, return_inverse=True)
    owners = np.repeat(scene.instances, counts)
    # Neighbours in space become neighbours in memory, which keeps the ray tree's upper levels in the cache.
    order = np.lexsort(np.floor(points[first] / 0.5).T)
    rank = np.empty(len(order), np.int32)
    rank[order] = np.arange(len(order), dtype=np.int32)
    first = first[order]
    return SampleGrid(
        offsets,
        divisions,
        rank[inverse],
        points[first],
        normals[first],
        structure[owners[first]],
        panes[owners[first]],
    )


def _divisions(corners: np.ndarray, spacing: np.ndarray) -> np.ndarray:
    """int32 [T]: divisions for a spacing in metres; slivers get fewer, their grid is dense across anyway."""
    edges = corners - np.roll(corners, -1, axis=1)
    longest = np.linalg.norm(edges, axis=2).max(axis=1)
    breadth = np.sqrt(np.linalg.norm(np.cross(edges[:, 0], edges[:, 1]), axis=1))
    needed = np.minimum(longest, np.maximum(longest / 2.5, 1.6 * breadth)) / spacing
    return np.clip(np.ceil(needed), 1, MAX_DIVISIONS).astype(np.int32)


def mean_albedo(scene: TriangleScene) -> np.ndarray:
    """float32 [T,3], linear: what each triangle reflects on average."""
    tints = np.asarray(scene.colours, np.float32) ** 2.2
    if len(scene.textures):
        small = scene.textures[:, ::8, ::8].astype(np.float32) / 255
        means = np.concatenate([(small**2.2).mean(axis=(1, 2)), np.ones((1, 3), np.float32)])
        tints = tints * means[scene.layers]
    return np.ascontiguousarray(tints, np.float32)


def bake(
    scene: TriangleScene, grid: SampleGrid, rays: RayScene | None = None, workers: int = 2
) -> np.ndarray:
    """float32 [P,3]: the light at every distinct sample; the same bytes for any number of workers."""
    rays = rays or RayScene(scene.positions)
    calls = rays.calls()
    count = len(grid.points)
    points, normals = grid.points.copy(), grid.normals.copy()
    lamps = np.ascontiguousarray(scene.lights, np.float32).reshape(-1, 3)
    nearest = np.empty((count, MAX_LAMPS), np.int32)
    direct = np.zeros((count, 3), np.float32)
    result = np.zeros((count, 3), np.float32)
    buried = np.zeros(count, np.bool_)
    flat = np.cross(
        scene.positions[:, 1] - scene.positions[:, 0], scene.positions[:, 2] - scene.positions[:, 0]
    ).astype(np.float32)
    albedo = mean_albedo(scene)
    offsets, divisions, inverse = grid.offsets, grid.divisions, grid.inverse
    many, few = kernels.cosine_directions(2 * 16), kernels.cosine_directions(16)

    def lamp_light(start: int) -> None:
        stop = min(start + _CHUNK, count)
        kernels.face_outwards(calls, points, normals, grid.solid, start, stop)
        kernels.light_from_lamps(
            calls, points, normals, grid.solid, grid.glowing, lamps, nearest, direct, start, stop
        )

    def bounce_light(start: int) -> None:
        stop = min(start + _CHUNK, count)
        kernels.light_from_surfaces(
            calls, points, normals, many, few, flat, albedo, direct, offsets, divisions, inverse,
            grid.solid, result, buried, start, stop,
        )  # fmt: skip

    starts = range(0, count, _CHUNK)
    with ThreadPoolExecutor(max(1, workers)) as pool:
        list(pool.map(lamp_light, starts))
        list(pool.map(bounce_light, starts))
    kernels.fill_buried(offsets, divisions, inverse, buried, result)
    return result * _exposure(result)


def _exposure(light: np.ndarray) -> np.float32:
    """The factor that brings the typical lit place of a scene to `TYPICAL_LIGHT`, however many lamps it has."""
    brightness = light.mean(axis=1)
    lit = brightness[brightness > 0.2]
    typical = float(np.median(lit)) if len(lit) else 0.2
    return np.float32(np.clip(TYPICAL_LIGHT / typical, 0.3, 3.0))


def default_cache_dir() -> Path:
    """$WORLDLOOP_CACHE, or ~/.cache/worldloop."""
    configured = os.environ.get("WORLDLOOP_CACHE")
    return Path(configured) if configured else Path.home() / ".cache" / "worldloop"


def bake_light(
    scene: TriangleScene,
    cache_dir: str | Path | None = None,
    *,
    rays: RayScene | None = None,
    workers: int = 2,
) -> BakedLight:
    """Light of a scene, from the disk cache or baked now (about a second for a furnished house).

    A damaged cache file is replaced; a cache folder that cannot be written costs only the time.
    """
    grid = sample_grid(scene)
    folder = Path(cache_dir) if cache_dir is not None else default_cache_dir()
    path = folder / "light" / f"{scene.key}-v{BAKE_VERSION}.npz"
    values = _read(path, len(grid.points))
    if values is None:
        # Rounding to half precision now makes a fresh bake and a cached one the same picture.
        values = bake(scene, grid, rays, workers).astype(np.float16)
        _write(path, values)
    light = np.ascontiguousarray(values.astype(np.float32)[grid.inverse])
    return BakedLight(light, grid.offsets, grid.divisions)


def _read(path: Path, count: int) -> np.ndarray | None:
    if not path.is_file():
        return None
    try:
        with np.load(path, allow_pickle=False) as stored:
            values = stored["values"]
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
        logger.warning("light cache %s is damaged (%s); baking again", path, error)
        return None
    if values.shape != (count, 3) or values.dtype != np.float16 or not np.isfinite(values).all():
        logger.warning("light cache %s does not fit its scene; baking again", path)
        return None
    return values


def _write(path: Path, values: np.ndarray) -> None:
    temporary = ""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, temporary = tempfile.mkstemp(dir=path.parent, suffix=".tmp")
        with os.fdopen(handle, "wb") as file:
            np.savez(file, values=values)
        Path(temporary).replace(path)
    except OSError as error:
        logger.warning("could not store the light cache %s: %s", path, error)
        if temporary:
            Path(temporary).unlink(missing_ok=True)
