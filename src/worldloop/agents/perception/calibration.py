"""From the logits of several views to one calibrated answer, and the measures of calibration."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.optimize import minimize
from scipy.special import log_softmax, softmax

from worldloop.core import InputError

MAX_DOUBT = 0.2


@dataclass(frozen=True)
class Fusion:
    """How views are combined; `fit_fusion` finds the three numbers.

    Each view's logits are divided by `temperature` and mixed with a share of `doubt` of the uniform
    distribution; the weighted mean of the log-probabilities is multiplied by n ** `agreement`, where n is the
    sum of the weights. `agreement` 1 treats views as independent evidence (a product), 0 as repetitions of one
    (a geometric mean); views of one target lie between.
    """

    temperature: float = 1.0
    doubt: float = 0.0
    """In [0,1), at most 0.2 when fitted. It bounds how strongly a single view can speak against a class."""
    agreement: float = 0.5
    """In [0,1]."""


def fuse(
    logits: np.ndarray, fusion: Fusion, weights: Sequence[float] | np.ndarray | None = None
) -> np.ndarray:
    """Probabilities float64 [C] from the logits [V,C] of V >= 1 views of one target.

    `weights` [V] >= 0 says how far each view is trusted (1 by default; less for an imagined one). A weight of
    0 leaves a view out; if all are 0 the answer is uniform. The order of the views does not matter.
    InputError for shapes that do not agree or weights that are negative or not finite.
    """
    logits = np.asarray(logits, np.float64)
    if logits.ndim != 2 or not len(logits):
        raise InputError(f"expected logits [V,C] of at least one view, got {list(logits.shape)}")
    w = np.ones(len(logits)) if weights is None else np.asarray(weights, np.float64)
    if w.shape != (len(logits),) or not np.isfinite(w).all() or (w < 0).any():
        raise InputError(f"expected {len(logits)} weights >= 0, got {w.tolist()}")
    total = float(np.sort(w).sum())
    if total == 0:
        return np.full(logits.shape[1], 1 / logits.shape[1])
    # Sorted, so that rounding does not depend on the order of the views.
    terms = np.sort(w[:, None] * _log_probabilities(logits, fusion), axis=0)
    return softmax(terms.sum(0) / total * total**fusion.agreement)


def _log_probabilities(logits: np.ndarray, fusion: Fusion) -> np.ndarray:
    scaled = log_softmax(logits / fusion.temperature, axis=-1)
    if fusion.doubt == 0:
        return scaled
    return np.log((1 - fusion.doubt) * np.exp(scaled) + fusion.doubt / logits.shape[-1])


def fit_temperature(logits: np.ndarray, labels: np.ndarray) -> float:
    """The temperature in [0.05, 20] that minimises the NLL of logits [N,C] (Guo et al., ICML 2017)."""

    def loss(x: np.ndarray) -> float:
        return nll(softmax(logits / np.exp(np.clip(x[0], -3, 3)), axis=1), labels)

    return float(np.exp(np.clip(minimize(loss, [0.0], method="Nelder-Mead").x[0], -3, 3)))


def fit_fusion(sequences: Sequence[np.ndarray], labels: Sequence[int] | np.ndarray) -> Fusion:
    """The fusion that minimises the mean NLL over sequences of views, each [V_i, C] of one target.

    Sequences of one view belong among them, because the temperature is shared. Deterministic. InputError
    without sequences.
    """
    if not len(sequences) or len(sequences) != len(labels):
        raise InputError(f"{len(sequences)} sequences with {len(labels)} labels")
    most = max(len(s) for s in sequences)
    padded = np.zeros((len(sequences), most, np.asarray(sequences[0]).shape[1]))
    mask = np.zeros((len(sequences), most, 1))
    for i, sequence in enumerate(sequences):
        padded[i, : len(sequence)] = sequence
        mask[i, : len(sequence)] = 1
    counts = mask.sum(1)
    targets = np.asarray(labels)

    def decode(x: np.ndarray) -> Fusion:
        return Fusion(
            temperature=float(np.exp(np.clip(x[0], -3, 3))),
            doubt=float(MAX_DOUBT / (1 + np.exp(np.clip(x[1], -12, 12)))),
            agreement=float(1 / (1 + np.exp(-np.clip(x[2], -12, 12)))),
        )

    def loss(x: np.ndarray) -> float:
        fusion = decode(x)
        mean = (mask * _log_probabilities(padded, fusion)).sum(1) / counts
        logs = log_softmax(mean * counts**fusion.agreement, axis=1)
        return float(-logs[np.arange(len(targets)), targets].mean())

    # The simplex method finds the nearest valley only: start from dependent and from independent views.
    start = np.log(fit_temperature(padded[:, 0], targets))
    options = {"maxiter": 250, "xatol": 1e-3, "fatol": 1e-6}
    found = [minimize(loss, [start, 3.0, a], method="Nelder-Mead", options=options) for a in (-2.0, 2.0)]
    best = min(found, key=lambda result: float(result.fun))
    return decode(best.x)


def nll(probabilities: np.ndarray, labels: Sequence[int] | np.ndarray) -> float:
    """Mean negative log-likelihood in nats of probabilities [N,C]."""
    chosen = np.asarray(probabilities)[np.arange(len(labels)), np.asarray(labels)]
    return float(-np.log(np.maximum(chosen, 1e-12)).mean())


def expected_calibration_error(
    probabilities: np.ndarray, labels: Sequence[int] | np.ndarray, bins: int = 15
) -> float:
    """Mean gap between confidence and accuracy over equal bins of confidence, in [0,1]; 0 without data."""
    probabilities = np.asarray(probabilities)
    if not len(probabilities):
        return 0.0
    confidence = probabilities.max(1)
    hit = probabilities.argmax(1) == np.asarray(labels)
    index = np.minimum((confidence * bins).astype(int), bins - 1)
    gaps = [
        abs(hit[index == b].mean() - confidence[index == b].mean()) * (index == b).mean() for b in set(index)
    ]
    return float(sum(gaps))


def report(probabilities: np.ndarray, labels: Sequence[int] | np.ndarray) -> dict[str, float]:
    """`count`, `accuracy`, `accuracy_top3`, `confidence`, `ece` (15 bins) and `nll` of probabilities [N,C]."""
    probabilities, targets = np.asarray(probabilities), np.asarray(labels)
    if not len(targets):
        return {"count": 0.0}
    top = np.argsort(-probabilities, axis=1, kind="stable")[:, :3]
    return {
        "count": float(len(targets)),
        "accuracy": float((top[:, 0] == targets).mean()),
        "accuracy_top3": float((top == targets[:, None]).any(1).mean()),
        "confidence": float(probabilities.max(1).mean()),
        "ece": expected_calibration_error(probabilities, targets),
        "nll": nll(probabilities, targets),
    }
