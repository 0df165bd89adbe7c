"""Where plans lead: paths of all plans at once, and bearings of a point as seen from their poses."""

from __future__ import annotations

import itertools
import math
from functools import lru_cache

import numpy as np

from worldloop.actions import intended_path
from worldloop.core import InputError, Plan, Vocabulary

MOST_PLANS = 4096


def moving_actions(vocabulary: Vocabulary) -> tuple[str, ...]:
    """Names of the primitives that do something; InputError for a continuous vocabulary."""
    if not vocabulary.discrete:
        raise InputError(f"this agent plans with named primitives; {vocabulary.name!r} is continuous")
    return tuple(p.name for p in vocabulary.primitives if not p.stops)


@lru_cache(maxsize=16)
def all_plans(vocabulary: Vocabulary, length: int) -> tuple[tuple[Plan, ...], np.ndarray]:
    """Every plan of a length and its path float64 [P,L+1,3] (x m, y m, yaw deg) from the origin.

    InputError when there are more than 4,096 of them.
    """
    names = moving_actions(vocabulary)
    if len(names) ** length > MOST_PLANS:
        raise InputError(
            f"{len(names)}^{length} plans are too many to enumerate; choose a shorter --horizon or --agent random"
        )
    plans = tuple(vocabulary.plan(p) for p in itertools.product(names, repeat=length))
    return plans, np.stack([intended_path(p) for p in plans])


@lru_cache(maxsize=16)
def first_moves(vocabulary: Vocabulary, length: int) -> np.ndarray:
    """Metres forward and degrees of turn of the first action of each of `all_plans`, float64 [P,2]."""
    first = [vocabulary.primitive(p.actions[0]) for p in all_plans(vocabulary, length)[0]]
    return np.array([(m.forward, m.yaw_deg) for m in first])


def bearing(path: np.ndarray, point: np.ndarray) -> np.ndarray:
    """Bearing in degrees (left positive, -180..180) of a point [2] from poses [...,3]."""
    angle = np.degrees(np.arctan2(point[1] - path[..., 1], point[0] - path[..., 0])) - path[..., 2]
    return (angle + 180) % 360 - 180


def pixel_bearing(column: float, width: int, hfov_deg: float) -> float:
    """Bearing in degrees (left positive) of an image column."""
    focal = width / 2 / math.tan(math.radians(hfov_deg) / 2)
    return math.degrees(math.atan((width / 2 - column) / focal))


def advance(pose: tuple[float, float, float], plan: Plan) -> tuple[float, float, float]:
    """The pose (x m, y m, yaw deg) at the end of a plan, obstacles ignored."""
    x, y, yaw = intended_path(plan, *pose)[-1]
    return float(x), float(y), float(yaw)
