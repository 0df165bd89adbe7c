"""Controllability as a distance to what the actions really bring."""

from __future__ import annotations

from worldloop.metrics.clip import Clip
from worldloop.metrics.metric import metric
from worldloop.metrics.shared.fidelity import st_lpips_steps


@metric(
    "controllability",
    group="controllability",
    unit="",
    low=0.0,
    high=1.0,
    better="higher",
    worst=0.0,
    source="World-In-World (arXiv 2510.18135), with ST-LPIPS (ECCV 2022) in place of LPIPS",
    needs=("truth", "twin_truth"),
    weights="stlpips",
    reacts=("wrong-turn", "half-step", "other-action", "no-action", "give-up"),
    ignores=("nudge",),
    tolerance=0.03,
    version=3,
)
def controllability(clip: Clip) -> float:
    """1 - perceptual distance to the true frames under the same actions.

    Mean over the steps that the world let happen, NaN where there is none; of cases in which actions do something, an arm's as well
    as a camera's. A blurred frame of the right place scores less than a sharp one: quality and control are not told apart here, but
    they are in the recovered motion.
    """
    if not clip.counted.any():
        return float("nan")
    return float(1 - st_lpips_steps(clip)[clip.counted].mean())
