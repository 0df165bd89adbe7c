"""How much of what perfect imagination could bring does a world model bring?"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from worldloop.core import InputError
from worldloop.stats.bootstrap import (
    METHOD,
    RESAMPLES,
    fewest_clusters,
    paired_difference,
    percentile,
    resampled_sums,
    tail,
    too_few,
)
from worldloop.stats.estimate import Estimate, as_numbers, cluster_codes


def utility(
    model: Sequence[float] | np.ndarray,
    none: Sequence[float] | np.ndarray,
    oracle: Sequence[float] | np.ndarray,
    clusters: Sequence[Any] | np.ndarray | None = None,
    confidence: float = 0.95,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> Estimate:
    """(SR - SR_none) / (SR_oracle - SR_none), with a cluster-bootstrap interval.

    All three are outcomes [n] (0 or 1, or graded) of the same episodes in the same order. 0: no better than
    acting without a model; 1: as good as the simulator itself; below 0: it misleads. Not bounded.

    Value and interval are None, with the reason in `note`, when the interval of SR_oracle - SR_none touches
    0: then imagination cannot be shown to matter in this task, and the ratio means nothing. With too few scenes to
    resample (`fewest_clusters`) there is a value, but no interval. Resamples whose
    denominator is not positive count as beyond both ends, which can only widen the interval.
    """
    m, n, o = (as_numbers(v, k) for v, k in ((model, "model"), (none, "none"), (oracle, "oracle")))
    if not len(m) == len(n) == len(o):
        raise InputError(
            f"{len(m)}, {len(n)} and {len(o)} outcomes; pair the same episodes in the same order"
        )
    codes, count = cluster_codes(clusters, len(m))
    room = paired_difference(o, n, clusters, confidence, resamples, seed)
    if not room.defined or room.low is None or room.low <= 0:
        what = room.note or f"the interval of SR(oracle) - SR(none) is [{room.low:+.3f}, {room.high:+.3f}]"
        reason = f"undefined: it is not shown that even the oracle helps ({what})"
        return Estimate(None, None, None, confidence, len(m), count, METHOD, reason)
    value = float((m - n).mean() / (o - n).mean())
    if count < fewest_clusters(confidence):
        reason = too_few(confidence)
        return Estimate(value, None, None, confidence, len(m), count, METHOD, reason)
    gain, span = resampled_sums([m - n, o - n], codes, count, resamples, seed).T
    positive = span > 0
    ratio = np.divide(gain, span, out=np.full_like(gain, np.inf), where=positive)
    share = tail(confidence, count)
    low = percentile(np.where(positive, ratio, -np.inf), share)[0]
    high = percentile(ratio, share)[1]
    if not np.isfinite([low, high]).all() or low == high:
        reason = "the interval is undefined: too few scenes differ"
        return Estimate(value, None, None, confidence, len(m), count, METHOD, reason)
    return Estimate(value, low, high, confidence, len(m), count, METHOD)
