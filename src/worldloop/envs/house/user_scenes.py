"""Scenes of the user's own: glTF, GLB and OBJ through trimesh, MJCF through MuJoCo."""

from __future__ import annotations

import hashlib
import math
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from worldloop.core.errors import InputError, WorldloopError
from worldloop.envs.house.mesh import Instance, TriangleScene

TEXTURE_SIZE = 256
STRUCTURE = frozenset({"wall", "floor", "ceiling", "door_frame", "window"})
"""Things with exactly these category names are the building, everything else is furniture."""
_LAMP_SPACING = 4.5


@dataclass(slots=True)
class Part:
    """Triangles of one named thing."""

    name: str
    triangles: np.ndarray
    """[T,3,3], z-up, metres."""
    uvs: np.ndarray | None = None
    """[T,3,2], rows running downwards."""
    texture: np.ndarray | None = None
    """uint8 [S,S,3] of side `TEXTURE_SIZE`."""
    colours: np.ndarray = field(default_factory=lambda: np.full((1, 3), 0.8, np.float32))
    """[T,3] or [1,3], sRGB 0..1."""


def load_user_scene(path: str | Path) -> TriangleScene:
    """A scene from a .glb, .gltf or .obj file (y-up, metres) or an MJCF .xml file (z-up, metres).

    Each node (glTF, OBJ) or body (MJCF) becomes a thing whose category is its name without a trailing number.
    The main floor is moved to z = 0; an agent may walk within the scene's bounds. A scene without lights
    gets lamps. Raises InputError for a missing, damaged or empty file, MissingExtraError without the reader.
    """
    path = Path(path)
    if not path.is_file():
        raise InputError(f"no scene file {path}")
    suffix = path.suffix.lower()
    if suffix not in (".glb", ".gltf", ".obj", ".xml", ".mjcf"):
        raise InputError(f"{path}: scenes are .glb, .gltf, .obj or MJCF .xml files, not {suffix or 'this'}")
    # A damaged file fails in as many ways as its reader has lines; none of them is the caller's concern.
    # Absurd numbers overflow on their way; what comes of them is refused in the end.
    try:
        with np.errstate(over="ignore", invalid="ignore"):
            parts, lights = _read(path, suffix)
            return assemble([p for p in parts if len(p.triangles)], lights, str(path))
    except WorldloopError:
        raise
    except Exception as error:
        raise InputError(f"{path} is not a readable {suffix} file: {error}") from error


def _read(path: Path, suffix: str) -> tuple[list[Part], np.ndarray]:
    """Parts, and places of lights [n,3]."""
    if suffix in (".xml", ".mjcf"):
        from worldloop.envs.house.user_mjcf import read_model

        return read_model(path)
    from worldloop.envs.house.user_gltf import read_parts

    return read_parts(path), np.zeros((0, 3), np.float32)


def assemble(parts: Sequence[Part], lights: np.ndarray, source: str) -> TriangleScene:
    """One scene from parts; InputError when there is nothing to see or a coordinate is not finite."""
    if not parts:
        raise InputError(f"{source} holds no triangles")
    counts = [len(p.triangles) for p in parts]
    coordinates = np.concatenate([p.triangles for p in parts])
    for places in (coordinates, np.asarray(lights)):
        if not np.isfinite(places).all() or np.abs(places).max(initial=0) > 1e4:
            raise InputError(f"{source}: coordinates are not finite numbers of metres")
    positions = coordinates.astype(np.float32)
    floor = floor_level(positions)
    positions[:, :, 2] -= floor
    lower, upper = positions.min(axis=(0, 1)), positions.max(axis=(0, 1))
    things, instances = _things(parts, positions, counts)
    textures, layers = _textures(parts, counts)
    uvs = [np.zeros((n, 3, 2)) if p.uvs is None else p.uvs for p, n in zip(parts, counts)]
    colours = [np.broadcast_to(p.colours, (n, 3)) for p, n in zip(parts, counts)]
    if len(lights):
        lamps = (np.asarray(lights) - (0, 0, floor)).astype(np.float32)
    else:
        lamps = _default_lamps(lower, upper)
    arrays = {
        "positions": positions,
        "normals": corner_normals(positions),
        "uvs": np.nan_to_num(np.concatenate(uvs)).astype(np.float32),
        "layers": layers,
        "colours": np.clip(np.concatenate(colours), 0, 1).astype(np.float32),
        "instances": instances,
        "textures": textures,
        "lights": lamps,
    }
    digest = hashlib.blake2b(digest_size=12)
    for name, array in arrays.items():
        digest.update(f"{name}{array.shape}".encode() + np.ascontiguousarray(array).tobytes())
    digest.update("\n".join(t.name for t in things.values()).encode())
    bounds = float(lower[0]), float(lower[1]), float(upper[0]), float(upper[1])
    return TriangleScene(key=f"user-{digest.hexdigest()}", things=things, walkable=(bounds,), **arrays)


def corner_normals(triangles: np.ndarray) -> np.ndarray:
    """float32 [T,3,3]: smooth where a face is within 32 degrees of the mean of its neighbours, else flat."""
    corners = np.asarray(triangles, np.float64)
    cross = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    face = cross / np.maximum(np.linalg.norm(cross, axis=1, keepdims=True), 1e-20)
    _, vertex = np.unique(np.round(corners.reshape(-1, 3), 5), axis=0, return_inverse=True)
    vertex = vertex.reshape(-1)
    mean = np.zeros((int(vertex.max(initial=-1)) + 1, 3))
    np.add.at(mean, vertex, np.repeat(cross, 3, axis=0))
    mean /= np.maximum(np.linalg.norm(mean, axis=1, keepdims=True), 1e-20)
    smooth = mean[vertex].reshape(-1, 3, 3)
    flat = np.repeat(face[:, None], 3, axis=1)
    return np.where((smooth * flat).sum(axis=2, keepdims=True) > 0.85, smooth, flat).astype(np.float32)


def floor_level(positions: np.ndarray) -> float:
    """Height of the main floor: the lowest level with at least half of the largest up-facing area."""
    cross = np.cross(positions[:, 1] - positions[:, 0], positions[:, 2] - positions[:, 0])
    area = np.linalg.norm(cross, axis=1)
    level = np.abs(cross[:, 2]) > 0.98 * np.maximum(area, 1e-12)
    lowest = float(positions[:, :, 2].min())
    if not level.any():
        return lowest
    heights = positions[level, :, 2].mean(axis=1)
    bins = np.floor((heights - lowest) / 0.05).astype(int)
    up = cross[level, 2].clip(min=0)
    totals = np.bincount(bins, weights=up)
    if totals.max() <= 0:
        return lowest
    chosen = int(np.argmax(totals >= totals.max() / 2))
    inside = (bins == chosen) & (up > 0)
    return float(np.average(heights[inside], weights=up[inside]))


def _things(
    parts: Sequence[Part], positions: np.ndarray, counts: Sequence[int]
) -> tuple[dict[int, Instance], np.ndarray]:
    """One thing per name, in order of appearance, and the thing of every triangle."""
    numbers: dict[str, int] = {}
    for part in parts:
        numbers.setdefault(part.name, len(numbers) + 1)
    instances = np.repeat([numbers[p.name] for p in parts], counts).astype(np.int32)
    things = {}
    for name, number in numbers.items():
        points = positions[instances == number].reshape(-1, 3)
        lower, upper = points.min(axis=0).tolist(), points.max(axis=0).tolist()
        category = re.sub(r"[\s._-]*\d+$", "", name).lower() or name
        things[number] = Instance(number, category, name, lower, upper, structure=category in STRUCTURE)
    return things, instances


def _textures(parts: Sequence[Part], counts: Sequence[int]) -> tuple[np.ndarray, np.ndarray]:
    """Distinct textures, uint8 [K,S,S,3], and the layer of every triangle."""
    found: dict[bytes, int] = {}
    images: list[np.ndarray] = []
    layers = []
    for part in parts:
        layer = -1
        if part.texture is not None and part.uvs is not None:
            key = part.texture.tobytes()
            if key not in found:
                found[key] = len(images)
                images.append(part.texture)
            layer = found[key]
        layers.append(layer)
    empty = np.zeros((0, TEXTURE_SIZE, TEXTURE_SIZE, 3), np.uint8)
    return (np.stack(images) if images else empty), np.repeat(layers, counts).astype(np.int32)


def _default_lamps(lower: np.ndarray, upper: np.ndarray) -> np.ndarray:
    """float32 [n,3]: lamps in a regular pattern, under the ceiling if the scene is tall enough to have one."""
    height = float(upper[2]) - 0.3 if upper[2] >= 1.8 else 2.4
    axes = []
    for axis in range(2):
        count = min(8, max(1, math.ceil((upper[axis] - lower[axis]) / _LAMP_SPACING)))
        axes.append(lower[axis] + (np.arange(count) + 0.5) / count * (upper[axis] - lower[axis]))
    x, y = np.meshgrid(*axes, indexing="ij")
    return np.stack([x.ravel(), y.ravel(), np.full(x.size, min(height, 2.6))], axis=1).astype(np.float32)
