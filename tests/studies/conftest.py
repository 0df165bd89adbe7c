"""Tiny data, untrained models and short lists of episodes for the studies."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from worldloop.actions import NAVIGATION
from worldloop.models.video import (
    BackboneConfig,
    ConditioningConfig,
    SamplerConfig,
    VAEConfig,
    VideoBackbone,
    VideoCheckpoint,
    VideoSpec,
    VideoVAE,
    save_checkpoint,
)
from worldloop.studies import Adaptation, Evaluation
from worldloop.tasks.episodes import load_episodes
from worldloop.training.collect import CollectConfig, collect
from worldloop.training.video.base import TEXT_BUCKETS

ACTIONS = {p.name: (p.forward, p.left, p.yaw_deg) for p in NAVIGATION.primitives if not p.stops}


@pytest.fixture(autouse=True)
def tiny_models(one_thread):
    """All models here are tiny."""


def write_base(path: Path, width: int = 16) -> str:
    """An untrained video model for the houses' pictures."""
    torch.manual_seed(width)
    vae = VideoVAE(VAEConfig(widths=(8, 8, 16), encoder_blocks=(1, 0, 1), decoder_blocks=(1, 0, 1)))
    heads = ConditioningConfig(text_buckets=TEXT_BUCKETS)
    backbone = VideoBackbone(
        BackboneConfig(width=width, depth=1, heads=2, modulation_rank=4, conditioning=heads)
    )
    spec = VideoSpec(f"tiny-{width}", "text", ACTIONS, sampler=SamplerConfig(steps=1, shift=2.0))
    with torch.no_grad():  # layers that start at zero would make all plans look alike
        for p in (*vae.parameters(), *backbone.parameters()):
            p += 0.15 * torch.randn(p.shape)
    return save_checkpoint(path, VideoCheckpoint(vae, backbone, spec))


@pytest.fixture(scope="session")
def shop(tmp_path_factory: pytest.TempPathFactory) -> SimpleNamespace:
    """`data` in style A, `base`, `large`, and `lists`: short lists of episodes by task."""
    torch.set_num_threads(1)
    folder = tmp_path_factory.mktemp("studies")
    collect(CollectConfig(folder / "data", 96, styles=("A",), panorama_height=128, episode_frames=24, jobs=1))
    write_base(folder / "base.safetensors")
    write_base(folder / "large.safetensors", width=32)
    lists = {}
    for task in ("image-goal", "active-recognition"):
        listed = load_episodes(task, "mini")
        first = [next(e for e in listed if f"/{style}/" in e.scene) for style in "ABC"]
        episodes = [asdict(e) | {"budget": 1} for e in first]
        for episode in episodes:
            del episode["task"]
        lists[task] = str(folder / f"{task}.json")
        Path(lists[task]).write_text(json.dumps({"format": 1, "task": task, "episodes": episodes}))
    return SimpleNamespace(
        folder=folder,
        data=str(folder / "data"),
        base=str(folder / "base.safetensors"),
        large=str(folder / "large.safetensors"),
        lists=lists,
    )


@pytest.fixture
def adaptation(shop: SimpleNamespace) -> Adaptation:
    return Adaptation(shop.base, (shop.data,), batch=4, rank=1)


@pytest.fixture
def evaluation(shop: SimpleNamespace) -> Evaluation:
    return Evaluation(("image-goal",), shop.lists["image-goal"], trials=3, horizon=1, scenes=1)
