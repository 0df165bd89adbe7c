"""Tiny pipelines of diffusers with random weights that cannot be post-trained, saved as folders. See `tiny_diffusers`."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from tiny_diffusers import (
    CLASSES,
    build,
    flow_scheduler,
    save_clip_processor,
    save_pipeline,
    save_text_encoder,
    wan_vae,
    write_index,
)

ATTENTION = {"num_attention_heads": 2, "attention_head_dim": 12, "num_layers": 2}


def save_any(kind: str, folder: Path) -> Path:
    """A pipeline of a kind: those of `tiny_diffusers`, and those below."""
    if kind in CLASSES:
        return save_pipeline(kind, folder)
    torch.manual_seed(0)
    MORE[kind](folder)
    return folder


def wan_a14b(folder: Path) -> None:
    """Two experts that read the picture on extra channels."""
    import diffusers as d

    for name in ("transformer", "transformer_2"):
        parts = d.WanTransformer3DModel(
            **ATTENTION,
            in_channels=36,
            out_channels=16,
            text_dim=16,
            freq_dim=32,
            ffn_dim=48,
            rope_max_seq_len=32,
        )
        saved(parts, folder / name)
    _, vae, scheduler, width = build("wan")
    saved(vae, folder / "vae")
    scheduler.save_pretrained(folder / "scheduler")
    save_text_encoder(folder, width, "umt5")
    write_index(folder, "WanImageToVideoPipeline", boundary_ratio=0.9)


def wan_5b(folder: Path) -> None:
    """The present stands clean in frame 0."""
    save_pipeline("wan", folder)
    write_index(folder, "WanPipeline", expand_timesteps=True)


def svd(folder: Path) -> None:
    import diffusers as d
    from transformers import CLIPVisionConfig, CLIPVisionModelWithProjection

    unet = d.UNetSpatioTemporalConditionModel(
        block_out_channels=(32, 64),
        down_block_types=("CrossAttnDownBlockSpatioTemporal", "DownBlockSpatioTemporal"),
        up_block_types=("UpBlockSpatioTemporal", "CrossAttnUpBlockSpatioTemporal"),
        layers_per_block=1,
        cross_attention_dim=16,
        num_attention_heads=2,
        addition_time_embed_dim=32,
        projection_class_embeddings_input_dim=96,
        num_frames=5,
    )
    saved(unet, folder / "unet")
    vae = d.AutoencoderKLTemporalDecoder(
        block_out_channels=(32, 64), down_block_types=("DownEncoderBlock2D",) * 2, layers_per_block=1
    )
    saved(vae, folder / "vae")
    d.EulerDiscreteScheduler(
        prediction_type="v_prediction", timestep_type="continuous", sigma_min=0.002, sigma_max=700.0, use_karras_sigmas=True
    ).save_pretrained(folder / "scheduler")  # fmt: skip
    seen = CLIPVisionConfig(
        hidden_size=16, intermediate_size=16, num_hidden_layers=1, num_attention_heads=2, image_size=224, patch_size=112,
        projection_dim=16,
    )  # fmt: skip
    CLIPVisionModelWithProjection(seen).save_pretrained(folder / "image_encoder")
    save_clip_processor(folder / "feature_extractor", 224)
    write_index(folder, "StableVideoDiffusionPipeline")


def hunyuan(folder: Path) -> None:
    import diffusers as d
    from transformers import (
        ByT5Tokenizer,
        Qwen2_5_VLTextConfig,
        Qwen2_5_VLTextModel,
        SiglipImageProcessor,
        SiglipVisionConfig,
        SiglipVisionModel,
        T5Config,
        T5EncoderModel,
    )

    transformer = d.HunyuanVideo15Transformer3DModel(
        in_channels=9, out_channels=4, num_attention_heads=2, attention_head_dim=16, num_layers=2, num_refiner_layers=1,
        text_embed_dim=16, text_embed_2_dim=16, image_embed_dim=16, rope_axes_dim=(4, 6, 6), target_size=64,
    )  # fmt: skip
    saved(transformer, folder / "transformer")
    vae = d.AutoencoderKLHunyuanVideo15(
        latent_channels=4, block_out_channels=(8, 8, 8, 8, 8), layers_per_block=1, downsample_match_channel=False,
        upsample_match_channel=False,
    )  # fmt: skip
    saved(vae, folder / "vae")
    d.FlowMatchEulerDiscreteScheduler(shift=7.0).save_pretrained(folder / "scheduler")
    d.ClassifierFreeGuidance(guidance_scale=3.0).save_pretrained(folder / "guider")
    text = Qwen2_5_VLTextConfig(
        vocab_size=32, hidden_size=16, intermediate_size=16, num_hidden_layers=3, num_attention_heads=2,
        num_key_value_heads=1, rope_scaling={"rope_type": "default", "mrope_section": [1, 1, 2]},
    )  # fmt: skip
    Qwen2_5_VLTextModel(text).save_pretrained(folder / "text_encoder")
    save_chat_tokenizer(folder / "tokenizer")
    glyphs = T5Config(vocab_size=384, d_model=16, d_kv=8, d_ff=16, num_layers=1, num_heads=2)
    T5EncoderModel(glyphs).save_pretrained(folder / "text_encoder_2")
    ByT5Tokenizer().save_pretrained(folder / "tokenizer_2")
    eye = SiglipVisionConfig(
        hidden_size=16,
        intermediate_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        image_size=28,
        patch_size=14,
    )
    SiglipVisionModel(eye).save_pretrained(folder / "image_encoder")
    SiglipImageProcessor(size={"height": 28, "width": 28}).save_pretrained(folder / "feature_extractor")
    write_index(folder, "HunyuanVideo15ImageToVideoPipeline")


def cosmos25(folder: Path) -> None:
    import diffusers as d
    from transformers import Qwen2_5_VLConfig, Qwen2_5_VLForConditionalGeneration

    transformer = d.CosmosTransformer3DModel(
        **ATTENTION, in_channels=17, out_channels=16, text_embed_dim=16, adaln_lora_dim=4, max_size=(4, 32, 32),
        extra_pos_embed_type=None, concat_padding_mask=True, use_crossattn_projection=True,
        crossattn_proj_in_channels=32, encoder_hidden_states_channels=16,
    )  # fmt: skip
    saved(transformer, folder / "transformer")
    saved(wan_vae(), folder / "vae")
    flow_scheduler().save_pretrained(folder / "scheduler")
    text = {
        "vocab_size": 32, "hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2,
        "num_key_value_heads": 1, "rope_scaling": {"rope_type": "default", "mrope_section": [1, 1, 2]},
    }  # fmt: skip
    eye = {"depth": 1, "hidden_size": 16, "intermediate_size": 16, "num_heads": 2, "out_hidden_size": 16}
    Qwen2_5_VLForConditionalGeneration(
        Qwen2_5_VLConfig(text_config=text, vision_config=eye, vocab_size=32)
    ).save_pretrained(folder / "text_encoder")
    save_chat_tokenizer(folder / "tokenizer")
    write_index(folder, "Cosmos2_5_PredictBasePipeline")


def cosmos3(folder: Path) -> None:
    import diffusers as d

    transformer = d.Cosmos3OmniTransformer(
        head_dim=16, hidden_size=32, intermediate_size=32, latent_channel=16, patch_latent_dim=64, num_attention_heads=2,
        num_hidden_layers=1, num_key_value_heads=1, rope_axes_dim=(4, 2, 2), action_dim=16, action_gen=True, vocab_size=32,
    )  # fmt: skip
    saved(transformer, folder / "transformer")
    saved(wan_vae(), folder / "vae")
    flow_scheduler().save_pretrained(folder / "scheduler")
    save_chat_tokenizer(folder / "text_tokenizer")
    write_index(folder, "Cosmos3OmniPipeline")


def saved(module: Any, place: Path) -> None:
    """Write a module whose layers do not start at zero."""
    with torch.no_grad():
        for name, p in module.named_parameters():
            p += 0.05 * torch.randn(p.shape) if "norm" not in name else 0.0
    module.save_pretrained(place)


def save_chat_tokenizer(place: Path) -> None:
    """A tokenizer that knows a few words and how a conversation is written."""
    from tokenizers import Tokenizer
    from tokenizers.models import WordLevel
    from tokenizers.pre_tokenizers import Whitespace
    from transformers import PreTrainedTokenizerFast

    words = [
        "<pad>",
        "</s>",
        "<unk>",
        "<|vision_start|>",
        "camera",
        "forward",
        "left",
        "right",
        "rotates",
        "moves",
    ]
    plain = Tokenizer(WordLevel({w: i for i, w in enumerate(words)}, unk_token="<unk>"))
    plain.pre_tokenizer = Whitespace()
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=plain, pad_token="<pad>", eos_token="</s>", unk_token="<unk>",
        additional_special_tokens=["<|vision_start|>"],
    )  # fmt: skip
    tokenizer.chat_template = (
        "{% for m in messages %}{{ m.role }} "
        "{% if m.content is string %}{{ m.content }}{% else %}{{ m.content[0].text }}{% endif %} {% endfor %}"
    )
    tokenizer.save_pretrained(place)


MORE: dict[str, Callable[[Path], None]] = {
    "wan-a14b": wan_a14b,
    "wan-5b": wan_5b,
    "svd": svd,
    "hunyuan": hunyuan,
    "cosmos2.5": cosmos25,
    "cosmos3": cosmos3,
}
