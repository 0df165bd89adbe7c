"""Areas under the curves of closeness, above the line of the frozen start.

A plain area, divided by the steps, would be the mean that the group `quality` has already; above the frozen start it
says what the imagination was good for. The frozen start scores 0 whatever the truth does; a blank picture scores somewhat more by
SSIM, which prefers it to a sharp picture of another place (the horizons do not).
"""

from __future__ import annotations

import numpy as np

from worldloop.metrics.clip import Clip
from worldloop.metrics.long.curves import gain
from worldloop.metrics.metric import metric
from worldloop.metrics.shared.fidelity import PSNR_CAP


def _area(clip: Clip, what: str) -> float:
    # Steps are one apart, so that the area over the horizon is the mean.
    values = gain(clip, what)
    return float(np.nanmean(values)) if clip.counted.any() else float("nan")


@metric(
    "psnr_area",
    group="long",
    unit="dB",
    low=-20.0,
    high=PSNR_CAP,
    better="higher",
    worst=-20.0,
    source="own; area between PSNR by step and the frozen start's, by steps",
    needs=("truth", "start"),
    reacts=("blur", "noise", "mirror", "freeze", "lag", "teleport", "fade-out", "exposure-drift", "give-up"),
    ignores=("restless",),
    version=2,
)
def psnr_area(clip: Clip) -> float:
    """Gain in PSNR over the frozen start, averaged over the horizon.

    Each step's PSNR is at most 58.9 dB. Cannot see when the gain was lost (`half_life` does).
    """
    return _area(clip, "psnr")


@metric(
    "ssim_area",
    group="long",
    unit="",
    low=-1.0,
    high=2.0,
    better="higher",
    worst=-1.0,
    source="own; area between SSIM by step and the frozen start's, by steps",
    needs=("truth", "start"),
    reacts=("blur", "noise", "mirror", "freeze", "lag", "teleport", "fade-out", "give-up"),
    ignores=("colour-drift", "restless"),
    tolerance=0.03,
    version=2,
)
def ssim_area(clip: Clip) -> float:
    """Gain in SSIM over the frozen start, averaged over the horizon.

    Cannot see colour, nor when the gain was lost (`half_life` does).
    """
    return _area(clip, "ssim")


@metric(
    "perceptual_area",
    group="long",
    unit="",
    low=-1.0,
    high=float("inf"),
    better="higher",
    worst=-1.0,
    source="own; area between ST-LPIPS by step and the frozen start's, by steps",
    needs=("truth", "start"),
    weights="stlpips",
    reacts=("blur", "noise", "freeze", "lag", "fade-out", "give-up"),
    ignores=("restless",),
    version=2,
)
def perceptual_area(clip: Clip) -> float:
    """Gain in ST-LPIPS over the frozen start, averaged over the horizon.

    Cannot see when the gain was lost (`half_life` does).
    """
    return _area(clip, "st_lpips")
