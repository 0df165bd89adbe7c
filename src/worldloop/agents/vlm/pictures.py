"""Pictures on their way to a model: marked, reduced, and spelled as data URIs."""

from __future__ import annotations

import base64
import io
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageDraw

from worldloop.core import InputError, Observation

RED = (255, 0, 0)


@dataclass(frozen=True, eq=False)
class Picture:
    """uint8 [H,W,3] as it is sent."""

    pixels: np.ndarray

    def uri(self, kind: str) -> str:
        """`data:image/png;base64,...`, or jpeg."""
        out = io.BytesIO()
        options = {"quality": 90} if kind == "jpeg" else {"compress_level": 6}
        Image.fromarray(self.pixels).save(out, format=kind.upper(), **options)
        return f"data:image/{kind};base64,{base64.b64encode(out.getvalue()).decode()}"


def picture(image: np.ndarray, max_side: int, box: np.ndarray | None = None) -> Picture:
    """An image uint8 [H,W,3], with a red box x0, y0, x1, y1 in its pixels, and no side longer than `max_side`."""
    if not isinstance(image, np.ndarray) or image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3:
        got = f"{image.dtype}{list(image.shape)}" if isinstance(image, np.ndarray) else type(image).__name__
        raise InputError(f"a picture for a language model is uint8 [H,W,3], got {got}")
    drawn = Image.fromarray(np.ascontiguousarray(image))
    if box is not None:
        x0, y0, x1, y1 = (float(v) for v in box)
        if x1 >= x0 and y1 >= y0:
            ImageDraw.Draw(drawn).rectangle(
                (x0, y0, x1, y1), outline=RED, width=max(1, min(image.shape[:2]) // 100)
            )
    longest = max(drawn.size)
    if longest > max_side:
        size = tuple(max(1, round(s * max_side / longest)) for s in drawn.size)
        drawn = drawn.resize((size[0], size[1]), Image.Resampling.LANCZOS)
    return Picture(np.array(drawn))


def view(observation: Observation, max_side: int) -> Picture:
    """What an observation shows, with the target's box where the task gives one."""
    return picture(observation.rgb, max_side, observation.extra.get("target_box"))


def small_numbers(observation: Observation) -> dict[str, list[float]]:
    """Named vectors of up to 16 numbers that the task shows, such as the pose of a gripper."""
    out = {}
    for name, array in sorted(observation.extra.items()):
        short = np.ndim(array) <= 1 and np.size(array) <= 16 and np.asarray(array).dtype.kind in "iuf"
        if short and name not in ("target_box", "collided"):
            out[name] = [round(float(v), 4) for v in np.atleast_1d(array)]
    return out


def more_views(observation: Observation, max_side: int) -> dict[str, Picture]:
    """Further pictures that the task shows, such as that of a wrist camera."""
    found = {n: a for n, a in sorted(observation.extra.items()) if np.ndim(a) == 3 and np.shape(a)[2] == 3}
    return {n: picture(a, max_side) for n, a in found.items() if a.dtype == np.uint8}
