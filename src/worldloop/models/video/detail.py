"""Sharpness that latents cannot keep: a decoded picture, mended from what the present camera sees of the same place.

The estimated distances of the sweep tell where each pixel of the new view lies in the present picture and in its
panorama. A small network looks at the decoded picture and at what was found there, and says how much of the
difference to take over. Its weights start at zero.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from worldloop.models.video import sweep

Pictures = tuple[Tensor, Tensor | None]
"""The present view [b,3,H,W] and its panorama [b,3,H,2W] in [-1,1]."""


class Detail(nn.Module):
    """Decoded pictures and what was found for them -> sharper pictures."""

    INNER = 12

    def __init__(self, sources: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(3 + 4 * sources, self.INNER, 3, padding=1)
        self.second = nn.Conv2d(self.INNER, self.INNER, 3, padding=2, dilation=2)
        self.weigh = nn.Conv2d(self.INNER, sources, 3, padding=1)
        nn.init.zeros_(self.weigh.weight)
        nn.init.zeros_(self.weigh.bias)  # type: ignore[arg-type]

    def forward(self, pictures: Tensor, found: Tensor) -> Tensor:
        """pictures [N,3,H,W], found [N,S,4,H,W] (colours and how likely they are) -> [N,3,H,W]."""
        change = found[:, :, :3] - pictures[:, None]
        likely = found[:, :, 3:]
        x = torch.cat((pictures, change.flatten(1, 2), likely.flatten(1, 2)), dim=1)
        x = F.silu(self.second(F.silu(self.first(x))))
        weights = self.weigh(x)[:, :, None] * likely
        return pictures + (weights * change).sum(1)


def find(
    poses: Tensor, rays: tuple[Tensor, Tensor], hfov_deg: float, known: sweep.Estimates, pictures: Pictures
) -> Tensor:
    """What the present pictures show of views at poses [B,T,3]: [B,T,S,4,H,W], colours and how likely they are.

    rays: the directions of cells [h,w,2] whose distances are estimated, and of pixels [H,W,2] that they are
    interpolated to. The distances of each cell are a mean over those that fit, so they carry gradients.
    """
    cells, pixels = rays
    aimed = sweep.aimed(poses, cells.flatten(0, 1), hfov_deg, known).unflatten(4, cells.shape[:2])
    shape = aimed.shape[:4]
    aimed = F.interpolate(aimed.flatten(0, 2), pixels.shape[:2], mode="bilinear").unflatten(0, shape[:3])
    away, likely = aimed.flatten(4).unbind(3)
    found = sweep.fetched(poses, pixels.flatten(0, 1), hfov_deg, away, pictures)
    found = torch.cat((found[:, :, :, :3], (found[:, :, :, 3] * likely)[:, :, :, None]), dim=3)
    return found.unflatten(4, pixels.shape[:2])
