"""Where the pictures of a Gymnasium environment come from, and the words of its goal."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from gymnasium import Env
from PIL import Image

from worldloop.core import InputError

IMAGE_NAMES = ("rgb", "image", "pixels")
"""Entries of a dictionary of observations that are looked at first."""
GOAL_WORDS = ("goal", "mission", "instruction")
"""Entries of the observation or of `info` that may hold the goal in words."""


def as_picture(array: Any) -> np.ndarray | None:
    """uint8 [H,W,3] of what may be a picture (grey or channels first, too), else None."""
    if not isinstance(array, np.ndarray) or array.dtype != np.uint8 or array.ndim not in (2, 3):
        return None
    if array.ndim == 2:
        array = array[:, :, None]
    if array.shape[2] not in (1, 3) and array.shape[0] in (1, 3):
        array = array.transpose(1, 2, 0)
    if array.shape[2] not in (1, 3) or min(array.shape[:2]) < 2:
        return None
    return np.ascontiguousarray(np.broadcast_to(array, (*array.shape[:2], 3)))


def picture_of(env: Env[Any, Any], observation: Any, name: str) -> np.ndarray:
    """uint8 [H,W,3]: what the environment draws in mode `rgb_array`, else the picture in its observation.

    In a dictionary of observations that is the first picture, with `IMAGE_NAMES` before all others. InputError when
    there is none.
    """
    if env.render_mode == "rgb_array":
        _take_the_canvas(env)
        drawn = as_picture(np.asarray(env.render()))
        if drawn is not None:
            return drawn
    if isinstance(observation, Mapping):
        order = sorted(observation, key=lambda n: (n not in IMAGE_NAMES, str(n)))
        found = [p for n in order if n != "goal_image" and (p := as_picture(observation[n])) is not None]
    else:
        found = [p] if (p := as_picture(observation)) is not None else []
    if not found:
        raise InputError(
            f"{name} cannot be seen: it has no render mode rgb_array, and no observation of it is a picture "
            "(uint8 [H,W,3])"
        )
    return found[0]


def reduced(picture: np.ndarray, size: int) -> np.ndarray:
    """The picture with its longer side brought down to `size` pixels; smaller ones and size 0 stay as they are."""
    longer = max(picture.shape[:2])
    if not size or longer <= size:
        return picture
    height, width = (max(1, round(side * size / longer)) for side in picture.shape[:2])
    return np.asarray(Image.fromarray(picture).resize((width, height), Image.Resampling.BILINEAR))


def goal_of(observation: Any, info: Mapping[str, Any]) -> tuple[str | None, np.ndarray | None]:
    """The goal's words and its picture uint8 [H,W,3], where the observation or `info` of a reset has them.

    The picture's name is `goal_image`.
    """
    said: dict[str, Any] = dict(observation) if isinstance(observation, Mapping) else {}
    said |= info
    words = next((said[n] for n in GOAL_WORDS if isinstance(said.get(n), str) and said[n].strip()), None)
    return words, as_picture(said.get("goal_image"))


def _take_the_canvas(env: Env[Any, Any]) -> None:
    """Point the renderer of a Gymnasium environment on MuJoCo at this environment's own state and GL context.

    It would draw into whichever context was used last; and a copy shares its renderer with the original.
    """
    inner = env.unwrapped
    renderer = getattr(inner, "mujoco_renderer", None)
    if renderer is None or not (hasattr(inner, "model") and hasattr(inner, "data")):
        return
    viewer = getattr(renderer, "viewer", None)
    for drawer in (d for d in (renderer, viewer) if hasattr(d, "data")):
        drawer.model, drawer.data = inner.model, inner.data  # type: ignore[union-attr]
    if callable(current := getattr(viewer, "make_context_current", None)):
        current()
