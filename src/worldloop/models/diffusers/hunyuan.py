"""HunyuanVideo 1.5: image to video."""

from __future__ import annotations

from typing import Any, ClassVar

import torch

from worldloop.core import InputError
from worldloop.models.diffusers.config import DiffusersConfig
from worldloop.models.diffusers.folder import PipelineFolder
from worldloop.models.diffusers.pipelines import EMBEDS, Ask, Embeddings, VideoPipeline

NAMES = (EMBEDS, "prompt_embeds_mask", "prompt_embeds_2", "prompt_embeds_mask_2")


class HunyuanVideo15(VideoPipeline):
    """One candidate in a call: its autoencoder decodes one video at a time. The pipeline chooses the size itself, and
    guidance is a part of it."""

    loads = "HunyuanVideo15ImageToVideoPipeline"
    names = ("HunyuanVideo15ImageToVideoPipeline",)
    needs = ("transformer", "vae", "scheduler", "guider", "image_encoder", "feature_extractor")
    batches = False
    one_picture: ClassVar[bool] = True

    def __init__(self, pipe: Any, folder: PipelineFolder, config: DiffusersConfig) -> None:
        super().__init__(pipe, folder, config)
        self.guidance = float(getattr(pipe.guider, "guidance_scale", 1.0))
        self.tokens = pipe.tokenizer_max_length

    def check_size(self, wanted: tuple[int, int]) -> tuple[int, int] | None:
        raise InputError("HunyuanVideo 1.5 chooses the size of its videos itself; leave size out")

    def size(self, shape: tuple[int, int]) -> tuple[int, int]:
        choose = self.pipe.video_processor.calculate_default_height_width
        rows, columns = choose(*shape, self.pipe.target_size)
        # The pipeline will choose again for the picture it gets, and cut off what does not fit that choice.
        while (again := choose(rows, columns, self.pipe.target_size)) != (rows, columns):
            rows, columns = again
        return rows, columns

    def encode(self, text: str) -> Embeddings:
        return dict(zip(NAMES, self.pipe.encode_prompt(prompt=text)))

    def blank(self) -> Embeddings:
        about = self.pipe.transformer.config
        shapes = (
            (self.tokens, about.text_embed_dim),
            (self.pipe.tokenizer_2_max_length, about.text_embed_2_dim),
        )
        embeds, glyphs = (torch.zeros(1, *s) for s in shapes)
        seen = torch.zeros(1, shapes[0][0])
        seen[:, 0] = 1  # attention over no token at all has no value
        return dict(zip(NAMES, (embeds, seen, glyphs, torch.zeros(1, shapes[1][0]))))

    def sampling(self, steps: int, guidance: float) -> dict[str, Any]:
        self.pipe.guider.guidance_scale = guidance
        return {"num_inference_steps": steps}

    def extent(self, ask: Ask) -> dict[str, Any]:
        return {"num_frames": ask.frames}
