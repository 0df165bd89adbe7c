"""Wan 2.1 and 2.2: image to video, the two experts of A14B, and the 5B model that does text and images."""

from __future__ import annotations

from typing import Any, ClassVar

from worldloop.core import InputError
from worldloop.models.diffusers.config import DiffusersConfig
from worldloop.models.diffusers.folder import PipelineFolder
from worldloop.models.diffusers.pipelines import VideoPipeline


class Wan(VideoPipeline):
    """One picture and N prompts in a call.

    A transformer for text to video that worldloop post-trained has learnt to keep the present clean in frame 0, as the
    5B model does, and is asked in the same way.
    """

    loads = "WanImageToVideoPipeline"
    names = ("WanImageToVideoPipeline", "WanPipeline")
    controls = ("text", "code", "camera", "none")
    one_picture: ClassVar[bool] = True
    wide_vae: ClassVar[bool] = True

    def __init__(self, pipe: Any, folder: PipelineFolder, config: DiffusersConfig) -> None:
        super().__init__(pipe, folder, config)
        if "transformer_2" in folder.parts:
            self.guidance = 3.5
        if pipe.config.expand_timesteps:
            self.area = 704 * 1280

    @classmethod
    def arguments_to_load(
        cls, folder: PipelineFolder, config: DiffusersConfig, adapted: bool
    ) -> dict[str, Any]:
        transformer = folder.config("transformer")
        if transformer.get("image_dim") is not None and "image_encoder" not in folder.parts:
            raise InputError(
                f"{folder.root} lacks its image_encoder, which its transformer reads; copy all of it"
            )
        plain = transformer.get("in_channels") == folder.config("vae").get("z_dim", 16)
        if not plain or folder.index.get("expand_timesteps"):
            return {}
        if not adapted:
            raise InputError(
                f"{folder.root} makes videos from text alone; give lora=DIR of `worldloop train sft --base "
                f"{folder.root}`, or a pipeline for image to video"
            )
        return {"expand_timesteps": True}

    @property
    def width(self) -> int:
        return int(self.pipe.transformer.config.text_dim)
