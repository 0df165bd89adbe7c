"""LTX-Video."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from torch import Tensor, nn

from worldloop.core import InputError
from worldloop.training.diffusers.families import FlowFamily, LatentClips, Prompt, scaled

FRAME_RATE = 25
"""Frames a second of the diffusers pipeline's default, for the rotary positions in time."""


class LTX(FlowFamily):
    """Flow matching with a shift that grows with the number of tokens; the present is clean in frame 0, with noise
    level 0 for its tokens. A prompt's padding is masked."""

    name = "ltx"
    transformer_class = "LTXVideoTransformer3DModel"
    vae_classes = ("AutoencoderKLLTXVideo",)
    padding = "masked"

    def __init__(
        self, transformer: Any, vae: Any, scheduler: Mapping[str, Any], index: Mapping[str, Any]
    ) -> None:
        if transformer.config.patch_size != 1 or transformer.config.patch_size_t != 1:
            raise InputError("LTX transformers with patches larger than 1 are not supported")
        self.temporal = int(vae.temporal_compression_ratio)
        self.multiple = self._spatial = int(vae.spatial_compression_ratio)
        self.tokens, self.width = 128, transformer.config.caption_channels
        self._scheduler = scheduler

    def normalised(self, vae: Any, latents: Tensor) -> Tensor:
        return scaled(latents, vae.latents_mean, vae.latents_std, vae.config.scaling_factor)

    def shift_of(self, latents: Tensor) -> float:
        get = self._scheduler.get
        if not get("use_dynamic_shifting", False):
            return float(get("shift") or 1.0)
        few, many = get("base_image_seq_len", 256), get("max_image_seq_len", 4096)
        low, high = get("base_shift", 0.5), get("max_shift", 1.15)
        tokens = math.prod(latents.shape[2:])
        mu = low + (high - low) * (tokens - few) / (many - few)
        return math.exp(mu) if get("time_shift_type", "exponential") == "exponential" else mu

    def velocity(
        self, transformer: nn.Module, noisy: Tensor, t: Tensor, clips: LatentClips, prompt: Prompt
    ) -> Tensor:
        _, _, frames, height, width = noisy.shape
        levels = self.frame_levels(t, frames).repeat_interleave(height * width, 1)
        out = transformer(
            hidden_states=noisy.flatten(2).transpose(1, 2),
            encoder_hidden_states=prompt.embeds,
            timestep=1000 * levels,
            encoder_attention_mask=prompt.mask,
            num_frames=frames,
            height=height,
            width=width,
            rope_interpolation_scale=(self.temporal / FRAME_RATE, self._spatial, self._spatial),
            return_dict=False,
        )[0]
        return out.transpose(1, 2).unflatten(2, (frames, height, width))
