"""LTX-Video."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch

from worldloop.models.diffusers.config import DiffusersConfig
from worldloop.models.diffusers.folder import PipelineFolder
from worldloop.models.diffusers.pipelines import Ask, VideoPipeline

DECODING = {"decode_timestep": 0.05, "decode_noise_scale": 0.025}
"""Noise level of the last step for autoencoders that take it themselves, as the model's authors set it."""


class LTX(VideoPipeline):
    """N pictures and N prompts in a call, but for autoencoders that denoise: their noise comes from one generator."""

    loads = "LTXImageToVideoPipeline"
    names = ("LTXImageToVideoPipeline", "LTXPipeline", "LTXConditionPipeline")
    controls = ("text", "code", "camera", "none")
    guidance = 3.0
    area = 512 * 704
    mask = "prompt_attention_mask"
    tokens = 128

    def __init__(self, pipe: Any, folder: PipelineFolder, config: DiffusersConfig) -> None:
        super().__init__(pipe, folder, config)
        self._decodes = bool(pipe.vae.config.timestep_conditioning)
        self.batches = not self._decodes

    @property
    def temporal(self) -> int:
        return int(self.pipe.vae_temporal_compression_ratio)

    @property
    def multiple(self) -> int:
        return math.lcm(32, int(self.pipe.vae_spatial_compression_ratio))

    @property
    def width(self) -> int:
        return int(self.pipe.transformer.config.caption_channels)

    def generators(self, asks: Sequence[Ask]) -> Any:
        if not self._decodes:
            return super().generators(asks)
        # The noise for decoding is drawn where the video is, and the generator must be there too.
        return torch.Generator(self.pipe._execution_device).manual_seed(asks[0].seed)

    def extra(self) -> dict[str, Any]:
        return dict(DECODING) if self._decodes else {}
