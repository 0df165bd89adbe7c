"""Tiny video models with random weights, and queries for them."""

from __future__ import annotations

import numpy as np
import torch

from worldloop.actions import NAVIGATION
from worldloop.core import Observation, Query
from worldloop.models.video import (
    BackboneConfig,
    ConditioningConfig,
    SamplerConfig,
    VAEConfig,
    VideoBackbone,
    VideoCheckpoint,
    VideoSpec,
    VideoVAE,
)

ACTIONS = {"move_forward": (0.2, 0.0, 0.0), "turn_left": (0.0, 0.0, 22.5), "turn_right": (0.0, 0.0, -22.5)}
ALL = ConditioningConfig(text_buckets=128, codes=3, camera=True)
NONE = ConditioningConfig()
PIXELS = 32
LATENT = (4, 4, 4)


def shaken(module: torch.nn.Module, seed: int = 0, scale: float = 0.15) -> torch.nn.Module:
    """Random everything, the zero-initialised layers too: nothing may hold because a weight is zero."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for p in module.parameters():
            p += scale * torch.randn(p.shape, generator=generator)
    return module


def backbone(conditioning: ConditioningConfig = NONE, seed: int = 0, **changes: object) -> VideoBackbone:
    settings = {"latent_channels": 4, "latent_size": 4, "width": 24, "depth": 2, "heads": 2, "clip_frames": 4}
    settings |= changes
    torch.manual_seed(seed)
    return shaken(VideoBackbone(BackboneConfig(conditioning=conditioning, **settings)), seed)  # type: ignore


def checkpoint(control: str = "code", history: int = 1, seed: int = 0, **changes: object) -> VideoCheckpoint:
    torch.manual_seed(seed)
    vae = VideoVAE(VAEConfig(4, (8, 8, 16), (1, 0, 1), (1, 0, 1)))
    sampler = SamplerConfig(steps=2, shift=2.0)
    spec = VideoSpec("tiny", control, ACTIONS, history=history, sampler=sampler, training_scenes=("a", "b"))
    return VideoCheckpoint(shaken(vae, seed), backbone(ALL, seed, **changes), spec)  # type: ignore[arg-type]


def latents(*shape: int, seed: int = 0) -> torch.Tensor:
    """Normal draws [*shape, 4, 4, 4]."""
    return torch.randn(*shape, *LATENT, generator=torch.Generator().manual_seed(seed))


def panorama(batch: int = 1, seed: int = 5) -> torch.Tensor:
    return torch.randn(batch, 4, 4, 8, generator=torch.Generator().manual_seed(seed))


def look(seed: int = 0, around: bool = True) -> Observation:
    rng = np.random.default_rng(seed)
    rgb = rng.integers(0, 256, (PIXELS, PIXELS, 3), dtype=np.uint8)
    wide = rng.integers(0, 256, (PIXELS, 2 * PIXELS, 3), dtype=np.uint8)
    return Observation(rgb, panorama=wide if around else None)


def ask(names: list[str], seed: int = 0, view: int = 0, past: list[str] | None = None) -> Query:
    past = past or []
    history = tuple(look(view + i) for i in range(len(past) + 1))
    return Query(history, NAVIGATION.plan(past).actions if past else (), NAVIGATION.plan(names), seed)
