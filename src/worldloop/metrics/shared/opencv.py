"""OpenCV, where it is installed."""

from __future__ import annotations

import functools
import importlib
from typing import Any

from worldloop.core.errors import MissingExtraError


@functools.cache
def opencv() -> Any:
    """The module `cv2`; MissingExtraError without it."""
    try:
        return importlib.import_module("cv2")
    except ImportError as error:
        raise MissingExtraError("scoring pictures", "metrics") from error
