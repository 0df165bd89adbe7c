"""Stable Video Diffusion: it knows no actions and no text."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from worldloop.models.diffusers.folder import PipelineFolder
from worldloop.models.diffusers.pipelines import Ask, VideoPipeline


class StableVideoDiffusion(VideoPipeline):
    """One candidate in a call. Its videos have the number of frames that it was trained on, unless asked otherwise."""

    loads = "StableVideoDiffusionPipeline"
    names = ("StableVideoDiffusionPipeline",)
    needs = ("unet", "vae", "scheduler", "image_encoder", "feature_extractor")
    control = "none"
    controls = ("none",)
    prompts = False
    steps = 25
    guidance = 3.0
    area = 576 * 1024
    batches = False
    one_picture = True
    caches = False

    @classmethod
    def denoisers(cls, folder: PipelineFolder) -> list[str]:
        return ["unet"]

    @property
    def temporal(self) -> int:
        return 1

    @property
    def multiple(self) -> int:
        halved = len(self.pipe.unet.config.block_out_channels) - 1
        return math.lcm(8, int(self.pipe.vae_scale_factor) * 2**halved)

    @property
    def usual_frames(self) -> int | None:
        return int(self.pipe.unet.config.num_frames)

    def generators(self, asks: Sequence[Ask]) -> Any:
        return super().generators(asks)[0]

    def sampling(self, steps: int, guidance: float) -> dict[str, Any]:
        # Guidance rises from 1 at the first frame to this at the last.
        return {"num_inference_steps": steps, "max_guidance_scale": guidance}
