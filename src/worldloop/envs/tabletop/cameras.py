"""Where the two cameras are, and how pixels and places on the table relate. Known to everybody: it is calibration."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Camera:
    """A pinhole camera with square pixels."""

    pose: tuple[tuple[float, ...], ...]
    """[4,4], camera to world, or to the hand for the wrist camera (x right, y down, z forward)."""
    hfov_deg: float

    @property
    def matrix(self) -> np.ndarray:
        """float64 [4,4]: the pose."""
        return np.array(self.pose)

    def focal(self, width: int) -> float:
        """Focal length in pixels."""
        return width / 2 / math.tan(math.radians(self.hfov_deg) / 2)

    def project(self, points: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
        """float64 [...,2]: column and row in pixels of points [...,3] in the world."""
        height, width = shape
        local = (np.asarray(points, float) - self.matrix[:3, 3]) @ self.matrix[:3, :3]
        scale = self.focal(width) / local[..., 2]
        return np.stack([local[..., 0] * scale + width / 2, local[..., 1] * scale + height / 2], axis=-1)

    def rays(self, pixels: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
        """float64 [...,3]: directions in the world with depth 1 of pixels [...,2] (column, row)."""
        height, width = shape
        offset = (np.asarray(pixels, float) - (width / 2, height / 2)) / self.focal(width)
        return np.concatenate([offset, np.ones((*offset.shape[:-1], 1))], axis=-1) @ self.matrix[:3, :3].T

    def on_plane(self, pixels: np.ndarray, z: float, shape: tuple[int, int]) -> np.ndarray:
        """float64 [...,3]: where the rays of pixels [...,2] meet the level plane at height z."""
        rays, eye = self.rays(pixels, shape), self.matrix[:3, 3]
        return eye + rays * ((z - eye[2]) / rays[..., 2:])

    def lift(self, pixels: np.ndarray, depth: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
        """float64 [...,3]: points in the world of pixels [...,2] at depths [...] along the optical axis."""
        return self.matrix[:3, 3] + self.rays(pixels, shape) * np.asarray(depth, float)[..., None]


def _looking(
    eye: tuple[float, float, float], target: tuple[float, float, float]
) -> tuple[tuple[float, ...], ...]:
    forward = np.subtract(target, eye)
    forward /= np.linalg.norm(forward)
    right = np.cross(forward, (0, 0, 1.0))
    right /= np.linalg.norm(right)
    pose = np.eye(4)
    pose[:3] = np.stack([right, np.cross(forward, right), forward, eye], axis=1)
    return tuple(tuple(map(float, row)) for row in pose)


THIRD = Camera(_looking((1.12, -0.34, 0.72), (0.50, 0.0, 0.05)), 42.0)
"""In front of the arm, to its right, looking down at the table."""


def _wrist() -> Camera:
    tilt = math.radians(12)
    pose = np.eye(4)
    # Beside the hand, looking along the fingers, a little inwards.
    pose[:3, 0] = 0, -1, 0
    pose[:3, 2] = -math.sin(tilt), 0, math.cos(tilt)
    pose[:3, 1] = np.cross(pose[:3, 2], pose[:3, 0])
    pose[:3, 3] = 0.075, 0, 0.01
    return Camera(tuple(tuple(map(float, row)) for row in pose), 75.0)


WRIST = _wrist()
"""Fixed to the hand; its pose is relative to the hand's frame."""
