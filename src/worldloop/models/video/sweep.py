"""What the present already shows of a view from elsewhere: its latents, looked up at several distances.

Each cell of the new view looks along a ray. A point on it at some distance has a place in the present panorama and,
perhaps, in the present view; the latents there are what the cell would show if the distance were right. Stereo calls
this a plane sweep (Collins 1996). A distance is likely where the present cell that it leads to is estimated to be as
far away as the point is; the latents of the distances are averaged by that. The estimates come from a small network
that learns them from what helps to predict; no depth is measured.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

DISTANCES = (0.5, 0.74, 1.1, 1.6, 2.4, 3.6, 5.4, 8.0)
"""Metres along the floor, from the new view."""
CAMERA_HEIGHT, CEILING = 1.25, 1.25
"""Metres from the camera down to the floor and up to the ceiling, which no ray passes."""
TOLERANCE = 0.35
"""Standard deviation of the logarithm of an estimated distance."""
FIRST_GUESS, SPAN = 2.0, 4.5
"""Metres, before anything is learnt; estimates lie between a `SPAN`-th and `SPAN` times that."""


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
        nn.init.zeros_(self.last.bias)  # type: ignore[arg-type]

    def forward(self, latents: Tensor, elevation: Tensor, around: bool) -> Tensor:
        """latents [B,C,h,w], elevation [h,w] (rad) -> [B,1,h,w]. `around`: left and right edges are neighbours."""
        x = torch.cat((latents, elevation.to(latents).expand(len(latents), 1, -1, -1)), dim=1)
        side = (self.REACH, self.REACH, 0, 0)
        x = F.pad(x, side, mode="circular" if around else "replicate")
        x = F.pad(x, (0, 0, self.REACH, self.REACH), mode="replicate")
        for layer in (self.first, self.second, self.third):
            x = F.silu(layer(x))
        return math.log(FIRST_GUESS) + math.log(SPAN) * torch.tanh(self.last(x))


Estimates = tuple[Tensor, Tensor | None]
"""Logarithms of the distances of the present view [b,1,h,w] and panorama [b,1,h,2w]."""


def estimated(present: Tensor, panorama: Tensor | None, angles: Tensor, distances: Distances) -> Estimates:
    """Estimates for the present's latents [b,C,h,w] and its panorama's [b,C,k*h,2*k*w].

    angles [h*w,2]: azimuth (left > 0) and elevation of the cells of a view, rad.
    """
    rows, columns = present.shape[-2:]
    view = distances(present, angles[:, 1].unflatten(0, (rows, columns)), around=False)
    if panorama is None:
        return view, None
    middle = (torch.arange(rows, device=panorama.device) + 0.5) / rows
    rise = (math.pi * (0.5 - middle))[:, None].expand(-1, 2 * columns)
    return view, distances(reduced(panorama, rows), rise, around=True)


def sweep(
    poses: Tensor,
    angles: Tensor,
    hfov_deg: float,
    present: Tensor,
    panorama: Tensor | None,
    distances: Distances,
) -> Tensor:
    """Sweeps float [B,T,channels,h,w] of views at poses [B,T,3] against the present camera (x ahead m, y left m, yaw rad).

    angles [h*w,2] as in `estimated`. present [b,C,h,w] and panorama [b,C,h,2w], or whole multiples of that size, are
    latents, with b = B or 1.
    """
    known = (
        _with_estimate(*pair)
        for pair in zip((present, panorama), estimated(present, panorama, angles, distances))
    )
    rays = _rays(poses, angles)
    parts = [
        _likely(values, rays, hfov) for values, hfov in zip(known, (hfov_deg, None)) if values is not None
    ]
    return torch.cat(parts, dim=2).unflatten(3, present.shape[-2:])


def aimed(poses: Tensor, angles: Tensor, hfov_deg: float, known: Estimates) -> Tensor:
    """How far away, by each source, what the rays hit would be: [B,T,S,2,n], log m and how likely it is seen at all.

    poses [B,T,3] as in `sweep`; angles [n,2] of any rays.
    """
    rays = _rays(poses, angles)
    parts = [_likely(v, rays, hfov, True) for v, hfov in zip(known, (hfov_deg, None)) if v is not None]
    return torch.stack(parts, dim=2)


def along(places: Tensor, angles: Tensor, panorama: Tensor, estimate: Tensor) -> Tensor:
    """What the panorama shows along rays from places [B,K,3]: [B,K,C+2,n], latents, log m and how likely that is.

    angles [n,2] against the third number of a place, its direction.
    """
    known = _with_estimate(panorama, estimate)
    assert known is not None
    return _likely(known, _rays(places, angles), None, True)


def fetched(
    poses: Tensor, angles: Tensor, hfov_deg: float, away: Tensor, pictures: tuple[Tensor, Tensor | None]
) -> Tensor:
    """What present view and panorama [b,C,H,W] show at a given distance along each ray: [B,T,S,C+1,n].

    away [B,T,S,n] in log m. The last channel is 1 where there is anything to be seen, and 0 elsewhere.
    """
    out = []
    shown = [(p, hfov) for p, hfov in zip(pictures, (hfov_deg, None)) if p is not None]
    for (picture, hfov), far in zip(shown, away.exp().unbind(2)):
        points = _placed(poses, angles, far[:, :, None])  # [B,T,1,n,3]
        found, inside = _found(picture.expand(len(poses), -1, -1, -1), points.flatten(1, 2), hfov)
        out.append(torch.cat((found, inside[:, None].to(found)), dim=1).transpose(1, 2))
    return torch.stack(out, dim=2)


def _with_estimate(latents: Tensor | None, estimate: Tensor | None) -> Tensor | None:
    """Latents [b,C,h,w] and, as a last channel, the estimate at their size."""
    if latents is None or estimate is None:
        return None
    if latents.shape[-2:] != estimate.shape[-2:]:
        estimate = F.interpolate(estimate, list(latents.shape[-2:]), mode="bilinear")
    return torch.cat((latents, estimate), dim=1)


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


class _Rays(NamedTuple):
    """Points on the rays of T poses at D distances."""

    points: Tensor
    """[B,T,D,n,3], as `_placed` has them."""
    away: Tensor
    """[B,T,D,n], how far from the present camera along the floor, as a logarithm."""
    far: Tensor
    """[D,n], how far along their rays, m."""


def _rays(poses: Tensor, angles: Tensor) -> _Rays:
    limit = torch.where(angles[:, 1] < 0, CAMERA_HEIGHT, CEILING) / angles[:, 1].tan().abs().clamp(min=1e-3)
    far = torch.minimum(angles.new_tensor(DISTANCES)[:, None], limit)
    points = _placed(poses, angles, far)
    return _Rays(points, torch.hypot(points[..., 0], points[..., 1]).clamp(min=0.05).log(), far)


def _likely(known: Tensor, rays: _Rays, hfov_deg: float | None, distance: bool = False) -> Tensor:
    """What is known of the rays, averaged over distances, and how likely that is at all: [B,T,C+1,n].

    known [b,C+1,h,w] are values of the view or, without hfov_deg, of the panorama; the last ones say how far away
    what is there is estimated to be. `distance` adds, as a last value, the logarithm of the distance along the ray.
    """
    found, inside = _found(known.expand(len(rays.points), -1, -1, -1), rays.points.flatten(1, 2), hfov_deg)
    values, estimate = found.unflatten(2, rays.away.shape[1:3]).split(
        (found.shape[1] - 1, 1), dim=1
    )  # [B,C,T,D,n]
    fits = torch.exp(-0.5 * ((estimate[:, 0] - rays.away) / TOLERANCE).square())
    fits = fits * inside.unflatten(1, rays.away.shape[1:3])
    if distance:
        values = torch.cat((values, rays.far.log().expand_as(rays.away)[:, None]), dim=1)
    total = fits.sum(2)  # [B,T,n]
    mean = (values * fits[:, None]).sum(3) / (total[:, None] + 1e-4)
    return torch.cat((mean, (total / (total + 0.1))[:, None]), dim=1).transpose(1, 2)


def _placed(poses: Tensor, angles: Tensor, far: Tensor) -> Tensor:
    """Points [B,T,D,n,3] (ahead, left, up; m), seen from the present camera, so far [...,D,n] along the floor."""
    heading = angles[:, 0] + poses[:, :, None, None, 2]  # [B,T,1,n]
    ahead = poses[:, :, None, None, 0] + far * heading.cos()
    left = poses[:, :, None, None, 1] + far * heading.sin()
    return torch.stack((ahead, left, (far * angles[:, 1].tan()).expand_as(ahead)), dim=-1)


def _found(known: Tensor, points: Tensor, hfov_deg: float | None) -> tuple[Tensor, Tensor]:
    """Values [B,C,K,n] of a view or, without hfov_deg, a panorama at points [B,K,n,3], and whether they are in it."""
    if hfov_deg is None:
        return _in_panorama(known, points), torch.ones_like(points[..., 0], dtype=torch.bool)
    return _in_view(known, points, hfov_deg)


def _in_view(known: Tensor, points: Tensor, hfov_deg: float) -> tuple[Tensor, Tensor]:
    """Values [B,C,K,n] of a level view [B,C,h,w] at points [B,K,n,3], and whether they are in it [B,K,n]."""
    reach = math.tan(math.radians(hfov_deg) / 2)
    depth = points[..., 0].clamp(min=1e-3) * reach
    place = torch.stack((-points[..., 1] / depth, -points[..., 2] / depth), dim=-1)
    inside = (points[..., 0] > 1e-3) & (place.abs() <= 1).all(-1)
    place = place.clamp(-2, 2).to(known)
    return F.grid_sample(known, place, padding_mode="border", align_corners=False), inside


def _in_panorama(panorama: Tensor, points: Tensor) -> Tensor:
    """Values [B,C,K,n] of a panorama at points [B,K,n,3]; its left and right edges are neighbours."""
    width = panorama.shape[-1]
    ahead, left, up = points.unbind(-1)
    across = -torch.atan2(left, ahead) / math.pi
    down = -torch.atan2(up, torch.hypot(ahead, left)) / (math.pi / 2)
    closed = torch.cat((panorama[..., -1:], panorama, panorama[..., :1]), dim=-1)
    place = torch.stack((across * (width / (width + 2)), down), dim=-1)
    return F.grid_sample(closed, place.to(closed), padding_mode="border", align_corners=False)
