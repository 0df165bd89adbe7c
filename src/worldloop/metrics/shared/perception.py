"""ST-LPIPS between pictures of a clip, each picture embedded once."""

from __future__ import annotations

import functools

from worldloop.agents.perception import Perception


@functools.cache
def shared_perception() -> Perception:
    """One for the process; its memory saves embedding a true frame again for the next model."""
    return Perception()
