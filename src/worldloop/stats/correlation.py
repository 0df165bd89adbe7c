"""Does a measure of models go with another? Correlation over models, with an interval that redraws all that was sampled."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from scipy.stats import rankdata

from worldloop.core import InputError, generator
from worldloop.stats.bootstrap import percentile, tail
from worldloop.stats.estimate import Estimate, as_numbers, check_confidence, cluster_codes

METHOD = "bootstrap of models and scenes"
FEWEST = 8
"""Models below which no correlation should be a headline: of 5, r = .9 has an interval from .1 to .99."""
RESAMPLES = 4_000
Kind = Literal["pearson", "spearman"]


@dataclass(frozen=True, eq=False)
class Outcomes:
    """What one model scored in cases or episodes."""

    values: np.ndarray
    """float64 [n], finite."""
    clusters: tuple[Any, ...]
    """[n], the scene of each."""


def model_correlation(
    x: Sequence[Outcomes],
    y: Sequence[Outcomes],
    kind: Kind = "pearson",
    confidence: float = 0.95,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> Estimate:
    """Correlation, in [-1, 1], between the mean `x` and the mean `y` of k models.

    The interval redraws models, the scenes of `x` and the scenes of `y`, each independently; scenes are drawn once for all models,
    which share them. Its tail is widened for few models as in `mean_interval`. Resamples without an order (one model drawn k
    times, say) say nothing and are left out; the note tells when they are more than one in twenty. Undefined (None, with a note)
    for models that are all equal in x or in y. The number of models stands in `clusters`, that of values in `n`.

    Raises InputError for fewer than three models, or lists that differ in length.
    """
    return _estimate([x], y, kind, confidence, resamples, seed)


def correlation_gap(
    first: Sequence[Outcomes],
    second: Sequence[Outcomes],
    y: Sequence[Outcomes],
    kind: Kind = "pearson",
    confidence: float = 0.95,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> Estimate:
    """How much better `first` goes with `y` than `second` does: the difference of their correlations, in [-2, 2].

    Both are of the same k models, which are redrawn together, and so are the scenes of `first` and `second` where these are the same:
    what a scene does to both then cancels. Else as `model_correlation`.
    """
    return _estimate([first, second], y, kind, confidence, resamples, seed)


def _estimate(
    lists: Sequence[Sequence[Outcomes]],
    y: Sequence[Outcomes],
    kind: Kind,
    confidence: float,
    resamples: int,
    seed: int,
) -> Estimate:
    """The correlation of the first list with `y`, less that of the second where there is one."""
    count = len(y)
    for x in lists:
        if len(x) != count or count < 3:
            raise InputError(
                f"a correlation needs three models or more in both lists, got {len(x)} and {count}"
            )
    check_confidence(confidence)
    n = sum(len(o.values) for o in (*lists[0], *y))
    tables = [_by_scene(x) for x in (*lists, y)]
    means = [_means(sums, sizes) for sums, sizes in tables]
    value = float(_less([_correlations(m, means[-1], kind) for m in means[:-1]])[0])
    if np.isnan(value):
        return Estimate(None, None, None, confidence, n, count, METHOD, "the models do not differ")
    random = generator(seed, "model correlation", kind)
    drawn = random.integers(count, size=(resamples, count))
    found, weights = list[np.ndarray](), dict[frozenset[str], np.ndarray]()
    # Scenes of episodes are none of those of cases, whatever they are called.
    labels = [frozenset(str(c) for o in x for c in o.clusters) for x in lists]
    for names, (sums, sizes) in zip([*labels, frozenset[str]()], tables):
        if names not in weights:
            scenes = sums.shape[1]
            weights[names] = random.multinomial(scenes, np.full(scenes, 1 / scenes), size=resamples)
        means_drawn = _means(sums, sizes, weights[names].astype(np.float64))
        found.append(np.take_along_axis(means_drawn, drawn, axis=1))
    sample = _less([_correlations(m, found[-1], kind) for m in found[:-1]])
    good = np.isfinite(sample)
    if good.mean() < 0.5:
        reason = "most resamples have no order: too few models differ"
        return Estimate(value, None, None, confidence, n, count, METHOD, reason)
    note = (
        ""
        if good.mean() >= 0.95
        else f"{1 - good.mean():.0%} of the resamples have no order and are left out"
    )
    low, high = percentile(sample[good], tail(confidence, count))
    return Estimate(value, low, high, confidence, n, count, METHOD, note)


def _less(found: Sequence[np.ndarray]) -> np.ndarray:
    return found[0] if len(found) == 1 else found[0] - found[1]


def _by_scene(rows: Sequence[Outcomes]) -> tuple[np.ndarray, np.ndarray]:
    """Sums and numbers of values, float64 [k, scenes]."""
    values = [as_numbers(o.values, "values") for o in rows]
    labels = [c for o in rows for c in o.clusters]
    codes, scenes = cluster_codes(labels, sum(len(v) for v in values))
    parts = np.split(codes, np.cumsum([len(v) for v in values])[:-1])
    sums = np.stack([np.bincount(c, v, scenes) for c, v in zip(parts, values)])
    return sums, np.stack([np.bincount(c, minlength=scenes) for c in parts]).astype(np.float64)


def _means(sums: np.ndarray, sizes: np.ndarray, weights: np.ndarray | None = None) -> np.ndarray:
    """float64 [r,k]; NaN for a model none of whose scenes was drawn."""
    if weights is None:
        weights = np.ones((1, sums.shape[1]))
    total, number = weights @ sums.T, weights @ sizes.T
    return np.divide(total, number, out=np.full(total.shape, np.nan), where=number > 0)


def _correlations(x: np.ndarray, y: np.ndarray, kind: Kind) -> np.ndarray:
    """float64 [r], row by row; NaN for a row without any order or with a missing mean."""
    whole = np.isfinite(x).all(axis=1) & np.isfinite(y).all(axis=1)
    # Means that are equal may differ in their last bits, which is no order.
    x, y = np.round(np.where(whole[:, None], x, 0.0), 10), np.round(np.where(whole[:, None], y, 0.0), 10)
    if kind == "spearman":
        x, y = rankdata(x, axis=1), rankdata(y, axis=1)
    x, y = x - x.mean(axis=1, keepdims=True), y - y.mean(axis=1, keepdims=True)
    norm = np.sqrt((x**2).sum(axis=1) * (y**2).sum(axis=1))
    usable = whole & (norm > 1e-12)
    found = np.divide((x * y).sum(axis=1), norm, out=np.full(len(x), np.nan), where=usable)
    return np.clip(found, -1.0, 1.0)
