"""Success rates and exact tests on counts."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from scipy.stats import binom, norm

from worldloop.core import InputError
from worldloop.stats.estimate import Estimate, as_numbers, check_confidence


def wilson(successes: int, n: int, confidence: float = 0.95) -> Estimate:
    """Success rate with Wilson's score interval; both lie in [0, 1] and the interval is never empty.

    Takes trials as independent. Raises InputError unless 0 <= successes <= n and n >= 1.

    Source: Wilson 1927, "Probable inference, the law of succession, and statistical inference".
    """
    check_confidence(confidence)
    if not 0 <= successes <= n or n < 1:
        raise InputError(f"{successes} successes in {n} trials; need 0 <= successes <= trials and one trial")
    low, high = wilson_bounds(successes / n, n, confidence)
    return Estimate(successes / n, low, high, confidence, int(n), int(n), "wilson")


def wilson_bounds(rate: float, n: float, confidence: float) -> tuple[float, float]:
    """Wilson's bounds for a rate in [0, 1] seen in `n` > 0 (possibly effective, so fractional) trials."""
    z = float(norm.ppf(0.5 + confidence / 2))
    centre = (rate + z * z / (2 * n)) / (1 + z * z / n)
    half = z / (1 + z * z / n) * math.sqrt(rate * (1 - rate) / n + z * z / (4 * n * n))
    # Rounding could otherwise put the bound a hair inside the rate at 0 and 1.
    return max(0.0, min(rate, centre - half)), min(1.0, max(rate, centre + half))


def mcnemar_exact(wins: int, losses: int) -> float:
    """Two-sided exact p-value of McNemar's test on paired outcomes, in (0, 1].

    `wins` counts episodes that only the first succeeds in, `losses` those that only the second does. Under
    the null hypothesis the wins are Binomial(wins + losses, 1/2). Takes episodes as independent.

    Source: McNemar 1947; the exact form as in Agresti, "Categorical Data Analysis", section 11.1.
    """
    if wins < 0 or losses < 0:
        raise InputError(f"wins and losses are counts, got {wins} and {losses}")
    return min(1.0, 2.0 * float(binom.cdf(min(wins, losses), wins + losses, 0.5)))


def holm(p_values: Sequence[float]) -> list[float]:
    """Holm's adjusted p-values, in the order given: reject where they are at most the error rate.

    Holds the chance of any false rejection at that rate, whatever the dependence between the tests.
    Raises InputError for values outside [0, 1].

    Source: Holm 1979, "A simple sequentially rejective multiple test procedure".
    """
    if not len(p_values):
        return []
    p = as_numbers(p_values, "p_values")
    if (p < 0).any() or (p > 1).any():
        raise InputError("p-values lie between 0 and 1")
    order = np.argsort(p, kind="stable")
    steps = p[order] * (len(p) - np.arange(len(p)))
    adjusted = np.empty_like(p)
    adjusted[order] = np.minimum(1.0, np.maximum.accumulate(steps))
    return adjusted.tolist()
