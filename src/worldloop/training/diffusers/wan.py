"""Wan 2.1 and 2.2: text to video, image to video, and the 5B model that does both."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from worldloop.core import InputError
from worldloop.training.diffusers.families import FlowFamily, LatentClips, Prompt, scaled


class Wan(FlowFamily):
    """Flow matching with the shift of the scheduler.

    A transformer that reads image conditions on extra channels gets the present there, with a mask. Any other gets
    the present clean in frame 0, with noise level 0 for the tokens of that frame, as Wan 2.2 5B was trained. Each of
    the two experts of Wan 2.2 14B is adapted on its own range of noise levels: give the pipeline's folder for the one
    of high noise, and its folder `transformer_2` for the other.
    """

    name = "wan"
    transformer_class = "WanTransformer3DModel"
    vae_classes = ("AutoencoderKLWan",)

    def __init__(
        self, transformer: Any, vae: Any, scheduler: Mapping[str, Any], index: Mapping[str, Any]
    ) -> None:
        channels, latent = transformer.config.in_channels, vae.config.z_dim
        self.temporal = vae.config.scale_factor_temporal
        self._patch = tuple(transformer.config.patch_size)
        self.multiple = vae.config.scale_factor_spatial * self._patch[1]
        self.tokens, self.width = 512, transformer.config.text_dim
        if channels not in (latent, 2 * latent + self.temporal) or self._patch[0] != 1:
            raise InputError(
                f"this Wan transformer reads {channels} channels: neither {latent} (video) nor "
                f"{2 * latent + self.temporal} (video, mask and image); other variants are not supported"
            )
        self.keeps_present = channels == latent
        self.reads_condition = not self.keeps_present
        self.reads_image = transformer.config.image_dim is not None
        self.shift = float(scheduler.get("flow_shift") or scheduler.get("shift") or 1.0)
        if (index.get("transformer_2") or (None, None))[1] is not None:
            between = float(index.get("boundary_ratio") or 0.0)
            self.levels = (0.0, between) if index["_adapted"] == "transformer_2" else (between, 1.0)

    def normalised(self, vae: Any, latents: Tensor) -> Tensor:
        return scaled(latents, vae.config.latents_mean, vae.config.latents_std)

    def velocity(
        self, transformer: nn.Module, noisy: Tensor, t: Tensor, clips: LatentClips, prompt: Prompt
    ) -> Tensor:
        if self.reads_condition:
            mask = noisy.new_zeros(len(noisy), self.temporal, *noisy.shape[2:])
            mask[:, :, 0] = 1
            assert clips.condition is not None
            hidden, levels = torch.cat([noisy, mask, clips.condition], 1), t
        else:
            tokens = (noisy.shape[3] // self._patch[1]) * (noisy.shape[4] // self._patch[2])
            hidden, levels = noisy, self.frame_levels(t, noisy.shape[2]).repeat_interleave(tokens, 1)
        return transformer(
            hidden_states=hidden,
            timestep=1000 * levels,
            encoder_hidden_states=prompt.embeds,
            encoder_hidden_states_image=clips.image,
            return_dict=False,
        )[0]
