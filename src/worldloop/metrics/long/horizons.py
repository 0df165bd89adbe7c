"""Steps for which an imagination is good for something.

Both horizons are censored: a model that is still good at the end scores the clip's length T, which is a lower bound.
Means over clips of one length compare; a share of clips at T says how much was censored.
"""

from __future__ import annotations

import numpy as np

from worldloop.metrics.clip import Array, Clip
from worldloop.metrics.long.curves import skill
from worldloop.metrics.metric import metric

FIRST = 8
"""Steps at the beginning whose skill is the initial one."""
LASTING = 8
"""Steps in a row for which a loss must last to be more than a bad moment; fewer at the end of the clip."""
NOTHING = 0.1
"""Skill at and below which frames are no closer to the truth than if nothing were imagined."""


@metric(
    "half_life",
    group="long",
    unit="steps",
    low=0.0,
    high=float("inf"),
    better="higher",
    worst=0.0,
    source="own; half-life of the advantage over the frozen start and a blank picture in 1 - SSIM",
    needs=("truth", "start"),
    reacts=("fade-out", "freeze", "mirror", "teleport", "give-up"),
    ignores=("colour-drift", "restless"),
    tolerance=2.0,
    version=2,
)
def half_life(clip: Clip) -> float:
    """Steps until half of the initial advantage over imagining nothing is gone.

    Who imagines nothing shows the start all along, or a blank picture in its mean brightness where that is closer to the truth.
    The advantage is the share of the 1 - SSIM of this that the model avoids, where it is more than 0.1, smoothed by a median of 5
    steps; initially, its mean over the first 8 such steps. The first of 8 steps in a row (or of all that remain) below half of
    that. T if that never comes: censored. 0 without any initial advantage, as for a blank or a frozen video. Cannot see how good
    the beginning was (`ssim_area` does). NaN when there is never anything to imagine.
    """
    steps, values = skill(clip)
    if not len(steps):
        return float("nan")
    initial = float(values[:FIRST].mean())
    return _horizon(clip, steps, values, initial / 2) if initial > NOTHING else 0.0


@metric(
    "divergence_horizon",
    group="long",
    unit="steps",
    low=0.0,
    high=float("inf"),
    better="higher",
    worst=0.0,
    source="own; first step lastingly no closer to the truth than the frozen start or a blank picture in 1 - SSIM",
    needs=("truth", "start"),
    reacts=("freeze", "mirror", "lag", "give-up"),
    unclaimed=("physics",),  # where things move slowly, late is still closer than frozen
    ignores=("colour-drift", "exposure-drift", "restless"),
    tolerance=2.0,
    version=2,
)
def divergence_horizon(clip: Clip) -> float:
    """Steps until a frame is lastingly no closer to the truth than if nothing were imagined.

    The steps before the first of 8 in a row (or of all that remain) at which at most a tenth of the 1 - SSIM of imagining nothing
    is avoided, as in `half_life`. T if that never comes: censored. A blank or a frozen video scores 0; a blur of the right view
    may last, and `sharpness` tells. NaN when there is never anything to imagine.
    """
    steps, values = skill(clip)
    return _horizon(clip, steps, values, NOTHING) if len(steps) else float("nan")


def _horizon(clip: Clip, steps: Array, values: Array, level: float) -> float:
    """Steps before the first of `LASTING` successive values at or below a level; T when there is none."""
    lost = values <= level
    # Beyond the end all is lost, so that what is lost up to the end need not last as long.
    wide = np.concatenate([lost, np.ones(LASTING - 1, bool)])
    lasting = np.lib.stride_tricks.sliding_window_view(wide, LASTING).all(axis=1)
    return float(steps[lasting.argmax()]) if lasting.any() else float(len(clip.frames))
