"""CogVideoX 1.0 and 1.5: image to video."""

from __future__ import annotations

from typing import Any

from worldloop.core import InputError
from worldloop.models.diffusers.config import DiffusersConfig
from worldloop.models.diffusers.folder import PipelineFolder
from worldloop.models.diffusers.pipelines import VideoPipeline


class CogVideoX(VideoPipeline):
    """N pictures and N prompts in a call. A transformer with learnt positions makes videos of one size and length."""

    loads = "CogVideoXImageToVideoPipeline"
    names = ("CogVideoXImageToVideoPipeline",)
    controls = ("text", "code", "camera", "none")
    guidance = 6.0

    def __init__(self, pipe: Any, folder: PipelineFolder, config: DiffusersConfig) -> None:
        super().__init__(pipe, folder, config)
        self._about = pipe.transformer.config
        self.tokens = self._about.max_text_seq_length
        rows, columns = self._trained_size()
        self.area = rows * columns

    def _trained_size(self) -> tuple[int, int]:
        factor = int(self.pipe.vae_scale_factor_spatial)
        return self._about.sample_height * factor, self._about.sample_width * factor

    @property
    def usual_frames(self) -> int | None:
        return self._about.sample_frames if self._about.use_learned_positional_embeddings else None

    def legal(self, frames: int) -> int:
        # Its autoencoder decodes two latent frames at a time and the first frame alone, so it takes odd numbers of them.
        return -(-(frames - 1) // (2 * self.temporal)) * 2 * self.temporal + 1

    def check_size(self, wanted: tuple[int, int]) -> tuple[int, int] | None:
        if self._about.use_learned_positional_embeddings and wanted != self._trained_size():
            rows, columns = self._trained_size()
            raise InputError(f"this CogVideoX makes videos of {rows}x{columns} only")
        return super().check_size(wanted)

    def size(self, shape: tuple[int, int]) -> tuple[int, int]:
        if self._about.use_learned_positional_embeddings:
            return self._trained_size()
        return super().size(shape)
