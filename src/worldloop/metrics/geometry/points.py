"""Points that are followed from one imagined frame to the next.

Which steps are judged, and by how many points at the least, depends on what is really seen alone, so that no model is spared what it
cannot show.
"""

from __future__ import annotations

import numpy as np

from worldloop.metrics.clip import Clip
from worldloop.metrics.metric import metric
from worldloop.metrics.shared.flow import backward_flow
from worldloop.metrics.shared.lifting import (
    focal,
    moved_samples,
    project,
    rays,
    samples,
    scale,
    steps_between,
)
from worldloop.metrics.shared.motion import followed_samples, textured
from worldloop.metrics.shared.opencv import opencv

MOST = 16.0
"""Pixels at a width of 128: a point that misses by more, or is lost, counts with this."""
FEWEST = 10
"""Points with texture that stay in sight in the true frames, without which a step is asked of nobody."""
LEAST_SHARE = 0.25
"""Of that number, how many points the imagined frames must have too; those that lack count with `MOST`."""
CYCLE_EVERY = 2
"""Steps of which one is followed back: every frame but perhaps the last is then in some pair, at half the cost."""
MARGIN = 4.0
"""Pixels at a width of 128: points that truly come to lie nearer to the edge are not asked for, as half of them would be lost."""
STILL = 1e-3
"""Metres below which the camera only turns."""
_PIXELS = {
    "group": "geometry",
    "unit": "pixels at a width of 128",
    "low": 0.0,
    "high": MOST,
    "better": "lower",
    "worst": MOST,
    "version": 3,
}


@metric(
    "reprojection_error",
    source="WorldScore's 3D consistency (arXiv 2504.00983) with true depth and poses in place of DROID-SLAM's",
    needs=("start", "truth", "depth", "poses", "hfov_deg", "motion"),
    reacts=("wrong-turn", "other-action", "half-step", "wobble", "give-up"),
    ignores=("nudge",),
    tolerance=0.7,
    **_PIXELS,
)
def reprojection_error(clip: Clip) -> float:
    """Pixels between points followed through the imagined frames and where true depth and poses put them.

    Mean over the points with texture that truly stay in sight, each at most 16; then over the steps that the world let happen.
    A frozen video misses by the true motion. It sees only what is next to edges and corners, and no colours.
    """
    there, inside = followed_samples(clip)
    truth, visible = moved_samples(clip)
    miss = np.linalg.norm(there - truth, axis=-1) / scale(clip)
    miss = np.where(inside, np.minimum(miss, MOST), MOST)
    seen = visible & _away_from_edge(clip, truth)
    return _mean_of_steps(clip, miss, seen, seen)


@metric(
    "epipolar_error",
    source="Sampson's distance (Hartley and Zisserman, section 11.4.3), with the true poses",
    needs=("start", "truth", "poses", "hfov_deg", "motion"),
    reacts=("wrong-turn", "wobble", "give-up"),
    ignores=("half-step", "nudge"),
    tolerance=0.5,
    **_PIXELS,
)
def epipolar_error(clip: Clip) -> float:
    """Pixels by which points followed through the imagined frames leave the lines on which the true poses put them.

    Needs no depth. Sampson's distance where the camera truly walks; where it only turns, the distance to the one place that the
    turn leaves. Points that are lost count with 16, if they stay in view in the truth. Along its line a point may slide, so a
    frozen video and steps of wrong length pass while walking straight; `reprojection_error` sees them.
    """
    assert clip.poses is not None
    height, width = clip.frames.shape[1:3]
    points, length = samples(clip), focal(clip)
    there, inside = followed_samples(clip)
    back = np.linalg.inv(steps_between(clip.poses))  # from the frame of entry t to that of t + 1
    old, new = rays(points, height, width, length), rays(there, height, width, length)
    # Where the camera walks, only the true frames know which points stay in view.
    miss, seen = np.empty(inside.shape), _stays(clip)
    for t, move in enumerate(back):
        if np.linalg.norm(move[:3, 3]) < STILL:
            where, ahead = project(old @ move[:3, :3].T, height, width, length)
            seen[t] = ahead & _away_from_edge(clip, where)
            miss[t] = np.linalg.norm(there[t] - where, axis=-1)
            continue
        x, y, z = move[:3, 3]
        essential = np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]]) @ move[:3, :3]
        line, other = old @ essential.T, new[t] @ essential
        slope = np.sqrt((line[:, :2] ** 2).sum(axis=1) + (other[:, :2] ** 2).sum(axis=1))
        miss[t] = np.abs((new[t] * line).sum(axis=1)) / np.maximum(slope, 1e-12) * length
    miss = np.where(inside, np.minimum(miss / scale(clip), MOST), MOST)
    return _mean_of_steps(clip, miss, seen, seen)


@metric(
    "flow_cycle_error",
    source="WorldScore's photometric consistency (arXiv 2504.00983) with DIS flow in place of SEA-RAFT, in pixels of its own",
    needs=("start", "truth", "hfov_deg"),
    reacts=("popping", "wobble", "give-up"),
    ignores=("half-step", "wrong-turn"),
    tolerance=0.7,
    **_PIXELS,
)
def flow_cycle_error(clip: Clip) -> float:
    """Pixels by which points come back elsewhere when followed to the next imagined frame and back again.

    Things that appear, vanish or change their look between frames cannot be followed back. True frames do not score 0, for what is
    hidden cannot be followed either. Points may leave the view, but not many more than in the truth. Every other step is looked
    at. A frozen video scores 0: `reprojection_error` and `rotation_error` see that it does not move.
    """
    cv2, points = opencv(), samples(clip)
    there, inside = followed_samples(clip)
    fields = backward_flow(clip, CYCLE_EVERY).field
    steps = np.arange(0, len(there), CYCLE_EVERY)
    miss = np.full(inside.shape, MOST)
    for t, field, at in zip(steps, fields, there[::CYCLE_EVERY]):
        back = cv2.remap(field, at.astype(np.float32)[:, None], None, cv2.INTER_LINEAR)[:, 0]
        miss[t] = np.linalg.norm(at + back - points, axis=1)
    miss = np.where(inside & np.isfinite(miss), np.minimum(miss / scale(clip), MOST), MOST)
    return _mean_of_steps(clip, miss, inside, _stays(clip), CYCLE_EVERY)


def _away_from_edge(clip: Clip, pixels: np.ndarray) -> np.ndarray:
    """bool [...] of pixels [...,2]."""
    height, width = clip.frames.shape[1:3]
    margin = MARGIN * scale(clip)
    inside: np.ndarray = np.all(
        (pixels >= margin) & (pixels <= (width - 1 - margin, height - 1 - margin)), axis=-1
    )
    return inside


def _stays(clip: Clip) -> np.ndarray:
    """bool [T,N]: points that, followed through the true frames, are in view after the step; a new array."""
    there, inside = followed_samples(clip.true)
    return inside & _away_from_edge(clip, there)


def _mean_of_steps(
    clip: Clip, miss: np.ndarray, seen: np.ndarray, truly_seen: np.ndarray, every: int = 1
) -> float:
    """Mean over points of [T,N] with texture and in sight, then over every so many of the steps, if they count.

    truly_seen: bool [T,N], what is in sight of the true frames' points, which says how many there must be.
    """
    use, wanted = seen & textured(clip), (truly_seen & textured(clip.true)).sum(axis=1)
    count = use.sum(axis=1)
    least = np.maximum(LEAST_SHARE * wanted, 1)
    total = np.where(use, miss, 0).sum(axis=1) + MOST * np.maximum(least - count, 0)
    rows, asked = total / np.maximum(count, least), clip.counted & (wanted >= FEWEST)
    rows = rows[::every][asked[::every]]
    return float(rows.mean()) if len(rows) else float("nan")
