"""What the present already shows of a view from elsewhere: its latents, looked up at several assumed distances.

Each cell of the new view looks along a ray. A point on it at an assumed distance has a place in the present panorama
and, perhaps, in the present view; the latents there are what the cell would show if the distance were right. Stereo
calls this a plane sweep (Collins 1996); which distance is right is left to the network. No depth is measured.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional as F

DISTANCES = (0.7, 1.5, 3.0, 6.0)
"""Metres along the floor."""
CAMERA_HEIGHT, CEILING = 1.25, 1.25
"""Metres from the camera down to the floor and up to the ceiling, which no ray passes."""


def channels(latent_channels: int, panorama: bool) -> int:
    """Channels of a sweep: for each distance the view's latents, whether there are any, and the panorama's."""
    return len(DISTANCES) * (latent_channels * (2 if panorama else 1) + 1)


def sources(panorama: bool) -> int:
    """Latents of a sweep in each cell."""
    return len(DISTANCES) * (2 if panorama else 1)


def sweep(
    poses: Tensor, angles: Tensor, hfov_deg: float, present: Tensor, panorama: Tensor | None = None
) -> Tensor:
    """Sweeps float [B,T,channels,h,w] of views at poses [B,T,3] against the present camera (x ahead m, y left m, yaw rad).

    angles [h*w,2]: azimuth (left > 0) and elevation of the cells of a view, rad. present [b,C,h,w] and panorama
    [b,C,h,2w] are latents, with b = B or 1.
    """
    (batch, frames), (size, wide) = poses.shape[:2], present.shape[-2:]
    points = _points(poses, angles)  # [B,T,D,h*w,3]
    grid = points.flatten(1, 2)  # [B,T*D,h*w,3]
    present = present.expand(batch, -1, -1, -1)
    seen, inside = _in_view(grid, hfov_deg)
    view = F.grid_sample(present, seen, padding_mode="border", align_corners=False) * inside[:, None]
    parts = [view, inside[:, None].to(view)]
    if panorama is not None:
        parts.append(_in_panorama(grid, panorama.expand(batch, -1, -1, -1)))
    stacked = torch.cat(parts, dim=1)  # [B,c,T*D,h*w]
    cells = stacked.unflatten(2, (frames, len(DISTANCES))).permute(0, 2, 3, 1, 4)
    return cells.reshape(batch, frames, -1, size, wide)


def blend(swept: Tensor, weights: Tensor, clean: Tensor) -> Tensor:
    """By how much copying changes clean latents [B,T,C,h,w], with a weight for each of the `sources` [B,T,S,h,w].

    A source draws the latents towards its own: weight 1 replaces them. What is out of view draws nothing.
    """
    channels, distances = clean.shape[2], len(DISTANCES)
    cells = swept.unflatten(2, (distances, -1))  # [B,T,D,c,h,w]
    view, inside, around = cells.split((channels, 1, cells.shape[3] - channels - 1), dim=3)
    weights = torch.cat((weights[:, :, :distances] * inside[:, :, :, 0], weights[:, :, distances:]), dim=2)
    found = torch.cat((view, around), dim=2) if around.shape[3] else view
    return (weights[:, :, :, None] * (found - clean[:, :, None])).sum(2)


def _points(poses: Tensor, angles: Tensor) -> Tensor:
    """The points [B,T,D,n,3] (ahead, left, up; m) of the rays of all poses, seen from the present camera."""
    azimuth, rise = angles[:, 0], angles[:, 1].tan()
    limit = torch.where(rise < 0, CAMERA_HEIGHT, CEILING) / rise.abs().clamp(min=1e-3)
    far = torch.minimum(azimuth.new_tensor(DISTANCES)[:, None], limit)  # [D,n]
    heading = azimuth + poses[:, :, None, None, 2]  # [B,T,1,n]
    ahead = poses[:, :, None, None, 0] + far * heading.cos()
    left = poses[:, :, None, None, 1] + far * heading.sin()
    return torch.stack((ahead, left, (far * rise).expand_as(ahead)), dim=-1)


def _in_view(points: Tensor, hfov_deg: float) -> tuple[Tensor, Tensor]:
    """Where points [B,K,n,3] lie in a level view, as `grid_sample` wants it, and whether they are in it [B,K,n]."""
    reach = math.tan(math.radians(hfov_deg) / 2)
    depth = points[..., 0].clamp(min=1e-3) * reach
    place = torch.stack((-points[..., 1] / depth, -points[..., 2] / depth), dim=-1)
    return place.clamp(-2, 2), (points[..., 0] > 1e-3) & (place.abs() <= 1).all(-1)


def _in_panorama(points: Tensor, panorama: Tensor) -> Tensor:
    """Latents [B,C,K,n] of a panorama at points [B,K,n,3]; its left and right edges are neighbours."""
    width = panorama.shape[-1]
    ahead, left, up = points.unbind(-1)
    across = -torch.atan2(left, ahead) / math.pi
    down = -torch.atan2(up, torch.hypot(ahead, left)) / (math.pi / 2)
    closed = torch.cat((panorama[..., -1:], panorama, panorama[..., :1]), dim=-1)
    place = torch.stack((across * (width / (width + 2)), down), dim=-1)
    return F.grid_sample(closed, place, padding_mode="border", align_corners=False)
