"""Points and pictures through true depth and true poses.

Cameras look along z, x is right and y is down; a pixel's number is that of its middle, so the optical axis meets
(W - 1) / 2, (H - 1) / 2.
"""

from __future__ import annotations

import math

import numba as nb
import numpy as np

from worldloop.metrics.clip import Clip
from worldloop.metrics.shared.parts import by_step

STRIDE = 5
"""Pixels between the sample points at a width of 128; wider pictures have as many."""
SAME_SURFACE = 0.03
"""Share of the depth by which a point may miss the depth seen from elsewhere and still be the thing that is seen there."""
NEAR = 0.05
"""Metres in front of the camera from which points are seen."""


def entries(clip: Clip) -> np.ndarray:
    """uint8 [T+1,H,W,3]: the start, then the imagined frames."""
    assert clip.start is not None
    start = clip.start
    return clip.once(("entries",), lambda: np.concatenate([start[None], clip.frames]))


def focal(clip: Clip) -> float:
    """Pixels."""
    assert clip.hfov_deg is not None
    return clip.frames.shape[2] / 2 / math.tan(math.radians(clip.hfov_deg) / 2)


def scale(clip: Clip) -> float:
    """Pixels of these frames for one at a width of 128, in which the thresholds on pixels are meant."""
    return clip.frames.shape[2] / 128


def samples(clip: Clip) -> np.ndarray:
    """int [N,2], (x, y) of points spread evenly over a frame, no nearer to its edge than half their distance."""
    height, width = clip.frames.shape[1:3]
    stride = max(1, round(STRIDE * scale(clip)))
    x, y = np.arange(stride // 2, width, stride), np.arange(stride // 2, height, stride)
    return np.stack(np.meshgrid(x, y), axis=-1).reshape(-1, 2)


def rays(pixels: np.ndarray, height: int, width: int, length: float) -> np.ndarray:
    """float64 [...,3] with z = 1, the directions of pixels [...,2] at a focal length in pixels."""
    out = np.ones((*pixels.shape[:-1], 3))
    out[..., 0] = (pixels[..., 0] - (width - 1) / 2) / length
    out[..., 1] = (pixels[..., 1] - (height - 1) / 2) / length
    return out


def project(points: np.ndarray, height: int, width: int, length: float) -> tuple[np.ndarray, np.ndarray]:
    """Pixels [...,2] of points [...,3] in the camera's frame, and bool [...] whether they are before it and in the picture."""
    z = np.maximum(points[..., 2:], 1e-6)
    pixels = points[..., :2] / z * length + ((width - 1) / 2, (height - 1) / 2)
    inside = (pixels > -0.5) & (pixels < (width - 0.5, height - 0.5))
    return pixels, inside.all(axis=-1) & (points[..., 2] > NEAR)


def steps_between(poses: np.ndarray) -> np.ndarray:
    """float64 [T,4,4] of camera-to-world poses [T+1,4,4]: the pose of entry t + 1 in the frame of entry t."""
    return np.linalg.solve(poses[:-1], poses[1:])


def moved_samples(clip: Clip) -> tuple[np.ndarray, np.ndarray]:
    """Where the sample points of each entry truly are in the next one, by true depth and poses.

    float64 [T,N,2] in pixels and bool [T,N], False for points that leave the view, are hidden there, or have no depth.
    """
    return clip.keeper().once(("moved samples",), lambda: _moved_samples(clip))


def _moved_samples(clip: Clip) -> tuple[np.ndarray, np.ndarray]:
    assert clip.depth is not None and clip.poses is not None
    height, width = clip.frames.shape[1:3]
    points, length = samples(clip), focal(clip)
    depth = clip.depth[:-1, points[:, 1], points[:, 0]].astype(np.float64)  # [T,N]
    lifted = rays(points, height, width, length) * depth[..., None]
    back = np.linalg.inv(steps_between(clip.poses))
    there = lifted @ back[:, :3, :3].transpose(0, 2, 1) + back[:, None, :3, 3]
    pixels, seen = project(there, height, width, length)
    nearest = np.rint(pixels).astype(int).clip(0, (width - 1, height - 1))
    at = clip.depth[np.arange(1, len(clip.depth))[:, None], nearest[..., 1], nearest[..., 0]]
    # One pixel of slack beside the share: where a surface is seen at a slant, depth changes within the pixel.
    seen &= (depth > 0) & (np.abs(at - there[..., 2]) < 2 * SAME_SURFACE * there[..., 2])
    return pixels, seen


def earlier_views(clip: Clip, lag: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Where each pixel of a later view is seen `lag` entries before, by true depth and poses.

    For each step t, the later view is entry t + 1 and the earlier one entry max(0, t + 1 - lag). Returns those numbers
    int [T], positions float32 [T,H,W,2] in the earlier view, and bool [T,H,W] whether the same surface is seen there.
    """
    return clip.keeper().once(("earlier views", lag), lambda: _earlier_views(clip, lag))


def _earlier_views(clip: Clip, lag: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    assert clip.depth is not None and clip.poses is not None
    later = np.arange(1, len(clip.depth))
    earlier = np.maximum(later - lag, 0)
    depth = np.ascontiguousarray(clip.depth, np.float32)
    maps, seen = np.zeros((*depth[1:].shape, 2), np.float32), np.zeros(depth[1:].shape, bool)
    moves, length = np.linalg.solve(clip.poses[earlier], clip.poses[later]), focal(clip)

    def one(i: int, j: int, move: np.ndarray, where: np.ndarray, known: np.ndarray) -> None:
        _look_up(depth[j], depth[i], move, length, where, known)

    by_step(one, earlier, later, moves, maps, seen)
    return earlier, maps, seen


@nb.njit(nogil=True, cache=True)
def _look_up(
    depth: np.ndarray,
    earlier: np.ndarray,
    move: np.ndarray,
    length: float,
    maps: np.ndarray,
    seen: np.ndarray,
) -> None:
    """Fill positions float32 [H,W,2] in the earlier view and bool [H,W], 0 before, of a view with this depth; `move` takes points
    there."""
    height, width = depth.shape
    cx, cy = (width - 1) / 2, (height - 1) / 2
    for v in range(height):
        for u in range(width):
            z = depth[v, u]
            if z <= 0:
                continue
            x, y = (u - cx) / length * z, (v - cy) / length * z
            away = move[2, 0] * x + move[2, 1] * y + move[2, 2] * z + move[2, 3]
            if away < NEAR:
                continue
            px = (move[0, 0] * x + move[0, 1] * y + move[0, 2] * z + move[0, 3]) / away * length + cx
            py = (move[1, 0] * x + move[1, 1] * y + move[1, 2] * z + move[1, 3]) / away * length + cy
            column, row = round(px), round(py)
            if column < 0 or row < 0 or column >= width or row >= height:
                continue
            maps[v, u, 0], maps[v, u, 1] = px, py
            seen[v, u] = abs(earlier[row, column] - away) < SAME_SURFACE * away
