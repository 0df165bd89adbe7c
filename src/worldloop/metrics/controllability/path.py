"""The camera's motion as recovered from the imagined frames, against the true one.

Only steps count whose motion the true frames tell, the same for every model. Where the imagined frames do not tell it, they have
given the step up, which costs what going as far the other way would: to show nothing is no better than to stand still or to show
something plainly wrong.
"""

from __future__ import annotations

import numpy as np

from worldloop.metrics.clip import Clip
from worldloop.metrics.controllability.accuracy import step_lengths
from worldloop.metrics.metric import metric
from worldloop.metrics.shared.lifting import steps_between
from worldloop.metrics.shared.motion import given_up, recovered_motion, told

NEEDS = ("start", "truth", "depth", "poses", "hfov_deg", "motion")
MOST_DEGREES = 180.0
MOST_STEPS = 2.0
"""Largest error of a step in its own length: that of going as far the other way."""
MOST_PATH = 20.0
"""Metres, the largest error of an entry of a path."""
MOST_DRIFT = 2.0
"""Metres, the largest error of a step."""
WALKED = 0.01
"""Metres from which a step is a walk."""


def angles_between(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """float64 [T], degrees between rotations [T,3,3]: arccos((tr(A B^T) - 1) / 2)."""
    trace = np.einsum("tij,tij->t", a, b)
    return np.degrees(np.arccos(np.clip((trace - 1) / 2, -1, 1)))


def chained(start: np.ndarray, steps: np.ndarray) -> np.ndarray:
    """float64 [T+1,4,4], the path from a pose [4,4] by steps [T,4,4]."""
    path = [start]
    for step in steps:
        path.append(path[-1] @ step)
    return np.stack(path)


@metric(
    "rotation_error",
    group="controllability",
    unit="degrees",
    low=0.0,
    high=180.0,
    better="lower",
    worst=MOST_DEGREES,
    source="arccos((tr(R1 R2^T) - 1) / 2) as in CameraCtrl (arXiv 2404.02101), on motion from flow and true depth",
    needs=NEEDS,
    reacts=("wrong-turn", "other-action", "no-action", "give-up"),
    ignores=("half-step", "nudge"),
    tolerance=1.0,
    version=3,
)
def rotation_error(clip: Clip) -> float:
    """Degrees between the camera's turn in the imagined frames and the true one, each step.

    Mean over the steps that the world let happen and whose motion the true frames tell, NaN where there is none. A step that the
    imagined frames give up counts with twice the asked turn, 45 degrees for turns of 22.5; a clip of noise scores that. A frozen
    video is read as no motion. Turns beyond 60 degrees in one step are not found.
    """
    found, truth = recovered_motion(clip), steps_between(_poses(clip))
    use = clip.counted & told(clip)
    if not use.any():
        return float("nan")
    angles = angles_between(found.steps[:, :3, :3], truth[:, :3, :3])
    return float(np.where(given_up(clip), MOST_STEPS * step_lengths(clip)[2], angles)[use].mean())


@metric(
    "translation_error",
    group="controllability",
    unit="",
    low=0.0,
    high=MOST_STEPS,
    better="lower",
    worst=MOST_STEPS,
    source="length of the difference of translations over the true length; true depth gives the scale",
    needs=NEEDS,
    reacts=("half-step", "give-up"),
    ignores=("nudge",),
    tolerance=0.1,
    version=3,
)
def translation_error(clip: Clip) -> float:
    """How far the imagined step of the camera misses the true one, in lengths of that step.

    Over steps that truly walk, each at most 2, NaN where there is none. A step that the imagined frames give up counts with 2. No
    scale is aligned, so that steps which are too short count: the depth of each moment is the true one. After a model has gone
    astray, that depth is of another view, and lengths are rough. A frozen video scores 1.
    """
    found, truth = recovered_motion(clip), steps_between(_poses(clip))
    length = np.linalg.norm(truth[:, :3, 3], axis=1)
    use = clip.counted & told(clip) & (length > WALKED)
    if not use.any():
        return float("nan")
    miss = np.linalg.norm(found.steps[use, :3, 3] - truth[use, :3, 3], axis=1) / length[use]
    return float(np.where(given_up(clip)[use], MOST_STEPS, np.minimum(miss, MOST_STEPS)).mean())


@metric(
    "ate",
    group="controllability",
    unit="m",
    low=0.0,
    high=MOST_PATH,
    better="lower",
    worst=MOST_PATH,
    source="Sturm et al., IROS 2012; paths are aligned at the known start only, and as evo computes it without alignment",
    needs=NEEDS,
    reacts=("half-step", "give-up"),
    ignores=("nudge",),
    tolerance=0.05,
    version=3,
)
def ate(clip: Clip) -> float:
    """Absolute trajectory error: distance of the imagined camera's path from the true one.

    Root mean square over all entries after the start, each at most 20 m. Steps that even the true frames do not tell are taken as
    right. From the first step on that the imagined frames give up, nobody knows where the camera is: each step then adds two steps'
    length to the error, as if it went straight the other way. What happens after a blocked step counts too, for the truth is blocked
    as well. NaN where the true frames tell no step.
    """
    found, poses, use, lost = recovered_motion(clip), _poses(clip), told(clip), given_up(clip)
    if not use.any():
        return float("nan")
    path = chained(poses[0], np.where(use[:, None, None], found.steps, steps_between(poses)))
    apart = np.linalg.norm(path[:, :3, 3] - poses[:, :3, 3], axis=1)
    if lost.any():
        first = int(lost.argmax())
        apart[first:] = apart[first] + MOST_STEPS * step_lengths(clip)[0] * np.arange(len(apart) - first)
    return float(np.sqrt(np.square(np.minimum(apart[1:], MOST_PATH)).mean()))


@metric(
    "rpe",
    group="controllability",
    unit="m",
    low=0.0,
    high=MOST_DRIFT,
    better="lower",
    worst=MOST_DRIFT,
    source="Sturm et al., IROS 2012, over one step, as evo computes it",
    needs=NEEDS,
    reacts=("half-step", "give-up"),
    ignores=("nudge",),
    tolerance=0.05,
    version=3,
)
def rpe(clip: Clip) -> float:
    """Relative pose error: what each imagined step of the camera adds to the error of its path.

    Root mean square of the translation over all steps that the true frames tell, NaN where there is none. A step that the imagined
    frames give up counts with twice the asked length. Its other half, the turn, is `rotation_error`.
    """
    found, truth, use = recovered_motion(clip), steps_between(_poses(clip)), told(clip)
    if not use.any():
        return float("nan")
    apart = np.linalg.norm(np.linalg.solve(truth, found.steps)[:, :3, 3], axis=1)
    apart = np.where(given_up(clip), MOST_STEPS * step_lengths(clip)[0], apart)
    return float(np.sqrt(np.square(apart[use]).mean()))


def _poses(clip: Clip) -> np.ndarray:
    assert clip.poses is not None
    return clip.poses
