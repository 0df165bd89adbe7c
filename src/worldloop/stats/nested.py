"""Two-stage bootstrap: scenes are drawn again, and within each drawn scene its trials are drawn again."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from worldloop.core import generator
from worldloop.stats.bootstrap import (
    RESAMPLES,
    STUDENT,
    check_resamples,
    fewest_clusters,
    percentile,
    student_bounds,
    tail,
    too_few,
)
from worldloop.stats.estimate import Estimate, as_numbers, check_confidence, cluster_codes

METHOD = "two-stage bootstrap"
_CELLS = 2_000_000
"""Largest number of drawn values held at once."""


def nested_interval(
    values: Sequence[float] | np.ndarray,
    clusters: Sequence[Any] | np.ndarray | None = None,
    confidence: float = 0.95,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> Estimate:
    """Mean of trials with an interval from a bootstrap that resamples scenes, then trials within them.

    `values` [n] are finite numbers, `clusters` [n] the scene of each. Fit for trials that were themselves drawn at
    random within their scene; a little wider than `mean_interval`, whose tail for few clusters it shares, and
    Student's t for very few. The interval is undefined (None, with a note) with fewer than two scenes, or when all
    trials agree exactly, or all scenes where they are too few to resample.

    Source: Davison and Hinkley 1997, "Bootstrap methods and their application", section 3.8.
    """
    x = as_numbers(values, "values")
    codes, count = cluster_codes(clusters, len(x))
    mean = float(x.mean())
    check_confidence(confidence)
    note = ""
    if count < 2:
        note = "one scene only: nothing to resample"
    elif np.ptp(x) <= 1e-12 * np.abs(x).max():  # equal up to rounding
        note = "all trials agree exactly: resampling shows no spread"
    if note:
        return Estimate(mean, None, None, confidence, len(x), count, METHOD, note)
    if count < fewest_clusters(confidence):
        low, high = student_bounds(x, codes, count, confidence)
        if high - low <= 1e-9 * np.abs(x).max():
            note = "all scenes agree exactly, and they are too few to resample"
            return Estimate(mean, None, None, confidence, len(x), count, STUDENT, note)
        return Estimate(mean, low, high, confidence, len(x), count, STUDENT, too_few(confidence))
    means = nested_means(x[None], codes, count, resamples, seed)[:, 0]
    low, high = percentile(means, tail(confidence, count))
    return Estimate(mean, low, high, confidence, len(x), count, METHOD)


def nested_means(columns: np.ndarray, codes: np.ndarray, count: int, resamples: int, seed: int) -> np.ndarray:
    """float64 [resamples, k]: means of k columns [k,n] over the same two-stage draws.

    `codes` int [n] says which of the `count` clusters a value belongs to.
    """
    check_resamples(resamples)
    order = np.argsort(codes, kind="stable")
    sizes = np.bincount(codes, minlength=count)
    starts = np.cumsum(sizes) - sizes
    sorted_columns, largest = columns[:, order], int(sizes.max())
    rng = generator(seed, "two-stage bootstrap")
    block = max(1, _CELLS // (count * largest * len(columns)))
    out = []
    for begun in range(0, resamples, block):
        rows = min(block, resamples - begun)
        drawn = rng.integers(count, size=(rows, count))
        size = sizes[drawn][..., None]  # [rows, count, 1]
        within = (rng.random((rows, count, largest)) * size).astype(np.int64)
        places = starts[drawn][..., None] + np.minimum(within, size - 1)
        real = np.arange(largest) < size
        picked = np.where(real, sorted_columns[:, places], 0.0)
        out.append((picked.sum(axis=(2, 3)) / size.sum(axis=(1, 2))).T)
    return np.concatenate(out)
