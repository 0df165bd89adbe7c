"""Closeness of pictures to the truth, step by step; means over the steps that the world let happen.

A frozen picture scores what the truth's own change leaves it, which is much wherever little moves; the horizons of the
group `long` hold it against the frozen start.
"""

from __future__ import annotations

import numpy as np

from worldloop.metrics.clip import Array, Clip
from worldloop.metrics.metric import metric
from worldloop.metrics.shared.fidelity import (
    PSNR_CAP,
    ms_ssim_steps,
    psnr_steps,
    ssim_steps,
    st_lpips_steps,
)
from worldloop.metrics.shared.flip import flip as flip_of
from worldloop.metrics.shared.flip import see
from worldloop.metrics.shared.grey import grey_of
from worldloop.metrics.shared.opencv import opencv

_TIMES = ("freeze", "lag", "teleport", "fade-out", "give-up")
STRUCTURE = ("blur", "noise", "jpeg", "shift", "mirror", "vanish", *_TIMES)
"""Defects that change what is where in a picture, which every comparison with the truth by pixels sees."""
FINE = 4.0
"""Squared grey levels that are added to the energy of fine detail, so that rounding does not count in bare pictures."""


def over_steps(clip: Clip, values: Array) -> float:
    """Mean over the steps that count; NaN when there are none."""
    return float(values[clip.counted].mean()) if clip.counted.any() else float("nan")


@metric(
    "psnr",
    group="quality",
    unit="dB",
    low=0.0,
    high=PSNR_CAP,
    better="higher",
    worst=0.0,
    source="10 log10(255^2 / mean squared error), Huynh-Thu and Ghanbari 2008",
    needs=("truth",),
    reacts=(*STRUCTURE, "flicker", "colour-drift", "exposure-drift"),
    ignores=("restless",),
)
def psnr(clip: Clip) -> float:
    """Peak signal-to-noise ratio to the truth.

    Mean over the steps, each at most 58.9 dB: the error that rounding to whole levels makes, beyond which nothing is
    closer in 8 bits; equal pictures score that. Cannot see whether an error is plain to the eye: a blur may beat a
    sharp picture that is a pixel off.
    """
    return over_steps(clip, psnr_steps(clip))


@metric(
    "ssim",
    group="quality",
    unit="",
    low=-1.0,
    high=1.0,
    better="higher",
    worst=-1.0,
    source="Wang et al., IEEE TIP 2004, on Rec. 601 luma",
    needs=("truth",),
    reacts=STRUCTURE,
    ignores=("colour-drift", "restless"),
    tolerance=0.03,
)
def ssim(clip: Clip) -> float:
    """Structural similarity to the truth.

    Mean over steps of SSIM with a Gaussian window of 11 x 11 pixels on luma. Cannot see colour, and bare surfaces
    resemble one another however wrong.
    """
    return over_steps(clip, ssim_steps(clip))


@metric(
    "ms_ssim",
    group="quality",
    unit="",
    low=0.0,
    high=1.0,
    better="higher",
    worst=0.0,
    source="Wang, Simoncelli, Bovik, Asilomar 2003, on Rec. 601 luma, computed as torchmetrics does",
    needs=("truth",),
    reacts=STRUCTURE,
    ignores=("colour-drift", "restless"),
    tolerance=0.03,
)
def ms_ssim(clip: Clip) -> float:
    """Structural similarity to the truth at several scales.

    Mean over steps. Five scales where both sides have 96 pixels or more, else as many as fit, so that pictures of
    different sizes do not compare. Cannot see colour.
    """
    return over_steps(clip, ms_ssim_steps(clip))


@metric(
    "flip",
    group="quality",
    unit="",
    low=0.0,
    high=1.0,
    better="lower",
    worst=1.0,
    source="LDR-FLIP, Andersson et al., PACM CGIT 2020, 67 pixels per degree",
    needs=("truth",),
    reacts=(*STRUCTURE, "flicker", "colour-drift", "exposure-drift"),
    ignores=("restless",),
)
def flip(clip: Clip) -> float:
    """Difference from the truth that the eye sees when both alternate.

    Mean over pixels and steps of LDR-FLIP. Reads colour as well as edges, at arm's length from a screen: what is plain
    only after enlarging counts for little.
    """
    assert clip.truth is not None
    truth, steps = clip.truth, np.flatnonzero(clip.counted)
    seen = clip.keeper().once(("seen",), lambda: see(truth))
    values = flip_of(truth[steps], clip.frames[steps], [seen[t] for t in steps])
    return float(values.mean()) if len(steps) else float("nan")


@metric(
    "st_lpips",
    group="quality",
    unit="",
    low=0.0,
    high=1.0,
    better="lower",
    worst=1.0,
    source="ST-LPIPS (AlexNet), Ghildyal and Liu, ECCV 2022; not LPIPS",
    needs=("truth",),
    weights="stlpips",
    reacts=("blur", "noise", "freeze", "lag", "mirror", "fade-out", "give-up"),
    ignores=("restless",),
    version=2,
)
def st_lpips(clip: Clip) -> float:
    """Perceptual distance to the truth by a network that tolerates small shifts.

    Mean over steps. Its numbers compare with other ST-LPIPS numbers only. Frames have 32 x 32 pixels or more.
    """
    return over_steps(clip, st_lpips_steps(clip))


@metric(
    "lpips",
    group="quality",
    unit="",
    low=0.0,
    high=1.0,
    better="lower",
    worst=1.0,
    source="LPIPS (SqueezeNet 1.1), Zhang et al., CVPR 2018",
    needs=("truth",),
    weights="squeezenet1_1 and lpips squeeze.pth",
    optional="set WORLDLOOP_LPIPS_BACKBONE to torchvision's squeezenet1_1 file and WORLDLOOP_LPIPS_HEADS to the "
    "squeeze.pth of the lpips package; weights that do not give the published values are refused",
    # As ST-LPIPS does; not measured, for want of the weights.
    reacts=("blur", "noise", "freeze"),
    ignores=("restless",),
    version=2,
)
def lpips(clip: Clip) -> float:
    """Perceptual distance to the truth, for those who have its weights.

    Mean over steps. No package registry ships the weights; InputError says where to get them.
    """
    from worldloop.agents.perception.lpips import load_lpips

    assert clip.truth is not None
    distance = load_lpips().distance(clip.frames, clip.truth)
    return over_steps(clip, distance.astype(np.float64))


@metric(
    "sharpness",
    group="quality",
    unit="",
    low=0.0,
    high=1.0,
    better="higher",
    worst=0.0,
    source="own; variance of the Laplacian as in Pech-Pacheco et al., ICPR 2000, as a ratio to the truth's",
    needs=("truth",),
    reacts=("blur", "noise", "fade-out"),
    ignores=("mirror", "colour-drift", "restless"),
    tolerance=0.02,
)
def sharpness(clip: Clip) -> float:
    """Likeness of the energy of fine detail to the truth's, be it too little or too much.

    With v the variance of the Laplacian of luma plus 4 squared levels: mean over steps of
    min(v, v_true) / max(v, v_true). Neither blur nor noise wins. Cannot see where the detail is: a frozen or a foreign picture of the same
    kind may score well, which `ssim` catches.
    """
    ours, true = _detail(grey_of(clip, "frames")), _detail(grey_of(clip, "truth"))
    return over_steps(clip, np.minimum(ours, true) / np.maximum(ours, true))


def _detail(pictures: Array) -> Array:
    """float64 [T]: variance of the Laplacian of float32 [T,H,W], where its window fits if it does anywhere."""
    cv2 = opencv()
    edges = [cv2.Laplacian(p, cv2.CV_32F, borderType=cv2.BORDER_REPLICATE) for p in pictures]
    return np.array([cv2.meanStdDev(e)[1][0, 0] ** 2 for e in edges]) + FINE
