"""Defects of physics: the truth under other constants and laws."""

from __future__ import annotations

import numpy as np

from worldloop.metrics.cases.case import Case
from worldloop.metrics.clip import Clip
from worldloop.metrics.defects.defect import defect

DUSK = 0.10
"""Share of the light that is gone at the end of the strongest dusk: little enough that no still thing seems to move."""


def _changed(case: Case, change: str, strength: float) -> Clip:
    """InputError for a case in which this cannot be."""
    assert case.other is not None
    return case.clip(np.stack([o.rgb for o in case.other(change, strength)]), case.truth.twin)


@defect("low-gravity", kinds=("physics",))
def low_gravity(case: Case, strength: float) -> Clip:
    """Things fall too slowly, with a fifth of gravity at worst."""
    return _changed(case, "gravity", strength)


@defect("friction-x2", kinds=("physics",))
def friction_x2(case: Case, strength: float) -> Clip:
    """What slides comes to rest too early, under twice the friction at worst."""
    return _changed(case, "friction", strength)


@defect("bouncy", kinds=("physics",))
def bouncy(case: Case, strength: float) -> Clip:
    """A ball loses hardly any speed when it bounces."""
    return _changed(case, "restitution", strength)


@defect("pass-through", kinds=("physics",))
def pass_through(case: Case, strength: float) -> Clip:
    """Bodies hand on less of their motion when they meet, and pass through each other at worst."""
    return _changed(case, "pass-through", strength)


@defect("vanish-behind", kinds=("physics",))
def vanish_behind(case: Case, strength: float) -> Clip:
    """What was hidden comes back smaller, and not at all at worst."""
    return _changed(case, "vanish", strength)


@defect("shrink", kinds=("physics",))
def shrink(case: Case, strength: float) -> Clip:
    """Bodies become smaller and smaller, down to four tenths at worst."""
    return _changed(case, "shrink", strength)


@defect("float", kinds=("physics",))
def floats(case: Case, strength: float) -> Clip:
    """What loses its support falls with a part of its weight, and not at all at worst."""
    return _changed(case, "float", strength)


@defect("slow-motion", kinds=("physics",))
def slow_motion(case: Case, strength: float) -> Clip:
    """Everything happens too slowly, at four tenths of the pace at worst."""
    return _changed(case, "slow-motion", strength)


@defect("dusk")
def dusk(case: Case, strength: float) -> Clip:
    """The light fades by up to a tenth over the clip; nothing else changes."""
    count = len(case.truth.frames)
    light = 1 - DUSK * strength * np.arange(1, count + 1, dtype=np.float32) / count
    frames = np.rint(case.truth.frames * light[:, None, None, None]).astype(np.uint8)
    return case.clip(frames, case.truth.twin)


@defect("half-done", kinds=("table",))
def half_done(case: Case, strength: float) -> Clip:
    """The arm goes only a part of the way, and nowhere at worst."""
    return _changed(case, "step", strength)
