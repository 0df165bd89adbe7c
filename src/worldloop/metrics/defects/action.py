"""Defects of control: the truth of other actions than the ones asked for."""

from __future__ import annotations

import numpy as np

from worldloop.core import InputError
from worldloop.metrics.cases.case import Case
from worldloop.metrics.clip import Clip
from worldloop.metrics.defects.defect import defect

WALKED = ("walk", "loop", "long", "keys", "compose")
"""Kinds of case in which other actions can be carried out instead."""


@defect("wrong-turn", kinds=WALKED)
def wrong_turn(case: Case, strength: float) -> Clip:
    """Turns fall short, and go the other way in the end."""
    return _otherwise(case, "turn", strength)


@defect("half-step", kinds=WALKED)
def half_step(case: Case, strength: float) -> Clip:
    """Steps are too short, at most by half."""
    return _otherwise(case, "step", 0.5 * strength)


@defect("other-action", kinds=WALKED)
def other_action(case: Case, strength: float) -> Clip:
    """A growing share of the actions is replaced by others, the last ones first."""
    return _otherwise(case, "action", strength)


@defect("no-action", kinds=WALKED)
def no_action(case: Case, strength: float) -> Clip:
    """A growing share of the actions is left out, the last ones first, all of them in the end."""
    return _otherwise(case, "none", strength)


def _otherwise(case: Case, change: str, strength: float) -> Clip:
    if strength == 0:
        return case.clip(case.truth.frames, case.truth.twin)
    if case.other is None:
        raise InputError(f"case {case.spec.id} cannot be carried out otherwise; choose a walk in a house")
    return case.clip(np.stack([o.rgb for o in case.other(change, strength)]), case.truth.twin)
