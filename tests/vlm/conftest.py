"""The tests of the language-model agent need its extra."""

from __future__ import annotations

import pytest

pytest.importorskip("httpx2")
pytest.importorskip("pydantic")
