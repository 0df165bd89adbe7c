"""Without OpenCV, the message says which extra to install."""

import sys

import pytest

from worldloop.core.errors import MissingExtraError
from worldloop.metrics.shared.opencv import opencv


def test_missing_opencv_names_the_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "cv2", None)
    opencv.cache_clear()
    with pytest.raises(MissingExtraError, match=r"worldloop\[metrics\]"):
        opencv()
    monkeypatch.undo()
    assert opencv().getNumThreads() == 1
