"""Numbers that came from outside."""

from __future__ import annotations

import math
from typing import Any


def finite(value: Any) -> bool:
    """Whether a value is a number, and neither infinite nor NaN; a truth value is none."""
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
