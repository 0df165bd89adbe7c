"""Prompts by the pipeline's own text encoder, each encoded once; images by its image encoder."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from worldloop.core import InputError
from worldloop.core.errors import MissingExtraError
from worldloop.models.diffusers.folder import FAULTS
from worldloop.training.diffusers.families import Family, Prompt
from worldloop.training.diffusers.folder import ModelFolder

ENCODERS = {"t5": "T5EncoderModel", "umt5": "UMT5EncoderModel"}
CHUNK = 16
"""Prompts encoded at once."""


class PromptBook:
    """Embeddings of some captions, without their padding where the family pads with zeros or masks it."""

    def __init__(self, family: Family, pages: dict[str, Tensor]) -> None:
        """pages: caption -> float [n,D], n up to the family's number of tokens."""
        self._family, self._pages = family, pages

    def prompt(self, captions: Sequence[str], device: torch.device) -> Prompt:
        """Embeddings of captions in the book, padded as the transformer wants them."""
        family = self._family
        found = [self._pages[c] for c in captions]
        embeds = torch.zeros(len(found), family.tokens, family.width)
        mask = torch.zeros(len(found), family.tokens, dtype=torch.bool)
        for i, page in enumerate(found):
            embeds[i, : len(page)] = page
            mask[i, : len(page)] = True
        return Prompt(embeds.to(device), mask.to(device) if family.padding == "masked" else None)


def empty_book(family: Family) -> PromptBook:
    """A book with the empty caption alone, as no tokens at all: what models without a text encoder are asked with."""
    return PromptBook(family, {"": torch.zeros(0, family.width)})


@torch.no_grad()
def encode_captions(
    folder: ModelFolder,
    family: Family,
    captions: Sequence[str],
    device: torch.device,
    dtype: torch.dtype = torch.float32,
) -> PromptBook:
    """Encode each distinct caption, and the empty one, by the folder's text encoder.

    Raises InputError without one and for captions that are too long, MissingExtraError without transformers.
    """
    require_text_encoder(folder)
    tokenizer, encoder = _text_encoder(folder, dtype)
    encoder.to(device)
    distinct = list(dict.fromkeys(["", *captions]))
    pages: dict[str, Tensor] = {}
    for start in range(0, len(distinct), CHUNK):
        some = distinct[start : start + CHUNK]
        inputs = tokenizer(some, padding="max_length", max_length=family.tokens, return_attention_mask=True)
        longest = max(map(len, inputs.input_ids))
        if longest > family.tokens:
            raise InputError(
                f"a caption has {longest} tokens, {family.name} reads {family.tokens}: predict fewer frames"
            )
        ids, mask = torch.tensor(inputs.input_ids), torch.tensor(inputs.attention_mask)
        # Of the families' pipelines only those that pad with zeros hide the padding from the encoder.
        hidden = mask.to(device) if family.padding == "zeros" else None
        out = encoder(ids.to(device), attention_mask=hidden).last_hidden_state.cpu()
        if out.shape[2] != family.width:
            raise InputError(f"the text encoder's width is {out.shape[2]}, the transformer's {family.width}")
        for caption, row, length in zip(some, out, mask.sum(1).tolist()):
            # A slice would keep its padding in memory.
            pages[caption] = row if family.padding == "encoded" else row[:length].clone()
    return PromptBook(family, pages)


def require_text_encoder(folder: ModelFolder) -> None:
    """InputError where text encoder or tokenizer are missing."""
    missing = [name for name in ("text_encoder", "tokenizer") if folder.part(name) is None]
    if missing:
        raise InputError(
            f"{folder.root} has no {' and no '.join(missing)}, which text control needs; add what is missing, or "
            "use --control code or camera"
        )


def _text_encoder(folder: ModelFolder, dtype: torch.dtype) -> tuple[Any, Any]:
    places = {name: str(folder.part(name)) for name in ("text_encoder", "tokenizer")}
    try:
        import transformers
    except ModuleNotFoundError as error:
        raise MissingExtraError("encoding prompts", "diffusers") from error
    local: dict[str, Any] = {"local_files_only": True, "trust_remote_code": False}
    try:
        kind = transformers.AutoConfig.from_pretrained(places["text_encoder"], **local).model_type
        if kind not in ENCODERS:
            raise InputError(f"text encoders are {' or '.join(ENCODERS)}, not {kind}")
        tokenizer = transformers.AutoTokenizer.from_pretrained(places["tokenizer"], **local)
        encoder = getattr(transformers, ENCODERS[kind]).from_pretrained(
            places["text_encoder"], dtype=dtype, use_safetensors=True, local_files_only=True
        )
    except FAULTS as error:
        raise InputError(f"the text encoder in {folder.root} cannot be loaded: {error}") from None
    return tokenizer, encoder.eval().requires_grad_(False)


class ImageEncoder:
    """The CLIP vision model of Wan 2.1's image-to-video pipelines: its last hidden states but one."""

    def __init__(self, folder: ModelFolder, device: torch.device, dtype: torch.dtype = torch.float32) -> None:
        """InputError without an image encoder in the folder, MissingExtraError without transformers."""
        place = folder.part("image_encoder")
        if place is None:
            raise InputError(f"{folder.root} has no image_encoder, which this transformer needs")
        try:
            from transformers import CLIPVisionModel
        except ModuleNotFoundError as error:
            raise MissingExtraError("encoding images", "diffusers") from error
        try:
            model: Any = CLIPVisionModel.from_pretrained(
                str(place), dtype=dtype, use_safetensors=True, local_files_only=True
            )
        except FAULTS as error:
            raise InputError(f"the image encoder in {place} cannot be loaded: {error}") from None
        self._model = model.to(device).eval().requires_grad_(False)
        self._dtype = dtype
        # CLIP's constants: mean and deviation of each colour of its training pictures.
        self._mean = torch.tensor([0.48145466, 0.4578275, 0.40821073], device=device).view(1, 3, 1, 1)
        self._std = torch.tensor([0.26862954, 0.26130258, 0.27577711], device=device).view(1, 3, 1, 1)

    @torch.no_grad()
    def __call__(self, pictures: Tensor) -> Tensor:
        """float32 [B,N,D] of pictures float [B,3,H,W] in [-1,1]."""
        side = self._model.config.image_size
        height, width = pictures.shape[2:]
        scale = side / min(height, width)
        large = torch.nn.functional.interpolate(
            pictures,
            (round(height * scale), round(width * scale)),
            mode="bicubic",
            antialias=True,
            align_corners=False,
        ).clamp(-1, 1)
        top, left = ((n - side) // 2 for n in large.shape[2:])
        inside = large[:, :, top : top + side, left : left + side] / 2 + 0.5
        seen = ((inside - self._mean) / self._std).to(self._dtype)
        return self._model(seen, output_hidden_states=True).hidden_states[-2].float()
