"""Habitat's frame of reference and ours, and panoramas put together from the faces of a cube.

Habitat has y up and looks along -z; rotations are quaternions. Here the world has z up, and a camera x right, y down, z
forward: [x, y, z] here is [-z, -x, y] there, so that yaw 0 looks along +x, as everywhere in worldloop.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from functools import lru_cache

import numpy as np
from scipy.spatial.transform import Rotation

OURS = np.array([[0.0, 0.0, -1.0], [-1.0, 0.0, 0.0], [0.0, 1.0, 0.0]])
"""Takes Habitat's coordinates to ours."""
CAMERA = np.diag([1.0, -1.0, -1.0])
"""Takes our camera's axes to Habitat's."""
FACES: dict[str, tuple[float, float, float]] = {
    "front": (0.0, 0.0, 0.0),
    "left": (0.0, math.pi / 2, 0.0),
    "back": (0.0, math.pi, 0.0),
    "right": (0.0, -math.pi / 2, 0.0),
    "up": (math.pi / 2, 0.0, 0.0),
    "down": (-math.pi / 2, 0.0, 0.0),
}
"""Face of the cube -> turns of its camera about Habitat's x, y and z, radians; never about two of them."""


def camera_pose(position: np.ndarray, rotation: np.ndarray, height: float, pitch_deg: float) -> np.ndarray:
    """Camera-to-world float64 [4,4] in our frame, of a camera `height` metres above an agent.

    position [3] and rotation (w, x, y, z) are Habitat's; the pitch is positive upwards.
    """
    turn = quaternion(rotation)
    pose = np.eye(4)
    pose[:3, :3] = OURS @ (turn * Rotation.from_euler("x", pitch_deg, degrees=True)).as_matrix() @ CAMERA
    pose[:3, 3] = OURS @ (np.asarray(position, float) + turn.apply([0.0, height, 0.0]))
    return pose


def quaternion(wxyz: np.ndarray) -> Rotation:
    """A rotation from (w, x, y, z), of any length above zero."""
    w, x, y, z = (float(v) for v in wxyz)
    return Rotation.from_quat([x, y, z, w])


@lru_cache(maxsize=4)
def panorama_table(height: int) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """For every pixel of a panorama [height, 2 height]: face, row and column to read, and 1 / cosine of the ray there.

    The faces have `height` pixels a side and 90 degrees of view.
    """
    azimuth = (np.arange(2 * height) + 0.5 - height) * math.pi / height  # right positive
    polar = (np.arange(height) + 0.5) * math.pi / height
    azimuth, polar = np.meshgrid(azimuth, polar)
    rays = np.stack(
        [np.sin(azimuth) * np.sin(polar), np.cos(polar), -np.cos(azimuth) * np.sin(polar)], axis=-1
    )
    # In each face's own camera: x right, y up, z backward.
    inside = np.stack(
        [Rotation.from_euler("xyz", turns).inv().apply(rays.reshape(-1, 3)) for turns in FACES.values()]
    )
    face = np.argmin(inside[:, :, 2], axis=0)
    x, y, z = np.moveaxis(inside[face, np.arange(len(face))], -1, 0)
    column = np.clip((0.5 - 0.5 * x / z) * height, 0, height - 1).astype(int)
    row = np.clip((0.5 + 0.5 * y / z) * height, 0, height - 1).astype(int)
    shape = (height, 2 * height)
    return face.reshape(shape), row.reshape(shape), column.reshape(shape), (-1 / z).reshape(shape)


def stitched(faces: Mapping[str, np.ndarray], height: int) -> np.ndarray:
    """A panorama [height, 2 height, ...] from a picture of each of `FACES`, the nearest pixel taken."""
    face, row, column, _ = panorama_table(height)
    return np.stack([faces[name] for name in FACES])[face, row, column]


def stitched_range(faces: Mapping[str, np.ndarray], height: int) -> np.ndarray:
    """Ranges float32 [height, 2 height] along each ray, from each face's depth along its own optical axis."""
    return (stitched(faces, height) * panorama_table(height)[3]).astype(np.float32)
