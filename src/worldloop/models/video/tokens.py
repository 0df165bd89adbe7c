"""Latent frames and panoramas as tokens with a place in time and space, and back."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from worldloop.core import InputError
from worldloop.models.video import camera

PANORAMA_TIME = -8.0
"""Rotary time of the panorama, before any frame of a usual history."""


@dataclass(frozen=True, eq=False)
class TokenSequence:
    """Tokens of several frames on their way into the blocks; a panorama counts as two frames."""

    x: Tensor
    """[B,F,n,W]"""
    c: Tensor
    """[B,F,W], noise level and controls."""
    positions: Tensor
    """[F*n,3]: time, row, column."""
    groups: tuple[int, ...]
    """[F], rising; a frame sees the frames of its own and of lower groups."""
    rays: Tensor
    """[B,F,n,RAY_FEATURES]"""
    poses: Tensor
    """[B,F,3] against the present camera."""
    posed: Tensor | None = None
    """[B,F]: 1 where the camera branch acts; None where it acts nowhere."""
    commanded: Tensor | None = None
    """[B,F]: 1 where the vector branch acts. Not kept by `then`: only what comes out of a clip needs it."""

    def then(self, other: TokenSequence) -> TokenSequence:
        """This sequence and one that sees it."""
        posed = None
        if self.posed is not None or other.posed is not None:
            parts = [s.c.new_zeros(s.c.shape[:2]) if s.posed is None else s.posed for s in (self, other)]
            posed = torch.cat(parts, 1)
        return TokenSequence(
            torch.cat((self.x, other.x), 1),
            torch.cat((self.c, other.c), 1),
            torch.cat((self.positions, other.positions)),
            self.groups + tuple(g + self.groups[-1] + 1 for g in other.groups),
            torch.cat((self.rays, other.rays), 1),
            torch.cat((self.poses, other.poses), 1),
            posed,
        )

    def mask(self, context_tokens: int) -> Tensor | None:
        """bool [S,N+S], true where a token may look; None where all see all."""
        if self.groups[0] == self.groups[-1]:
            return None
        groups = torch.tensor(self.groups, device=self.x.device).repeat_interleave(self.x.shape[2])
        own = groups[:, None] >= groups[None]
        return torch.cat((own.new_ones(len(own), context_tokens), own), dim=1)


class Tokens(nn.Module):
    """Patches of latents -> tokens. Views and panoramas share the embedding but not the places."""

    view_grid: Tensor
    panorama_grid: Tensor
    view_angles: Tensor
    panorama_angles: Tensor
    cell_angles: Tensor

    def __init__(
        self, channels: int, size: int, patch: int, width: int, panorama: bool, hfov_deg: float
    ) -> None:
        super().__init__()
        self.channels, self.size, self.patch, self.side = channels, size, patch, size // patch
        self.embed = nn.Linear(patch**2 * channels, width)
        self.place = nn.Parameter(torch.randn(self.side**2, width) * 0.02)
        if panorama:
            self.panorama_type = nn.Parameter(torch.randn(width) * 0.02)
            self.panorama_place = nn.Parameter(torch.randn(2 * self.side**2, width) * 0.02)
        self._register_grids(hfov_deg)

    def _register_grids(self, hfov_deg: float) -> None:
        side = self.side
        around = torch.cartesian_prod(torch.arange(side), torch.arange(2 * side)).float()
        # Both grids share their middle and count in cells of the view, so that a cell of the panorama
        # has nearly the coordinates of the view's cell that shows the same direction.
        middle = torch.tensor([(side - 1) / 2, side - 0.5])
        tables = {
            "view_grid": torch.cartesian_prod(torch.arange(side), torch.arange(side)).float(),
            "panorama_grid": (around - middle) * (180.0 / hfov_deg) + (side - 1) / 2,
            "view_angles": camera.view_angles(side, side, hfov_deg),
            "cell_angles": camera.view_angles(self.size, self.size, hfov_deg),
            "panorama_angles": camera.panorama_angles(side, 2 * side),
        }
        for name, table in tables.items():
            self.register_buffer(name, table, persistent=False)

    @property
    def per_frame(self) -> int:
        """n, tokens of a frame; a panorama has twice as many."""
        return self.side**2

    def check(self, latents: Tensor, t: Tensor) -> None:
        """InputError unless latents are [B,T,C,h,w] of this size and t is [B,T]."""
        wanted = [self.channels, self.size, self.size]
        if latents.ndim != 5 or list(latents.shape[2:]) != wanted or not latents.shape[1]:
            raise InputError(f"latent frames are [B,T,*{wanted}] with T >= 1, got {list(latents.shape)}")
        if t.shape != latents.shape[:2]:
            raise InputError(f"noise levels are {list(latents.shape[:2])}, got {list(t.shape)}")

    def frames(
        self,
        latents: Tensor,
        c: Tensor,
        start: int,
        chunk: int,
        poses: Tensor | None = None,
        posed: Tensor | None = None,
    ) -> TokenSequence:
        """Latents [B,T,C,h,w] in chunks of frames that see one another, the first at rotary time `start`.

        c [B,T,W]. Without poses [B,T,3] the frames count as seen from the present camera.
        """
        batch, count = latents.shape[:2]
        times = torch.arange(start, start + count, device=latents.device, dtype=self.view_grid.dtype)
        places = self.view_grid.repeat(count, 1)
        positions = torch.cat((times.repeat_interleave(self.per_frame)[:, None], places), dim=1)
        poses = c.new_zeros(batch, count, 3) if poses is None else poses.to(c)
        rays = camera.ray_features(poses, self.view_angles)
        x = self.embed(self.patches(latents)) + self.place
        groups = tuple(i // chunk for i in range(count))
        return TokenSequence(x, c, positions, groups, rays, poses, posed)

    def panorama(self, latents: Tensor, c: Tensor) -> TokenSequence:
        """Latents [B,C,h,2w] of the present panorama as two frames' worth of tokens; c [B,2,W]."""
        wanted = [len(c), self.channels, self.size, 2 * self.size]
        if list(latents.shape) != wanted:
            raise InputError(f"panorama latents are {wanted}, got {list(latents.shape)}")
        halves = (2, self.per_frame)
        x = self.embed(self.patches(latents[:, None])) + self.panorama_place + self.panorama_type
        times = self.panorama_grid.new_full((2 * self.per_frame, 1), PANORAMA_TIME)
        here = c.new_zeros(len(c), 2, 3)
        rays = camera.ray_features(here, self.panorama_angles.unflatten(0, halves))
        positions = torch.cat((times, self.panorama_grid), dim=1)
        return TokenSequence(x.unflatten(2, halves).squeeze(1), c, positions, (0, 0), rays, here)

    def patches(self, x: Tensor) -> Tensor:
        """[B,F,C,h,w] -> [B,F,n,C*p*p], row by row."""
        p = self.patch
        cells = x.unflatten(4, (-1, p)).unflatten(3, (-1, p))  # [B,F,C,i,p,j,p]
        return cells.permute(0, 1, 3, 5, 2, 4, 6).flatten(4).flatten(2, 3)

    def pictures(self, x: Tensor) -> Tensor:
        """[B,F,n,C*p*p] -> [B,F,C,h,w]"""
        cells = x.unflatten(3, (-1, self.patch, self.patch)).unflatten(2, (self.side, self.side))
        return cells.permute(0, 1, 4, 2, 5, 3, 6).flatten(5).flatten(3, 4)
