"""How the imagined camera follows its keys, in the forms of WorldMark (arXiv 2604.21686), on recovered motion.

Only steps count whose motion the true frames tell. Where the imagined frames do not, they have given the step up, which counts as
going as far the other way.
"""

from __future__ import annotations

import itertools

import numpy as np

from worldloop.metrics.clip import Clip
from worldloop.metrics.controllability.accuracy import MOTION, asked_signs, shown_signs, step_lengths
from worldloop.metrics.metric import metric
from worldloop.metrics.shared.motion import given_up, recovered_motion, told

LEAST = 0.25
"""Share of the asked motion below which the shown one is too little for its direction to mean anything: scores then fall to 0
with it, so that the noise of a still picture points nowhere."""
MOST_STEPS = 16.0
"""Latency of a clip that failed, and the longest."""
_SCORE = {
    "group": "controllability",
    "unit": "",
    "high": 1.0,
    "better": "higher",
    "needs": MOTION,
    "version": 3,
}
_SOURCE = "WorldMark (arXiv 2604.21686), on motion from flow and true depth instead of estimated poses"


@metric(
    "direction",
    low=-1.0,
    worst=-1.0,
    source=_SOURCE,
    reacts=("other-action", "give-up"),
    ignores=("half-step",),
    tolerance=0.1,
    **_SCORE,
)
def direction(clip: Clip) -> float:
    """How far the imagined camera walks the way that is asked, of how far it walks: sum(dt . g) / sum(|dt|).

    Over steps that are asked to walk, NaN where there is none; 1 is straight along, 0 across or not at all, -1 backwards or given
    up. Not the length but the way counts, see `translation_error` for that. A frozen video scores 0.
    """
    asked, shown, use = _motion(clip)
    goal, length = asked[:, :2], np.linalg.norm(asked[:, :2], axis=1)
    use &= length > 0
    if not use.any():
        return float("nan")
    along = (shown[use, :2] * goal[use]).sum(axis=1) / length[use]
    total = np.linalg.norm(shown[use, :2], axis=1).sum()
    return float(along.sum() / max(total, LEAST * length[use].sum()))


@metric(
    "turning",
    low=-1.0,
    worst=-1.0,
    source=_SOURCE,
    reacts=("wrong-turn", "give-up"),
    ignores=("half-step",),
    tolerance=0.05,
    **_SCORE,
)
def turning(clip: Clip) -> float:
    """How far the imagined camera turns the way that is asked, of how far it turns: sum(s omega) / sum(|omega|).

    Over steps that are asked to turn, NaN where there is none. Turning too little is found by `rotation_error`, not here, until it
    is less than a quarter. A frozen video scores 0.
    """
    asked, shown, use = _motion(clip)
    use &= asked[:, 2] != 0
    if not use.any():
        return float("nan")
    along = shown[use, 2] * np.sign(asked[use, 2])
    total = np.abs(shown[use, 2]).sum()
    return float(along.sum() / max(total, LEAST * np.abs(asked[use, 2]).sum()))


@metric(
    "purity",
    low=0.0,
    worst=0.0,
    source=_SOURCE,
    reacts=("other-action", "give-up"),
    ignores=("half-step",),
    tolerance=0.2,
    **_SCORE,
)
def purity(clip: Clip) -> float:
    """Share of the imagined camera's motion that is along the pressed key.

    Walks and turns are measured in steps of their kind; what goes against the key or across it is impure, and so is a step that is
    given up. A frozen video scores 0.
    """
    asked, shown, use = _motion(clip)
    unit = step_lengths(clip)
    asked, shown = asked / unit, shown / unit
    length = np.linalg.norm(asked, axis=1)
    use &= length > 0
    if not use.any():
        return float("nan")
    goal = asked[use] / length[use, None]
    along = (shown[use] * goal).sum(axis=1)
    across = np.linalg.norm(shown[use] - along[:, None] * goal, axis=1)
    total = (np.abs(along) + across).sum()
    return float(np.maximum(along, 0).sum() / max(total, LEAST * length[use].sum()))


@metric(
    "latency",
    group="controllability",
    unit="steps",
    low=0.0,
    high=MOST_STEPS,
    better="lower",
    worst=MOST_STEPS,
    source="WorldMark (arXiv 2604.21686) in steps of the plan, on motion from flow and true depth",
    needs=MOTION,
    reacts=("other-action", "no-action", "give-up"),
    ignores=("nudge",),
    tolerance=0.2,
    version=4,
)
def latency(clip: Clip) -> float:
    """Steps from a change of the asked action until the imagined frames show the new one.

    Mean over all changes, the first action included; at most 16. An action that is never shown counts with all the steps for which
    it is asked. Actions that the world blocked are left out, and steps whose motion the true frames do not tell.
    """
    asked, due = asked_signs(clip), told(clip)
    right = (shown_signs(clip) == asked).all(axis=1)
    changes = np.nonzero((asked[1:] != asked[:-1]).any(axis=1))[0] + 1
    waits = []
    for first, end in itertools.pairwise([0, *changes.tolist(), len(asked)]):
        tries = right[first:end][due[first:end]]
        if clip.counted[first:end].all() and len(tries):
            waits.append(int(tries.argmax()) if tries.any() else len(tries))
    return float(np.mean(waits)) if waits else float("nan")


def _motion(clip: Clip) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """What is asked and what is shown, float64 [T,3] each, and bool [T] which steps count: a new array."""
    assert clip.motion is not None
    shown = np.where(given_up(clip)[:, None], -clip.motion, recovered_motion(clip).floor)
    return clip.motion, shown, clip.counted & told(clip)
