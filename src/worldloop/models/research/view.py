"""Pictures in and out of a model that sees one size only."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from PIL import Image
from torch import Tensor


@dataclass(frozen=True)
class View:
    """How pictures of any size become those of the model and go back."""

    size: tuple[int, int]
    """Rows and columns that the model sees."""
    aspect: float | None = None
    """Columns over rows of the part in the middle that is shown to the model; None shows the whole picture."""
    smooth: Image.Resampling = Image.Resampling.LANCZOS
    """How pictures are made smaller on the way in."""

    def box(self, shape: tuple[int, int]) -> tuple[int, int, int, int]:
        """Left, top, right and bottom of what is shown of a picture of `shape` (rows, columns)."""
        rows, columns = shape
        if self.aspect is not None:
            rows, columns = min(rows, round(columns / self.aspect)), min(columns, round(rows * self.aspect))
        left, top = (shape[1] - columns) // 2, (shape[0] - rows) // 2
        return left, top, left + columns, top + rows

    def put(self, rgb: np.ndarray) -> np.ndarray:
        """A picture uint8 [H,W,3] as the model sees it, uint8 [h,w,3]."""
        part = Image.fromarray(rgb).crop(self.box((rgb.shape[0], rgb.shape[1])))
        return np.asarray(part.resize((self.size[1], self.size[0]), self.smooth))

    def back(self, frame: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
        """A frame of the model uint8 [h,w,3] as a picture uint8 [H,W,3]; what the model does not see is black."""
        left, top, right, bottom = self.box(shape)
        part = Image.fromarray(np.ascontiguousarray(frame))
        whole = np.zeros((*shape, 3), np.uint8)
        whole[top:bottom, left:right] = np.asarray(
            part.resize((right - left, bottom - top), Image.Resampling.LANCZOS)
        )
        return whole


def to_tensor(pictures: Sequence[np.ndarray] | np.ndarray, device: torch.device) -> Tensor:
    """Pictures uint8 [...,H,W,3] -> float32 [...,3,H,W] in [-1,1]."""
    stacked = torch.from_numpy(np.ascontiguousarray(np.stack(list(pictures)))).to(device)
    return stacked.movedim(-1, -3).float().contiguous() / 127.5 - 1.0


def to_pictures(frames: Tensor) -> np.ndarray:
    """float [...,3,H,W], clipped to [-1,1] -> uint8 [...,H,W,3]."""
    scaled = ((frames.float().clamp(-1, 1) + 1) * 127.5).round().to("cpu", torch.uint8)
    return np.ascontiguousarray(scaled.movedim(-3, -1).numpy())


def padded(seen: Sequence[np.ndarray], count: int) -> list[np.ndarray]:
    """The last `count` pictures, the oldest repeated where there are fewer."""
    kept = list(seen[-count:])
    return [kept[0]] * (count - len(kept)) + kept
