"""World-In-World's own episode files (arXiv 2510.18135) as lists of episodes; its scans need Habitat.

Active recognition is a list of objects, or one with `episodes`; image-goal navigation an object with `data`. Its
embodied questions have OpenEQA's form, see `openeqa`. Habitat has y up and looks along -z; here x is ahead, y to the
left and the yaw counter-clockwise, so that [x, y] is [-z, -x]. What the file says is kept in the goal as it stands.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from worldloop.core import Episode, InputError, derive_seed
from worldloop.core.numbers import finite
from worldloop.tasks.episodes import unique
from worldloop.tasks.scans import HABITAT_SCENES

TASKS = ("active-recognition", "image-goal")


def is_world_in_world(data: Any) -> bool:
    """Whether the content of a file is a list, or an object that does not say worldloop's `format`."""
    return isinstance(data, list) or (
        isinstance(data, Mapping) and "format" not in data and ("data" in data or "episodes" in data)
    )


def import_world_in_world(data: Any, path: str, task: str, budget: int) -> list[Episode]:
    """Episodes of `active-recognition` or `image-goal` with so many decisions each, from the content of a file.

    InputError naming the first item that is not of the form, or an id that comes twice.
    """
    if task not in TASKS:
        raise InputError(f"World-In-World's lists of {' and '.join(TASKS)} can be read here, not of {task}")
    if isinstance(data, Mapping):
        data = data.get("data" if task == "image-goal" else "episodes")
    if not isinstance(data, list) or not data:
        form = '{"version": ..., "data": [...]}' if task == "image-goal" else "a list of episodes"
        raise InputError(f"{path}: World-In-World's file of {task} is {form}, and not an empty one")
    read = _image_goal if task == "image-goal" else _recognition
    return unique([read(item, f"{path}: episode {i}", budget) for i, item in enumerate(data)], path)


def _recognition(item: Any, where: str, budget: int) -> Episode:
    given = Item(item, where)
    # The released files spell it so; a corrected spelling is taken as well.
    name = "target_category" if "target_category" in given.fields else "target_categrory"
    goal = {"category": given.text(name), "target": given.fields.get("target_id")}
    goal["difficulty"] = given.fields.get("difficulty")
    return given.episode("active-recognition", "scene_id", "episode_id", goal, budget)


def _image_goal(item: Any, where: str, budget: int) -> Episode:
    given = Item(item, where)
    goal = dict(given.place("goal"))
    kept = ("goal_image_relpath", "goal_radius", "goal_rot_diff", "step_to_goal", "datum_id")
    goal |= {name: given.fields[name] for name in kept if name in given.fields}
    goal |= {name: given.fields[name] for name in ("goal_position", "goal_rotation")}
    name = "episode_id" if "episode_id" in given.fields else "datum_id"
    return given.episode("image-goal", "scene_relpath", name, goal, budget)


class Item:
    """An object of a file whose places are Habitat's."""

    def __init__(self, item: Any, where: str) -> None:
        if not isinstance(item, Mapping):
            raise InputError(f"{where} is not an object")
        self.fields, self.where = item, where

    def text(self, name: str) -> str:
        """A field that names something: a text, or a whole number."""
        value = self.fields.get(name)
        if isinstance(value, bool) or not isinstance(value, str | int) or not str(value).strip():
            raise InputError(f"{self.where}: {name!r} is missing or not a text")
        return str(value)

    def place(self, of: str) -> dict[str, Any]:
        """`position` [x, y] in metres and `yaw_deg` from Habitat's position and rotation (w, x, y, z)."""
        x, _, z = self._numbers(f"{of}_position", 3)
        w, a, b, c = self._numbers(f"{of}_rotation", 4)
        norm = math.sqrt(w * w + a * a + b * b + c * c)
        if norm < 1e-6:
            raise InputError(f"{self.where}: {of}_rotation is no rotation")
        # Where -z is turned to, in Habitat's x and z.
        right, back = -2 * (a * c + w * b) / norm**2, -(w * w - a * a - b * b + c * c) / norm**2
        return {"position": [-z, -x], "yaw_deg": math.degrees(math.atan2(-right, -back))}

    def episode(self, task: str, scene: str, name: str, goal: dict[str, Any], budget: int) -> Episode:
        """An episode of this item, with its start."""
        own = f"{self.text(scene)}#{self.text(name)}"  # episodes are counted anew in every scene
        start = self.place("start")
        goal |= {key: self.fields[key] for key in ("start_position", "start_rotation")}
        place = HABITAT_SCENES + self.text(scene)
        return Episode(own, task, place, derive_seed(0, own) % 2**31, start, goal, budget)

    def _numbers(self, name: str, count: int) -> list[float]:
        values = self.fields.get(name)
        if not isinstance(values, list) or len(values) != count or not all(map(finite, values)):
            raise InputError(f"{self.where}: {name!r} is {count} numbers")
        return [float(v) for v in values]
