"""Plans of any length: clip after clip, each finished clip becomes context of the next."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import numpy as np
import torch
from torch import Tensor

from worldloop.core import InputError
from worldloop.models.video.backbone import VideoBackbone
from worldloop.models.video.conditioning import Condition
from worldloop.models.video.context import Context
from worldloop.models.video.sampler import SamplerConfig, Step, guided, sample


def clip_spans(length: int, clip_frames: int) -> list[tuple[int, int]]:
    """(start, stop) of the clips of a plan: full ones first, the rest last."""
    if length < 1:
        raise InputError(f"a rollout has at least one frame, got {length}")
    return [(a, min(a + clip_frames, length)) for a in range(0, length, clip_frames)]


def rollout(
    backbone: VideoBackbone,
    context: Context | None,
    conditions: Sequence[Condition | None],
    noise: Tensor,
    config: SamplerConfig,
    generators: Sequence[np.random.Generator] = (),
    on_step: Callable[[Step], None] | None = None,
) -> Tensor:
    """Latent frames [B,L,C,h,w] from noise of that shape, with one condition for each of `clip_spans`.

    The context (batch 1 or B) is not changed; a context of batch 1 is shared by all B rollouts.
    """
    clips = []
    for clip, _ in _clips(backbone, context, conditions, noise, config, generators, on_step):
        clips.append(clip)
    return torch.cat(clips, dim=1)


def rollout_onward(
    backbone: VideoBackbone,
    context: Context,
    conditions: Sequence[Condition | None],
    noise: Tensor,
    config: SamplerConfig,
) -> tuple[Tensor, Context]:
    """The same frames, and the context that a plan after this one goes on from."""
    clips, last = [], context
    for clip, before in _clips(backbone, context, conditions, noise, config):
        clips.append(clip)
        assert before is not None
        last = before
    return torch.cat(clips, dim=1), _after(backbone, last, clips[-1], conditions[-1])


def _clips(
    backbone: VideoBackbone,
    context: Context | None,
    conditions: Sequence[Condition | None],
    noise: Tensor,
    config: SamplerConfig,
    generators: Sequence[np.random.Generator] = (),
    on_step: Callable[[Step], None] | None = None,
) -> Iterator[tuple[Tensor, Context | None]]:
    """Each clip, and the context that it was sampled in."""
    spans = clip_spans(noise.shape[1], backbone.config.clip_frames)
    if len(conditions) != len(spans):
        raise InputError(f"{noise.shape[1]} frames are {len(spans)} clips, got {len(conditions)} conditions")
    for (start, stop), condition in zip(spans, conditions):
        velocity = guided(backbone, condition, context, config.guidance)
        clip = sample(velocity, noise[:, start:stop], config, generators, on_step)
        yield clip, context
        if stop < noise.shape[1]:
            if context is None:
                raise InputError("a rollout of several clips needs a context to begin with")
            context = _after(backbone, context, clip, condition)


def _after(backbone: VideoBackbone, context: Context, clip: Tensor, condition: Condition | None) -> Context:
    return backbone.extend(context, clip, condition).last(backbone.config.window)
