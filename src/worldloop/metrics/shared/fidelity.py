"""How close each imagined frame comes to what is really seen, and how close the frozen start comes."""

from __future__ import annotations

from typing import Literal

import numpy as np

from worldloop.metrics.clip import Array, Clip
from worldloop.metrics.shared.grey import grey_of
from worldloop.metrics.shared.opencv import opencv
from worldloop.metrics.shared.ssim import ms_ssim, ssim

Whose = Literal["frames", "start"]
PSNR_CAP = float(10 * np.log10(12 * 255**2))
"""58.9 dB, the PSNR of rounding to whole levels alone (a squared error of 1/12): nothing in 8 bits is closer than that."""
CHUNK = 16
"""Steps whose ST-LPIPS embeddings are held at once, 2.6 MB each at 128 x 128."""


def psnr_steps(clip: Clip, whose: Whose = "frames") -> Array:
    """PSNR to the truth by step, float64 [T], dB in 0..`PSNR_CAP`; of the frames, or of the start shown all along."""

    def compute() -> Array:
        cv2 = opencv()
        truth = _truth(clip)
        error = [cv2.norm(a, b, cv2.NORM_L2SQR) / a.size for a, b in zip(_shown(clip, whose), truth)]
        return 10 * np.log10(255**2 / np.maximum(error, 1 / 12))

    return clip.keeper(whose).once(("psnr", whose), compute)


def ssim_steps(clip: Clip, whose: Whose = "frames") -> Array:
    """SSIM to the truth by step, float64 [T] in -1..1."""
    return _ssim(clip, whose)[0]


def ms_ssim_steps(clip: Clip, whose: Whose = "frames") -> Array:
    """MS-SSIM to the truth by step, float64 [T] in 0..1."""

    def compute() -> Array:
        return ms_ssim(*_grey(clip, whose), structure=_ssim(clip, whose)[1])

    return clip.keeper(whose).once(("ms-ssim", whose), compute)


def st_lpips_steps(clip: Clip, whose: Whose = "frames") -> Array:
    """ST-LPIPS to the truth by step, float64 [T], 0 and more; InputError for frames below 32 x 32 pixels."""
    both: dict[str, Array] = clip.once(("stlpips", "truth"), lambda: _st_lpips(clip))
    return both[whose]


def _st_lpips(clip: Clip) -> dict[str, Array]:
    # Of frames and start together, so that the truth is embedded once and no embedding is kept.
    from worldloop.agents.perception.stlpips import distance_from_embeddings, embed

    truth, found = _truth(clip), dict[str, list[Array]](frames=[], start=[])
    start = None if clip.start is None else embed(clip.start[None])
    for i in range(0, len(truth), CHUNK):
        real = embed(truth[i : i + CHUNK])
        found["frames"].append(distance_from_embeddings(embed(clip.frames[i : i + CHUNK]), real))
        if start is not None:
            found["start"].append(distance_from_embeddings(start * len(real), real))
    return {name: np.concatenate(parts).astype(np.float64) for name, parts in found.items() if parts}


def _ssim(clip: Clip, whose: Whose) -> tuple[Array, Array]:
    return clip.keeper(whose).once(("ssim", whose), lambda: ssim(*_grey(clip, whose)))


def _grey(clip: Clip, whose: Whose) -> tuple[Array, Array]:
    shown, truth = grey_of(clip, whose), grey_of(clip, "truth")
    return np.broadcast_to(shown, truth.shape), truth


def _shown(clip: Clip, whose: Whose) -> Array:
    if whose == "frames":
        return clip.frames
    assert clip.start is not None, "metrics that compare with the start need it"
    return np.broadcast_to(clip.start, clip.frames.shape)


def _truth(clip: Clip) -> Array:
    assert clip.truth is not None, "metrics that compare with the truth need it"
    return clip.truth
