"""Which action do the imagined frames show? Read in three ways, for basic actions and for those that do two things at once.

All are balanced: of each action that a clip asks for, the share of its steps that are right, and the mean of these shares, so that an
answer that is always the same gains nothing from how often it is asked for. Where a clip asks for one action alone, such an answer may
still be right; only means over many scripts say something.
"""

from __future__ import annotations

import numpy as np

from worldloop.metrics.clip import Clip
from worldloop.metrics.metric import metric
from worldloop.metrics.shared.inverse import read_moves
from worldloop.metrics.shared.lifting import entries
from worldloop.metrics.shared.motion import recovered_motion, told
from worldloop.metrics.shared.perception import shared_perception

USUAL = np.array([0.2, 0.2, 22.5])
"""Metres forward and left, degrees of turn: the steps of a clip that asks for none of a kind."""
MOTION = ("start", "truth", "depth", "hfov_deg", "motion")


def step_lengths(clip: Clip) -> np.ndarray:
    """float64 [3]: the longest step of each kind that the clip asks for; walks forward and sideways are one kind."""
    assert clip.motion is not None
    longest = np.abs(clip.motion).max(axis=0)
    longest[:2] = longest[:2].max()
    return np.where(longest > 0, longest, USUAL)


def asked_signs(clip: Clip) -> np.ndarray:
    """int [T,3]: the signs of what is asked, forward, left and turn to the left."""
    assert clip.motion is not None
    return np.sign(clip.motion).astype(int)


def shown_signs(clip: Clip) -> np.ndarray:
    """int [T,3]: the signs of the recovered motion, 0 below half a step; 9 where nothing was recovered, which equals nothing."""
    found = recovered_motion(clip)
    shares = found.floor / step_lengths(clip)
    signs = np.where(np.abs(shares) > 0.5, np.sign(shares), 0).astype(int)
    return np.where(found.known[:, None], signs, 9)


def _by_outcome(clip: Clip) -> np.ndarray:
    """bool [T]: whether the asked action's true frame is the nearest."""
    assert clip.outcomes is not None and clip.asked is not None
    rows = [shared_perception().stlpips(o, f) for o, f in zip(clip.outcomes, clip.frames)]
    return np.stack(rows).argmin(axis=1) == clip.asked


def _by_motion(clip: Clip) -> np.ndarray:
    return (shown_signs(clip) == asked_signs(clip)).all(axis=1)


def _by_network(clip: Clip) -> np.ndarray:
    seen = entries(clip)
    return (read_moves(seen[:-1], seen[1:]) == asked_signs(clip)).all(axis=1)


def _share(clip: Clip, way: str, composite: bool) -> float:
    """Mean over the asked actions of the share of their steps that are right; NaN where no step counts."""
    right = clip.once(("right action", way), lambda: WAYS[way](clip))
    kind = np.zeros(len(right), bool) if clip.composite is None else clip.composite
    use = clip.counted & (kind == composite)
    if way == "motion":
        use &= told(clip)
    if not use.any():
        return float("nan")
    _, numbers = np.unique(_actions(clip)[use], axis=0, return_inverse=True)
    count, hits = np.bincount(numbers.ravel()), np.bincount(numbers.ravel(), right[use])
    return float((hits / count).mean())


def _actions(clip: Clip) -> np.ndarray:
    """What tells the asked actions apart, a row for each step."""
    if clip.asked is not None:
        return clip.asked[:, None]
    assert clip.motion is not None
    return clip.motion


WAYS = {"outcome": _by_outcome, "motion": _by_motion, "network": _by_network}
_COMMON = {
    "group": "controllability",
    "unit": "",
    "low": 0.0,
    "high": 1.0,
    "better": "higher",
    "worst": 0.0,
    "reacts": ("other-action", "no-action", "give-up"),
    "ignores": ("nudge",),
    "tolerance": 0.15,
}
_OUTCOME = {
    "version": 2,
    "source": "recovered action as in this library's open-loop score, by ST-LPIPS to the true outcomes",
    "weights": "stlpips",
}
_MOTION = {"source": "this library; motion from flow and true depth, cut at half a step", "version": 3}
_NETWORK = {
    "version": 2,
    "source": "this library; an inverse-dynamics network of its own, as OpenAI's VPT (arXiv 2206.11795) reads keys",
    "weights": "inverse-dynamics",
}


@metric("action_accuracy", needs=("outcomes", "asked"), **_COMMON, **_OUTCOME)
def action_accuracy(clip: Clip) -> float:
    """Share of each action's steps at which its true outcome is the one most like the imagined frame.

    Basic actions only; mean over the asked ones. Outcomes are those from where the plan truly stands, so a model that has lost its
    way is wrong from then on. Of all actions, walking on changes the view least, so that a frozen picture is often taken for it:
    over the first eight cases of `walk` and of `keys`, frozen scored 0.27 and 0.31 (1.0 in the script W), and walking on
    whatever is asked 0.31 and 0.30.
    """
    return _share(clip, "outcome", composite=False)


@metric(
    "action_accuracy_composite",
    needs=("outcomes", "asked", "composite"),
    **{**_COMMON, "reacts": ("other-action", "give-up")},
    **_OUTCOME,
)
def action_accuracy_composite(clip: Clip) -> float:
    """Share of each arc's steps at which its true outcome is the one most like the imagined frame.

    Steps that move and turn at once; mean over the asked ones. Arcs lead away quickly: one that goes wrong early makes all later ones wrong.
    """
    return _share(clip, "outcome", composite=True)


@metric("action_accuracy_geometry", needs=MOTION, **_COMMON, **_MOTION)
def action_accuracy_geometry(clip: Clip) -> float:
    """Share of each action's steps at which the camera's recovered motion is that of the action.

    Mean over the asked actions. Forward, sideways and turn must each have the asked sign, or be less than half a step where nothing is asked. Basic actions
    only, and only steps whose motion the true frames tell; where the imagined ones do not, they are wrong. Steps are judged from
    one imagined frame to the next, so a model that has lost its way can still be right. Frozen scores 0, and walking on whatever is asked 0.24 and 0.19 over
    the first eight cases of `walk` and of `keys`.
    """
    return _share(clip, "motion", composite=False)


@metric("action_accuracy_geometry_composite", needs=(*MOTION, "composite"), **_COMMON, **_MOTION)
def action_accuracy_geometry_composite(clip: Clip) -> float:
    """Share of each arc's steps at which the camera's recovered motion is that of the arc.

    Steps that move and turn at once; otherwise as `action_accuracy_geometry`.
    """
    return _share(clip, "motion", composite=True)


@metric("action_accuracy_inverse", needs=("start", "motion"), **_COMMON, **_NETWORK)
def action_accuracy_inverse(clip: Clip) -> float:
    """Share of each action's steps at which a trained network reads it from two consecutive frames.

    Basic actions only, mean over the asked ones; the network knows steps of 0.2 m and turns of 22.5 degrees in houses seen at 90 degrees, and
    should not be believed elsewhere. It needs no depth and no poses. Frozen scores 0, and walking on whatever is asked 0.27 and
    0.19 over the first eight cases of `walk` and of `keys`, the truth 1.00 and 0.88.
    """
    return _share(clip, "network", composite=False)


@metric("action_accuracy_inverse_composite", needs=("start", "motion", "composite"), **_COMMON, **_NETWORK)
def action_accuracy_inverse_composite(clip: Clip) -> float:
    """Share of each arc's steps at which the trained network reads both its walk and its turn.

    Steps that move and turn at once; mean over the asked ones. The network is right on 0.7 of true frames only, so the truth scores no more.
    """
    return _share(clip, "network", composite=True)
