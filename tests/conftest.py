"""What all tests share."""

from __future__ import annotations

import logging

import pytest
from rich.logging import RichHandler


@pytest.fixture(autouse=True)
def logging_as_it_was():
    """The command line sets up logging for the whole process; no other test should notice."""
    root = logging.getLogger()
    level = root.level
    yield
    root.setLevel(level)
    for handler in [h for h in root.handlers if isinstance(h, RichHandler)]:
        root.removeHandler(handler)
