"""From noise to a clip: deterministic Euler steps, or steps that draw part of the noise afresh."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import torch
from torch import Tensor

from worldloop.core import InputError
from worldloop.models.video.backbone import VideoBackbone
from worldloop.models.video.conditioning import Condition
from worldloop.models.video.context import Context
from worldloop.models.video.flow import Velocity, clean_of, noise_of, shifted


@dataclass(frozen=True)
class SamplerConfig:
    """How a clip is sampled. A distilled model uses the same with 1 to 4 steps."""

    steps: int = 4
    shift: float = 1.0
    """Moves the noise levels towards 1, see `flow.shifted`."""
    guidance: float = 1.0
    """Classifier-free guidance; 1 asks the conditioned model alone, anything else costs twice as much."""
    eta: float = 0.0
    """Share of the remaining noise that each step draws afresh, 0 (an ODE) to 1; for exploration."""
    levels: tuple[float, ...] | None = None
    """Falling noise levels from 1 to 0 that replace steps and shift."""

    def __post_init__(self) -> None:
        if self.levels is not None:
            object.__setattr__(self, "levels", tuple(map(float, self.levels)))
        if not (isinstance(self.steps, int) and 1 <= self.steps <= 1000):
            raise InputError(f"steps is a whole number from 1 to 1000, got {self.steps!r}")
        if not (0 < self.shift < math.inf and 0 <= self.guidance < math.inf and 0 <= self.eta <= 1):
            raise InputError("sampler: needs shift > 0, guidance >= 0 and 0 <= eta <= 1")
        levels = noise_levels(self)
        if len(levels) < 2 or levels[0] != 1 or levels[-1] != 0 or any(a <= b for a, b in pairwise(levels)):
            raise InputError(f"noise levels fall from 1 to 0, got {levels}")


@dataclass(frozen=True, eq=False)
class Step:
    """One transition of a sampled clip, all that a policy gradient needs."""

    x: Tensor
    """[B,T,C,h,w] before the step."""
    level: float
    next_level: float
    mean: Tensor
    """Of the Gaussian that `x_next` was drawn from."""
    std: float
    """0 for a deterministic step."""
    x_next: Tensor


def noise_levels(config: SamplerConfig) -> list[float]:
    """The falling noise levels 1 = t_0 > ... > t_n = 0."""
    if config.levels is not None:
        return list(config.levels)
    between = (shifted(1 - i / config.steps, config.shift) for i in range(1, config.steps))
    return [1.0, *between, 0.0]


def draw_noise(generators: Sequence[np.random.Generator], shape: Sequence[int]) -> Tensor:
    """Standard normal float32 [B,*shape]; row i comes from generator i alone.

    The first frames of a longer clip get the same noise as those of a shorter one.
    """
    return torch.stack([torch.from_numpy(g.standard_normal(shape, dtype=np.float32)) for g in generators])


def transition(x: Tensor, v: Tensor, level: float, next_level: float, eta: float) -> tuple[Tensor, float]:
    """Mean and standard deviation of the next sample after one step from `level` to `next_level`.

    With eta = 0 the mean is the Euler step. Otherwise, as in DDIM (Song et al. 2021), the implied noise is
    partly replaced: its variance next_level^2 is split into a kept part and (eta next_level)^2, so that all
    marginals stay those of the ODE.
    """
    if eta == 0 or next_level == 0:
        return x + (next_level - level) * v, 0.0
    t = torch.full(x.shape[:2], level, dtype=x.dtype, device=x.device)
    kept = next_level * math.sqrt(1 - eta**2)
    return (1 - next_level) * clean_of(x, v, t) + kept * noise_of(x, v, t), eta * next_level


def log_likelihood(x_next: Tensor, mean: Tensor, std: float) -> Tensor:
    """Log density per clip, float [B], of a drawn sample; its mean over the elements, not their sum."""
    if std <= 0:
        raise InputError("a deterministic step has no density; sample with eta > 0")
    return (
        (-0.5 * ((x_next - mean) / std).square() - math.log(std * math.sqrt(2 * math.pi))).flatten(1).mean(1)
    )


def sample(
    velocity: Velocity,
    noise: Tensor,
    config: SamplerConfig,
    generators: Sequence[np.random.Generator] = (),
    on_step: Callable[[Step], None] | None = None,
) -> Tensor:
    """A clean clip [B,T,C,h,w] from noise of that shape. `generators` (one per clip) serve eta > 0 only."""
    if config.eta and len(generators) != len(noise):
        raise InputError(f"eta > 0 draws noise: pass {len(noise)} generators, got {len(generators)}")
    x, levels = noise, noise_levels(config)
    for level, next_level in pairwise(levels):
        t = torch.full(x.shape[:2], level, dtype=x.dtype, device=x.device)
        mean, std = transition(x, velocity(x, t), level, next_level, config.eta)
        x_next = mean + std * draw_noise(generators, x.shape[1:]).to(x) if std else mean
        if on_step is not None:
            on_step(Step(x, level, next_level, mean, std, x_next))
        x = x_next
    return x


def guided(
    backbone: VideoBackbone, condition: Condition | None, context: Context | None, guidance: float = 1.0
) -> Velocity:
    """The backbone's velocity under a condition, pushed away from the unconditioned one where guidance != 1."""

    def velocity(x: Tensor, t: Tensor) -> Tensor:
        v = backbone.velocity(x, t, condition, context)
        if guidance == 1 or condition is None:
            return v
        plain = backbone.velocity(x, t, condition.dropped(), context)
        return plain + guidance * (v - plain)

    return velocity
