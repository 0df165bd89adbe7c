"""Clips in parts, several at once: one long clip keeps all processors busy as many short ones do."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import numpy as np

from worldloop.core.threads import each

T = TypeVar("T")
PART = 16
"""Steps of a part; no result depends on it."""


def in_parts(function: Callable[[slice], T], count: int) -> list[T]:
    """The function of each part of `count` steps, in order, on all processors; it must look at its own steps alone and not
    come here itself."""
    parts = [slice(i, min(i + PART, count)) for i in range(0, count, PART)]
    return each(function, parts) if len(parts) > 1 else [function(p) for p in parts]


def by_step(function: Callable[..., T], *rows: Sequence[Any] | np.ndarray) -> list[T]:
    """`[function(*row) for row in zip(*rows)]`, in parts; the rows are equally many."""
    found = in_parts(lambda part: [function(*row) for row in zip(*(r[part] for r in rows))], len(rows[0]))
    return [value for some in found for value in some]
