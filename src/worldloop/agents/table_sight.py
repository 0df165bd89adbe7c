"""Where things on the table are, by colour: from a real view with depth, or from an imagined picture alone."""

from __future__ import annotations

import re
from dataclasses import dataclass

import numpy as np

from worldloop.core import Goal, InputError, Observation
from worldloop.envs.tabletop.cameras import THIRD
from worldloop.envs.tabletop.layout import BUTTON_TOP, HALF, PEG_LENGTH, SOCKET_HEIGHT, STAND_HEIGHT

HUES = {"red": 0.0, "yellow": 50.0, "green": 130.0, "blue": 217.0, "purple": 284.0}
"""Degrees. Nominal: shades differ from split to split, and the agent is not told them."""
HEIGHTS = {"block": 2 * HALF, "circle": 0.0, "stand": STAND_HEIGHT, "button": BUTTON_TOP, "peg": PEG_LENGTH}
HEIGHTS["socket"] = SOCKET_HEIGHT
FEWEST = 5
"""Pixels (of 128 x 128) below which a colour counts as not seen."""
_THING = re.compile(rf"({'|'.join(HUES)}) ({'|'.join(HEIGHTS)})")
_FAMILIES = {"Push": "push", "Stack": "stack", "Press": "press"}


@dataclass(frozen=True)
class TableGoal:
    """The goal, as read from its words."""

    family: str
    things: tuple[str, str]
    """Names such as `red block`: what is moved and where to, or two buttons in order."""


def read_goal(goal: Goal) -> TableGoal:
    """The family and the two things that a goal's words name; InputError for words of another kind."""
    found = [f"{colour} {kind}" for colour, kind in _THING.findall(goal.text)]
    family = _FAMILIES.get(goal.text.split(" ")[0], "insert" if " into " in goal.text else "pick-place")
    if len(found) != 2:
        raise InputError(f"this agent needs a goal of the manipulation task, not {goal.text!r}")
    return TableGoal(family, (found[0], found[1]))


def mask_of(rgb: np.ndarray, colour: str) -> np.ndarray:
    """bool [H,W]: pixels of a picture uint8 [H,W,3] that have a named colour."""
    values = rgb.astype(np.float32) / 255
    high, low = values.max(axis=2), values.min(axis=2)
    spread = np.maximum(high - low, 1e-6)
    red, green, blue = np.moveaxis(values, 2, 0)
    hue = np.where(
        high == red,
        (green - blue) / spread % 6,
        np.where(high == green, (blue - red) / spread + 2, (red - green) / spread + 4),
    )
    off = np.abs((60 * hue[..., None] - np.array(list(HUES.values())) + 180) % 360 - 180)
    named = off.argmin(axis=2) == list(HUES).index(colour)
    return named & (off.min(axis=2) < 30) & (spread > 0.45 * high) & (high > 0.22)


def pixels_of(rgb: np.ndarray, name: str) -> np.ndarray:
    """float64 [n,2]: columns and rows (pixel centres) of the pixels in the colour of a thing."""
    return np.argwhere(mask_of(rgb, name.split(" ")[0]))[:, ::-1] + 0.5


def middle_pixel(rgb: np.ndarray, name: str) -> np.ndarray | None:
    """float64 [2]: the median pixel of a thing, or None when it is not seen."""
    found = pixels_of(rgb, name)
    return np.median(found, axis=0) if len(found) >= _fewest(rgb) else None


def locate(observation: Observation, name: str) -> np.ndarray | None:
    """float64 [4]: x, y, z of a thing's bottom (metres) and a yaw of 0, or None when it is not seen.

    Needs depth. The upper side is found first: its middle is the thing's middle, whichever sides are seen.
    """
    if observation.depth is None:
        raise InputError("this agent needs a depth camera")
    found = pixels_of(observation.rgb, name)
    if len(found) < _fewest(observation.rgb):
        return None
    columns, rows = (found - 0.5).astype(int).T
    points = THIRD.lift(found, observation.depth[rows, columns], observation.rgb.shape[:2])
    top = float(np.percentile(points[:, 2], 85))
    off = np.abs(points[:, 2] - top)
    # Of few pixels, none may be that close to where the upper side is taken to be.
    upper = points[off < max(0.006, float(off.min()) + 1e-6)]
    # Mid-range of the bulk: a mean would lean towards whatever edge is seen better.
    low, high = np.percentile(upper[:, :2], 5, axis=0), np.percentile(upper[:, :2], 95, axis=0)
    return np.array([*((low + high) / 2), max(0.0, top - HEIGHTS[name.split(" ")[1]]), 0.0])


def gap(rgb: np.ndarray, name: str, place: np.ndarray) -> float | None:
    """Metres, seen across the line of sight, between a thing in a picture and a place [3] in the world."""
    seen = middle_pixel(rgb, name)
    if seen is None:
        return None
    shape = rgb.shape[:2]
    depth = float((place - THIRD.matrix[:3, 3]) @ THIRD.matrix[:3, 2])
    return float(np.linalg.norm(seen - THIRD.project(place, shape)) * depth / THIRD.focal(shape[1]))


def _fewest(rgb: np.ndarray) -> float:
    return FEWEST * rgb.shape[1] ** 2 / 128**2
