"""Vector control: dense commands such as 7-DoF waypoints, told to each frame and shown to each token.

A frame's modulation gets the numbers. That alone would leave it to a small model to find out where in the picture a
command leads, so each token is also told where it lies against the commanded place, projected into the picture of a
camera that stands still, and against the spot on the ground below it; the same for the command before, from which the
hand comes. Most of such a picture does not change: the transformer may copy latents of the present, and a decoded
picture may take over pixels of the present view. Every part ends in zeros.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from worldloop.models.video.detail import Detail

WAVELENGTHS = (1.0, 2.0, 4.0, 8.0)
"""Tokens; the shortest tells where between two tokens a spot lies."""
REACHES = (0.5, 1.0, 2.0)
"""Tokens: standard deviations of the bumps around a spot."""
SPOTS = 2
"""The commanded place and the ground below it."""
FAR = 4.0
"""Picture widths at which an offset ends."""
SPOT_FEATURES = 2 + 4 * len(WAVELENGTHS) + len(REACHES)


def number_features(vectors: Tensor) -> Tensor:
    """[...,3K] of commands [...,K] in [-1,1]: the numbers, and waves that are alike at both ends, as angles can be."""
    return torch.cat((vectors, torch.sin(math.pi * vectors), torch.cos(math.pi * vectors)), dim=-1)


def projected(vectors: Tensor, projection: Tensor) -> Tensor:
    """Where commands [...,K] and the ground below them lie in the picture: [...,SPOTS,2], column and row in 0..1.

    projection [3,4] takes the first three numbers of a command and 1 to homogeneous columns and rows. The ground is
    where the third number is -1.
    """
    place = vectors[..., :3]
    ground = torch.cat((place[..., :2], -torch.ones_like(place[..., :1])), dim=-1)
    points = torch.stack((place, ground), dim=-2)
    x = points @ projection[:, :3].T + projection[:, 3]
    return x[..., :2] / x[..., 2:].clamp(min=1e-3)


def spot_features(spots: Tensor, grid: Tensor, side: int) -> Tensor:
    """[...,n,SPOTS*SPOT_FEATURES] of tokens at grid [n,2] against spots [...,SPOTS,2], both in 0..1.

    `side` is how many tokens a row of the picture has.
    """
    offset = (grid[:, None] - spots[..., None, :, :]).clamp(-FAR, FAR)  # [...,n,SPOTS,2]
    tokens = offset * side
    angles = tokens[..., None] * tokens.new_tensor([2 * math.pi / w for w in WAVELENGTHS])
    away = tokens.square().sum(-1, keepdim=True)
    bumps = torch.exp(-0.5 * away / tokens.new_tensor(REACHES).square())
    waves = torch.cat((angles.sin(), angles.cos()), dim=-1).flatten(-2)
    return torch.cat((offset, waves, bumps), dim=-1).flatten(-2)


class VectorHead(nn.Module):
    """Commands -> modulation and additions to tokens; what may be copied from the present."""

    grid: Tensor
    projection: Tensor
    INNER, PLACE = 32, 64

    def __init__(
        self, numbers: int, projection: tuple[tuple[float, ...], ...], width: int, side: int, patch: int
    ) -> None:
        """`numbers` of a command; `projection`: see `ConditioningConfig`, or empty; `side`: tokens in a row."""
        super().__init__()
        self.side = side
        told = 6 * numbers + 1
        self.embed = nn.Sequential(nn.Linear(told, self.INNER), nn.SiLU(), nn.Linear(self.INNER, width))
        self.spots = nn.Linear(2 * SPOTS * SPOT_FEATURES, self.PLACE) if projection else None
        self.told = nn.Linear(told, self.PLACE)
        self.place = nn.Sequential(nn.GELU(), nn.Linear(self.PLACE, width))
        self.copy = nn.Linear(width, patch**2)
        self.detail = Detail(1)
        for layer in (self.embed[2], self.place[1], self.copy):
            nn.init.zeros_(layer.weight)  # type: ignore[arg-type]
            nn.init.zeros_(layer.bias)  # type: ignore[arg-type]
        middle = (torch.arange(side) + 0.5) / side
        rows, columns = torch.meshgrid(middle, middle, indexing="ij")
        self.register_buffer("grid", torch.stack((columns, rows), dim=-1).flatten(0, 1), persistent=False)
        self.register_buffer("projection", torch.tensor(projection or [[0.0] * 4] * 3), persistent=False)

    def forward(self, vectors: Tensor, before: Tensor | None) -> tuple[Tensor, Tensor]:
        """Commands [B,T,K] -> modulation [B,T,W] and additions to the tokens [B,T,n,W].

        before [B,K]: what the first command comes after; None: nobody knows.
        """
        first = torch.zeros_like(vectors[:, :1]) if before is None else before[:, None].to(vectors)
        last = torch.cat((first, vectors[:, :-1]), dim=1)
        known = torch.ones_like(vectors[..., :1])
        if before is None:
            known = torch.cat((torch.zeros_like(known[:, :1]), known[:, 1:]), dim=1)
        told = torch.cat((number_features(vectors), number_features(last) * known, known), dim=-1)
        tokens = self.told(told)[:, :, None].expand(-1, -1, len(self.grid), -1)
        if self.spots is not None:
            seen = [
                spot_features(projected(v, self.projection.to(v)), self.grid.to(v), self.side)
                for v in (vectors, last)
            ]
            tokens = tokens + self.spots(torch.cat((seen[0], seen[1] * known[..., None]), dim=-1))
        return self.embed(told), self.place(tokens)

    def sharpened(self, frames: Tensor, view: Tensor) -> Tensor:
        """Decoded frames [B,T,3,H,W] with pixels of the present view [b,3,H,W] where nothing seems to change."""
        found = torch.cat((view, torch.ones_like(view[:, :1])), dim=1).to(frames)
        found = found[:, None, None].expand(*frames.shape[:2], 1, -1, -1, -1)
        return self.detail(frames.flatten(0, 1), found.flatten(0, 1)).unflatten(0, frames.shape[:2])
