"""`rotate-only`: turning is exact, walking is ignored. What a look around is worth, without generation."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import lru_cache

import numba as nb
import numpy as np

from worldloop.actions import intended_path
from worldloop.core import ModelCard, Observation, Query, Rollout
from worldloop.core.errors import ModelError


@lru_cache(maxsize=8)
def view_angles(height: int, width: int, hfov_deg: float) -> tuple[np.ndarray, np.ndarray]:
    """Azimuth (left positive) and elevation in radians of every pixel of a level pinhole view, [H,W] each."""
    focal = width / 2 / math.tan(math.radians(hfov_deg) / 2)
    left = (width / 2 - np.arange(width) - 0.5)[None, :] / focal
    up = (height / 2 - np.arange(height) - 0.5)[:, None] / focal
    azimuth = np.broadcast_to(np.arctan(left), (height, width))
    elevation = np.arctan(up / np.hypot(left, 1.0))
    return np.ascontiguousarray(azimuth), np.ascontiguousarray(elevation)


@nb.njit(nogil=True, cache=True)
def cut_view(panorama: np.ndarray, azimuth: np.ndarray, elevation: np.ndarray, yaw: float) -> np.ndarray:
    """Bilinear samples uint8 [H,W,3] of an equirectangular image, the view turned left by `yaw` radians."""
    rows, columns = panorama.shape[0], panorama.shape[1]
    out = np.empty((*azimuth.shape, 3), np.uint8)
    for i in range(azimuth.shape[0]):
        for j in range(azimuth.shape[1]):
            u = (0.5 - (azimuth[i, j] + yaw) / (2 * math.pi)) * columns - 0.5
            v = min(max((0.5 - elevation[i, j] / math.pi) * rows - 0.5, 0.0), rows - 1.0)
            u0, v0 = math.floor(u), math.floor(v)
            du, dv = u - u0, v - v0
            a, b = int(u0) % columns, (int(u0) + 1) % columns
            c, d = int(v0), min(int(v0) + 1, rows - 1)
            for k in range(3):
                top = panorama[c, a, k] * (1 - du) + panorama[c, b, k] * du
                bottom = panorama[d, a, k] * (1 - du) + panorama[d, b, k] * du
                out[i, j, k] = np.uint8(top * (1 - dv) + bottom * dv + 0.5)
    return out


class RotateOnly:
    """Cuts each predicted frame out of the present panorama at the heading the plan has reached."""

    card = ModelCard(
        "rotate-only",
        "turns are exact cuts from the real panorama; steps are ignored",
        "camera",
        reads=("panorama",),
        notes="A frame whose net turn is zero is the present frame itself.",
    )
    lanes = 64

    def simulate(self, queries: Sequence[Query]) -> list[Rollout]:
        """One rollout per query; ModelError when the environment shows no panorama."""
        return [self._one(q) for q in queries]

    def _one(self, query: Query) -> Rollout:
        now = query.history[-1]
        if now.panorama is None:
            raise ModelError("model 'rotate-only' needs an environment with a panorama")
        azimuth, elevation = view_angles(*now.rgb.shape[:2], now.hfov_deg)
        frames = []
        for _, _, yaw in intended_path(query.plan)[1:]:
            if abs(yaw) < 1e-9:
                rgb = now.rgb
            else:
                rgb = cut_view(now.panorama, azimuth, elevation, math.radians(yaw))
            frames.append(Observation(rgb, hfov_deg=now.hfov_deg))
        return Rollout(tuple(frames))
