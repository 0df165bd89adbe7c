"""What a split looks like: its shades of the five colour names and its table. No two splits share one."""

from __future__ import annotations

import colorsys
from dataclasses import dataclass
from functools import cache

import numpy as np
from scipy.ndimage import gaussian_filter

from worldloop.core import InputError, generator
from worldloop.envs.house.materials import planks, plaster

COLOURS = ("red", "yellow", "green", "blue", "purple")
Rgb = tuple[float, float, float]


@dataclass(frozen=True)
class Look:
    """Shades and table of one split."""

    hues: tuple[float, ...]
    """Degrees, one for each of `COLOURS`."""
    saturation: float
    value: float
    table: tuple[float, float, float]
    """sRGB 0..255, pale: no colour of a thing may be taken for it."""
    boards: int
    """Boards in one repeat of the table's texture; 0 is a plain top."""

    def shade(self, colour: str) -> Rgb:
        """sRGB in 0..1 of a colour name."""
        hue = self.hues[COLOURS.index(colour)]
        dark = 0.86 if colour in ("green", "yellow") else 1.0  # these look brighter than the others
        return colorsys.hsv_to_rgb(hue / 360, self.saturation, self.value * dark)


LOOKS = {
    "train": Look((2, 50, 128, 218, 284), 0.86, 0.86, (203, 196, 186), 6),
    "val": Look((356, 54, 142, 212, 278), 0.90, 0.80, (182, 184, 188), 0),
    "test": Look((6, 46, 118, 226, 290), 0.82, 0.90, (216, 205, 190), 9),
}


def look_of(split: str) -> Look:
    """The look of a split; InputError for an unknown one."""
    if split not in LOOKS:
        raise InputError(f"a tabletop split is one of {', '.join(LOOKS)}, not {split!r}")
    return LOOKS[split]


@cache
def table_top(split: str) -> np.ndarray:
    """uint8 [128,128,3]: the texture of a split's table, 0.5 m a repeat."""
    look = look_of(split)
    paint = planks(look.table, look.boards, 0.06) if look.boards else plaster(look.table, 0.06)
    image = paint(generator("tabletop", split)).astype(float)
    # Gaps between boards are thinner than a pixel: softened, they do not break up into dashes.
    return np.rint(gaussian_filter(image, (1.5, 1.5, 0), mode="wrap")).astype(np.uint8)
