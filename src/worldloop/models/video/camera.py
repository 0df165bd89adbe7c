"""Camera control: poses as modulation, rays that find one another, and what the present shows of the new view.

Each token of a picture looks along a ray, each token of a panorama too. A target token can so find what lies
in its direction in the context, before any content is known: the likeness of two rays is added to the scores of
the blocks' own attention, with a weight per block and head that starts at zero. The sweep (see `sweep`) is added to
the tokens by a small network that ends in zeros; and where the transformer finds that one of its latents shows what
is asked for, it copies it, with weights that start at zero. The same distances serve to sharpen decoded pictures
(see `detail`).
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from worldloop.models.video import sweep
from worldloop.models.video.detail import Detail

TURNS = (1, 2, 4, 8, 16)
"""Cycles per full turn."""
TILTS = (1, 2, 4, 8)
WAVELENGTHS = (0.8, 1.6, 3.2, 6.4)
"""Metres; the shortest is four steps of 0.2 m."""
POSE_FEATURES = 2 * len(TURNS) + 4 * len(WAVELENGTHS) + 2
RAY_FEATURES = POSE_FEATURES + 2 * len(TILTS)


def _waves(x: Tensor, factors: tuple[float, ...]) -> Tensor:
    """[...] -> [..., 2 * len(factors)]"""
    angles = x[..., None] * x.new_tensor(factors)
    return torch.cat((angles.sin(), angles.cos()), dim=-1)


def pose_features(poses: Tensor) -> Tensor:
    """Fourier features [..., POSE_FEATURES] of poses [...,3]: x ahead (m), y left (m), yaw (rad, left > 0)."""
    place = _waves(poses[..., :2], tuple(2 * math.pi / w for w in WAVELENGTHS)).flatten(-2)
    return torch.cat((poses[..., :2], place, _waves(poses[..., 2], TURNS)), dim=-1)


def ray_features(poses: Tensor, angles: Tensor) -> Tensor:
    """Features [B,F,n,RAY_FEATURES] of rays: poses [B,F,3], angles [F,n,2] or [n,2] (azimuth, elevation; rad)."""
    batch, frames = poses.shape[:2]
    angles = angles.expand(batch, frames, -1, -1)
    turned = torch.cat(
        (
            poses[:, :, None, :2].expand(-1, -1, angles.shape[2], -1),
            angles[..., :1] + poses[:, :, None, 2:],
        ),
        dim=-1,
    )
    return torch.cat((pose_features(turned), _waves(angles[..., 1], TILTS)), dim=-1)


def view_angles(rows: int, columns: int, hfov_deg: float) -> Tensor:
    """Azimuth (left > 0) and elevation [rows*columns,2] in radians of the cells of a level pinhole view."""
    reach = math.tan(math.radians(hfov_deg) / 2)
    left = (1 - (torch.arange(columns) + 0.5) * 2 / columns) * reach
    up = (1 - (torch.arange(rows) + 0.5) * 2 / rows) * reach * rows / columns
    up, left = torch.meshgrid(up, left, indexing="ij")
    elevation = torch.atan2(up, torch.hypot(left, torch.ones_like(left)))
    return torch.stack((torch.atan(left), elevation), dim=-1).flatten(0, 1)


def panorama_angles(rows: int, columns: int) -> Tensor:
    """The same [rows*columns,2] for the cells of an equirectangular picture."""
    azimuth = math.pi - (torch.arange(columns) + 0.5) * 2 * math.pi / columns
    elevation = math.pi / 2 - (torch.arange(rows) + 0.5) * math.pi / rows
    elevation, azimuth = torch.meshgrid(elevation, azimuth, indexing="ij")
    return torch.stack((azimuth, elevation), dim=-1).flatten(0, 1)


def relative(poses: Tensor) -> Tensor:
    """Poses [B,T,3] as seen from the last of them."""
    last = poses[:, -1:]
    away, (c, s) = poses - last, (last[..., 2].cos(), last[..., 2].sin())
    x, y = c * away[..., 0] + s * away[..., 1], c * away[..., 1] - s * away[..., 0]
    return torch.stack((x, y, away[..., 2]), dim=-1)


class CameraHead(nn.Module):
    """Pose -> modulation, rays with their weights, reading of and copying from sweeps; small beside the backbone."""

    INNER, LOOK = 24, 32
    GAIN = 8.0
    """A weight of 1 would be far to go in small steps."""

    def __init__(
        self, width: int, heads: int, depth: int, latent_channels: int, patch: int, panorama: bool
    ) -> None:
        super().__init__()
        self.heads = heads
        self.embed = nn.Sequential(
            nn.Linear(POSE_FEATURES, self.INNER), nn.SiLU(), nn.Linear(self.INNER, width)
        )
        self.ray = nn.Linear(RAY_FEATURES, width)
        self.weights = nn.Parameter(torch.zeros(depth, heads))
        self.distances = sweep.Distances(latent_channels)
        swept = patch**2 * sweep.channels(latent_channels, panorama)
        self.look = nn.Sequential(nn.Linear(swept, self.LOOK), nn.GELU(), nn.Linear(self.LOOK, width))
        self.copy = nn.Linear(width, patch**2 * sweep.sources(panorama))
        self.detail = Detail(sweep.sources(panorama))
        for layer in (self.embed[2], self.look[2], self.copy):
            nn.init.zeros_(layer.weight)  # type: ignore[arg-type]
            nn.init.zeros_(layer.bias)  # type: ignore[arg-type]

    def forward(self, poses: Tensor) -> Tensor:
        """Poses [B,T,3] -> modulation [B,T,W]."""
        return self.embed(pose_features(poses))

    def queries(self, features: Tensor, posed: Tensor) -> tuple[Tensor, ...]:
        """Weighted queries [B,heads,F*n,d] for each block, of ray features [B,F,n,RAY_FEATURES].

        posed [B,F] is 1 for frames whose pose is known and 0 for the others, which look at content alone.
        """
        kept = posed.repeat_interleave(features.shape[2], dim=1)[:, None, :, None]
        plain = self.keys(features) * kept
        return tuple(plain * (self.GAIN * w[:, None, None]).to(plain.dtype) for w in self.weights)

    def keys(self, features: Tensor) -> Tensor:
        """Ray features [B,F,n,RAY_FEATURES] -> [B,heads,F*n,d]; rays in one direction are alike."""
        x = self.ray(features).flatten(1, 2).unflatten(2, (self.heads, -1)).transpose(1, 2)
        return F.rms_norm(x, x.shape[-1:], eps=1e-6)
