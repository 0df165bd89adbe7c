"""How firm is a ranking? Its order under other weights and other scenes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from worldloop.core import InputError, generator
from worldloop.stats.bootstrap import resampled_sums
from worldloop.stats.estimate import cluster_codes

DRAWS = 2000


@dataclass(frozen=True)
class Stability:
    """How a ranking of models fares when something is drawn anew."""

    same: float
    """Share of the draws in which the whole order stays."""
    tau: float
    """Kendall's tau between the order and that of a draw, mean over the draws; equal scores count as no order."""
    draws: int


def under_weights(
    normalised: np.ndarray,
    weights: np.ndarray | None = None,
    spread: float = 0.2,
    draws: int = DRAWS,
    seed: int = 0,
) -> Stability:
    """Ranking of models by the weighted mean of k metrics, each weight drawn evenly from 1 - spread to 1 + spread times its own.

    `normalised` [m,k] are the models' values, higher is better; `weights` [k] are equal unless given. InputError for fewer than
    two models or NaN.
    """
    x = _checked(normalised)
    own = _weights(weights, x.shape[1])
    if not 0 < spread < 1:
        raise InputError(f"weights vary by more than 0 and less than all of them, not by {spread}")
    drawn = own * generator(seed, "weights of a composite").uniform(1 - spread, 1 + spread, (draws, len(own)))
    scores = drawn @ x.T / drawn.sum(axis=1, keepdims=True)  # d m
    return _stability(x @ own, scores)


def under_scenes(
    values: np.ndarray,
    clusters: Sequence[Any],
    low: np.ndarray,
    high: np.ndarray,
    weights: np.ndarray | None = None,
    draws: int = DRAWS,
    seed: int = 0,
) -> Stability:
    """Ranking of models by the weighted mean of k normalised metrics, when the n cases' scenes are drawn anew, the same for all.

    `values` [m,k,n] with NaN where a case does not count, `clusters` [n] the scenes, `low` and `high` [k] what becomes 0 and 1.
    `weights` [k] are equal unless given. InputError for fewer than two models or scenes, or a metric without any value.
    """
    codes, count = cluster_codes(clusters, values.shape[2])
    if count < 2:
        raise InputError("one scene only: nothing to draw anew")
    m, k, n = values.shape
    there = np.isfinite(values)
    flat = np.where(there, values, 0.0).reshape(m * k, n)
    columns = [*flat, *there.reshape(m * k, n).astype(np.float64)]
    sums = resampled_sums(columns, codes, count, draws, seed).reshape(draws, 2, m, k)
    whole = _means(flat.sum(axis=1).reshape(m, k), there.sum(axis=2).astype(np.float64))
    drawn = _means(sums[:, 0], sums[:, 1])
    # A draw without a single case of a metric says nothing about it: what is known stands in.
    drawn = np.where(np.isfinite(drawn), drawn, whole)
    own = _weights(weights, k)
    return _stability(_checked(normalise(whole, low, high)) @ own, normalise(drawn, low, high) @ own)


def normalise(values: np.ndarray, low: np.ndarray, high: np.ndarray) -> np.ndarray:
    """Values [...,k] on a scale from 0 at `low` to 1 at `high` [k], cut off at both ends; `low` may be the larger number."""
    return np.clip((values - low) / (high - low), 0.0, 1.0)


def _weights(given: np.ndarray | None, count: int) -> np.ndarray:
    """Summing to 1."""
    weights = np.ones(count) if given is None else np.asarray(given, np.float64)
    return weights / weights.sum()


def _means(sums: np.ndarray, counts: np.ndarray) -> np.ndarray:
    return np.divide(sums, counts, out=np.full(sums.shape, np.nan), where=counts > 0)


def _checked(values: np.ndarray) -> np.ndarray:
    x = np.asarray(values, np.float64)
    if x.ndim != 2 or len(x) < 2 or not np.isfinite(x).all():
        raise InputError("a ranking takes two models or more, each with a number for every metric")
    return x


def _stability(scores: np.ndarray, draws: np.ndarray) -> Stability:
    """scores [m], draws [d,m]."""
    first, second = np.triu_indices(len(scores), 1)
    order = np.sign(np.round(scores[first] - scores[second], 12))
    drawn = np.sign(np.round(draws[:, first] - draws[:, second], 12))
    same = float((drawn == order).all(axis=1).mean())
    return Stability(same, float((drawn * order).mean()), len(draws))
