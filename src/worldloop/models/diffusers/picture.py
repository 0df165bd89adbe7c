"""Pictures in and out: the whole view is always kept, so that a predicted frame has the observation's field of view.

A picture whose aspect is nearly that of the video is resized; any other is scaled to fit, in the middle of black bars,
and the bars are cut off again.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from PIL import Image

STRETCH = 0.05
"""Greatest change of aspect by resizing alone: what rounding to a multiple may need."""


@dataclass(frozen=True)
class Window:
    """Where a picture stands in a video."""

    size: tuple[int, int]
    """Rows and columns of the video."""
    top: int
    left: int
    rows: int
    columns: int

    @classmethod
    def around(cls, shape: tuple[int, int], size: tuple[int, int]) -> Window:
        """For a picture of `shape` (rows, columns) in a video of `size`."""
        change = (shape[0] / shape[1]) / (size[0] / size[1])
        if max(change, 1 / change) <= 1 + STRETCH:
            return cls(size, 0, 0, *size)
        scale = min(size[0] / shape[0], size[1] / shape[1])
        rows, columns = (max(1, min(s, round(n * scale))) for n, s in zip(shape, size))
        return cls(size, (size[0] - rows) // 2, (size[1] - columns) // 2, rows, columns)

    def place(self, rgb: np.ndarray) -> Image.Image:
        """The picture uint8 [H,W,3] as a frame of the video."""
        inside = Image.fromarray(rgb).resize((self.columns, self.rows), Image.Resampling.LANCZOS)
        if (self.rows, self.columns) == self.size:
            return inside
        whole = Image.new("RGB", (self.size[1], self.size[0]))
        whole.paste(inside, (self.left, self.top))
        return whole

    def restore(self, frame: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
        """A frame of the video uint8 [h,w,3] as a picture uint8 [H,W,3] of the view that was put in."""
        inside = frame[self.top : self.top + self.rows, self.left : self.left + self.columns]
        picture = Image.fromarray(np.ascontiguousarray(inside))
        return np.asarray(picture.resize((shape[1], shape[0]), Image.Resampling.LANCZOS))


def size_for(shape: tuple[int, int], area: int, multiple: int) -> tuple[int, int]:
    """Rows and columns of about that many pixels with the aspect of `shape`, in whole multiples."""
    scale = math.sqrt(area / (shape[0] * shape[1]))
    rows, columns = (max(1, round(n * scale / multiple)) * multiple for n in shape)
    return rows, columns
