"""The camera's motion, recovered from imagined frames.

Points of one entry are lifted by the true depth of that moment, found again in the next entry by optical flow, and the motion
is the one that brings most of them there. Depth gives metres, so no scale is aligned. Where a model has gone astray, the depth
is of another view than the imagined one: turns are recovered all the same, lengths only roughly.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from worldloop.metrics.clip import Clip
from worldloop.metrics.shared.flow import correlation, forward_flow, grey_entries
from worldloop.metrics.shared.lifting import focal, project, rays, samples, scale
from worldloop.metrics.shared.opencv import opencv
from worldloop.metrics.shared.parts import by_step
from worldloop.metrics.shared.pose_fit import SPREADS, fit_motion

INLIER = 1.5
"""Pixels at a width of 128 within which a point agrees with the motion."""
LEAST_POINTS = 30
"""Points with texture, in view of both entries, without which nothing is recovered."""
LEAST_AGREEMENT = 0.3
"""Share of these points that must agree with the motion."""
LEAST_LIKENESS = 0.4
"""Correlation that the two entries must have at these points once the motion is undone: flow finds some way from any picture
to any other."""
LONGEST = 2.0
"""Metres; a longer step is a mistake of the recovery."""
TEXTURE = 2e-5
"""Smaller eigenvalue of the structure tensor (grey levels 0 to 1, 5 x 5 pixels) from which a point can be found again."""


@dataclass(frozen=True, eq=False)
class Recovered:
    """Of each of the T steps."""

    steps: np.ndarray
    """float64 [T,4,4], pose of the camera after the step in the camera's frame before it; the identity where not recovered."""
    known: np.ndarray
    """bool [T], whether enough was recognised to tell."""

    @property
    def floor(self) -> np.ndarray:
        """float64 [T,3]: metres forward, metres left, degrees of turn to the left, as in a clip's `motion`: first the turn."""
        r = self.steps
        turn = np.degrees(np.arctan2(-r[:, 0, 2], r[:, 2, 2]))
        walk = np.einsum("tji,tj->ti", r[:, :3, :3], r[:, :3, 3])
        return np.stack([walk[:, 2], -walk[:, 0], turn], axis=1)


def recovered_motion(clip: Clip) -> Recovered:
    """The camera's motion from each entry to the next; needs start, depth and field of view."""
    return clip.once(("recovered motion",), lambda: _recover(clip))


def told(clip: Clip) -> np.ndarray:
    """bool [T]: the steps whose motion the true frames tell; of bare walls nothing can be asked of any model. Needs the truth."""
    return recovered_motion(clip.true).known


def given_up(clip: Clip) -> np.ndarray:
    """bool [T]: the steps whose motion the true frames tell and the imagined ones do not."""
    return told(clip) & ~recovered_motion(clip).known


def textured(clip: Clip) -> np.ndarray:
    """bool [T,N]: which sample points of each entry but the last can be found again."""

    def compute() -> np.ndarray:
        cv2, points = opencv(), samples(clip)

        def one(grey: np.ndarray) -> np.ndarray:
            tensor = cv2.cornerMinEigenVal(grey.astype(np.float32) / 255, 5, ksize=3)
            found: np.ndarray = tensor[points[:, 1], points[:, 0]] > TEXTURE
            return found

        return np.stack(by_step(one, grey_entries(clip)[:-1]))

    return clip.once(("textured",), compute)


def followed_samples(clip: Clip) -> tuple[np.ndarray, np.ndarray]:
    """Where flow finds the sample points of each entry in the next one: float64 [T,N,2], and bool [T,N] whether in view."""

    def compute() -> tuple[np.ndarray, np.ndarray]:
        points, (height, width) = samples(clip), clip.frames.shape[1:3]
        there = points + forward_flow(clip).field[:, points[:, 1], points[:, 0]].astype(np.float64)
        with np.errstate(invalid="ignore"):
            inside: np.ndarray = np.all((there >= 0) & (there <= (width - 1, height - 1)), axis=-1)
        return np.where(inside[..., None], there, 0.0), inside

    return clip.once(("followed samples",), compute)


def _recover(clip: Clip) -> Recovered:
    assert clip.depth is not None
    height, width = clip.frames.shape[1:3]
    points, length, unit = samples(clip), focal(clip), scale(clip)
    there, inside = followed_samples(clip)
    depth = clip.depth[:-1, points[:, 1], points[:, 0]].astype(np.float64)
    usable = inside & textured(clip) & (depth > 0)
    lifted = rays(points, height, width, length) * np.where(depth > 0, depth, 1.0)[..., None]
    steps = np.tile(np.eye(4), (len(clip.frames), 1, 1))
    known = np.zeros(len(steps), bool)
    turns, centre = forward_flow(clip).guess[:, 0], ((width - 1) / 2, (height - 1) / 2)
    has_texture, greys = textured(clip), grey_entries(clip)

    def one(t: int) -> None:
        turn, use = turns[t], usable[t]
        if use.sum() < LEAST_POINTS:
            return
        move, error = fit_motion(
            lifted[t, use], there[t, use], np.radians(turn), SPREADS * unit, length, *centre
        )
        agrees = error < INLIER * unit
        if agrees.mean() < LEAST_AGREEMENT or agrees.sum() < LEAST_POINTS / 2:
            return
        where, seen = project(lifted[t] @ move[:3, :3].T + move[:3, 3], height, width, length)
        seen &= has_texture[t] & (depth[t] > 0)
        if _likeness(greys[t : t + 2], points[seen], where[seen]) < LEAST_LIKENESS:
            return
        if np.linalg.norm(move[:3, 3]) < LONGEST:
            known[t], steps[t] = True, np.linalg.inv(move)

    by_step(one, range(len(steps)))
    return Recovered(steps, known)


def _likeness(pair: np.ndarray, here: np.ndarray, there: np.ndarray) -> float:
    """Correlation of grey levels at points of the first picture and where they are in the second."""
    if len(here) < LEAST_POINTS / 2:
        return -1.0
    new = opencv().remap(
        pair[1], there.astype(np.float32)[:, None], None, opencv().INTER_LINEAR, borderMode=1
    )
    return correlation(pair[0][here[:, 1], here[:, 0]], new[:, 0])
