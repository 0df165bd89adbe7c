"""Distillation: the student lands where many steps of the teacher do, and its file is an ordinary checkpoint."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from worldloop.core import InputError
from worldloop.models.video import (
    Condition,
    FlowConfig,
    SamplerConfig,
    VideoCheckpoint,
    VideoModel,
    flow_loss,
    guided,
    load_checkpoint,
    sample,
    save_checkpoint,
)
from worldloop.training.loop import LoopConfig
from worldloop.training.video import Distillation, distil, train_distil
from worldloop.training.video.distil import PathLoss, samplers, teacher_path
from worldloop.training.video.footage import Footage, clip_batch

from tiny_video import ACTIONS, PIXELS, ask, checkpoint, latents, panorama

pytest.importorskip("accelerate")
LOOP = LoopConfig(steps=6, batch=4, learning_rate=2e-3, warmup=1, precision="fp32", checkpoint_seconds=0.0)


def footage(frames: int = 24) -> Footage:
    """Two episodes of random latents and actions."""
    random = np.random.default_rng(0)
    codes = random.integers(1, 4, frames)
    codes[[frames // 2 - 1, -1]] = 0
    return Footage(
        latents(frames).half(),
        panorama(frames).half(),
        codes,
        random.normal(size=(frames, 3)),
        np.repeat([0, 1], frames // 2),
        ("house/train/A/0000", "house/train/B/0001"),
        ACTIONS,
    )


def one_clip() -> Footage:
    """Five frames: there is one clip to see."""
    whole = footage()
    codes = np.array([1, 2, 1, 3, 0])
    parts = {"latents": whole.latents[:5], "panoramas": whole.panoramas[:5], "poses": whole.poses[:5]}
    return replace(whole, codes=codes, episodes=np.zeros(5, np.int64), **parts)


def overfit(data: Footage) -> VideoCheckpoint:
    """A teacher that has learnt two clips by heart: which of them, the noise decides."""
    teacher = checkpoint("code", width=48)
    model = teacher.backbone
    torch.manual_seed(0)
    past, around = data.latents[None, :1].float(), data.panoramas[:1].float()
    x0 = torch.cat((data.latents[None, 1:5].float(), latents(1, 4, seed=8))).repeat(8, 1, 1, 1, 1)
    condition = Condition(codes=torch.from_numpy(data.codes[None, :4]).repeat(16, 1))
    optimiser = torch.optim.Adam(model.parameters(), 4e-3)
    for step in range(100):
        draw = torch.Generator().manual_seed(step)
        context = model.context(past, around, Condition(codes=torch.zeros(1, 1, dtype=torch.int64)))
        loss = flow_loss(guided(model, condition, context), x0, FlowConfig(mean=0.5), draw).mean()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    return teacher


def clips(model, data: Footage, config: SamplerConfig, count: int = 8) -> torch.Tensor:
    """Samples of the one clip from different noise."""
    codes = torch.from_numpy(data.codes[None, :4]).repeat(count, 1)
    none = Condition(codes=torch.zeros(1, 1, dtype=torch.int64))
    with torch.no_grad():
        context = model.context(data.latents[None, :1].float(), data.panoramas[:1].float(), none)
        noise = latents(count, 4, seed=77)
        return sample(guided(model, Condition(codes=codes), context), noise, config)


@pytest.fixture(scope="module")
def taught(tmp_path_factory):
    """A teacher's file, the folder of its one-step student, and the facts."""
    folder, data = tmp_path_factory.mktemp("distil"), one_clip()
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    save_checkpoint(folder / "teacher.safetensors", overfit(data))
    before = (folder / "teacher.safetensors").read_bytes()
    loop = replace(LOOP, steps=100, batch=16, learning_rate=3e-3, average=0.9, checkpoint_seconds=1e9)
    settings = Distillation(
        str(folder / "teacher.safetensors"), ("nowhere",), folder / "student", loop, history=1
    )
    facts = train_distil(settings, footage=data)
    torch.set_num_threads(threads)
    assert (folder / "teacher.safetensors").read_bytes() == before
    return folder, data, facts


def test_one_step_of_the_student_is_nearer_to_many_of_the_teacher(taught):
    folder, data, facts = taught
    teacher = load_checkpoint(folder / "teacher.safetensors").backbone
    student = load_checkpoint(folder / "student" / "distilled.safetensors")
    many, _ = samplers(load_checkpoint(folder / "teacher.safetensors").spec, 1, 8)
    wanted = clips(teacher, data, many)
    own = (clips(teacher, data, replace(many, steps=1)) - wanted).square().mean()
    apart = (clips(student.backbone, data, student.spec.sampler) - wanted).square().mean()
    assert apart < 0.4 * own, (float(apart), float(own))
    measured = facts["distance_to_teacher"]
    assert measured["student"] < 0.4 * measured["teacher_in_as_many_steps"]


def test_facts_say_how(taught):
    facts = taught[2]
    assert facts["levels"] == [1.0, 0.0] and (facts["student_steps"], facts["teacher_steps"]) == (1, 8)
    assert (
        facts["trained_parameters"] == facts["parameters"]
        and facts["styles"] == ["A", "B"]
        and facts["scenes"] == 2
    )
    assert facts["teacher"] == load_checkpoint(taught[0] / "teacher.safetensors").weights_hash
    assert facts["losses"][-1][1] < 0.5 * facts["losses"][0][1]


@pytest.mark.parametrize(
    ("control", "steps"), [("none", 2), ("text", 2), ("camera", 2), ("code", 1), ("code", 2), ("code", 4)]
)
def test_the_file_is_a_checkpoint_that_samples_in_the_stated_steps(tmp_path, control, steps):
    teacher = checkpoint(control)
    teacher_hash = save_checkpoint(tmp_path / "teacher.safetensors", teacher)
    settings = Distillation(str(tmp_path / "teacher.safetensors"), ("x",), tmp_path, LOOP, steps, history=2)
    facts = train_distil(settings, footage=footage())
    model = VideoModel(tmp_path / "distilled.safetensors")
    assert model.card.control == control and model.card.settings["steps"] == steps
    assert len(model.card.settings["levels"]) == steps + 1 == len(facts["levels"])
    assert model.card.weights_hash == facts["weights_hash"] != teacher_hash
    assert set(model.card.settings["training_scenes"]) == {"a", "b", *footage().scenes}
    asked, inner = [], model.backbone.velocity
    model.backbone.velocity = lambda *a: asked.append(1) or inner(*a)  # type: ignore[method-assign]
    (rollout,) = model.simulate([ask(["turn_left"] * 4)])
    assert len(asked) == steps and rollout.frames[0].rgb.shape == (PIXELS, PIXELS, 3)
    assert model.spec.name == f"tiny-{steps}step" and model.backbone.config == teacher.backbone.config
    with pytest.raises(InputError, match="distilled already"):
        train_distil(replace(settings, base=str(tmp_path / "distilled.safetensors")), footage=footage())


def test_resumed_training_equals_uninterrupted(tmp_path):
    save_checkpoint(tmp_path / "teacher.safetensors", checkpoint("code"))
    whole = Distillation(str(tmp_path / "teacher.safetensors"), ("x",), tmp_path / "whole", LOOP, 2)
    broken = replace(whole, out=tmp_path / "broken")

    def kill(step, loss):
        if step == 3:
            raise KeyboardInterrupt

    expected = train_distil(whole, footage=footage())
    with pytest.raises(KeyboardInterrupt):
        train_distil(broken, kill, footage())
    again = train_distil(broken, footage=footage())
    assert again["losses"] == expected["losses"] and again["levels"] == expected["levels"]
    states = [
        load_checkpoint(tmp_path / n / "distilled.safetensors").backbone.state_dict()
        for n in ("whole", "broken")
    ]
    assert all(torch.equal(states[0][k], states[1][k]) for k in states[0])
    with pytest.raises(InputError, match="other settings"):
        train_distil(replace(broken, student_steps=4), footage=footage())


def test_the_teacher_stays_as_it_was_and_the_student_begins_there(tmp_path, monkeypatch):
    save_checkpoint(tmp_path / "teacher.safetensors", checkpoint("code"))
    loaded, before = [], load_checkpoint(tmp_path / "teacher.safetensors").backbone.state_dict()
    monkeypatch.setattr(distil, "load_checkpoint", lambda p: loaded.append(load_checkpoint(p)) or loaded[-1])
    still = replace(LOOP, steps=1, learning_rate=1e-12, weight_decay=0.0)
    settings = Distillation(str(tmp_path / "teacher.safetensors"), ("x",), tmp_path / "a", LOOP)
    train_distil(settings, footage=footage())
    train_distil(replace(settings, out=tmp_path / "b", loop=still), footage=footage())
    for teacher in loaded:
        assert all(torch.equal(before[k], v) for k, v in teacher.backbone.state_dict().items())
    moved, begun = (load_checkpoint(tmp_path / n / "distilled.safetensors").backbone for n in "ab")
    half = {k: v.half().float() for k, v in before.items()}
    torch.testing.assert_close(begun.state_dict(), half, atol=1e-3, rtol=1e-3)
    assert any(not torch.allclose(half[k], v, atol=1e-3) for k, v in moved.state_dict().items())


def test_the_path_is_the_teachers_own_sample_and_its_levels_the_students():
    spec, model = checkpoint("code").spec, checkpoint("code").backbone
    noise, context = latents(2, 4), None
    for guidance in (1.0, 2.0):
        spec = replace(spec, sampler=replace(spec.sampler, guidance=guidance))
        many, few = samplers(spec, 2, 8)
        condition = Condition(codes=torch.tensor([[1, 2, 3, 1], [3, 3, 1, 2]]))
        with torch.no_grad():
            context = model.context(latents(2, 1, seed=1), panorama(2))
            path = teacher_path(model, condition, context, noise, many, 2)
            clean = sample(guided(model, condition, context, guidance), noise, many)
        assert [level for level, _ in path] == pytest.approx(list(few.levels)) and few.guidance == 1.0
        assert torch.equal(path[0][1], noise) and torch.equal(path[-1][1], clean)


def test_a_student_that_makes_the_jumps_exactly_has_no_loss():
    """With as many jumps as the teacher has steps, the teacher itself is the perfect student."""
    model = checkpoint("code").backbone
    many, _ = samplers(checkpoint("code").spec, 2, 4)
    batch = clip_batch(footage(), np.array([0, 13]), 1, 4, torch.device("cpu"))
    given = Condition(codes=batch.codes), Condition(codes=batch.context_codes)
    exact, coarse = (PathLoss(model, model, many, jumps)(batch, *given, seed=1) for jumps in (4, 2))
    assert exact.shape == (2,) and exact.max() < 1e-8 < 1e-4 < coarse.min()


def test_wrong_settings_and_data(tmp_path):
    save_checkpoint(tmp_path / "teacher.safetensors", checkpoint("code"))
    good = Distillation(str(tmp_path / "teacher.safetensors"), ("x",), tmp_path, LOOP)
    for bad in ({"student_steps": 3}, {"teacher_steps": 1}, {"history": 0}, {"dropped": 1.0}):
        with pytest.raises(InputError):
            replace(good, **bad)
    with pytest.raises(InputError, match="multiple"):
        replace(good, student_steps=4, teacher_steps=6)
    with pytest.raises(InputError, match="too short"):
        train_distil(good, footage=one_clip())
    with pytest.raises(InputError, match="other actions"):
        train_distil(good, footage=replace(footage(), actions={"jump": (1.0, 0.0, 0.0)}))
