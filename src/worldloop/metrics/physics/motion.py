"""Where and when something moves, compared with the truth and with how far the truth itself can be known.

After Physics-IQ (arXiv 2501.09038), whose idea this is: motion masks compared in space, in time, and weighted by how much
moves, each relative to what two real recordings of one scene reach. Here masks are differences to a video's own median picture, and
the second recordings are simulations under disturbances that cannot be known. Not Physics-IQ's own numbers.
"""

from __future__ import annotations

import numpy as np
from scipy.ndimage import binary_dilation

from worldloop.metrics.clip import Clip
from worldloop.metrics.metric import metric

THRESHOLD = 24
"""Grey levels, in the channel that differs most, by which a pixel differs from the background where something moves."""
SAMPLES = 9
"""Frames, evenly spaced, whose median is the background."""
MARGIN = 3
"""Pixels around what truly moves that belong to it."""
_SOURCE = "after Physics-IQ (arXiv 2501.09038), with other masks and simulated replicas"
_NEEDS = ("start", "truth", "replicas")


def moving(start: np.ndarray, frames: np.ndarray) -> np.ndarray:
    """bool [T,H,W]: where frames uint8 [T,H,W,3] differ from the median of all of them and the start uint8 [H,W,3]."""
    every = np.concatenate([start[None], frames])
    chosen = every[np.unique(np.linspace(0, len(every) - 1, SAMPLES).round().astype(int))]
    middle = len(chosen) // 2
    background = np.partition(chosen, middle, axis=0)[middle]
    apart = np.maximum(frames, background) - np.minimum(frames, background)  # uint8 that cannot wrap
    return np.maximum(np.maximum(apart[..., 0], apart[..., 1]), apart[..., 2]) > THRESHOLD


def overlaps(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """float64 [3]: intersection over union of masks [T,H,W] in space, weighted in space, and in space and time.

    In space: where anything moves at any time. Weighted: the share of time for which it moves at each pixel, least over
    most. In space and time: over all pixels of all frames. 1 where nothing moves in either.
    """
    time_a, time_b = a.sum(axis=0, dtype=np.int32), b.sum(axis=0, dtype=np.int32)
    pairs = (
        (((time_a > 0) & (time_b > 0)).sum(), ((time_a > 0) | (time_b > 0)).sum()),
        (np.minimum(time_a, time_b).sum(), np.maximum(time_a, time_b).sum()),
        ((a & b).sum(), (a | b).sum()),
    )
    return np.array([1.0 if not most else least / most for least, most in pairs])


def squared(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """float32 [T,H,W]: mean over the channels of the squared difference of uint8 [T,H,W,3] on a scale of 0..1."""
    apart = (np.maximum(a, b) - np.minimum(a, b)).astype(np.float32)
    return np.einsum("thwc,thwc->thw", apart, apart) / np.float32(3 * 255**2)


def _truth(clip: Clip) -> np.ndarray:
    assert clip.start is not None and clip.truth is not None
    start, truth = clip.start, clip.truth
    return clip.once(("motion", "truth"), lambda: moving(start, truth))


def _replicas(clip: Clip) -> list[np.ndarray]:
    assert clip.start is not None and clip.replicas is not None
    start, replicas = clip.start, clip.replicas
    return clip.once(("motion", "replicas"), lambda: [moving(start, r) for r in replicas])


def _shares(clip: Clip) -> np.ndarray:
    """float64 [3]: the overlaps with the truth, relative to those of the replicas with it, at most 1."""

    def compute() -> np.ndarray:
        assert clip.start is not None
        truth = _truth(clip)
        ceiling = np.mean([overlaps(truth, r) for r in _replicas(clip)], axis=0)
        found = overlaps(truth, moving(clip.start, clip.frames))
        return np.minimum(found / np.maximum(ceiling, 1e-3), 1.0)

    return clip.once(("motion", "shares"), compute)


def _iou(clip: Clip, which: int) -> float:
    return float(_shares(clip)[which])


@metric(
    "motion_iou_spatial", group="physics", unit="", low=0, high=1, better="higher", worst=0, source=_SOURCE, needs=_NEEDS,
    reacts=("float", "vanish-behind", "give-up"), ignores=("dusk",), tolerance=0.02,
)  # fmt: skip
def motion_iou_spatial(clip: Clip) -> float:
    """Does something move where it should, at whatever time

    Intersection over union of the pixels at which anything ever moves, divided by that of replicas of the truth, at most 1.
    Blind to order and speed, as long as the whole way is gone. A frozen video scores 0.
    """
    return _iou(clip, 0)


@metric(
    "motion_iou_weighted", group="physics", unit="", low=0, high=1, better="higher", worst=0, source=_SOURCE, needs=_NEEDS,
    reacts=("slow-motion", "friction-x2", "low-gravity", "give-up"), ignores=("dusk",), tolerance=0.02,
)  # fmt: skip
def motion_iou_weighted(clip: Clip) -> float:
    """Does something move where it should, and for as long

    As `motion_iou_spatial`, each pixel weighted by the share of time for which something moves there: the sum of the smaller
    shares over the sum of the larger ones. Blind to order alone. A frozen video scores 0.
    """
    return _iou(clip, 1)


@metric(
    "motion_iou_spatiotemporal", group="physics", unit="", low=0, high=1, better="higher", worst=0, source=_SOURCE,
    needs=_NEEDS, reacts=("slow-motion", "friction-x2", "low-gravity", "give-up"), ignores=("dusk",), tolerance=0.02,
)  # fmt: skip
def motion_iou_spatiotemporal(clip: Clip) -> float:
    """Does something move where and when it should

    Intersection over union of moving pixels over all frames at once, divided by that of replicas of the truth, at most 1.
    Physics-IQ averages over frames instead, which would reward stillness wherever nothing moves. A frozen video scores 0.
    """
    return _iou(clip, 2)


@metric(
    "background_error", group="physics", unit="", low=0, high=1, better="lower", worst=1,
    source="mean squared error outside moving regions", needs=_NEEDS,
    reacts=("dusk",), ignores=("slow-motion",), tolerance=0.001,
)  # fmt: skip
def background_error(clip: Clip) -> float:
    """How much changes where nothing should: mean squared error on a scale of 0..1

    Over the pixels, with a margin, at which nothing ever moves in the truth or in its replicas. Cannot see what happens
    where things do move: a frozen video scores best, and the motion scores beside it worst; a blank video in the colour of the
    background scores well. NaN where everything moves.
    """
    assert clip.truth is not None
    still = ~binary_dilation(
        np.any([m.any(axis=0) for m in (_truth(clip), *_replicas(clip))], axis=0), iterations=MARGIN
    )
    if not still.any():
        return float("nan")
    return float(_errors(clip)[:, still].mean())


def _errors(clip: Clip) -> np.ndarray:
    truth, frames = clip.truth, clip.frames
    assert truth is not None
    return clip.once(("squared error",), lambda: squared(truth, frames))


@metric(
    "physics_score", group="physics", unit="", low=0, high=1, better="higher", worst=0, source=_SOURCE, needs=_NEEDS,
    reacts=("slow-motion", "friction-x2", "low-gravity", "give-up"), ignores=("dusk",), tolerance=0.02,
)  # fmt: skip
def physics_score(clip: Clip) -> float:
    """Motion in the right place, at the right time, and the right pictures, in one number

    mean(spatial, weighted, spatiotemporal) - max(MSE - MSE of the replicas, 0), clipped to 0..1, with the three motion scores
    above and mean squared errors on a scale of 0..1. The form of Physics-IQ's score; not its value. Colours count for little:
    in small bodies on a still background the error is far below the motion scores.
    """
    assert clip.truth is not None and clip.replicas is not None
    truth, replicas = clip.truth, clip.replicas
    known = clip.once(
        ("squared error", "replicas"), lambda: float(np.mean([squared(truth, r).mean() for r in replicas]))
    )
    surplus = max(float(_errors(clip).mean()) - known, 0.0)
    return float(np.clip(_shares(clip).mean() - surplus, 0.0, 1.0))
