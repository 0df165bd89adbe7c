"""Where bodies in plain colours are in frames, found by their colour alone."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from worldloop.envs.tabletop.cameras import Camera
from worldloop.metrics.clip import Clip

GATE, SOFT = 0.2, 0.6
"""Share of a body's own saturation from which a pixel counts for it, and over which it comes to count in full."""
LEAST = 0.04
"""Share of its largest true area below which a body is not in sight."""
_DARK = 16.0
"""Grey levels added to a pixel's brightness, so that the colour of dark pixels counts for little."""


class Tracks(NamedTuple):
    """B bodies in N frames."""

    pixels: np.ndarray
    """float64 [N,B,2]: column and row of the middle of what is seen; NaN where a body is not in sight."""
    area: np.ndarray
    """float64 [N,B]: pixels."""


def chroma(frames: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Two planes float32 [N,H,W] of uint8 [N,H,W,3]: hue as a direction, saturation as a length; shade does not matter much."""
    red, green, blue = (frames[..., c].astype(np.float32) for c in range(3))
    scale = np.maximum(np.maximum(red, green), blue)
    scale += _DARK
    np.reciprocal(scale, out=scale)
    across = (green - blue) * np.float32(0.75**0.5) * scale
    green += blue
    green *= 0.5
    red -= green
    red *= scale
    return red, across


def reference(frames: np.ndarray, inside: np.ndarray) -> tuple[float, float]:
    """A body's colour in both planes: the median where it is. frames: uint8 [N,H,W,3]; inside: bool [N,H,W]."""
    planes = chroma(frames[inside][None, None])
    return float(np.median(planes[0])), float(np.median(planes[1]))


def coverage(planes: tuple[np.ndarray, np.ndarray], colour: tuple[float, float]) -> np.ndarray:
    """float32 [N,H,W] in 0..1: how much of each pixel shows a body of this colour."""
    size = float(np.hypot(*colour))
    u, v = (np.float32(c / size**2) for c in colour)
    along = planes[0] * u
    along += planes[1] * v
    aside = planes[0] * v
    aside -= planes[1] * u
    np.abs(aside, out=aside)
    aside *= 1.2  # a wedge of some 40 degrees to either side
    along -= aside
    along -= GATE
    along *= 1 / SOFT
    return np.clip(along, 0, 1, out=along)


def find(weights: np.ndarray, least: float) -> tuple[np.ndarray, np.ndarray]:
    """Middle float64 [N,2] (NaN below `least` pixels) and area float64 [N] of one body's coverage [N,H,W]."""
    columns, rows = (weights.sum(axis=a, dtype=np.float64) for a in (1, 2))
    area = columns.sum(axis=1)
    middle = np.full((len(area), 2), np.nan)
    seen = area >= max(least, 1e-9)
    middle[seen, 0] = columns[seen] @ (np.arange(weights.shape[2]) + 0.5) / area[seen]
    middle[seen, 1] = rows[seen] @ (np.arange(weights.shape[1]) + 0.5) / area[seen]
    return middle, area


def body_tracks(clip: Clip) -> Tracks:
    """Of the bodies of the clip's law in its frames, the start first: N = T + 1."""

    def compute() -> Tracks:
        assert clip.start is not None
        planes = chroma(np.concatenate([clip.start[None], clip.frames]))
        found = [
            find(coverage(planes, body["chroma"]), max(4.0, LEAST * body["area"]))
            for body in clip.law["bodies"]
        ]
        return Tracks(np.stack([m for m, _ in found], axis=1), np.stack([a for _, a in found], axis=1))

    return clip.once(("bodies",), compute)


def lift(pixels: np.ndarray, camera: Camera, y: float, shape: tuple[int, int]) -> np.ndarray:
    """float64 [N,2]: x and z in metres where the rays of pixels [N,2] meet the upright plane at y."""
    eye, rays = camera.matrix[:3, 3], camera.rays(pixels, shape)
    return (eye + rays * ((y - eye[1]) / rays[..., 1:2]))[..., [0, 2]]


def lifted_track(clip: Clip, body: int) -> np.ndarray:
    """float64 [T+1,2]: x and z in metres of a body that moves in an upright plane; NaN where it is not in sight."""
    about = clip.law["bodies"][body]
    height, width = clip.frames.shape[1:3]
    return lift(body_tracks(clip).pixels[:, body], clip.law["camera"], about["plane"], (height, width))
