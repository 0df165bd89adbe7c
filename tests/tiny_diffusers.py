"""Tiny pipelines of diffusers with random weights: the real classes, saved as folders."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import torch

from worldloop.training.diffusers.clips import fitted
from worldloop.training.diffusers.families import LatentClips, Prompt
from worldloop.training.diffusers.folder import LoadedModel, load_model, open_folder
from worldloop.training.diffusers.prompts import encode_captions

CPU = torch.device("cpu")
CAPTION = "The camera moves forward by 0.2m. The camera rotates left by 22.5°."
NAMES = ("wan", "wan-i2v", "ltx", "cogvideox", "cogvideox-i2v", "cosmos")
"""Kinds that can be post-trained."""
CLASSES = {
    "wan": "WanPipeline",
    "wan-i2v": "WanImageToVideoPipeline",
    "ltx": "LTXPipeline",
    "cogvideox": "CogVideoXPipeline",
    "cogvideox-i2v": "CogVideoXImageToVideoPipeline",
    "cosmos": "Cosmos2VideoToWorldPipeline",
}


def save_pipeline(kind: str, folder: Path, text: bool = True) -> Path:
    """Write transformer, autoencoder, scheduler settings and, if asked for, a text encoder."""
    torch.manual_seed(0)
    transformer, vae, scheduler, width = build(kind)
    with torch.no_grad():
        for name, p in transformer.named_parameters():
            # Nothing may hold because a layer of the base starts at zero.
            p += 0.05 * torch.randn(p.shape) if "norm" not in name else 0.0
    transformer.save_pretrained(folder / "transformer")
    vae.save_pretrained(folder / "vae")
    if scheduler is not None:
        scheduler.save_pretrained(folder / "scheduler")
    if text:
        save_text_encoder(folder, width, "umt5" if kind.startswith("wan") else "t5")
    if kind == "wan-i2v":
        save_image_encoder(folder)
    write_index(folder, CLASSES[kind], absent=() if text else ("text_encoder", "tokenizer"))
    return folder


def write_index(folder: Path, name: str, absent: tuple[str, ...] = (), **settings: Any) -> None:
    """The `model_index.json` of a pipeline's class for the parts that lie in a folder."""
    index: dict[str, Any] = {"_class_name": name, "license": "apache-2.0", **settings}
    for part in sorted(p for p in folder.iterdir() if p.is_dir()):
        index[part.name] = class_of(part)
    index |= {part: [None, None] for part in absent}
    (folder / "model_index.json").write_text(json.dumps(index))


def class_of(part: Path) -> list[str]:
    """Library and class of a pipeline's part."""
    if (part / "tokenizer_config.json").is_file():
        known = json.loads((part / "tokenizer_config.json").read_text())
        return [
            "transformers",
            known["tokenizer_class"].replace("TokenizersBackend", "PreTrainedTokenizerFast"),
        ]
    if (part / "preprocessor_config.json").is_file():
        known = json.loads((part / "preprocessor_config.json").read_text())
        return ["transformers", known["image_processor_type"].removesuffix("Pil").removesuffix("Fast")]
    found = next(p for p in part.glob("*config.json") if "generation" not in p.name)
    known = json.loads(found.read_text())
    if "architectures" in known:
        return ["transformers", known["architectures"][0]]
    return ["diffusers", known["_class_name"]]


def build(kind: str) -> tuple[Any, Any, Any, int]:
    """Transformer, autoencoder, scheduler and the width of the text embeddings."""
    import diffusers as d

    attention = {"num_attention_heads": 2, "attention_head_dim": 12, "num_layers": 2}
    if kind.startswith("wan"):
        channels = {"in_channels": 16, "out_channels": 16}
        if kind == "wan-i2v":
            channels |= {"in_channels": 36, "image_dim": 16, "added_kv_proj_dim": 24}
        transformer = d.WanTransformer3DModel(
            **attention, **channels, text_dim=16, freq_dim=32, ffn_dim=48, rope_max_seq_len=32
        )
        return transformer, wan_vae(), flow_scheduler(), 16
    if kind == "ltx":
        transformer = d.LTXVideoTransformer3DModel(
            **attention, in_channels=8, out_channels=8, cross_attention_dim=24, caption_channels=16
        )
        vae = d.AutoencoderKLLTXVideo(
            latent_channels=8,
            block_out_channels=(8, 8, 8, 8),
            decoder_block_out_channels=(8, 8, 8, 8),
            layers_per_block=(1, 1, 1, 1, 1),
            decoder_layers_per_block=(1, 1, 1, 1, 1),
        )
        vae.latents_mean.fill_(0.1)
        vae.latents_std.fill_(0.5)
        return transformer, vae, d.FlowMatchEulerDiscreteScheduler(use_dynamic_shifting=True), 16
    if kind.startswith("cogvideox"):
        transformer = d.CogVideoXTransformer3DModel(
            num_attention_heads=2,
            attention_head_dim=16,
            num_layers=2,
            in_channels=8 if kind == "cogvideox" else 16,
            out_channels=8,
            time_embed_dim=8,
            text_embed_dim=16,
            sample_width=8,
            sample_height=8,
            sample_frames=9,
            max_text_seq_length=96,
            use_rotary_positional_embeddings=kind != "cogvideox",
        )
        vae = d.AutoencoderKLCogVideoX(
            block_out_channels=(8, 8, 8, 8), latent_channels=8, layers_per_block=1, norm_num_groups=2
        )
        scheduler = d.CogVideoXDDIMScheduler(
            prediction_type="v_prediction", rescale_betas_zero_snr=True, snr_shift_scale=1.0
        )
        return transformer, vae, scheduler, 16
    transformer = d.CosmosTransformer3DModel(
        **attention, in_channels=17, out_channels=16, text_embed_dim=16, adaln_lora_dim=4, max_size=(4, 32, 32),
        extra_pos_embed_type=None, concat_padding_mask=True,
    )  # fmt: skip
    return transformer, wan_vae(), d.FlowMatchEulerDiscreteScheduler(use_karras_sigmas=True), 16


def flow_scheduler() -> Any:
    from diffusers import UniPCMultistepScheduler

    return UniPCMultistepScheduler(prediction_type="flow_prediction", use_flow_sigmas=True, flow_shift=3.0)


def wan_vae() -> Any:
    from diffusers import AutoencoderKLWan

    return AutoencoderKLWan(
        base_dim=3,
        z_dim=16,
        dim_mult=[1, 1, 1, 1],
        num_res_blocks=1,
        temperal_downsample=[False, True, True],
    )


def save_text_encoder(folder: Path, width: int, kind: str) -> None:
    """A random T5 and a tokenizer that knows the words of the captions."""
    from tokenizers import Tokenizer
    from tokenizers.models import WordLevel
    from tokenizers.pre_tokenizers import Whitespace
    from tokenizers.processors import TemplateProcessing
    from transformers import PreTrainedTokenizerFast, T5Config, T5EncoderModel, UMT5Config, UMT5EncoderModel

    words = ["<pad>", "</s>", "<unk>", "The", "camera", "moves", "forward", "by", "rotates", "left", "right"]
    words += ["0", "22", ".", "2m", "5", "°"]
    plain = Tokenizer(WordLevel({w: i for i, w in enumerate(words)}, unk_token="<unk>"))
    plain.pre_tokenizer = Whitespace()
    plain.post_processor = TemplateProcessing("$A </s>", special_tokens=[("</s>", 1)])
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=plain, pad_token="<pad>", eos_token="</s>", unk_token="<unk>"
    )
    tokenizer.save_pretrained(folder / "tokenizer")
    settings, model = (UMT5Config, UMT5EncoderModel) if kind == "umt5" else (T5Config, T5EncoderModel)
    config = settings(
        vocab_size=len(words), d_model=width, d_kv=8, d_ff=16, num_layers=1, num_heads=2, pad_token_id=0
    )
    model(config).save_pretrained(folder / "text_encoder")


def save_image_encoder(folder: Path) -> None:
    from transformers import CLIPVisionConfig, CLIPVisionModel

    config = CLIPVisionConfig(
        hidden_size=16, intermediate_size=16, num_hidden_layers=2, num_attention_heads=2, image_size=28, patch_size=14
    )  # fmt: skip
    CLIPVisionModel(config).save_pretrained(folder / "image_encoder")
    save_clip_processor(folder / "image_processor", 28)


def save_clip_processor(folder: Path, side: int) -> None:
    from transformers import CLIPImageProcessor

    CLIPImageProcessor(size={"shortest_edge": side}, crop_size=side).save_pretrained(folder)


def pictures(seed: int = 0, frames: int = 9, side: int = 64) -> np.ndarray:
    """uint8 [T,H,W,3]: blobs that drift from frame to frame."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:side, :side] / side
    phase, speed = rng.random(3) * 6, rng.random(3)
    out = [np.sin(6 * x[..., None] + 4 * y[..., None] + phase + speed * t) for t in range(frames)]
    return np.uint8(127.5 + 120 * np.stack(out))


def load(folder: Path) -> LoadedModel:
    return load_model(open_folder(folder))


def clips_of(model: LoadedModel, image: bool = True) -> LatentClips:
    video = fitted(pictures()[None], (64, 64), CPU)
    present, condition = model.family.condition(model.vae, video[:, :, :1], video)
    seen = torch.randn(1, 5, 16) if model.family.reads_image and image else None
    return LatentClips(model.family.encoded(model.vae, video), present, condition, seen)


def prompt_of(model: LoadedModel) -> Prompt:
    return encode_captions(model.folder, model.family, [CAPTION], CPU).prompt([CAPTION], CPU)


def noise(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)
