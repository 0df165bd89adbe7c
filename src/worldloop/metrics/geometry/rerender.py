"""Earlier imagined frames, lifted into space by the true depth and rendered again from where the camera truly stands later.

World-R1's idea of a reward (render the lifted video again and compare) with the true depth and poses instead of estimates.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from worldloop.metrics.clip import Clip
from worldloop.metrics.metric import metric
from worldloop.metrics.shared.contrast import credit
from worldloop.metrics.shared.lifting import earlier_views, entries
from worldloop.metrics.shared.likeness import MOST_PSNR, psnr, ssim_map
from worldloop.metrics.shared.opencv import opencv
from worldloop.metrics.shared.parts import by_step
from worldloop.metrics.shared.perception import shared_perception

LAG = 2
"""Entries between the two views."""
MOST_DISTANCE = 1.0
"""ST-LPIPS of what shows nothing."""
LEAST_SEEN = 0.1
"""Share of the later view that must have been in sight before."""
_COMMON = {
    "group": "geometry",
    "source": "after World-R1's re-rendering reward, with the simulator's depth and poses in place of estimated ones",
    "needs": ("start", "truth", "depth", "poses", "hfov_deg", "motion"),
    "version": 3,
}
_REACTS = ("wrong-turn", "other-action", "wobble", "popping", "give-up")


View = tuple[np.ndarray, np.ndarray, np.ndarray, float]


def rerendered(clip: Clip) -> list[View]:
    """For each step that counts and sees enough again: the frame rendered from before, the imagined one, bool [H,W] where seen,
    and the credit in 0..1 that the imagined one's contrast deserves.

    What was not in sight before is filled by the imagined frame itself.
    """
    return clip.once(("rerendered",), lambda: _rerendered(clip))


def _rerendered(clip: Clip) -> list[View]:
    earlier, maps, seen = earlier_views(clip, LAG)
    cv2, views, shares = opencv(), entries(clip), credit(clip).tolist()

    def draw(
        counts: bool, frame: np.ndarray, i: int, at: np.ndarray, where: np.ndarray, share: float
    ) -> View | None:
        if not counts or where.mean() < LEAST_SEEN:
            return None
        picture = cv2.remap(views[i], at, None, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
        cv2.copyTo(frame, (~where).view(np.uint8), picture)
        return picture, frame, where, share

    drawn = by_step(draw, clip.counted, clip.frames, earlier, maps, seen, shares)
    return [view for view in drawn if view is not None]


def _mean(clip: Clip, worst: float, likeness: Callable[[np.ndarray, np.ndarray, np.ndarray], float]) -> float:
    def one(drawn: np.ndarray, frame: np.ndarray, where: np.ndarray, share: float) -> float:
        return worst + share * (likeness(drawn, frame, where) - worst)

    views = rerendered(clip)
    return float(np.mean(by_step(one, *zip(*views)))) if views else float("nan")


@metric(
    "rerender_psnr",
    unit="dB",
    low=0.0,
    high=MOST_PSNR,
    better="higher",
    worst=0.0,
    reacts=(*_REACTS, "half-step"),
    ignores=("nudge",),
    tolerance=5.0,
    **_COMMON,
)
def rerender_psnr(clip: Clip) -> float:
    """Peak signal-to-noise ratio of imagined frames and of those before them, rendered again from the new place.

    Two entries apart, where the same surfaces are truly seen; mean over steps. True frames score some 25 to 35 dB, as resampling
    softens, and a slight blur more. A frozen video is punished as far as its picture has texture. A frame with less than half
    of the true one's local contrast gets as much less credit, down to the worst for none: fading gains nothing, and a blank video
    fails.
    """
    return _mean(clip, 0.0, psnr)


@metric(
    "rerender_ssim",
    unit="",
    low=-1.0,
    high=1.0,
    better="higher",
    worst=-1.0,
    reacts=(*_REACTS, "half-step"),
    ignores=("nudge",),
    tolerance=0.1,
    **_COMMON,
)
def rerender_ssim(clip: Clip) -> float:
    """Structural similarity of imagined frames and of those before them, rendered again from the new place.

    As `rerender_psnr`; grey levels, mean over the pixels that are truly seen from both places.
    """
    return _mean(clip, -1.0, lambda drawn, frame, where: float(ssim_map(drawn, frame)[where].mean()))


@metric(
    "rerender_st_lpips",
    unit="",
    low=0.0,
    high=MOST_DISTANCE,
    better="lower",
    worst=MOST_DISTANCE,
    weights="stlpips",
    reacts=_REACTS,
    ignores=("nudge",),
    tolerance=0.03,
    **_COMMON,
)
def rerender_st_lpips(clip: Clip) -> float:
    """ST-LPIPS between imagined frames and those before them, rendered again from the new place.

    As `rerender_psnr`; what could not be seen before is filled by the frame itself and counts as equal.
    """
    pairs = rerendered(clip)
    if not pairs:
        return float("nan")
    drawn, frames, _, shares = (np.stack(part) for part in zip(*pairs))
    distance = shared_perception().stlpips(drawn, frames)
    return float((MOST_DISTANCE + shares * (distance - MOST_DISTANCE)).mean(dtype=np.float64))
