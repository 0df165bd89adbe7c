"""Which frames of a video answer a plan: the first predicted frame comes after the first action."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from worldloop.core.errors import ModelError


@dataclass(frozen=True)
class Timing:
    """Frames of one video."""

    frames: int
    """How many the pipeline makes, the present one included."""
    taken: tuple[int, ...]
    """Index of the frame after each action."""

    @property
    def actions(self) -> int:
        """How many actions the plan has."""
        return len(self.taken)


def spread(actions: int, frames: int) -> Timing:
    """A video of a fixed number of frames, over which the actions are spread evenly; ModelError if it is too short."""
    if frames - 1 < actions:
        raise ModelError(
            f"{actions} actions do not fit into a video of {frames} frames; give frames a larger number"
        )
    return Timing(frames, tuple(round((k + 1) * (frames - 1) / actions) for k in range(actions)))


def paced(actions: int, per_action: int, legal: Callable[[int], int], least: int = 1) -> Timing:
    """A video with so many frames for each action; what the pipeline makes beyond the plan is left out.

    legal: the least number of frames that the pipeline can make, from a number up.
    """
    frames = legal(max(least, 1 + actions * per_action))
    return Timing(frames, tuple((k + 1) * per_action for k in range(actions)))
