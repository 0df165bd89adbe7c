"""Random changes of view, done alike to pictures and to latents."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

CLOSEST, FARTHEST = 0.5, 1.2
"""Range of scales: half of the sides fills the picture, or a little more than all."""
MOST_TURNED = 0.25
"""Radians about the line of sight."""
LEAST_SHIFT = 0.1
"""Of half a side, also where the whole picture is shown."""


def random_warps(count: int, generator: torch.Generator) -> Tensor:
    """Affine maps [B,2,3] (scale, turn, shift) in the units of `torch.nn.functional.affine_grid`."""
    scale, turn, across, down = torch.rand(4, count, generator=generator, device=generator.device)
    scale = CLOSEST * (FARTHEST / CLOSEST) ** scale
    turn = MOST_TURNED * (2 * turn - 1)
    room = (1 - scale).clamp(min=LEAST_SHIFT)
    c, s = scale * turn.cos(), scale * turn.sin()
    shifts = (room * (2 * across - 1), room * (2 * down - 1))
    return torch.stack((c, -s, shifts[0], s, c, shifts[1]), dim=1).reshape(count, 2, 3)


def warped(images: Tensor, maps: Tensor) -> Tensor:
    """Images or latents [B,C,h,w] seen through the maps [B,2,3], by bilinear interpolation; mirrored outside."""
    grid = F.affine_grid(maps.to(images), list(images.shape), align_corners=False)
    return F.grid_sample(images, grid, padding_mode="reflection", align_corners=False)


def equivariance_error(moved: Tensor, encoded: Tensor) -> Tensor:
    """How far latents that were moved are from those of pictures that were: squared difference by variance.

    Both are [B,C,h,w]; 0 is perfect, about 2 unrelated.
    """
    variance = encoded.var((0, 2, 3)).clamp(min=1e-6)
    return ((moved - encoded).square().mean((0, 2, 3)) / variance).mean()
