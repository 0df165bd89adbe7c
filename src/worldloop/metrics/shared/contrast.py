"""How much of the local contrast of the true frames there is in the imagined ones, so that a blank picture is told from a good one."""

from __future__ import annotations

import numpy as np

from worldloop.metrics.clip import Array, Clip
from worldloop.metrics.shared.grey import grey_of
from worldloop.metrics.shared.opencv import opencv
from worldloop.metrics.shared.parts import by_step

WINDOW = 11
"""Side in pixels of the squares whose contrast is looked at."""
BARE = 1.0
"""Grey levels of mean local deviation below which a true frame shows nothing that could be missing."""
SOMETHING = 0.1
"""Share of the true contrast from which an imagined frame shows something."""
ENOUGH = 0.5
"""Share from which it gets full credit for what it shows."""


def shows_something(clip: Clip) -> Array:
    """bool [T]: whether each imagined frame has at least a tenth of the contrast of the true one; needs the truth."""
    return contrast_kept(clip) >= SOMETHING


def credit(clip: Clip) -> Array:
    """float64 [T] in 0..1: contrast of each imagined frame as a share of half of the true one's, at most 1; needs the truth.

    Pictures that fade agree with one another the better for it; in proportion to this, they gain nothing.
    """
    return np.minimum(contrast_kept(clip) / ENOUGH, 1.0)


def contrast_kept(clip: Clip) -> Array:
    """Local contrast of each imagined frame as a share of the true one's, float64 [T]; 1 where the true frame is bare.

    The mean over pixels of the deviation of grey levels in the square around each, where no pixel counts for more than the true
    frame's mean: a small loud patch is not taken for a picture.
    """

    def compute() -> Array:
        return np.array(by_step(_kept, grey_of(clip, "frames"), _true_deviations(clip)))

    return clip.once(("contrast kept",), compute)


def _true_deviations(clip: Clip) -> Array:
    """float32 [T,H,W]"""
    return clip.keeper().once(("deviations",), lambda: np.stack(by_step(_deviation, grey_of(clip, "truth"))))


def _kept(shown: Array, theirs: Array) -> float:
    ours, most = _deviation(shown), float(theirs.mean())
    return float(np.minimum(ours, most).mean() / np.minimum(theirs, most).mean()) if most >= BARE else 1.0


def _deviation(picture: Array) -> Array:
    """float32 [H,W] of grey levels float32 [H,W]: root mean square deviation from the local means around each pixel."""
    cv2 = opencv()
    gap = picture - cv2.blur(picture, (WINDOW, WINDOW))
    # The sums that move along may end a little below 0 where it is flat beside something loud.
    spread: Array = np.sqrt(np.maximum(cv2.blur(gap * gap, (WINDOW, WINDOW)), 0))
    return spread
