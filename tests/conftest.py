"""What all tests share."""

from __future__ import annotations

import logging

import pytest
import torch
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


@pytest.fixture
def one_thread():
    """For tiny models, whose weights are small: one thread is fastest, and leaves the other tests alone."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)
