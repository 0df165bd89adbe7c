"""Whether a step can be taken: what lies ahead of a place, read from the panorama of the present.

Codes say how the camera is meant to move; walls and furniture do not ask. A small network looks along a fan of
rays from each place that a plan leads to, at the latents and distances that the sweep finds there, and says how
likely the step is to be free. It learns that from what steps brought.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from worldloop.models.video import sweep

AZIMUTHS = (-56, -40, -26, -13, 0, 13, 26, 40, 56)
"""Degrees to the left of the way the step leads."""
ELEVATIONS = (-74, -62, -50, -38, -26, -14, -2, 10)
"""Degrees; things of knee height show below the horizon when they are near."""


def fan() -> Tensor:
    """Azimuth and elevation [n,2] of the rays, rad."""
    azimuth, elevation = torch.meshgrid(torch.tensor(AZIMUTHS), torch.tensor(ELEVATIONS), indexing="ij")
    return torch.stack((azimuth, elevation), dim=-1).flatten(0, 1).float() * (math.pi / 180)


class Passage(nn.Module):
    """Places -> how likely a step from each of them is free."""

    INNER, OUTER = 4, 5
    rays: Tensor

    def __init__(self, latent_channels: int) -> None:
        super().__init__()
        self.register_buffer("rays", fan(), persistent=False)
        self.each = nn.Linear(latent_channels + 2, self.INNER)
        self.all = nn.Linear(self.INNER * len(self.rays), self.OUTER)
        self.last = nn.Linear(self.OUTER, 1)

    def forward(self, places: Tensor, panorama: Tensor, estimate: Tensor) -> Tensor:
        """Logits [B,K] for places [B,K,3]: where a step begins (x ahead m, y left m) and its direction (rad).

        panorama [b,C,h,2w] are the present panorama's latents and estimate [b,1,h',2w'] the logarithms of its
        distances, with b = B or 1.
        """
        x = sweep.along(places, self.rays, panorama, estimate).transpose(2, 3)  # [B,K,n,C+2]
        x = F.gelu(self.each(x.to(self.each.weight))).unflatten(2, (len(AZIMUTHS), -1))
        # What is in the way on the left is as much in the way on the right.
        both = torch.stack((x, x.flip(2))).flatten(3)
        return self.last(F.gelu(self.all(both)))[..., 0].mean(0)


def travelled(places: Tensor, motions: Tensor) -> tuple[Tensor, Tensor]:
    """What became of steps: the share of each that was walked [B,K] in [0,1], and whether it leads anywhere [B,K].

    places [B,K+1,3] before and after the steps; motions [B,K,3] as they were meant (ahead m, left m, turn rad).
    """
    gone = (places[:, 1:, :2] - places[:, :-1, :2]).norm(dim=2)
    meant = motions[..., :2].norm(dim=2)
    return (gone / meant.clamp(min=1e-6)).clamp(0, 1), meant > 1e-6


def towards(places: Tensor, motions: Tensor) -> Tensor:
    """Places [B,K,3] that look where the motions [B,K,3] lead."""
    return torch.cat(
        (places[..., :2], places[..., 2:] + torch.atan2(motions[..., 1:2], motions[..., :1])), dim=-1
    )
