"""Cluster bootstrap: episodes of one scene stand or fall together, so whole scenes are resampled."""

from __future__ import annotations

import functools
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeVar

import numpy as np
from scipy.stats import norm, t

from worldloop.core import InputError, generator
from worldloop.stats.estimate import Estimate, as_numbers, check_confidence, cluster_codes
from worldloop.stats.rates import wilson_bounds

METHOD = "cluster bootstrap"
STUDENT = "Student's t over scenes"
RESAMPLES = 10_000
_E = TypeVar("_E", bound=Estimate)
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
    within: tuple[float | None, float | None] = (None, None),
) -> Estimate:
    """Mean over episodes with a cluster-bootstrap interval.

    `values` [n] are finite numbers, `clusters` [n] the scene of each (None: episodes are independent); `within` is
    the range that values can have, None for no end. The interval is undefined (None, with a note) when there are fewer than two
    scenes or when all scenes agree exactly: no spread is then seen, which is not the same as certainty.

    The interval is the percentile interval widened for few clusters (Hesterberg 2015, "What teachers should
    know about the bootstrap", section 3.3): the tail is Phi(-sqrt(C / (C - 1)) t_{C-1}) for C clusters. With fewer than
    `fewest_clusters` it is Student's t with C - 1 degrees of freedom on the residuals summed by scene, as no resample
    reaches far enough.
    The result depends on the values, labels and seed, not on the order of episodes.
    """
    x = as_numbers(values, "values")
    codes, count = cluster_codes(clusters, len(x))
    mean = float(x.mean())
    low, high, method, note = _bounds(x, codes, count, check_confidence(confidence), resamples, seed)
    return _clipped(Estimate(mean, low, high, confidence, len(x), count, method, note), *within)


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
    low, high, method, note = _bounds(difference, codes, count, check_confidence(confidence), resamples, seed)
    binary = bool(np.isin(x, (0, 1)).all() and np.isin(y, (0, 1)).all())
    if low is None and binary:
        low, high = _newcombe(x, y, count, confidence)
        method, note = "newcombe", f"{note}; Newcombe's interval with scenes as episodes instead"
    wins, losses = int((difference > 0).sum()), int((difference < 0).sum())
    value = float(difference.mean())
    found = PairedDifference(value, low, high, confidence, len(x), count, method, note, wins, losses)
    return _clipped(found, -1.0, 1.0) if binary else found


def resampled_sums(
    columns: Sequence[np.ndarray], codes: np.ndarray, count: int, resamples: int, seed: int
) -> np.ndarray:
    """float64 [resamples, k]: sums of k columns [n] over `count` clusters drawn with replacement."""
    check_resamples(resamples)
    # k columns of n values -> one row of k sums per cluster
    sums = np.stack([np.bincount(codes, column, count) for column in columns], axis=1)
    if resamples * count <= _CELLS:
        return _kept_weights(count, resamples, seed) @ sums
    return np.concatenate([weights @ sums for weights in _weights(count, resamples, seed)])


def check_resamples(resamples: int) -> None:
    """InputError for fewer than 100."""
    if resamples < 100:
        raise InputError(f"{resamples} resamples are too few for an interval; use at least 100")


def fewest_clusters(confidence: float) -> int:
    """Clusters from which on resampling can have this confidence.

    No resample lies beyond all clusters, and C of them lie all on one side of the truth with probability 2^(1 - C).
    """
    return math.ceil(1 - math.log2(1 - confidence))


def too_few(confidence: float) -> str:
    """Why resampling gives no interval."""
    return f"fewer than {fewest_clusters(confidence)} scenes: resampling them cannot reach {100 * confidence:g} %"


def student_bounds(x: np.ndarray, codes: np.ndarray, count: int, confidence: float) -> tuple[float, float]:
    """Student's t for the mean of x [n], whose residuals are summed in each of `count` > 1 clusters.

    The usual cluster-robust variance with its factor C / (C - 1). Source: Cameron and Miller 2015, "A practitioner's guide to
    cluster-robust inference", sections II and VI.
    """
    mean = float(x.mean())
    rests = np.bincount(codes, x - mean, count)
    error = math.sqrt(count / (count - 1) * float((rests**2).sum())) / len(x)
    reach = float(t.ppf(0.5 + confidence / 2, count - 1)) * error
    return mean - reach, mean + reach


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
) -> tuple[float | None, float | None, str, str]:
    """Both bounds, the method and a note."""
    check_resamples(resamples)
    if count < 2:
        return None, None, METHOD, "one scene only: nothing to resample"
    sizes = np.bincount(codes, minlength=count)
    means = np.bincount(codes, x, count) / sizes
    if np.ptp(means) <= 1e-12 * np.abs(means).max():  # equal up to rounding
        return None, None, METHOD, "all scenes agree exactly: resampling shows no spread"
    if count < fewest_clusters(confidence):
        return *student_bounds(x, codes, count, confidence), STUDENT, too_few(confidence)
    sums = resampled_sums([x, np.ones_like(x)], codes, count, resamples, seed)
    low, high = percentile(sums[:, 0] / sums[:, 1], tail(confidence, count))
    return low, high, METHOD, ""


def _clipped(found: _E, least: float | None, most: float | None) -> _E:
    if found.low is None or found.high is None:
        return found
    low = found.low if least is None else max(found.low, least)
    high = found.high if most is None else min(found.high, most)
    return replace(found, low=low, high=high)


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
