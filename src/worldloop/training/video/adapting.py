"""What of a backbone is trained on actions: adapters and a control head, or everything."""

from __future__ import annotations

import math
from collections.abc import Mapping

from worldloop.core import InputError
from worldloop.core.errors import MissingExtraError
from worldloop.models.video import TARGETS, ConditioningConfig, VideoBackbone
from worldloop.training.video.demonstrations import Commands, vector_heads

LARGEST_SHARE = 0.015
"""Of the backbone's parameters adapters and control head may train so many, unless a rank is asked for."""


def adapt(
    backbone: VideoBackbone,
    control: str,
    actions: Mapping[str, tuple[float, float, float]],
    rank: int | None = None,
    detail: int = 1,
    commands: Commands | None = None,
    full: bool = False,
) -> int:
    """Freeze a backbone, put low-rank adapters on its attention and a fresh control head on it; returns the rank.

    Its output is unchanged: adapters and head start at zero. `commands` are those of control `vector`, whose head is kept
    where the backbone has it already. With `full` nothing is frozen and there are no adapters: rank 0.
    MissingExtraError without peft.
    """
    backbone.requires_grad_(full)
    if control == "vector":
        if commands is None:
            raise InputError("control vector learns from commands: `worldloop collect --env tabletop`")
        heads = vector_heads(commands)
        if backbone.config.conditioning != heads:  # a head that has learnt these commands goes on learning
            backbone.attach(heads)
    elif control == "code":
        motions = tuple((ahead, left, math.radians(turn)) for ahead, left, turn in actions.values())
        passage = backbone.config.panorama
        backbone.attach(
            ConditioningConfig(
                codes=len(actions), camera=True, detail=detail, motions=motions, passage=passage
            )
        )
    elif control == "camera":
        backbone.attach(ConditioningConfig(camera=True, detail=detail))
    _free_head(backbone)
    if full:
        return 0
    try:
        from peft import LoraConfig, inject_adapter_in_model
    except ModuleNotFoundError as error:
        raise MissingExtraError("low-rank adaptation", "train") from error
    rank = rank or largest_rank(backbone)
    lora = LoraConfig(r=rank, lora_alpha=2 * rank, target_modules=list(TARGETS), bias="none")
    inject_adapter_in_model(lora, backbone)
    _free_head(backbone)  # peft has frozen it
    return rank


def _free_head(backbone: VideoBackbone) -> None:
    backbone.conditioner.requires_grad_(True)
    if backbone.conditioner.text is not None:
        # Words the base never heard have random embeddings, which tell them apart; the table is most of the head.
        backbone.conditioner.text.embed.requires_grad_(False)


def largest_rank(backbone: VideoBackbone) -> int:
    """The rank that keeps adapters and what already requires gradients within `LARGEST_SHARE`; at least 1."""
    config, total = backbone.config, sum(p.numel() for p in backbone.parameters())
    head = sum(p.numel() for p in backbone.parameters() if p.requires_grad)
    per_rank = len(TARGETS) * config.depth * 2 * config.width
    # The adapters count among all parameters, too.
    return max(1, int((LARGEST_SHARE * total - head) / (per_rank * (1 - LARGEST_SHARE))))
