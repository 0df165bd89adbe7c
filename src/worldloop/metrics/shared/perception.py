"""ST-LPIPS between pictures of a clip, each picture embedded once."""

from __future__ import annotations

import functools

import numpy as np

from worldloop.agents.perception import Perception
from worldloop.metrics.clip import Clip


@functools.cache
def shared_perception() -> Perception:
    """One for the process; its memory saves embedding a true frame again for the next model."""
    return Perception()


def distance_to_truth(clip: Clip) -> np.ndarray:
    """float64 [T], ST-LPIPS of each imagined frame to the true one; 0 is equal."""
    truth = clip.truth
    assert truth is not None
    return clip.once(
        ("stlpips", "truth"), lambda: shared_perception().stlpips(clip.frames, truth).astype(np.float64)
    )
