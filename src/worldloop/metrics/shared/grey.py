"""Brightness and light of pictures."""

from __future__ import annotations

import functools

import numpy as np

from worldloop.core import InputError
from worldloop.metrics.clip import Array, Clip
from worldloop.metrics.shared.opencv import opencv
from worldloop.metrics.shared.parts import by_step

LUMINANCE = np.array([0.2126, 0.7152, 0.0722])
"""Shares of linear red, green and blue in luminance (Rec. 709, the primaries of sRGB)."""


def grey(frames: Array) -> Array:
    """Luma of Rec. 601, not rounded: uint8 [T,H,W,3] to float32 [T,H,W] in 0..255."""
    cv2, out = opencv(), np.empty(frames.shape[:3], np.float32)
    by_step(
        lambda picture, row: cv2.cvtColor(picture.astype(np.float32), cv2.COLOR_RGB2GRAY, dst=row),
        frames,
        out,
    )
    return out


def grey_of(clip: Clip, name: str) -> Array:
    """`grey` of a clip's `frames`, `truth` or `start` (T is 1 then), computed once."""
    return clip.keeper(name).once(("grey", name), lambda: grey(_pictures(clip, name)))


def light_of(clip: Clip, name: str) -> Array:
    """Mean linear light of each picture of `frames` or `truth`: float64 [T,3], red, green, blue in 0..1."""

    def compute() -> Array:
        cv2, table = opencv(), linear_light().astype(np.float32)
        return np.array(by_step(lambda picture: cv2.mean(cv2.LUT(picture, table))[:3], _pictures(clip, name)))

    return clip.keeper(name).once(("light", name), compute)


@functools.cache
def linear_light() -> Array:
    """float64 [256]: linear light in 0..1 of each 8-bit sRGB value (IEC 61966-2-1)."""
    value = np.arange(256) / 255
    return np.where(value <= 0.04045, value / 12.92, ((value + 0.055) / 1.055) ** 2.4)


def display(light: Array) -> Array:
    """Linear light to 8-bit sRGB, rounded: the inverse of `linear_light`; light beyond 0..1 is clipped."""
    light = np.clip(light, 0, 1)
    value = np.where(light <= 0.0031308, 12.92 * light, 1.055 * light ** (1 / 2.4) - 0.055)
    return np.rint(255 * value).astype(np.uint8)


def _pictures(clip: Clip, name: str) -> Array:
    value: Array | None = getattr(clip, name)
    if value is None:
        raise InputError(f"this clip has no {name}")
    return value if value.ndim == 4 else value[None]
