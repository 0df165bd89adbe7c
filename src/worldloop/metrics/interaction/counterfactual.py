"""What acting changes in the imagination and in truth, each against its own twin of doing nothing.

All are compared in cells rather than pixels, so that a picture slightly to the side is none of their business.
"""

from __future__ import annotations

import numpy as np

from worldloop.metrics.clip import Clip
from worldloop.metrics.metric import metric
from worldloop.metrics.shared.opencv import opencv
from worldloop.metrics.shared.parts import by_step

NEEDS = ("truth", "twin", "twin_truth")
CELLS = 32
"""Cells across, over which pictures are averaged first."""
NOTICED = 2.0
"""Grey levels of mean difference from which acting truly shows."""
ANSWERED = 0.5
"""Share of the true difference from which the imagined frames answer."""
MOST_STEPS = 16.0
"""Latency of a clip that failed or never answers, and the longest."""


@metric(
    "counterfactual_effect",
    group="interaction",
    unit="",
    low=0.0,
    high=1.0,
    better="higher",
    worst=0.0,
    source="this library; effect of acting against a no-action twin",
    needs=NEEDS,
    reacts=("other-action", "no-action", "give-up"),
    ignores=("nudge",),
    tolerance=0.12,
    version=2,
)
def counterfactual_effect(clip: Clip) -> float:
    """How well what acting changes in the imagined frames agrees with what it truly changes, against doing nothing.

    With E = imagined frames - imagined twin, and E* the same of the truth, averaged over cells of a 32nd of the width:
    1 - sum|E - E*| / (sum|E| + sum|E*|) over all counted steps. 1 is the same change, 0 none at all or an unrelated or opposite one; too much counts like too little. A model that
    ignores actions, a frozen video among them, scores 0. NaN where acting truly changes nothing.
    """
    use = clip.counted
    shown, true, apart = _means(clip)[use].sum(axis=0).tolist()
    if not use.any() or true / use.sum() < NOTICED:
        return float("nan")
    return float(1 - apart / (shown + true))


@metric(
    "response_latency",
    group="interaction",
    unit="steps",
    low=0.0,
    high=MOST_STEPS,
    better="lower",
    worst=MOST_STEPS,
    source="this library; first answer of the imagined frames against a no-action twin, after the first true one",
    needs=NEEDS,
    reacts=("no-action",),
    ignores=("nudge", "half-step"),
    tolerance=0.2,
    version=3,
)
def response_latency(clip: Clip) -> float:
    """Steps by which the imagined frames answer acting later than the truth does.

    Both are compared with their twins of doing nothing. The truth answers at the first step with a mean difference of 2 grey
    levels; the imagination at the first step from then on at which the truth differs by as much and it by half of that. At most 16
    steps, which is also what never answering counts, however short the clip. Whether the answer is right is not asked, see
    `counterfactual_effect`. NaN where acting truly changes nothing.
    """
    shown, true = _means(clip)[:, :2].T
    noticed = np.nonzero(true >= NOTICED)[0]
    if not len(noticed):
        return float("nan")
    # Where the truth passes by its start again, showing nothing would be no answer.
    answers = noticed[shown[noticed] >= ANSWERED * true[noticed]]
    return min(float(answers[0] - noticed[0]), MOST_STEPS) if len(answers) else MOST_STEPS


def _means(clip: Clip) -> np.ndarray:
    """float64 [T,3]: means of |E|, |E*| and |E - E*| over the cells of each step, with E as in `counterfactual_effect`."""

    def compute() -> np.ndarray:
        assert clip.twin is not None
        shown, true = _cells(clip.frames) - _cells(clip.twin), _true_effect(clip)
        return np.abs(np.stack([shown, true, shown - true], axis=1)).mean(axis=(2, 3, 4), dtype=np.float64)

    return clip.once(("effects",), compute)


def _true_effect(clip: Clip) -> np.ndarray:
    """float32 [T,H',W',3], E* in cells, computed once for all clips of a case."""
    truth, still = clip.truth, clip.twin_truth
    assert truth is not None and still is not None
    return clip.keeper().once(("true effect",), lambda: _cells(truth) - _cells(still))


def _cells(frames: np.ndarray) -> np.ndarray:
    """uint8 [T,H,W,3] to float32 [T,H',W',3], means over cells of equal size; smaller pictures as they are."""
    cv2, (height, width) = opencv(), frames.shape[1:3]
    across = min(CELLS, width)
    size = (across, max(1, round(across * height / width)))
    return np.stack(
        by_step(lambda f: cv2.resize(f.astype(np.float32), size, interpolation=cv2.INTER_AREA), frames)
    )
