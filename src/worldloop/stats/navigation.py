"""Success weighted by path length."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from worldloop.core import InputError
from worldloop.stats.estimate import as_numbers


def spl(
    success: Sequence[float] | np.ndarray,
    shortest: Sequence[float] | np.ndarray,
    taken: Sequence[float] | np.ndarray,
) -> np.ndarray:
    """SPL of each episode, float64 [n] in [0, 1]; its mean is the SPL of a run.

    `success` is 0 or 1, `shortest` the geodesic distance from start to goal and `taken` the distance
    travelled, both in metres. An episode that starts at its goal and does not move scores its success.
    Raises InputError for negative distances or other values of `success`.

    Source: Anderson et al. 2018, "On evaluation of embodied navigation agents", S_i l_i / max(p_i, l_i).
    """
    s, best, path = (
        as_numbers(success, "success"),
        as_numbers(shortest, "shortest"),
        as_numbers(taken, "taken"),
    )
    if not len(s) == len(best) == len(path):
        raise InputError(f"{len(s)}, {len(best)} and {len(path)} values; give one of each per episode")
    if not np.isin(s, (0, 1)).all():
        raise InputError("success is 0 or 1")
    if (best < 0).any() or (path < 0).any():
        raise InputError("distances cannot be negative")
    longest = np.maximum(best, path)
    return s * np.divide(best, longest, out=np.ones_like(s), where=longest > 0)
