"""Cluster bootstrap: episodes of one scene stand or fall together, so whole scenes are resampled."""

from __future__ import annotations

import functools
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.stats import norm, t

from worldloop.core import InputError, generator
from worldloop.stats.estimate import Estimate, as_numbers, check_confidence, cluster_codes
from worldloop.stats.rates import wilson_bounds

METHOD = "cluster bootstrap"
RESAMPLES = 10_000
_CELLS = 4_000_000
"""Largest number of resample x cluster weights held at once."""


@dataclass(frozen=True)
class PairedDifference(Estimate):
    """Mean of `a - b` over episodes that both went through."""

    wins: int = 0
    """Episodes where a is above b."""
    losses: int = 0
    """Episodes where b is above a."""


def mean_interval(
    values: Sequence[float] | np.ndarray,
    clusters: Sequence[Any] | np.ndarray | None = None,
    confidence: float = 0.95,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> Estimate:
    """Mean over episodes with a cluster-bootstrap interval.

    `values` [n] are finite numbers, `clusters` [n] the scene of each (None: episodes are independent). The
    interval is undefined (None, with a note) when there are fewer than two scenes or when all scenes agree
    exactly: resampling then shows no spread, which is not the same as certainty.

    The interval is the percentile interval widened for few clusters (Hesterberg 2015, "What teachers should
    know about the bootstrap", section 3.3): the tail is Phi(-sqrt(C / (C - 1)) t_{C-1}) for C clusters.
    The result depends on the values, labels and seed, not on the order of episodes.
    """
    x = as_numbers(values, "values")
    codes, count = cluster_codes(clusters, len(x))
    mean = float(x.mean())
    low, high, note = _bounds(x, codes, count, check_confidence(confidence), resamples, seed)
    return Estimate(mean, low, high, confidence, len(x), count, METHOD, note)


def paired_difference(
    a: Sequence[float] | np.ndarray,
    b: Sequence[float] | np.ndarray,
    clusters: Sequence[Any] | np.ndarray | None = None,
    confidence: float = 0.95,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> PairedDifference:
    """Mean of a - b over the same episodes, with a cluster-bootstrap interval.

    `a`, `b` [n] are outcomes of the same episodes in the same order. See `mean_interval` for the bootstrap.
    When all scenes agree exactly (every episode a tie, or every one a win) and outcomes are 0 or 1, the
    interval is Newcombe's for paired rates (1998, method 10), counting each scene as one episode.
    """
    x, y = as_numbers(a, "a"), as_numbers(b, "b")
    if x.shape != y.shape:
        raise InputError(f"a has {len(x)} outcomes and b {len(y)}; pair the same episodes in the same order")
    difference = x - y
    codes, count = cluster_codes(clusters, len(x))
    low, high, note = _bounds(difference, codes, count, check_confidence(confidence), resamples, seed)
    method = METHOD
    binary = bool(np.isin(x, (0, 1)).all() and np.isin(y, (0, 1)).all())
    if low is None and binary:
        low, high = _newcombe(x, y, count, confidence)
        method, note = "newcombe", f"{note}; Newcombe's interval with scenes as episodes instead"
    wins, losses = int((difference > 0).sum()), int((difference < 0).sum())
    value = float(difference.mean())
    return PairedDifference(value, low, high, confidence, len(x), count, method, note, wins, losses)


def resampled_sums(
    columns: Sequence[np.ndarray], codes: np.ndarray, count: int, resamples: int, seed: int
) -> np.ndarray:
    """float64 [resamples, k]: sums of k columns [n] over `count` clusters drawn with replacement."""
    if resamples < 100:
        raise InputError(f"{resamples} resamples are too few for an interval; use at least 100")
    # k columns of n values -> one row of k sums per cluster
    sums = np.stack([np.bincount(codes, column, count) for column in columns], axis=1)
    if resamples * count <= _CELLS:
        return _kept_weights(count, resamples, seed) @ sums
    return np.concatenate([weights @ sums for weights in _weights(count, resamples, seed)])


def tail(confidence: float, clusters: int) -> float:
    """Probability to cut off on each side, widened for few clusters."""
    quantile = t.ppf(0.5 + confidence / 2, clusters - 1)
    return float(norm.cdf(-math.sqrt(clusters / (clusters - 1)) * quantile))


def percentile(sample: np.ndarray, share: float) -> tuple[float, float]:
    """The outer order statistics that leave at most `share` of the sample beyond each end."""
    low = np.quantile(sample, share, method="lower")
    high = np.quantile(sample, 1 - share, method="higher")
    return float(low), float(high)


@functools.lru_cache(maxsize=1)
def _kept_weights(count: int, resamples: int, seed: int) -> np.ndarray:
    """All weights at once; a leaderboard uses the same ones for every model and metric."""
    return np.concatenate(list(_weights(count, resamples, seed)))


def _weights(count: int, resamples: int, seed: int) -> Iterator[np.ndarray]:
    """Blocks of float64 [block, count]: how often each cluster is drawn."""
    rng = generator(seed, "cluster bootstrap")
    block = max(1, _CELLS // count)
    for start in range(0, resamples, block):
        size = min(block, resamples - start)
        yield rng.multinomial(count, np.full(count, 1 / count), size=size).astype(np.float64)


def _bounds(
    x: np.ndarray, codes: np.ndarray, count: int, confidence: float, resamples: int, seed: int
) -> tuple[float | None, float | None, str]:
    if count < 2:
        return None, None, "one scene only: nothing to resample"
    sizes = np.bincount(codes, minlength=count)
    means = np.bincount(codes, x, count) / sizes
    if np.ptp(means) <= 1e-12 * np.abs(means).max():  # equal up to rounding
        return None, None, "all scenes agree exactly: resampling shows no spread"
    sums = resampled_sums([x, np.ones_like(x)], codes, count, resamples, seed)
    low, high = percentile(sums[:, 0] / sums[:, 1], tail(confidence, count))
    return low, high, ""


def _newcombe(x: np.ndarray, y: np.ndarray, trials: int, confidence: float) -> tuple[float, float]:
    """Newcombe's interval for a difference of paired rates, with `trials` in place of the number of pairs.

    Source: Newcombe 1998, "Improved confidence intervals for the difference between binomial proportions
    based on paired data", method 10.
    """
    p, q = float(x.mean()), float(y.mean())
    (p_low, p_high), (q_low, q_high) = (wilson_bounds(r, trials, confidence) for r in (p, q))
    both, only_x = float((x * y).mean()) * trials, float((x * (1 - y)).mean()) * trials
    only_y, neither = float((y * (1 - x)).mean()) * trials, float(((1 - x) * (1 - y)).mean()) * trials
    product = (both + only_x) * (only_y + neither) * (both + only_y) * (only_x + neither)
    phi = 0.0
    if product > 0:
        top = both * neither - only_x * only_y
        phi = max(top - trials / 2, 0.0) / math.sqrt(product) if top > 0 else top / math.sqrt(product)
    d_low, d_high = p - p_low, p_high - p
    e_low, e_high = q - q_low, q_high - q
    low = p - q - math.sqrt(max(0.0, d_low**2 - 2 * phi * d_low * e_high + e_high**2))
    high = p - q + math.sqrt(max(0.0, d_high**2 - 2 * phi * d_high * e_low + e_low**2))
    return max(-1.0, low), min(1.0, high)
