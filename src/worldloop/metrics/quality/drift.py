"""What changes over a clip that should not: exposure, colour, flicker. For bare clips too."""

from __future__ import annotations

import numpy as np

from worldloop.metrics.clip import Array, Clip
from worldloop.metrics.metric import metric
from worldloop.metrics.shared.grey import LUMINANCE, grey_of, light_of

DARKEST = 1 / 255
"""Share of full light that is added before logarithms, so that black does not weigh infinitely."""
BLOCK = 8
"""Side of the squares of pixels whose brightness may flicker."""


def quarters(values: Array) -> tuple[Array, Array]:
    """Means of the first and of the last quarter of T rows, each of one row at least."""
    part = max(1, len(values) // 4)
    first: Array = values[:part].mean(axis=0)
    last: Array = values[-part:].mean(axis=0)
    return first, last


@metric(
    "exposure_drift",
    group="quality",
    unit="stops",
    low=0.0,
    high=4.0,
    better="lower",
    worst=4.0,
    source="own; difference of log2 luminance between quarters of the clip",
    needs=(),
    reacts=("exposure-drift",),
    ignores=("mirror", "restless"),
    tolerance=0.05,
    version=2,
)
def exposure_drift(clip: Clip) -> float:
    """Change of brightness from the first to the last quarter, beyond the truth's.

    | e(last) - e(first) |, e the mean over a quarter's frames of log2(luminance / true luminance). Where the truth is
    not known, of log2 luminance alone: then a walk into a darker room counts as well. Cannot see a brightness that is
    wrong from the first frame on (`psnr` does). A frozen or a blank video scores well: no more than the truth's own change.
    NaN for a single frame.
    """
    if len(clip.frames) < 2:
        return float("nan")
    stops = _stops(clip, "frames") - (_stops(clip, "truth") if clip.truth is not None else 0.0)
    first, last = quarters(stops)
    return float(abs(last - first))


@metric(
    "colour_drift",
    group="quality",
    unit="stops",
    low=0.0,
    high=4.0,
    better="lower",
    worst=4.0,
    source="own; difference of log2 red/green and blue/green between quarters of the clip",
    needs=(),
    reacts=("colour-drift",),
    ignores=("exposure-drift", "mirror", "restless"),
    tolerance=0.1,
    version=2,
)
def colour_drift(clip: Clip) -> float:
    """Change of white balance from the first to the last quarter, beyond the truth's.

    The length of the step between quarters of (log2 R/G, log2 B/G), R, G and B the mean linear light of a frame, less
    that of the true frame where it is known; else a walk to things of other colours counts as well. Cannot see a
    colour that is wrong from the first frame on (`flip` does). A frozen or a blank video scores well, as by `exposure_drift`.
    NaN for a single frame.
    """
    if len(clip.frames) < 2:
        return float("nan")
    tint = _tint(clip, "frames") - (_tint(clip, "truth") if clip.truth is not None else 0.0)
    first, last = quarters(tint)
    return float(np.hypot(*(last - first)))


@metric(
    "flicker",
    group="quality",
    unit="levels",
    low=0.0,
    high=64.0,
    better="lower",
    worst=64.0,
    source="own; reversals of block brightness beyond the truth's",
    needs=(),
    reacts=("flicker",),
    ignores=("blur", "colour-drift", "restless"),
    tolerance=0.5,
    version=2,
)
def flicker(clip: Clip) -> float:
    """Brightness that goes up and at once down again, beyond the truth's.

    Where two successive changes of the mean of 8 x 8 pixels have opposite signs, the smaller of them; mean over
    blocks and steps, less the same of the truth, at least 0. What passes through the view in one direction does not
    count. Where the truth is not known nothing is taken off, and a walk that turns to and fro counts as well. A
    frozen or a blank video scores well, for it has none, which `psnr` and the horizons catch. NaN below three frames.
    """
    if len(clip.frames) < 3:
        return float("nan")
    own = _reversals(grey_of(clip, "frames"))
    return max(0.0, own - _reversals(grey_of(clip, "truth"))) if clip.truth is not None else own


def _stops(clip: Clip, name: str) -> Array:
    return np.log2(light_of(clip, name) @ LUMINANCE + DARKEST)


def _tint(clip: Clip, name: str) -> Array:
    """float64 [T,2]: log2 of red and of blue to green."""
    stops = np.log2(light_of(clip, name) + DARKEST)
    return stops[:, [0, 2]] - stops[:, 1:2]


def _reversals(pictures: Array) -> float:
    count, height, width = pictures.shape
    rows, columns = max(height // BLOCK, 1), max(width // BLOCK, 1)
    inside = pictures[:, : rows * min(BLOCK, height), : columns * min(BLOCK, width)]
    blocks = inside.reshape(count, rows, inside.shape[1] // rows, columns, -1).mean((2, 4), dtype=np.float64)
    change = np.diff(blocks, axis=0)
    before, after = change[:-1], change[1:]
    size = np.minimum(np.abs(before), np.abs(after))
    return float(np.where(before * after < 0, size, 0.0).mean())
