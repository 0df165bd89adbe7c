"""Closeness to the truth as a function of the step, and how far it is above pictures that imagine nothing."""

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
from worldloop.metrics.shared.grey import grey_of
from worldloop.metrics.shared.ssim import ssim

CURVES: dict[str, Callable[[Clip, Whose], Array]] = {
    "psnr": psnr_steps,
    "ssim": ssim_steps,
    "ms_ssim": ms_ssim_steps,
    "st_lpips": st_lpips_steps,
}
"""What `curve` can be of; of the first three more is better, of `st_lpips` less."""
AWAY = 0.1
"""1 - SSIM of the best picture that imagines nothing to a true frame, from which on there is something to imagine."""
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
    """Share of the error of imagining nothing that the model avoids: the steps int [N] at which it is told, and float64 [N],
    smoothed.

    1 - e / e_nothing with e = 1 - SSIM: 1 for the truth, 0 and below for who imagines nothing. That is the better of the frozen
    start and a blank picture, because SSIM prefers a blank picture to a sharp one of another place. It is told only at steps
    that the world let happen and where there is something to imagine (e_nothing > 0.1): near the start standing still is right,
    and before a bare wall a blank picture is.
    """
    error = 1 - curve(clip, "ssim")
    still = np.minimum(1 - curve(clip, "ssim", "start"), _blank_error(clip.true))
    told = np.flatnonzero(still > AWAY)
    return told, _smooth(1 - error[told] / still[told]) if len(told) else np.zeros(0)


def _blank_error(clip: Clip) -> Array:
    """1 - SSIM to the truth of a picture that has the start's mean brightness everywhere, float64 [T]."""

    def compute() -> Array:
        start, truth = grey_of(clip, "start"), grey_of(clip, "truth")
        return 1 - ssim(np.full_like(truth, start.mean(dtype=np.float64)), truth)[0]

    return clip.once(("blank error",), compute)


def _smooth(values: Array) -> Array:
    """Median over `WINDOW` values around each, fewer at the ends."""
    reach = WINDOW // 2
    wide = np.pad(values, reach, constant_values=np.nan)
    windows = np.lib.stride_tricks.sliding_window_view(wide, WINDOW)
    smooth: Array = np.nanmedian(windows, axis=1)
    return smooth
