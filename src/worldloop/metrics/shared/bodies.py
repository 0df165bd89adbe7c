"""Where bodies in plain colours are in frames, found by their colour alone."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from worldloop.envs.tabletop.cameras import Camera
from worldloop.metrics.clip import Clip

GATE, SOFT = 0.2, 0.6
"""Share of a body's own saturation from which a pixel counts for it, and over which it comes to count in full."""
LEAST, FEWEST = 0.04, 4.0
"""Share of its largest true area, and number of pixels, below which a body is not in sight."""
NEAR, GATHERED = 1.5, 0.4
"""Sides of a square of its largest true area around the median of its colour, across and upright, within which a body in sight has at
least this share of it. True bodies have all of it there, even noise at most 0.34."""
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


def find(weights: np.ndarray, full: float | None = None) -> tuple[np.ndarray, np.ndarray]:
    """Middle float64 [N,2] and area float64 [N] of one body's coverage [N,H,W]; the middle is NaN where there is none.

    full: the body's largest true area in pixels. With it, the middle is NaN, too, where there is too little of the body, or where its
    colour is strewn about, as in noise.
    """
    columns, rows = (weights.sum(axis=a, dtype=np.float64) for a in (1, 2))
    area = columns.sum(axis=1)
    middle = np.full((len(area), 2), np.nan)
    seen = area > 1e-9
    if full is not None:
        seen &= area >= max(LEAST * full, FEWEST)
        for sums in (columns, rows):
            seen[seen] = _gathered(sums[seen], full) >= GATHERED
    middle[seen, 0] = columns[seen] @ (np.arange(weights.shape[2]) + 0.5) / area[seen]
    middle[seen, 1] = rows[seen] @ (np.arange(weights.shape[1]) + 0.5) / area[seen]
    return middle, area


def _gathered(sums: np.ndarray, full: float) -> np.ndarray:
    """float64 [N]: the share of `sums` [N,K] that lies within `NEAR` sides of a body about the median."""
    shares = np.cumsum(sums, axis=1) / sums.sum(axis=1, keepdims=True)
    median = (shares < 0.5).sum(axis=1, keepdims=True)
    apart = np.abs(np.arange(sums.shape[1]) - median)
    return np.where(apart <= NEAR * full**0.5, sums, 0.0).sum(axis=1) / sums.sum(axis=1)


def body_tracks(clip: Clip) -> Tracks:
    """Of the bodies of the clip's law in its frames, the start first: N = T + 1."""

    def compute() -> Tracks:
        assert clip.start is not None
        planes = chroma(np.concatenate([clip.start[None], clip.frames]))
        found = [find(coverage(planes, body["chroma"]), body["area"]) for body in clip.law["bodies"]]
        return Tracks(np.stack([m for m, _ in found], axis=1), np.stack([a for _, a in found], axis=1))

    return clip.once(("bodies",), compute)


def missed(clip: Clip, body: int, steps: slice = slice(None)) -> float:
    """Share of the steps at which a body is truly in sight that do not show it, in 0..1. steps: of the T that were imagined."""
    due = ~np.isnan(clip.law["tracks"]["pixels"][1:][steps, body, 0])
    lost = np.isnan(body_tracks(clip).pixels[1:][steps, body, 0])
    return float(lost[due].mean()) if due.any() else 0.0


def lift(pixels: np.ndarray, camera: Camera, y: float, shape: tuple[int, int]) -> np.ndarray:
    """float64 [N,2]: x and z in metres where the rays of pixels [N,2] meet the upright plane at y."""
    eye, rays = camera.matrix[:3, 3], camera.rays(pixels, shape)
    return (eye + rays * ((y - eye[1]) / rays[..., 1:2]))[..., [0, 2]]


def lifted_track(clip: Clip, body: int) -> np.ndarray:
    """float64 [T+1,2]: x and z in metres of a body that moves in an upright plane; NaN where it is not in sight."""
    about = clip.law["bodies"][body]
    height, width = clip.frames.shape[1:3]
    return lift(body_tracks(clip).pixels[:, body], clip.law["camera"], about["plane"], (height, width))
