"""Rotary positions on three axes: time, row and column (after Su et al. 2021, "RoFormer")."""

from __future__ import annotations

import torch
from torch import Tensor

BASE = 100.0
"""Ratio of the longest to the shortest wavelength; rows, columns and times stay below a few dozen."""


def frequencies(head_dim: int) -> Tensor:
    """float32 [3, head_dim/2]: how fast each pair of channels turns per unit of time, row and column.

    Every pair belongs to one axis; rows and columns get a third of the pairs each, time the rest.
    """
    pairs = head_dim // 2
    spatial = pairs // 3
    table = torch.zeros(3, pairs)
    first = 0
    for axis, count in enumerate((pairs - 2 * spatial, spatial, spatial)):
        exponents = torch.arange(count) / max(count, 1)
        table[axis, first : first + count] = BASE**-exponents
        first += count
    return table


def rotation(positions: Tensor, table: Tensor) -> tuple[Tensor, Tensor]:
    """Cosines and sines [S, head_dim/2] of positions [S,3] (time, row, column)."""
    angles = positions @ table
    return angles.cos(), angles.sin()


def rotate(x: Tensor, turn: tuple[Tensor, Tensor]) -> Tensor:
    """Queries or keys [B,heads,S,d], turned by their positions; the dot product then sees differences only."""
    cos, sin = turn
    a, b = x.chunk(2, dim=-1)
    return torch.cat((a * cos - b * sin, b * cos + a * sin), dim=-1)
