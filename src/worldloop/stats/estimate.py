"""What every interval here is: a value, its bounds, and what they rest on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from worldloop.core import InputError


@dataclass(frozen=True)
class Estimate:
    """A number with its confidence interval."""

    value: float | None
    """The point estimate; None when it is undefined."""
    low: float | None
    """Lower bound; None when the interval is undefined."""
    high: float | None
    """Upper bound; None when the interval is undefined."""
    confidence: float
    """Nominal coverage, such as 0.95."""
    n: int
    """Episodes behind it."""
    clusters: int
    """Independent groups (scenes) behind it; equals `n` where episodes are taken as independent."""
    method: str
    """How the interval was made."""
    note: str = ""
    """Why a value or an interval is undefined or was made another way; empty otherwise."""

    @property
    def defined(self) -> bool:
        """Whether there is an interval."""
        return self.low is not None and self.high is not None


def as_numbers(values: Any, name: str) -> np.ndarray:
    """float64 [n] of finite numbers, n >= 1; InputError otherwise."""
    try:
        array = np.asarray(values, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise InputError(f"{name} should be numbers: {error}") from None
    if array.ndim != 1 or not array.size:
        raise InputError(f"{name} should be a list of at least one number, got shape {list(array.shape)}")
    if not np.isfinite(array).all():
        raise InputError(
            f"{name} has a number that is not finite; leave such episodes out on purpose or fix them"
        )
    return array


def cluster_codes(clusters: Sequence[Any] | np.ndarray | None, n: int) -> tuple[np.ndarray, int]:
    """int [n] codes from 0 and their number; every episode is its own cluster when `clusters` is None."""
    if clusters is None:
        return np.arange(n), n
    if len(clusters) != n:
        raise InputError(f"{len(clusters)} cluster labels for {n} values; give one label per value")
    labels, codes = np.unique(np.asarray([str(c) for c in clusters]), return_inverse=True)
    return codes.reshape(-1), len(labels)


def check_confidence(confidence: float) -> float:
    """The confidence itself; InputError unless it is between 0 and 1."""
    if not 0.0 < confidence < 1.0:
        raise InputError(f"confidence is {confidence}; it lies between 0 and 1, such as 0.95")
    return float(confidence)
