"""Defects in time: frames that stand still, are given up, come late, jump or flicker."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from worldloop.core import InputError
from worldloop.metrics.cases.case import Case
from worldloop.metrics.clip import Array, Clip
from worldloop.metrics.defects.defect import defect
from worldloop.metrics.defects.picture import SIDE, blurred, lit, ramp, spoilt

LATE = 4
"""Steps by which frames lag at full strength."""
FADED = 4.0
"""Pixels of blur at the end of a clip that fades out, at full strength, for 128 pixels across."""
GREY = 128
"""Level of what is shown when a video is given up."""
DIM = 1.0
"""Stops between bright and dark frames at full strength."""
WANDER = 6
"""Pixels by which a view wanders to each side at full strength, though nothing is done."""


@defect("freeze")
def freeze(case: Case, strength: float) -> Clip:
    """The picture stands still from a step on that comes earlier with strength."""
    known, count = _with_start(case), len(case.truth.frames)
    last = count - round(strength * count)
    return _reordered(case, known, np.minimum(np.arange(1, count + 1), last))


@defect("give-up")
def give_up(case: Case, strength: float) -> Clip:
    """Nothing but grey is shown from a step on that comes earlier with strength."""

    def spoil(frames: Array) -> Array:
        shown = len(frames) - round(strength * len(frames))
        return np.concatenate([frames[:shown], np.full_like(frames[shown:], GREY)])

    return spoilt(case, strength, spoil)


@defect("lag")
def lag(case: Case, strength: float) -> Clip:
    """What is seen comes some steps late."""
    known, count = _with_start(case), len(case.truth.frames)
    late = np.arange(1, count + 1) - round(strength * LATE)
    return _reordered(case, known, np.maximum(late, 0))


@defect("teleport")
def teleport(case: Case, strength: float) -> Clip:
    """In the middle the view jumps back to the start of the walk, and stays on that way for longer with strength."""
    known, count = _with_start(case), len(case.truth.frames)
    order, middle = np.arange(1, count + 1), count // 2
    wrong = slice(middle, middle + round(strength * (count - middle)))
    order[wrong] -= middle
    return _reordered(case, known, order)


@defect("flicker")
def flicker(case: Case, strength: float) -> Clip:
    """Every other frame is darker."""

    def spoil(frames: Array) -> Array:
        return lit(frames, 2 ** (-DIM * strength * (np.arange(len(frames)) % 2)))

    return spoilt(case, strength, spoil)


@defect("fade-out")
def fade_out(case: Case, strength: float) -> Clip:
    """Frames blur more and more after the first quarter."""

    def spoil(frames: Array) -> Array:
        return blurred(
            frames, FADED * frames.shape[2] / SIDE * strength * np.clip((4 * ramp(len(frames)) - 1) / 3, 0, 1)
        )

    return spoilt(case, strength, spoil)


@defect("restless")
def restless(case: Case, strength: float) -> Clip:
    """The view wanders from side to side while nothing is done; what is done is shown rightly.

    InputError for a case in which nothing cannot be done.
    """
    truth = case.truth
    if truth.twin is None:
        raise InputError(f"in {case.spec.id} one cannot do nothing; choose another case")
    reach = WANDER * truth.twin.shape[2] / SIDE * strength
    by = np.rint(reach * np.sin(np.arange(1, len(truth.twin) + 1))).astype(int)
    return replace(truth, twin=np.stack([np.roll(f, b, axis=1) for f, b in zip(truth.twin, by)]), kept={})


def _with_start(case: Case) -> Array:
    """uint8 [T+1,H,W,3]"""
    if case.truth.start is None:
        raise InputError(f"{case.spec.id} does not know what was seen before; choose another case")
    return np.concatenate([case.truth.start[None], case.truth.frames])


def _reordered(case: Case, known: Array, order: Array) -> Clip:
    return replace(case.truth, frames=known[order], kept={})
