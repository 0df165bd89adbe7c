"""The camera's motion as recovered from the imagined frames, against the true one."""

from __future__ import annotations

import numpy as np

from worldloop.metrics.clip import Clip
from worldloop.metrics.metric import metric
from worldloop.metrics.shared.lifting import steps_between
from worldloop.metrics.shared.motion import recovered_motion

NEEDS = ("start", "depth", "poses", "hfov_deg", "motion")
MOST_DEGREES = 180.0
MOST_STEPS = 2.0
"""Largest error of a step in its own length: that of going as far the other way."""
MOST_PATH = 20.0
MOST_DRIFT = 2.0
"""Metres, the values of clips from whose frames no path can be read."""
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
    reacts=("wrong-turn", "other-action", "no-action"),
    ignores=("half-step", "nudge"),
    tolerance=1.0,
)
def rotation_error(clip: Clip) -> float:
    """Degrees between the camera's turn in the imagined frames and the true one, each step.

    Mean over the steps that the world let happen and whose motion can be recovered. A clip is failed where more than half of them
    cannot. A frozen video is read as no motion. Turns beyond 60 degrees in one step are not found.
    """
    found, truth = recovered_motion(clip), steps_between(_poses(clip))
    use = found.known & clip.counted
    if found.failed or not use.any():
        return MOST_DEGREES if clip.counted.any() else float("nan")
    return float(angles_between(found.steps[use, :3, :3], truth[use, :3, :3]).mean())


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
    reacts=("half-step",),
    ignores=("nudge",),
    tolerance=0.1,
)
def translation_error(clip: Clip) -> float:
    """How far the imagined step of the camera misses the true one, in lengths of that step.

    Over steps that truly walk, each at most 2, NaN where there is none. No scale is aligned, so that steps which are too short
    count: the depth of each moment is the true one. After a model has gone astray, that depth is of another view, and lengths
    are rough. A frozen video scores 1.
    """
    found, truth = recovered_motion(clip), steps_between(_poses(clip))
    length = np.linalg.norm(truth[:, :3, 3], axis=1)
    walks = clip.counted & (length > WALKED)
    if not walks.any():
        return float("nan")
    use = walks & found.known
    if found.failed or not use.any():
        return MOST_STEPS
    miss = np.linalg.norm(found.steps[use, :3, 3] - truth[use, :3, 3], axis=1) / length[use]
    return float(np.minimum(miss, MOST_STEPS).mean())


@metric(
    "ate",
    group="controllability",
    unit="m",
    low=0.0,
    high=float("inf"),
    better="lower",
    worst=MOST_PATH,
    source="Sturm et al., IROS 2012; paths are aligned at the known start only, and as evo computes it without alignment",
    needs=NEEDS,
    reacts=("half-step",),
    ignores=("nudge",),
    tolerance=0.05,
)
def ate(clip: Clip) -> float:
    """Absolute trajectory error: distance of the imagined camera's path from the true one.

    Root mean square over all entries after the start. Steps that cannot be recovered are taken as standing still, and a clip in
    which they are more than half is failed. What happens after a blocked step counts too, for the truth is blocked as well.
    """
    found, poses = recovered_motion(clip), _poses(clip)
    if found.failed:
        return MOST_PATH
    path = chained(poses[0], found.steps)
    return float(np.sqrt(np.square(path[1:, :3, 3] - poses[1:, :3, 3]).sum(axis=1).mean()))


@metric(
    "rpe",
    group="controllability",
    unit="m",
    low=0.0,
    high=float("inf"),
    better="lower",
    worst=MOST_DRIFT,
    source="Sturm et al., IROS 2012, over one step, as evo computes it",
    needs=NEEDS,
    reacts=("half-step",),
    ignores=("nudge",),
    tolerance=0.05,
)
def rpe(clip: Clip) -> float:
    """Relative pose error: what each imagined step of the camera adds to the error of its path.

    Root mean square of the translation over all steps that can be recovered; a clip in which they are less than half is failed.
    Its other half, the turn, is `rotation_error`.
    """
    found, truth = recovered_motion(clip), steps_between(_poses(clip))
    if found.failed:
        return MOST_DRIFT
    apart = np.linalg.solve(truth[found.known], found.steps[found.known])[:, :3, 3]
    return float(np.sqrt(np.square(apart).sum(axis=1).mean()))


def _poses(clip: Clip) -> np.ndarray:
    assert clip.poses is not None
    return clip.poses
