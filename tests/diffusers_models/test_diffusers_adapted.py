"""Adapters that worldloop trained, and adapters from elsewhere, in the pipelines they belong to."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from worldloop.actions import NAVIGATION
from worldloop.core import InputError, Observation, Query, Vocabulary
from worldloop.core.actions import Primitive
from worldloop.core.errors import ModelError
from worldloop.training.collect import CollectConfig, collect
from worldloop.training.diffusers import DiffusersTraining, train_diffusers
from worldloop.training.diffusers.folder import open_folder
from worldloop.training.diffusers.prompts import encode_captions

from tiny_diffusers import CPU, pictures
from tiny_diffusers import load as load_parts

pytestmark = pytest.mark.usefixtures("one_thread")
NAMES = ["turn_left", "move_forward"]


@pytest.fixture(scope="module")
def data(tmp_path_factory) -> str:
    place = tmp_path_factory.mktemp("data") / "train"
    collect(CollectConfig(place, 32, styles=("A",), episode_frames=16, size=64, jobs=1))
    return str(place)


@pytest.fixture(scope="module")
def trained(folder, data, tmp_path_factory):
    """The folder of an adapter for a kind of pipeline, trained for two steps that change a lot."""
    made = {}

    def of(kind: str, control: str, part: str = "") -> str:
        if (kind, control, part) not in made:
            out = tmp_path_factory.mktemp("trained") / f"{kind}-{control}{part}"
            base = folder(kind) / part if part else folder(kind)
            train_diffusers(
                DiffusersTraining(
                    str(base), (data,), out, control, examples=4, batch=2, rank=2, learning_rate=0.05
                )
            )
            made[kind, control, part] = str(out)
        return made[kind, control, part]

    return of


def query(names=NAMES, seed: int = 1) -> Query:
    return Query((Observation(pictures(0, 1, 64)[0]),), (), NAVIGATION.plan(names), seed)


def apart(a, b) -> int:
    return max(int(np.abs(x.rgb.astype(int) - y.rgb).max()) for x, y in zip(a.frames, b.frames, strict=True))


@pytest.mark.parametrize(
    ("kind", "control"),
    [
        ("wan", "code"),
        ("wan-i2v", "text"),
        ("ltx", "camera"),
        ("ltx", "code"),
        ("cogvideox-i2v", "code"),
        ("cosmos", "camera"),
    ],
)
def test_what_training_writes_is_asked_as_it_was_trained(kind, control, load, folder, trained):
    place = trained(kind, control)
    card = json.loads(Path(place, "card.json").read_text())
    model = load(kind, lora=place, size=None)
    assert model.card.control == control
    assert model.card.settings["training_scenes"] == sorted(card["training_scenes"]) != []
    assert "1 frames of video for each action" in model.card.notes
    frames, names = card["frames"], ["turn_left", "move_forward", "turn_right"]
    first, other = model.simulate([query(names), query(["turn_right"] * 3)])
    assert len(first.frames) == 3 and apart(first, other) > 0
    timing = model._timing(3)
    assert timing.taken == (1, 2, 3) and timing.frames >= 1 + frames
    # The prompt is what training would have made of a clip with these actions.
    parts = load_parts(folder(kind))
    plan = NAVIGATION.plan(names + names[-1:] * (frames - 3))
    made, negative, text = model._speaker.prompt(model._speaker.completed(query(names).plan))
    book = encode_captions(open_folder(folder(kind)), parts.family, [text], CPU)
    expected = book.prompt([text if control == "text" else ""], CPU)
    without = book.prompt([""], CPU)
    if control != "text":
        codes = {n: i + 1 for i, n in enumerate(card["actions"])}
        told = torch.tensor([[codes[n] for n in plan.names]])
        if control == "camera":
            told = model._speaker._numbers(plan)
        with torch.no_grad():
            expected = model._speaker._told(expected, told)
            without = model._speaker._told(without, told, torch.tensor([False]))
    # Where a mask hides padding, what stands there does not matter.
    for ours, theirs in ((made, expected), (negative, without)):
        seen = torch.ones(theirs.embeds.shape[:2]) if theirs.mask is None else theirs.mask.float()
        assert torch.allclose(
            ours["prompt_embeds"] * seen[..., None], theirs.embeds * seen[..., None], atol=1e-5
        )
        if theirs.mask is not None:
            assert torch.equal(ours["prompt_attention_mask"].bool(), theirs.mask)


def test_an_adapter_changes_what_is_seen_and_its_hash(load, trained, tmp_path):
    place = trained("wan-i2v", "text")
    plain, adapted = load("wan-i2v", frames=9), load("wan-i2v", lora=place)
    assert plain.card.weights_hash != adapted.card.weights_hash and adapted.card.name.startswith("wan-i2v+")
    names = NAMES * 4
    assert apart(plain.simulate([query(names)])[0], adapted.simulate([query(names)])[0]) > 1


def test_each_expert_takes_its_own_adapter(load, trained):
    first, second = trained("wan-a14b", "text"), trained("wan-a14b", "text", "transformer_2")
    plain = load("wan-a14b", frames=9).simulate([query(NAMES * 4)])[0]
    high = load("wan-a14b", lora=first)
    both = load("wan-a14b", lora=first, lora_2=second)
    seen = [m.simulate([query(NAMES * 4)])[0] for m in (high, both)]
    assert apart(plain, seen[0]) > 0 and apart(*seen) > 0
    assert set(both.pipeline.pipe.transformer_2.peft_config) == {"worldloop"}
    with pytest.raises(InputError, match="trained on weights"):
        load("wan-a14b", lora=second)
    with pytest.raises(InputError, match="second transformer"):
        load("wan-i2v", lora_2=second)


def test_adapters_from_elsewhere_need_no_card(load, trained, tmp_path):
    state = load_file(f"{trained('wan-i2v', 'text')}/adapter_model.safetensors")
    save_file(state, tmp_path / "other.safetensors")
    model = load("wan-i2v", lora=tmp_path / "other.safetensors", frames=9)
    assert model.card.settings["training_scenes"] == []
    plain = load("wan-i2v", frames=9)
    assert apart(model.simulate([query()])[0], plain.simulate([query()])[0]) > 0
    # A pipeline that reads no adapters of its own hands them to its transformer.
    cosmos = load_file(f"{trained('cosmos', 'camera')}/adapter_model.safetensors")
    save_file(cosmos, tmp_path / "cosmos.safetensors")
    load("cosmos", lora=tmp_path / "cosmos.safetensors").simulate([query()])


def test_what_does_not_go_together_is_refused(load, trained, tmp_path):
    code = trained("ltx", "code")
    with pytest.raises(InputError, match="trained with --control code, not text"):
        load("ltx", lora=code, control="text")
    with pytest.raises(InputError, match="one frame for each action"):
        load("ltx", lora=code, frames_per_action=4)
    with pytest.raises(InputError, match="trained on weights"):
        load("wan-i2v", lora=code)
    with pytest.raises(InputError, match="needs an adapter"):
        load("ltx", control="code")
    with pytest.raises(InputError, match="no adapter"):
        load("ltx", lora=tmp_path)
    with pytest.raises(InputError, match="from text alone"):
        load("wan")
    (tmp_path / "adapter.bin").write_bytes(b"")
    with pytest.raises(InputError, match="pickled"):
        load("ltx", lora=tmp_path / "adapter.bin")
    save_file({"nothing": torch.zeros(1)}, tmp_path / "empty.safetensors")
    with pytest.raises(InputError, match="cannot be loaded onto transformer"):
        load("ltx", lora=tmp_path / "empty.safetensors")
    with pytest.raises(InputError, match="takes no adapters"):
        load("svd", lora=tmp_path / "empty.safetensors")


def test_unknown_actions_are_refused(load, trained):
    model = load("ltx", lora=trained("ltx", "code"))
    longer = Vocabulary(
        "navigation", (Primitive("move_forward", forward=0.5), Primitive("turn_left", yaw_deg=22.5))
    )
    assert "another motion" in model.refuses(longer)
    with pytest.raises(ModelError, match="another motion"):
        model.simulate([Query(query().history, (), longer.plan(["turn_left"]), 1)])
    assert model.refuses(NAVIGATION) is None
    with pytest.raises(ModelError, match="not trained on stop"):
        model.simulate([query(["turn_left", "stop"])])


def test_adapters_work_in_half_precision_and_in_eight_bits(load, trained):
    kind, place = "wan-i2v", trained("wan-i2v", "text")
    exact = load(kind, lora=place).simulate([query()])[0]
    half = load(kind, lora=place, dtype="bf16")
    assert half.pipeline.pipe.transformer.dtype == torch.bfloat16
    assert half.card.settings["dtype"] == "bfloat16"
    assert apart(exact, half.simulate([query()])[0]) > 0
    eight = load(kind, lora=place, fp8="true")
    stored = {p.dtype for n, p in eight.pipeline.pipe.transformer.named_parameters() if "lora_" not in n}
    assert torch.float8_e4m3fn in stored
    kept = {p.dtype for n, p in eight.pipeline.pipe.transformer.named_parameters() if "lora_" in n}
    assert torch.float8_e4m3fn not in kept
    assert apart(exact, eight.simulate([query()])[0]) > 0


def test_a_damaged_adapter_is_refused(load, trained, tmp_path):
    place = tmp_path / "copy"
    shutil.copytree(trained("ltx", "code"), place)
    (place / "adapter_model.safetensors").write_bytes(b"not safe")
    with pytest.raises(InputError, match="cannot be loaded"):
        load("ltx", lora=place)
