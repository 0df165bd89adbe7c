"""Parts of a clip against one another."""

from __future__ import annotations

import numpy as np

from worldloop.metrics.clip import Clip
from worldloop.metrics.long.curves import curve
from worldloop.metrics.metric import metric
from worldloop.metrics.quality.drift import quarters
from worldloop.metrics.shared.mscn import naturalness

SEGMENTS = 8
"""Equal parts of a clip, of at least one step each."""


@metric(
    "start_end_contrast",
    group="long",
    unit="",
    low=0.0,
    high=10.0,
    better="lower",
    worst=10.0,
    source="own; |Q(first quarter) - Q(last quarter)| with Q = mscn_naturalness",
    needs=(),
    reacts=("fade-out",),
    ignores=("mirror", "colour-drift", "exposure-drift", "restless"),
    unclaimed=("physics",),  # as `mscn_naturalness`
    tolerance=0.1,
    version=2,
)
def start_end_contrast(clip: Clip) -> float:
    """Change of picture quality from the first to the last quarter.

    | Q(last) - Q(first) |, Q the mean of `mscn_naturalness` over a quarter's frames, less the true frames' where they
    are known; else a walk to plainer walls counts as well. Cannot see what is bad all along. A frozen or a blank video
    scores well, for it hardly changes, which the horizons catch. NaN for a single frame.
    """
    if len(clip.frames) < 2:
        return float("nan")
    quality = naturalness(clip, "frames")
    first, last = quarters(quality - naturalness(clip, "truth") if clip.truth is not None else quality)
    return float(abs(last - first))


@metric(
    "worst_segment",
    group="long",
    unit="",
    low=-1.0,
    high=1.0,
    better="higher",
    worst=-1.0,
    source="own; least mean SSIM of eight equal segments",
    needs=("truth",),
    reacts=("noise", "freeze", "lag", "teleport", "fade-out", "give-up"),
    ignores=("colour-drift", "restless"),
    tolerance=0.05,
)
def worst_segment(clip: Clip) -> float:
    """Closeness to the truth in the worst eighth of the clip.

    The least of the mean SSIMs of eight segments, as equal as the steps allow (fewer for fewer steps), over the steps
    that the world let happen; a segment without any does not count. Cannot see colour. NaN when nothing happened.
    """
    values = curve(clip, "ssim")
    parts = np.array_split(values, min(SEGMENTS, len(values)))
    means = [float(np.nanmean(part)) for part in parts if not np.isnan(part).all()]
    return min(means) if means else float("nan")
