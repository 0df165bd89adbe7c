"""What training relies on: a clip can be learned, actions count, adapters can be injected and merged."""

from __future__ import annotations

from copy import deepcopy
from dataclasses import replace

import numpy as np
import pytest
import torch

from worldloop.core import InputError
from worldloop.models.video import (
    TARGETS,
    BackboneConfig,
    Condition,
    ConditioningConfig,
    FlowConfig,
    SamplerConfig,
    VideoBackbone,
    VideoModel,
    adapter_state,
    flow_loss,
    guided,
    load_checkpoint,
    log_likelihood,
    merge_adapter,
    sample,
    save_adapter,
    save_checkpoint,
    transition,
)
from worldloop.models.video.sampler import draw_noise

from tiny_video import ask, backbone, checkpoint, latents, panorama

CODES = ConditioningConfig(codes=3)


def test_a_clip_is_learned_and_its_actions_count():
    torch.manual_seed(0)
    sizes = {"latent_channels": 4, "latent_size": 4, "width": 48, "heads": 2, "depth": 2}
    model = VideoBackbone(BackboneConfig(conditioning=CODES, **sizes))  # as training finds it
    left, right = torch.tensor([[1, 2, 1, 1]]), torch.tensor([[3, 1, 2, 3]])
    codes = torch.cat((left, right)).repeat(8, 1)
    x0 = latents(2, 4, seed=8).repeat(8, 1, 1, 1, 1)
    past, around = latents(1, 1, seed=1), panorama()
    flow = FlowConfig(mean=1.0, group=1)

    def loss(codes: torch.Tensor, seed: int) -> torch.Tensor:
        context = model.context(past, around)
        velocity = guided(model, Condition(codes=codes), context)
        return flow_loss(velocity, x0, flow, torch.Generator().manual_seed(seed)).mean()

    first = float(loss(codes, 999).detach())
    optimiser = torch.optim.Adam(model.parameters(), 4e-3)
    for step in range(80):
        optimiser.zero_grad()
        loss(codes, step).backward()
        optimiser.step()
    with torch.no_grad():
        last, wrong = float(loss(codes, 999)), float(loss(codes.flip(0), 999))
    assert last < first / 5 and wrong > 5 * last
    assert all(p.grad is not None for p in model.conditioner.codes.parameters())


@pytest.fixture
def adapted():
    peft = pytest.importorskip("peft")
    base = backbone(CODES)
    torch.manual_seed(1)
    model = deepcopy(base)
    config = peft.LoraConfig(r=2, lora_alpha=6, target_modules=list(TARGETS))
    peft.inject_adapter_in_model(config, model)
    return base, model


def run(model) -> torch.Tensor:
    context = model.context(latents(1, 1, seed=1), panorama())
    return model.velocity(
        latents(2, 3), torch.rand(2, 3, generator=torch.Generator().manual_seed(0)), None, context
    )


def stir(model) -> None:
    for name, p in model.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(p, std=0.2)


def test_adapters_start_at_the_base_and_merge(adapted, tmp_path):
    base, model = adapted
    layers = {
        n.rpartition(".")[0] for n, _ in model.named_parameters() if n.endswith("lora_A.default.weight")
    }
    assert len(layers) == 4 * base.config.depth
    torch.testing.assert_close(run(model), run(base), rtol=0, atol=0)
    stir(model)
    changed = run(model)
    assert not torch.allclose(changed, run(base), atol=1e-3)
    merge_adapter(base, adapter_state(model))
    torch.testing.assert_close(run(base), changed, atol=1e-5, rtol=1e-4)


def test_adapters_in_files(adapted, tmp_path):
    base, model = adapted
    stir(model)
    whole, folder = checkpoint(), tmp_path
    whole.backbone = base
    base_hash = save_checkpoint(folder / "base.safetensors", whole)
    change = replace(whole, backbone=model, spec=replace(whole.spec, notes="changed"))
    change_hash = save_adapter(folder / "change.safetensors", change, base_hash)
    assert (folder / "change.safetensors").stat().st_size < (folder / "base.safetensors").stat().st_size / 4
    both = load_checkpoint(folder / "base.safetensors", folder / "change.safetensors")
    assert both.weights_hash == f"{base_hash}+{change_hash}" and both.spec.notes == "changed"
    beside = load_checkpoint(folder / "change.safetensors")  # finds its base in the folder
    assert beside.weights_hash == both.weights_hash
    torch.testing.assert_close(run(beside.backbone), run(both.backbone), atol=0, rtol=0)
    torch.testing.assert_close(run(both.backbone), run(model), atol=1e-5, rtol=1e-4)
    whole.backbone = model  # saved merged, left as it is
    save_checkpoint(folder / "merged.safetensors", whole)
    torch.testing.assert_close(
        run(load_checkpoint(folder / "merged.safetensors").backbone), run(model), atol=1e-5, rtol=1e-4
    )
    assert any("lora_A" in n for n, _ in model.named_parameters())
    plain, adapted_model = (
        VideoModel(folder / "base.safetensors", adapter=a) for a in (None, folder / "change.safetensors")
    )
    frames = [m.simulate([ask(["turn_left"])])[0].frames[0].rgb for m in (plain, adapted_model)]
    assert (frames[0] != frames[1]).any() and plain.card.weights_hash != adapted_model.card.weights_hash
    save_adapter(folder / "other.safetensors", change, "somebody else")
    with pytest.raises(InputError, match="its base"):
        load_checkpoint(folder / "other.safetensors")
    with pytest.raises(InputError, match="belongs to other weights"):
        load_checkpoint(folder / "base.safetensors", folder / "other.safetensors")
    with pytest.raises(InputError, match="adapter"):
        load_checkpoint(folder / "base.safetensors", folder / "base.safetensors")


def test_adapters_that_do_not_fit():
    model = backbone(CODES)
    with pytest.raises(InputError, match="no active adapter"):
        adapter_state(model)
    good = {"blocks.0.attention.q.down": torch.zeros(2, 24), "blocks.0.attention.q.up": torch.zeros(24, 2)}
    merge_adapter(model, good)
    for bad in (
        {"blocks.9.attention.q.down": torch.zeros(2, 24), "blocks.9.attention.q.up": torch.zeros(24, 2)},
        {**good, "blocks.0.attention.q.up": torch.zeros(24, 3)},
        {"blocks.0.attention.q.down": torch.zeros(2, 24)},
    ):
        with pytest.raises(InputError):
            merge_adapter(model, bad)


def test_policy_gradients_reach_the_adapter(adapted):
    _, model = adapted
    context = model.context(latents(1, 1, seed=1), panorama()).detach()
    c, steps = Condition(codes=torch.tensor([[1, 2], [2, 1]])), []
    rngs = [np.random.default_rng(i) for i in range(2)]
    with torch.no_grad():
        noise = draw_noise(rngs, (2, 4, 4, 4))
        sample(guided(model, c, context), noise, SamplerConfig(3, eta=0.5), rngs, steps.append)
    step = steps[1]
    v = model.velocity(step.x, torch.full((2, 2), step.level), c, context)
    mean, std = transition(step.x, v, step.level, step.next_level, 0.5)
    torch.testing.assert_close(mean, step.mean)
    log_likelihood(step.x_next, mean, std).sum().backward()
    grads = [p.grad for n, p in model.named_parameters() if "lora_B" in n]
    assert grads and all(g is not None and g.abs().max() > 0 for g in grads)
