"""CogVideoX 1.0 and 1.5: text to video and image to video."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from worldloop.core import InputError
from worldloop.training.diffusers.families import (
    Family,
    LatentClips,
    Prompt,
    ahead,
    draw_noise,
    spread,
    with_present,
)


class CogVideoX(Family):
    """Diffusion in 1000 steps, `x_t = sqrt(a) x_0 + sqrt(1 - a) eps` with the scheduler's `a`; the transformer
    predicts `sqrt(a) eps - sqrt(1 - a) x_0` (Salimans & Ho 2022).

    A transformer for image to video reads the present on extra channels. One for text to video gets it clean in
    frame 0; it has a single noise level for all frames and learns to tell that frame from the others.
    """

    name = "cogvideox"
    transformer_class = "CogVideoXTransformer3DModel"
    vae_classes = ("AutoencoderKLCogVideoX",)
    padding = "encoded"

    def __init__(
        self, transformer: Any, vae: Any, scheduler: Mapping[str, Any], index: Mapping[str, Any]
    ) -> None:
        from diffusers import CogVideoXDDIMScheduler

        if not scheduler:
            raise InputError(
                "CogVideoX needs its scheduler's folder: noise levels differ from model to model"
            )
        if scheduler.get("prediction_type") != "v_prediction":
            raise InputError(f"CogVideoX predicts v, not {scheduler.get('prediction_type')!r}")
        self._alphas = CogVideoXDDIMScheduler.from_config(dict(scheduler)).alphas_cumprod.float()
        config, latent = transformer.config, vae.config.latent_channels
        self._config = config
        self.temporal = int(vae.config.temporal_compression_ratio)
        self._spatial = 2 ** (len(vae.config.block_out_channels) - 1)
        self.multiple = self._spatial * config.patch_size
        self.frame_multiple = config.patch_size_t or 1
        self.tokens, self.width = config.max_text_seq_length, config.text_embed_dim
        if config.in_channels not in (latent, 2 * latent):
            raise InputError(f"this CogVideoX transformer reads {config.in_channels} channels; not supported")
        self._on_channels = config.in_channels == 2 * latent

    def normalised(self, vae: Any, latents: Tensor) -> Tensor:
        return latents * vae.config.scaling_factor

    def condition(self, vae: Any, present: Tensor, video: Tensor) -> tuple[Tensor, Tensor | None]:
        alone, nothing = super().condition(vae, present, video)
        if self._on_channels and vae.config.invert_scale_latents:
            # Some of these models read the image in the inverse of the video's scale.
            alone = alone / vae.config.scaling_factor**2
        return alone, nothing

    def fitting_size(self, data: int, wanted: tuple[int, int] | None) -> tuple[int, int]:
        if not self._config.use_learned_positional_embeddings:
            return super().fitting_size(data, wanted)
        only = (self._config.sample_height * self._spatial, self._config.sample_width * self._spatial)
        if wanted not in (None, only):
            raise InputError(f"this CogVideoX was trained for {only[0]} x {only[1]} pixels only")
        return only

    def loss(
        self, transformer: nn.Module, clips: LatentClips, prompt: Prompt, generator: torch.Generator
    ) -> Tensor:
        x0 = clips.video
        steps = torch.randint(
            len(self._alphas), (len(x0),), generator=generator, device=generator.device
        ).cpu()
        a = spread(self._alphas[steps].to(x0), x0)
        noise = draw_noise(x0, generator)
        noisy = a.sqrt() * x0 + (1 - a).sqrt() * noise
        if not self._on_channels:
            noisy = with_present(noisy, clips.present)
        v = self.predicted(transformer, noisy, steps.to(x0.device), clips, prompt)
        return ahead((v.float() - (a.sqrt() * noise - (1 - a).sqrt() * x0)).square())

    def predicted(
        self, transformer: nn.Module, noisy: Tensor, steps: Tensor, clips: LatentClips, prompt: Prompt
    ) -> Tensor:
        """The predicted v [B,C,T,h,w] of noisy latents at steps int64 [B]."""
        hidden = noisy
        if self._on_channels:
            rest = torch.zeros_like(noisy[:, :, 1:])
            hidden = torch.cat([noisy, torch.cat([clips.present, rest], 2)], 1)
        ofs = None if self._config.ofs_embed_dim is None else noisy.new_full((1,), 2.0)
        out = transformer(
            hidden_states=hidden.transpose(1, 2),
            encoder_hidden_states=prompt.embeds,
            timestep=steps,
            ofs=ofs,
            image_rotary_emb=self._rotary(noisy),
            return_dict=False,
        )[0]
        return out.transpose(1, 2)

    def _rotary(self, latents: Tensor) -> tuple[Tensor, Tensor] | None:
        from diffusers.models.embeddings import get_3d_rotary_pos_embed

        config = self._config
        if not config.use_rotary_positional_embeddings:
            return None
        frames, *grid = latents.shape[2:]
        rows, columns = (side // config.patch_size for side in grid)
        base = (config.sample_height // config.patch_size, config.sample_width // config.patch_size)
        if config.patch_size_t is None:
            kind: dict[str, Any] = {"crops_coords": _inside(rows, columns, base), "temporal_size": frames}
        else:
            kind = {
                "crops_coords": None,
                "temporal_size": frames // config.patch_size_t,
                "grid_type": "slice",
                "max_size": base,
            }
        cos, sin = get_3d_rotary_pos_embed(
            embed_dim=config.attention_head_dim, grid_size=(rows, columns), device=latents.device, **kind
        )
        return cos, sin


def _inside(rows: int, columns: int, base: tuple[int, int]) -> tuple[tuple[int, int], tuple[int, int]]:
    """Corners (top, left), (bottom, right) of the largest centred box of this shape inside the base grid."""
    down, across = base[0] / rows, base[1] / columns
    box = (base[0], round(down * columns)) if down < across else (round(across * rows), base[1])
    top, left = (round((b - s) / 2) for b, s in zip(base, box))
    return (top, left), (top + box[0], left + box[1])
