"""Planted defects: the truth, spoilt in one known way, by which metrics show what they react to and what they ignore."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from dataclasses import dataclass

from worldloop.core import InputError
from worldloop.metrics.cases.case import Case
from worldloop.metrics.clip import Clip

MODULES = ("picture", "time", "action", "geometry", "physics")
"""Modules here that register defects."""
STRENGTHS = (0.0, 0.25, 0.5, 1.0)
"""0 is the truth itself."""


@dataclass(frozen=True)
class Defect:
    """One way to be wrong, from not at all to plainly."""

    name: str
    plant: Callable[[Case, float], Clip]
    """Case and strength in 0..1 -> the clip of a model with this defect. InputError for a case in which it cannot be."""
    summary: str
    kinds: tuple[str, ...] = ()
    """Kinds of case it can be planted in; empty for all."""


DEFECTS: dict[str, Defect] = {}
"""By name; filled by `load_defects`."""


def defect(
    name: str, kinds: tuple[str, ...] = ()
) -> Callable[[Callable[[Case, float], Clip]], Callable[[Case, float], Clip]]:
    """Register a function as a defect; the first line of its docstring is the summary."""

    def register(function: Callable[[Case, float], Clip]) -> Callable[[Case, float], Clip]:
        if name in DEFECTS:
            raise InputError(f"there is a defect {name!r} already; choose another name")
        summary = (function.__doc__ or "").strip().splitlines()[0].rstrip(".")
        DEFECTS[name] = Defect(name, function, summary, kinds)
        return function

    return register


def load_defects() -> dict[str, Defect]:
    """All defects by name; imports the modules that register them."""
    for module in MODULES:
        importlib.import_module(f"worldloop.metrics.defects.{module}")
    return dict(DEFECTS)
