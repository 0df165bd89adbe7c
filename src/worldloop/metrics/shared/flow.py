"""Optical flow between the imagined frames, also across turns of half the view."""

from __future__ import annotations

import functools
from dataclasses import dataclass

import numpy as np

from worldloop.metrics.clip import Clip
from worldloop.metrics.shared.lifting import entries, focal, rays
from worldloop.metrics.shared.opencv import opencv

COARSE = 32
"""Pixels across, at which turns are guessed."""
TURNS = tuple(sorted((k * 5.625 for k in range(-10, 11)), key=abs))
"""Degrees that are tried, the smallest first, so that of equally good ones the smallest is taken."""
LEAST_OVERLAP = 0.3
"""Share of the view that a guessed turn must leave in sight."""


@dataclass(frozen=True, eq=False)
class Flow:
    """From each entry to the next: a guessed turn, and the remaining flow after undoing it."""

    turn_deg: np.ndarray
    """float64 [T], to the left."""
    field: np.ndarray
    """float32 [T,H,W,2], pixels: where the pixels of entry t are in entry t + 1, turn included, minus where they were."""


def grey_entries(clip: Clip) -> np.ndarray:
    """uint8 [T+1,H,W]: the start and the imagined frames."""

    def compute() -> np.ndarray:
        cv2 = opencv()
        return np.stack([cv2.cvtColor(e, cv2.COLOR_RGB2GRAY) for e in entries(clip)])

    return clip.once(("grey entries",), compute)


def forward_flow(clip: Clip) -> Flow:
    """From each entry to the next, the start being entry 0 (dense inverse search, with a guess of the camera's turn)."""
    return clip.once(("flow", "forward"), lambda: _flow(clip, +1))


def backward_flow(clip: Clip) -> Flow:
    """From each entry t + 1 back to entry t, over the same turns as `forward_flow`."""
    return clip.once(("flow", "backward"), lambda: _flow(clip, -1))


def _flow(clip: Clip, way: int) -> Flow:
    cv2, grey, length = opencv(), grey_entries(clip), focal(clip)
    turns = guessed_turns(grey, length) if way > 0 else forward_flow(clip).turn_deg
    height, width = grey.shape[1:]
    search = cv2.DISOpticalFlow_create(cv2.DISOPTICAL_FLOW_PRESET_FAST)
    # Down to half the resolution: a quarter, the preset, doubles the error of a recovered step.
    search.setFinestScale(1)
    search.setVariationalRefinementIterations(2)
    field = np.empty((len(turns), height, width, 2), np.float32)
    y, x = np.mgrid[:height, :width].astype(np.float32)
    for t, turn in enumerate(turns):
        old, new = (grey[t], grey[t + 1])[::way]
        if turn == 0:
            field[t] = search.calc(old, new, None)
            continue
        matrix = turn_matrix(way * turn, height, width, length)
        # The new picture, turned back to where the old one looked: what is left is small enough to be found.
        back = cv2.warpPerspective(
            new,
            matrix,
            (width, height),
            flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
            borderMode=cv2.BORDER_REPLICATE,
        )
        rest = search.calc(old, back, None)
        u, v = x + rest[..., 0], y + rest[..., 1]
        w = matrix[2, 0] * u + matrix[2, 1] * v + matrix[2, 2]
        w = np.where(w > 1e-3, w, np.nan)  # behind the other camera
        field[t, ..., 0] = (matrix[0, 0] * u + matrix[0, 1] * v + matrix[0, 2]) / w - x
        field[t, ..., 1] = (matrix[1, 0] * u + matrix[1, 1] * v + matrix[1, 2]) / w - y
    return Flow(turns, field)


def turn_matrix(degrees: float, height: int, width: int, length: float) -> np.ndarray:
    """float64 [3,3]: from pixels of a view to those of the view after a turn to the left by that many degrees."""
    c, s = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
    inner = np.array([[length, 0, (width - 1) / 2], [0, length, (height - 1) / 2], [0, 0, 1]])
    return inner @ np.array([[c, 0, s], [0, 1, 0], [-s, 0, c]]) @ np.linalg.inv(inner)


def guessed_turns(grey: np.ndarray, length: float) -> np.ndarray:
    """float64 [T], degrees to the left from each picture of uint8 [T+1,H,W] to the next, to a few degrees.

    Of `TURNS`, the one after which the small pictures correlate best where both see.
    """
    cv2, (height, width) = opencv(), grey.shape[1:]
    rows = max(2, round(COARSE * height / width))
    small = np.stack([cv2.resize(g, (COARSE, rows), interpolation=cv2.INTER_AREA) for g in grey])
    flat = small.reshape(len(small), -1).astype(np.float32)
    index, both = _coarse_turns(rows, COARSE, length * COARSE / width)
    old, new = flat[:-1, None], flat[1:][:, index]  # [T,1,P], [T,K,P]
    share = both / np.maximum(both.sum(axis=1, keepdims=True), 1)
    old = old - (old * share).sum(axis=2, keepdims=True)
    new = new - (new * share).sum(axis=2, keepdims=True)
    product = (old * new * share).sum(axis=2)
    norm = np.sqrt((old**2 * share).sum(axis=2) * (new**2 * share).sum(axis=2))
    likeness = np.divide(product, norm, out=np.zeros_like(product), where=norm > 1e-3)
    likeness[:, both.mean(axis=1) < LEAST_OVERLAP] = -1
    return np.array(TURNS)[likeness.argmax(axis=1)]


@functools.lru_cache(maxsize=8)
def _coarse_turns(rows: int, columns: int, length: float) -> tuple[np.ndarray, np.ndarray]:
    """For each of `TURNS`, int [K,P] where each pixel of the small picture is afterwards, float32 [K,P] 1 where in view."""
    y, x = np.mgrid[:rows, :columns]
    ray = rays(np.stack([x, y], axis=-1).reshape(-1, 2), rows, columns, length)
    index, both = [], []
    for degrees in TURNS:
        c, s = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
        ahead = np.maximum(c * ray[:, 2] - s * ray[:, 0], 1e-3)
        u = np.rint((c * ray[:, 0] + s * ray[:, 2]) / ahead * length + (columns - 1) / 2)
        v = np.rint(ray[:, 1] / ahead * length + (rows - 1) / 2)
        inside = (ahead > 1e-2) & (u >= 0) & (u < columns) & (v >= 0) & (v < rows)
        index.append(np.where(inside, v * columns + u, 0).astype(int))
        both.append(inside.astype(np.float32))
    return np.array(index), np.array(both)
