"""What all tests of the video model share."""

from __future__ import annotations

import pytest


@pytest.fixture(autouse=True)
def tiny_models(one_thread):
    """All models here are tiny."""
