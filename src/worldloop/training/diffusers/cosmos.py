"""Cosmos-Predict 2."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from worldloop.core import InputError
from worldloop.models.video import FlowConfig
from worldloop.models.video.flow import draw_times
from worldloop.training.diffusers.families import (
    Family,
    LatentClips,
    Prompt,
    ahead,
    draw_noise,
    scaled,
    spread,
    with_present,
)

KNOWN = ("Cosmos2VideoToWorldPipeline", "Cosmos2TextToImagePipeline")
FRAME_RATE = 16
"""Frames a second of the diffusers pipeline's default, for the rotary positions in time."""
SIGMA_PRESENT = 1e-4
"""The noise that the transformer is told the present has."""


class Cosmos(Family):
    """Preconditioned denoising in the manner of EDM (Karras et al. 2022).

    With `x = x_0 + sigma eps` and `t = sigma / (1 + sigma)` the denoised clip is `c_skip x + c_out F(c_in x, c_noise)`
    where `c_in = c_skip = 1 - t`, `c_out = -t` and `c_noise = t`. Its squared error is weighted by `1 / c_out^2`,
    which gives the network's own output unit weight. ln sigma is normal; its mean is half the logarithm of the
    number of latent frames, because frames tell on each other. The present is clean in frame 0.
    """

    name = "cosmos"
    transformer_class = "CosmosTransformer3DModel"
    vae_classes = ("AutoencoderKLWan", "AutoencoderKLCosmos")

    def __init__(
        self, transformer: Any, vae: Any, scheduler: Mapping[str, Any], index: Mapping[str, Any]
    ) -> None:
        config = transformer.config
        pipeline = index.get("_class_name", KNOWN[0])
        if pipeline not in KNOWN or "EDM" in str(scheduler.get("_class_name", "")):
            raise InputError(f"of the Cosmos models only Cosmos-Predict 2 can be adapted, not a {pipeline}")
        if config.use_crossattn_projection or config.img_context_dim_in or config.patch_size[0] != 1:
            raise InputError("of the Cosmos transformers only those of Cosmos-Predict 2 can be adapted")
        wan = type(vae).__name__ == "AutoencoderKLWan"
        latent = vae.config.z_dim if wan else vae.config.latent_channels
        if config.in_channels not in (latent, latent + 1):
            raise InputError(f"this Cosmos transformer reads {config.in_channels} channels; not supported")
        self._masked = config.in_channels == latent + 1
        self._padded = bool(config.concat_padding_mask)
        self.temporal = int(
            vae.config.scale_factor_temporal if wan else vae.config.temporal_compression_ratio
        )
        spatial = int(vae.config.scale_factor_spatial if wan else vae.config.spatial_compression_ratio)
        self.multiple = spatial * config.patch_size[1]
        self.tokens, self.width = 512, config.text_embed_dim
        self._data = float(scheduler.get("sigma_data") or 1.0)

    def prepare(self, transformer: Any) -> Any:
        # The channel of zeros that says nothing is padded comes from here; diffusers needs torchvision for it.
        transformer.register_to_config(concat_padding_mask=False)
        return transformer

    def normalised(self, vae: Any, latents: Tensor) -> Tensor:
        if vae.config.latents_mean is None:
            return latents * self._data
        return scaled(latents, vae.config.latents_mean, vae.config.latents_std, self._data)

    def loss(
        self, transformer: nn.Module, clips: LatentClips, prompt: Prompt, generator: torch.Generator
    ) -> Tensor:
        x0 = clips.video
        # The sigmoid of ln sigma is sigma / (1 + sigma), and a shift of it multiplies sigma.
        flow = FlowConfig(shift=math.sqrt(x0.shape[2]))
        t = draw_times(flow, len(x0), 1, generator)[:, 0].to(x0).clamp(1e-4, 1 - 1e-4)
        sigma = spread(t / (1 - t), x0)
        x = x0 + sigma * draw_noise(x0, generator)
        error = (self.denoised(transformer, x, t, clips, prompt) - x0) / spread(t, x0)
        return ahead(error.square())

    def denoised(
        self, transformer: nn.Module, x: Tensor, t: Tensor, clips: LatentClips, prompt: Prompt
    ) -> Tensor:
        """The denoised clip [B,C,T,h,w] of `x_0 + sigma eps`, with t [B] of `sigma / (1 + sigma)`."""
        level = spread(t, x)
        levels = t[:, None].repeat(1, x.shape[2])
        levels[:, 0] = SIGMA_PRESENT / (1 + SIGMA_PRESENT)
        extra = []
        if self._masked:
            extra.append(torch.zeros_like(x[:, :1]))
            extra[0][:, :, 0] = 1
        if self._padded:
            extra.append(torch.zeros_like(x[:, :1]))
        out = transformer(
            hidden_states=with_present((1 - level) * x, clips.present),
            timestep=levels[:, None, :, None, None],
            encoder_hidden_states=prompt.embeds,
            fps=FRAME_RATE,
            condition_mask=torch.cat(extra, 1) if extra else None,
            return_dict=False,
        )[0]
        return (1 - level) * x - level * out.float()
