"""Flow matching on straight lines between data and noise.

`x_t = (1 - t) x_0 + t eps`, so t = 0 is clean and t = 1 is noise; the network predicts the velocity
`v = dx_t/dt = eps - x_0` (Lipman et al. 2023, Liu et al. 2023). Each frame may have a noise level of its own
(Chen et al. 2024, "Diffusion Forcing").
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

import torch
from torch import Tensor

from worldloop.core import InputError

Number = TypeVar("Number", float, Tensor)
Velocity = Callable[[Tensor, Tensor], Tensor]
"""(x_t [B,T,C,h,w], t [B,T]) -> v [B,T,C,h,w]"""


@dataclass(frozen=True)
class FlowConfig:
    """How noise levels are drawn while training."""

    times: str = "logit-normal"
    """`logit-normal` (the sigmoid of a normal draw) or `uniform`."""
    mean: float = 0.0
    """Of the normal draw; higher means noisier."""
    spread: float = 1.0
    """Standard deviation of the normal draw."""
    shift: float = 1.0
    """Applied to every drawn level, see `shifted`."""
    group: int = 0
    """Frames that share one level: 0 the whole clip, 1 each frame its own, n chunks of n frames."""

    def __post_init__(self) -> None:
        if self.times not in ("logit-normal", "uniform"):
            raise InputError(f"times is 'logit-normal' or 'uniform', got {self.times!r}")
        if not (self.spread > 0 and self.shift > 0 and math.isfinite(self.mean) and self.group >= 0):
            raise InputError("flow: spread and shift are positive, mean is finite, group is >= 0")


def shifted(t: Number, shift: float) -> Number:
    """The noise level moved towards 1 by `shift * t / (1 + (shift - 1) * t)`; 0 and 1 stay where they are."""
    return shift * t / (1 + (shift - 1) * t)


def noised(x0: Tensor, noise: Tensor, t: Tensor) -> Tensor:
    """`x_t` [B,T,C,h,w] for noise levels t [B,T] in [0,1]."""
    t = _spread_over(t, x0)
    return (1 - t) * x0 + t * noise


def clean_of(x_t: Tensor, v: Tensor, t: Tensor) -> Tensor:
    """The clean latents that a velocity implies: `x_t - t v`."""
    return x_t - _spread_over(t, x_t) * v


def noise_of(x_t: Tensor, v: Tensor, t: Tensor) -> Tensor:
    """The noise that a velocity implies: `x_t + (1 - t) v`."""
    return x_t + (1 - _spread_over(t, x_t)) * v


def draw_times(config: FlowConfig, batch: int, frames: int, generator: torch.Generator) -> Tensor:
    """Noise levels float32 [B,T] in (0,1), on the generator's device."""
    groups = 1 if config.group == 0 else -(-frames // config.group)
    if config.times == "uniform":
        t = torch.rand(batch, groups, generator=generator, device=generator.device)
    else:
        normal = torch.randn(batch, groups, generator=generator, device=generator.device)
        t = torch.sigmoid(config.mean + config.spread * normal)
    t = shifted(t, config.shift)
    return t.repeat_interleave(config.group or frames, dim=1)[:, :frames]


def squared_error(
    v: Tensor, x0: Tensor, noise: Tensor, mask: Tensor | None = None, weight: Tensor | None = None
) -> Tensor:
    """Mean squared error of a velocity per clip, float [B].

    `mask` bool [B,T] chooses the frames that count (context and padding do not); a clip without any counts 0. `weight`
    [B,T,1,h,w] says how much each place counts.
    """
    square = (v - (noise - x0)).square()
    error = (square if weight is None else square * weight).flatten(2).mean(2)  # [B,T]
    if mask is None:
        return error.mean(1)
    if mask.shape != error.shape:
        raise InputError(f"the mask is {list(mask.shape)}, the clip has {list(error.shape)} frames")
    counts = mask.to(error.dtype)
    return (error * counts).sum(1) / counts.sum(1).clamp(min=1)


def flow_loss(
    velocity: Velocity,
    x0: Tensor,
    config: FlowConfig,
    generator: torch.Generator,
    mask: Tensor | None = None,
    weight: Tensor | None = None,
) -> Tensor:
    """Flow-matching loss per clip, float [B], at noise levels and noise drawn from the generator.

    x0 [B,T,C,h,w]. Frames outside `mask` bool [B,T] stay clean (t = 0) and do not count. Mean over B is the
    usual loss; the vector serves weighted and preference losses. `weight` as in `squared_error`.
    """
    noise = torch.randn(x0.shape, generator=generator, device=generator.device).to(x0)
    t = draw_times(config, x0.shape[0], x0.shape[1], generator).to(x0)
    if mask is not None:
        t = torch.where(mask, t, torch.zeros_like(t))
    return squared_error(velocity(noised(x0, noise, t), t), x0, noise, mask, weight)


def _spread_over(t: Tensor, x: Tensor) -> Tensor:
    """[B,T] -> [B,T,1,1,1]"""
    if t.shape != x.shape[:2]:
        raise InputError(f"noise levels are [B,T] = {list(x.shape[:2])}, got {list(t.shape)}")
    return t[(...,) + (None,) * (x.ndim - 2)]
