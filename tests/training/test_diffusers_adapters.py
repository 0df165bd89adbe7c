"""Adapters and controls on transformers of diffusers: zero at first, learned, saved, read, merged."""

from __future__ import annotations

import hashlib
import json

import numpy as np
import pytest
import torch

from worldloop.training.diffusers.adapter import WEIGHTS, save_adapter
from worldloop.training.diffusers.families import LatentClips, Prompt
from worldloop.training.diffusers.prompts import empty_book
from worldloop.training.diffusers.sft import adapt

from tiny_diffusers import CPU, NAMES, clips_of, load, noise, prompt_of

pytestmark = pytest.mark.usefixtures("one_thread")


def weights(module) -> dict[str, str]:
    """Hashes of all weights but the adapters', by their names without adapters."""
    return {
        name.replace(".base_layer", ""): hashlib.sha256(value.numpy().tobytes()).hexdigest()
        for name, value in module.state_dict().items()
        if "lora_" not in name
    }


def shaken(adapted, seed: int = 5):
    """Adapters and control as if they had been trained."""
    with torch.no_grad():
        for parameter in adapted.parameters():
            if parameter.requires_grad:
                parameter += 0.1 * torch.randn(parameter.shape, generator=noise(seed))
    return adapted


@pytest.mark.parametrize("kind", NAMES)
def test_at_step_0_the_output_equals_the_base(kind, folders):
    base = load(folders[kind])
    clips = clips_of(base)
    prompt = empty_book(base.family).prompt([""], CPU)
    for control, actions in (
        ("code", torch.tensor([[1, 2, 3, 1, 1, 2, 2, 1]])),
        ("camera", torch.randn(1, 8, 3)),
    ):
        model = load(folders[kind])
        adapted = adapt(model, control, 3, 2)
        # Masked tokens become visible with the control, whatever the actions are.
        plain = Prompt(prompt.embeds, adapted.control.widened(prompt.mask, 8))
        with torch.no_grad():
            expected = base.family.loss(base.transformer, clips, plain, noise())
            assert torch.allclose(adapted(clips, prompt, actions, None, 0), expected, atol=1e-6, rtol=0)
            shaken(adapted)
            told = adapted(clips, prompt, actions, None, 0)
            withheld = adapted(clips, prompt, actions, torch.tensor([False]), 0)
            other = adapted(clips, prompt, torch.full_like(actions, 2), None, 0)
        assert len({float(v) for v in (expected, told, withheld, other)}) == 4


@pytest.mark.parametrize("kind", NAMES)
def test_saved_adapters_are_read_by_diffusers_and_can_be_merged(kind, folders, tmp_path):
    model = load(folders[kind])
    adapted, clips, prompt = shaken(adapt(model, "text", 3, 2)), clips_of(model), prompt_of(model)
    save_adapter(tmp_path, model.transformer)
    fresh = load(folders[kind])
    with torch.no_grad():
        expected = adapted(clips, prompt, None, None, 0)
        before = fresh.family.loss(fresh.transformer, clips, prompt, noise())
        fresh.transformer.load_lora_adapter(str(tmp_path), weight_name=WEIGHTS)
        loaded = fresh.family.loss(fresh.transformer, clips, prompt, noise())
        fresh.transformer.fuse_lora()
        merged = fresh.family.loss(fresh.transformer, clips, prompt, noise())
    assert abs(float(before - expected)) > 1e-4
    assert torch.allclose(loaded, expected, atol=1e-6, rtol=0)
    assert torch.allclose(merged, expected, atol=1e-5, rtol=0)
    config = json.loads((tmp_path / "adapter_config.json").read_text())
    assert config["r"] == config["lora_alpha"] == 2 and config["target_modules"] == sorted(
        model.family.targets
    )


def test_a_pipeline_of_diffusers_loads_the_adapter(folders, tmp_path):
    from diffusers import UniPCMultistepScheduler, WanPipeline

    model = load(folders["wan"])
    shaken(adapt(model, "text", 3, 2))
    save_adapter(tmp_path, model.transformer)
    fresh = load(folders["wan"])
    pipe = WanPipeline(None, None, fresh.vae, UniPCMultistepScheduler(), transformer=fresh.transformer)
    pipe.load_lora_weights(str(tmp_path), weight_name=WEIGHTS, local_files_only=True)
    clips, prompt = clips_of(model), prompt_of(model)
    with torch.no_grad():
        ours, theirs = (m.family.loss(m.transformer, clips, prompt, noise()) for m in (model, fresh))
    assert torch.allclose(ours, theirs, atol=1e-6, rtol=0)


@pytest.mark.parametrize("kind", ["wan", "wan-i2v", "cogvideox", "ltx", "cosmos"])
def test_one_clip_is_learned(kind, folders):
    model = load(folders[kind])
    adapted = adapt(model, "code", 3, 16)
    clips, prompt = clips_of(model), empty_book(model.family).prompt([""], CPU)
    codes = torch.tensor([[1, 2, 3, 1, 1, 2, 2, 1]])
    optimiser = torch.optim.Adam([p for p in adapted.parameters() if p.requires_grad], 0.02)
    losses = []
    for _ in range(30):
        optimiser.zero_grad()
        loss = adapted(clips, prompt, codes, None, 3).mean()
        loss.backward()
        optimiser.step()
        losses.append(float(loss.detach()))
    assert losses[-1] < 0.8 * losses[0]


def test_frozen_weights_are_bit_identical_after_training(folders):
    model = load(folders["wan"])
    before = weights(model.transformer)
    adapted, clips = adapt(model, "code", 3, 2), clips_of(model)
    prompt = empty_book(model.family).prompt([""], CPU)
    optimiser = torch.optim.AdamW([p for p in adapted.parameters() if p.requires_grad], 0.1)
    for step in range(3):
        adapted(clips, prompt, torch.ones(1, 8, dtype=torch.int64), None, step).mean().backward()
        optimiser.step()
    assert weights(model.transformer) == before
    trained = {n.split(".")[0] for n, p in adapted.named_parameters() if p.requires_grad}
    assert trained == {"transformer", "control"}


def test_actions_are_learned(folders):
    """Two futures of one present: what tells them apart is the control alone."""
    model = load(folders["ltx"])
    adapted, shape = adapt(model, "code", 3, 16), clips_of(model).video.shape
    video = torch.randn(2, shape[1], 1, 1, 1, generator=noise(1)).repeat(1, 1, *shape[2:])
    clips = LatentClips(video, torch.zeros_like(video[:, :, :1]))
    prompt = empty_book(model.family).prompt(["", ""], CPU)
    codes = torch.tensor([[1] * 8, [2] * 8])
    optimiser = torch.optim.Adam([p for p in adapted.parameters() if p.requires_grad], 0.02)
    for step in range(60):
        optimiser.zero_grad()
        adapted(clips, prompt, codes, None, step).mean().backward()
        optimiser.step()
    with torch.no_grad():
        right, wrong = (
            np.mean([float(adapted(clips, prompt, c, None, 1000 + k).mean()) for k in range(10)])
            for c in (codes, codes.flip(0))
        )
    assert wrong > 1.2 * right
