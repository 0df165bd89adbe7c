"""Closeness to the truth as a function of the step, and how far it is above a picture that stands still."""

from __future__ import annotations

import difflib
from collections.abc import Callable

import numpy as np

from worldloop.core import InputError
from worldloop.metrics.clip import Array, Clip
from worldloop.metrics.shared.fidelity import (
    Whose,
    ms_ssim_steps,
    psnr_steps,
    ssim_steps,
    st_lpips_steps,
)

CURVES: dict[str, Callable[[Clip, Whose], Array]] = {
    "psnr": psnr_steps,
    "ssim": ssim_steps,
    "ms_ssim": ms_ssim_steps,
    "st_lpips": st_lpips_steps,
}
"""What `curve` can be of; of the first three more is better, of `st_lpips` less."""
AWAY = 0.1
"""1 - SSIM of the start to a true frame from which on the view counts as another than the start's."""
WINDOW = 5
"""Steps over which the skill is smoothed by a median, so that one lucky frame does not count."""


def curve(clip: Clip, what: str, whose: Whose = "frames") -> Array:
    """Closeness to the truth by step, float64 [T]: entry h after h + 1 actions. NaN where the world refused the step.

    `what` is one of `CURVES`; `whose` is `frames`, or `start` for the frozen start, the line to be above. InputError
    for another name, or for a clip that lacks the truth or the start.
    """
    if what not in CURVES:
        near = difflib.get_close_matches(what, CURVES, 1)
        hint = f"; did you mean {near[0]!r}?" if near else f"; there are {', '.join(CURVES)}"
        raise InputError(f"no curve of {what!r}{hint}")
    needs = {"truth"} | ({"start"} if whose == "start" else set())
    if missing := sorted(needs - clip.knows):
        raise InputError(f"a curve of {what} needs {', '.join(missing)}, which this clip does not have")
    return np.where(clip.counted, CURVES[what](clip, whose), np.nan)


def gain(clip: Clip, what: str) -> Array:
    """How far each frame is closer to the truth than the frozen start is, float64 [T]; NaN as in `curve`."""
    sign = -1.0 if what == "st_lpips" else 1.0
    return sign * (curve(clip, what) - curve(clip, what, "start"))


def skill(clip: Clip) -> tuple[Array, Array]:
    """Share of the frozen start's error that the model avoids: the steps int [N] at which it is told, and float64 [N], smoothed.

    1 - e / e_start with e = 1 - SSIM: 1 for the truth, 0 for the frozen start, below 0 for worse. It is told only at
    steps that the world let happen and whose true view differs from the start's (e_start > 0.1): near the start,
    standing still is right.
    """
    error, still = 1 - curve(clip, "ssim"), 1 - curve(clip, "ssim", "start")
    told = np.flatnonzero(still > AWAY)
    return told, _smooth(1 - error[told] / still[told]) if len(told) else np.zeros(0)


def _smooth(values: Array) -> Array:
    """Median over `WINDOW` values around each, fewer at the ends."""
    reach = WINDOW // 2
    wide = np.pad(values, reach, constant_values=np.nan)
    windows = np.lib.stride_tricks.sliding_window_view(wide, WINDOW)
    smooth: Array = np.nanmedian(windows, axis=1)
    return smooth
