"""Places that are seen again: is what was there still there?

A frozen video wins all of these. A view with less than a tenth of the true one's local contrast shows nothing that could be there
again and counts as the worst, so that a blank video does not.
"""

from __future__ import annotations

import numpy as np

from worldloop.metrics.clip import Clip
from worldloop.metrics.metric import metric
from worldloop.metrics.shared.contrast import shows_something
from worldloop.metrics.shared.lifting import entries
from worldloop.metrics.shared.likeness import MOST_PSNR, psnr, ssim_map
from worldloop.metrics.shared.parts import by_step
from worldloop.metrics.shared.perception import shared_perception

LEAST_PIXELS = 0.002
"""Share of the view from which a thing counts as seen."""
ALIKE = 0.5
"""Mean structural similarity over a thing's pixels from which it counts as the same again."""
_COMMON = {
    "group": "geometry",
    "source": "loop closure as in WorldMark's revisit (arXiv 2604.21686), at places that are truly equal",
    "needs": ("start", "truth", "poses", "revisits"),
    "ignores": ("half-step",),
    "version": 3,
}


def closing_pairs(clip: Clip) -> np.ndarray:
    """int [K,2]: of each place that is seen again, its first entry and its last."""
    assert clip.revisits is not None
    again = set(clip.revisits[:, 1].tolist())
    last: dict[int, int] = {}
    for i, j in clip.revisits.tolist():
        if i not in again:
            last[i] = max(j, last.get(i, j))
    return np.array(sorted(last.items()), int).reshape(-1, 2)


@metric(
    "loop_closure_psnr",
    unit="dB",
    low=0.0,
    high=MOST_PSNR,
    better="higher",
    worst=0.0,
    reacts=("popping", "wobble", "give-up"),
    tolerance=1.0,
    **_COMMON,
)
def loop_closure_psnr(clip: Clip) -> float:
    """Peak signal-to-noise ratio between the first and the last imagined view of the same place.

    Mean over places; the real start is the first view of its place. Equal pictures score 60 dB. Whether the view is right is not
    asked, so a frozen video scores best: `reprojection_error` and `controllability` see that it does not move.
    """
    views, pairs = entries(clip), closing_pairs(clip)
    values = [psnr(views[i], views[j]) for i, j in pairs]
    return _mean(np.where(_both_shown(clip, pairs), values, 0.0))


@metric(
    "loop_closure_ssim",
    unit="",
    low=-1.0,
    high=1.0,
    better="higher",
    worst=-1.0,
    reacts=("popping", "wobble", "give-up"),
    tolerance=0.02,
    **_COMMON,
)
def loop_closure_ssim(clip: Clip) -> float:
    """Structural similarity of the first and the last imagined view of the same place.

    As `loop_closure_psnr`, and won by a frozen video like it.
    """
    views, pairs = entries(clip), closing_pairs(clip)
    values = [float(ssim_map(views[i], views[j]).mean()) for i, j in pairs]
    return _mean(np.where(_both_shown(clip, pairs), values, -1.0))


@metric(
    "loop_closure_st_lpips",
    unit="",
    low=0.0,
    high=1.0,
    better="lower",
    worst=1.0,
    weights="stlpips",
    reacts=("popping", "wobble", "give-up"),
    tolerance=0.01,
    **_COMMON,
)
def loop_closure_st_lpips(clip: Clip) -> float:
    """ST-LPIPS between the first and the last imagined view of the same place.

    As `loop_closure_psnr`, and won by a frozen video like it.
    """
    views, pairs = entries(clip), closing_pairs(clip)
    if not len(pairs):
        return float("nan")
    distance = shared_perception().stlpips(views[pairs[:, 0]], views[pairs[:, 1]])
    return _mean(np.where(_both_shown(clip, pairs), distance, 1.0))


@metric(
    "revisit_error",
    unit="grey levels of 255",
    low=0.0,
    high=255.0,
    better="lower",
    worst=255.0,
    reacts=("popping", "wobble", "give-up"),
    tolerance=1.0,
    **_COMMON,
)
def revisit_error(clip: Clip) -> float:
    """Root mean square difference between imagined views of the same place, over all pairs of visits.

    For long walks, which pass by many places again; needs no weights. Won by a frozen video and favoured by a dull one:
    `reprojection_error` sees the first, quality metrics the second.
    """
    assert clip.revisits is not None
    views = entries(clip)
    squares = [np.square(views[i].astype(np.float32) - views[j]).mean() for i, j in clip.revisits]
    return _mean(np.where(_both_shown(clip, clip.revisits), np.sqrt(squares), 255.0))


@metric(
    "object_permanence",
    group="geometry",
    unit="",
    low=0.0,
    high=1.0,
    better="higher",
    worst=0.0,
    source="this library; things and visits from the simulator's segmentation and poses",
    needs=("start", "truth", "poses", "revisits", "segmentation"),
    reacts=("popping", "wobble", "give-up"),
    ignores=("half-step",),
    tolerance=0.05,
    version=3,
)
def object_permanence(clip: Clip) -> float:
    """Share of the things that left the view and came back that look as they did before.

    A thing is taken at two visits of the same place, between which it was truly out of sight at some entry. It is the same again
    where the structural similarity of the two imagined views is at least 0.5 on average over its pixels, and both show something.
    NaN where nothing comes back. Won by a frozen video: `reprojection_error` sees that it does not move.
    """
    assert clip.segmentation is not None
    views, ids = entries(clip), clip.segmentation
    least = LEAST_PIXELS * ids[0].size
    same, total, present = 0, 0, by_step(_numbers, ids)
    pairs = closing_pairs(clip)
    for (i, j), shown in zip(pairs, _both_shown(clip, pairs)):
        likeness, between = ssim_map(views[i], views[j]), present[i + 1 : j]
        numbers, counts = np.unique(ids[i], return_counts=True)
        for number, count in zip(numbers.tolist(), counts.tolist()):
            if number == 0 or count < least or all(number in seen for seen in between):
                continue
            total += 1
            same += bool(shown and likeness[ids[i] == number].mean() >= ALIKE)
    return same / total if total else float("nan")


def _numbers(ids: np.ndarray) -> set[int]:
    """Which ids there are: the first of each run of equal ones is enough, and there are few runs."""
    flat = ids.ravel()
    return {int(flat[0]), *flat[1:][flat[1:] != flat[:-1]].tolist()}


def _both_shown(clip: Clip, pairs: np.ndarray) -> np.ndarray:
    """bool [K]: whether both views of each pair of entries [K,2] show something; the start does."""
    shown = np.concatenate([[True], shows_something(clip)])
    both: np.ndarray = shown[pairs].all(axis=1)
    return both


def _mean(values: np.ndarray) -> float:
    return float(values.mean(dtype=np.float64)) if len(values) else float("nan")
