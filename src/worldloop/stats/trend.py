"""Does a measure rise with a dose? Rank correlation of arm means, with an interval over scenes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from scipy.stats import rankdata

from worldloop.core import InputError
from worldloop.stats.bootstrap import (
    METHOD,
    RESAMPLES,
    fewest_clusters,
    percentile,
    resampled_sums,
    tail,
    too_few,
)
from worldloop.stats.estimate import Estimate, as_numbers, check_confidence, cluster_codes
from worldloop.stats.nested import METHOD as NESTED
from worldloop.stats.nested import nested_means


def spearman_trend(
    doses: Sequence[float] | np.ndarray,
    outcomes: Sequence[Sequence[float]] | np.ndarray,
    clusters: Sequence[Any] | np.ndarray | None = None,
    confidence: float = 0.95,
    resamples: int = RESAMPLES,
    seed: int = 0,
    nested: bool = False,
) -> Estimate:
    """Spearman's correlation, in [-1, 1], between k doses and the k arms' mean outcomes.

    `outcomes` [k,n] are those of the same n episodes in every arm. The interval redraws scenes for all arms
    together (`nested`: and trials within them), so what the arms share cancels; with fewer scenes than
    `fewest_clusters` there is none. Arms that are all equal have no
    order: 0. Raises InputError for fewer than two doses, equal doses, or lengths that do not match.
    """
    x = as_numbers(doses, "doses")
    rows = [as_numbers(row, "outcomes") for row in outcomes]
    if len(x) < 2 or len(rows) != len(x) or len({len(r) for r in rows}) > 1:
        raise InputError("a trend needs two doses or more, and the same episodes under each of them")
    if len(set(x.tolist())) < len(x):
        raise InputError("two arms have the same dose; a trend needs different ones")
    y = np.stack(rows)
    codes, count = cluster_codes(clusters, y.shape[1])
    check_confidence(confidence)
    value = float(_spearman(x, y.mean(axis=1)[None])[0])
    method = NESTED if nested else METHOD
    if count < fewest_clusters(confidence):
        reason = too_few(confidence)
        return Estimate(value, None, None, confidence, y.shape[1], count, method, reason)
    if nested:
        means = nested_means(y, codes, count, resamples, seed)
    else:
        # Every resample has the same episodes in all arms, so sums rank like means.
        means = resampled_sums(list(y), codes, count, resamples, seed)
    low, high = percentile(_spearman(x, means), tail(confidence, count))
    return Estimate(value, low, high, confidence, y.shape[1], count, method)


def _spearman(x: np.ndarray, means: np.ndarray) -> np.ndarray:
    """float64 [r]: the correlation for each row of means [r,k]; 0 for a row without any order."""
    doses = rankdata(x) - (len(x) + 1) / 2
    # Equal means may differ in their last bits, which is no order.
    ranks = rankdata(np.round(means, 10), axis=1) - (len(x) + 1) / 2
    norm = np.sqrt((ranks**2).sum(axis=1) * (doses**2).sum())
    return np.divide(ranks @ doses, norm, out=np.zeros(len(means)), where=norm > 0)
