"""OpenCV, imported when a metric first needs it."""

from __future__ import annotations

import functools
from typing import Any

from worldloop.core.errors import MissingExtraError


@functools.cache
def opencv() -> Any:
    """The module `cv2`, on one thread: its optical flow cuts pictures into as many strips as there are threads, and so
    would depend on the machine. MissingExtraError when it is not installed."""
    try:
        import cv2
    except ImportError as error:
        raise MissingExtraError("metrics of motion and geometry", "metrics") from error
    cv2.setNumThreads(1)
    return cv2
