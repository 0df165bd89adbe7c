"""What the present already shows of a view from elsewhere: its latents, looked up at several distances.

Each cell of the new view looks along a ray. A point on it at some distance has a place in the present panorama and,
perhaps, in the present view; the latents there are what the cell would show if the distance were right. Stereo calls
this a plane sweep (Collins 1996). A distance is likely where the present cell that it leads to is estimated to be as
far away as the point is; the latents of the distances are averaged by that. The estimates come from a small network
that learns them from what helps to predict; no depth is measured.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

DISTANCES = (0.5, 0.74, 1.1, 1.6, 2.4, 3.6, 5.4, 8.0)
"""Metres along the floor, from the new view."""
CAMERA_HEIGHT, CEILING = 1.25, 1.25
"""Metres from the camera down to the floor and up to the ceiling, which no ray passes."""
TOLERANCE = 0.35
"""Standard deviation of the logarithm of an estimated distance."""
FIRST_GUESS = 2.5
"""Metres, before anything is learnt."""


def channels(latent_channels: int, panorama: bool) -> int:
    """Channels of a sweep: for the view, and for the panorama, the latents and how likely they are."""
    return (latent_channels + 1) * sources(panorama)


def sources(panorama: bool) -> int:
    """How many latents a sweep offers in each cell."""
    return 2 if panorama else 1


class Distances(nn.Module):
    """Latents -> logarithm of the distance (m, along the floor) of what each cell shows; a few convolutions."""

    REACH = 7
    """Cells to each side that an estimate depends on."""

    def __init__(self, latent_channels: int, inner: int = 24) -> None:
        super().__init__()
        self.first = nn.Conv2d(latent_channels + 1, inner, 3)
        self.second = nn.Conv2d(inner, inner, 3, dilation=2)
        self.third = nn.Conv2d(inner, inner, 3, dilation=4)
        self.last = nn.Conv2d(inner, 1, 1)
        nn.init.zeros_(self.last.weight)
        nn.init.constant_(self.last.bias, math.log(FIRST_GUESS))  # type: ignore[arg-type]

    def forward(self, latents: Tensor, elevation: Tensor, around: bool) -> Tensor:
        """latents [B,C,h,w], elevation [h,w] (rad) -> [B,1,h,w]. `around`: left and right edges are neighbours."""
        x = torch.cat((latents, elevation.to(latents).expand(len(latents), 1, -1, -1)), dim=1)
        side = (self.REACH, self.REACH, 0, 0)
        x = F.pad(x, side, mode="circular" if around else "replicate")
        x = F.pad(x, (0, 0, self.REACH, self.REACH), mode="replicate")
        for layer in (self.first, self.second, self.third):
            x = F.silu(layer(x))
        return self.last(x)


def sweep(
    poses: Tensor,
    angles: Tensor,
    hfov_deg: float,
    present: Tensor,
    panorama: Tensor | None,
    distances: Distances,
) -> Tensor:
    """Sweeps float [B,T,channels,h,w] of views at poses [B,T,3] against the present camera (x ahead m, y left m, yaw rad).

    angles [h*w,2]: azimuth (left > 0) and elevation of the cells of a view, rad. present [b,C,h,w] and panorama
    [b,C,h,2w], or whole multiples of that size, are latents, with b = B or 1.
    """
    batch, (rows, columns) = len(poses), present.shape[-2:]
    points = _points(poses, angles)  # [B,T,D,n,3]
    away = torch.hypot(points[..., 0], points[..., 1]).clamp(min=0.05).log()  # [B,T,D,n]
    grid = points.flatten(1, 2)
    seen, inside = _in_view(grid, hfov_deg)
    rise = angles[:, 1].unflatten(0, (rows, columns))
    known = torch.cat((present, distances(present, rise, around=False)), dim=1).expand(batch, -1, -1, -1)
    view = F.grid_sample(known, seen.to(known), padding_mode="border", align_corners=False)
    parts = [_likely(view, away, inside.unflatten(1, away.shape[1:3]))]
    if panorama is not None:
        middle = (torch.arange(rows, device=panorama.device) + 0.5) / rows
        rise = (math.pi * (0.5 - middle))[:, None].expand(-1, 2 * columns)
        estimate = distances(reduced(panorama, rows), rise, around=True)
        if panorama.shape[-2] != rows:
            estimate = F.interpolate(estimate, list(panorama.shape[-2:]), mode="bilinear")
        known = torch.cat((panorama, estimate), dim=1)
        parts.append(_likely(_in_panorama(grid, known.expand(batch, -1, -1, -1)), away))
    return torch.cat(parts, dim=2).unflatten(3, (rows, columns))


def reduced(panorama: Tensor, rows: int) -> Tensor:
    """Latents [B,C,k*h,2*k*w] averaged over k x k cells: [B,C,h,2w], where h is `rows`."""
    times = panorama.shape[-2] // rows
    return F.avg_pool2d(panorama, times) if times > 1 else panorama


def blend(swept: Tensor, weights: Tensor, clean: Tensor) -> Tensor:
    """By how much copying changes clean latents [B,T,C,h,w], with a weight for each of the `sources` [B,T,S,h,w].

    A source draws the latents towards its own, as far as it is likely at all: weight 1 replaces them.
    """
    cells = swept.unflatten(2, (weights.shape[2], -1))  # [B,T,S,C+1,h,w]
    found, likely = cells[:, :, :, :-1], cells[:, :, :, -1]
    return ((weights * likely)[:, :, :, None] * (found - clean[:, :, None])).sum(2)


def _likely(found: Tensor, away: Tensor, inside: Tensor | None = None) -> Tensor:
    """Latents averaged over distances, and how likely they are at all: [B,T,C+1,n].

    found [B,C+1,T*D,n] are latents with the estimated distance of what they show, away [B,T,D,n] that of the
    points, both as logarithms; `inside` bool [B,T,D,n], whether there is anything to be seen.
    """
    found = found.unflatten(2, away.shape[1:3])  # [B,C+1,T,D,n]
    fits = torch.exp(-0.5 * ((found[:, -1] - away) / TOLERANCE).square())
    if inside is not None:
        fits = fits * inside
    total = fits.sum(2)  # [B,T,n]
    mean = (found[:, :-1] * fits[:, None]).sum(3) / (total[:, None] + 1e-4)
    return torch.cat((mean, (total / (total + 0.1))[:, None]), dim=1).transpose(1, 2)


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
    return F.grid_sample(closed, place.to(closed), padding_mode="border", align_corners=False)
