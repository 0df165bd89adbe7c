"""Folders and settings that are refused, what the card says, memory that runs out, and what makes a pipeline faster."""

from __future__ import annotations

import json
import logging
import shutil
import sys
import types
from pathlib import Path

import numpy as np
import pytest
import torch

from worldloop.actions import NAVIGATION
from worldloop.core import InputError, Observation, Query
from worldloop.core.errors import ModelError
from worldloop.models import MODELS
from worldloop.models.diffusers import DiffusersConfig, DiffusersModel
from worldloop.models.diffusers.known import PIPELINES

from tiny_diffusers import pictures

pytestmark = pytest.mark.usefixtures("one_thread")


def query(seed: int = 1, names=("turn_left", "move_forward")) -> Query:
    return Query((Observation(pictures(0, 1, 64)[0]),), (), NAVIGATION.plan(names), seed)


def same(a, b) -> bool:
    return all(np.array_equal(x.rgb, y.rgb) for x, y in zip(a.frames, b.frames, strict=True))


@pytest.fixture
def copy(folder, tmp_path):
    """A pipeline's folder that may be changed."""

    def of(kind: str) -> Path:
        return Path(shutil.copytree(folder(kind), tmp_path / kind))

    return of


def index(place: Path, **changes) -> None:
    known = json.loads((place / "model_index.json").read_text())
    (place / "model_index.json").write_text(json.dumps({**known, **changes}))


def test_it_is_listed():
    assert "folder on this machine" in MODELS.summary("diffusers")
    with pytest.raises(InputError, match=r"its settings are folder, control, lora"):
        MODELS.create("diffusers:path=x")


def test_folders_that_cannot_be_used_are_refused(copy, load, tmp_path):
    with pytest.raises(InputError, match=r"no model_index\.json"):
        load("ltx", tmp_path)
    place = copy("ltx")
    index(place, _class_name="StableDiffusionPipeline")
    with pytest.raises(InputError, match="StableDiffusionPipeline, which is not among") as error:
        load("ltx", place)
    assert all(name in str(error.value) for p in PIPELINES for name in p.names)
    index(place, _class_name=["my_pipeline", "Mine"])
    with pytest.raises(InputError, match="code in a folder is never run"):
        load("ltx", place)
    index(place, _class_name="LTXPipeline", vae=["my_vae", "Mine"])
    with pytest.raises(InputError, match="vae comes from 'my_vae'"):
        load("ltx", place)
    index(place, vae=[None, None])
    with pytest.raises(InputError, match="lacks vae, which a LTXPipeline needs"):
        load("ltx", place)
    index(place, vae=["diffusers", "AutoencoderKLLTXVideo"])
    shutil.rmtree(place / "vae")
    with pytest.raises(InputError, match="lacks the folder 'vae'"):
        load("ltx", place)


def test_pickled_weights_are_refused(copy, load):
    place = copy("ltx")
    weights = place / "transformer" / "diffusion_pytorch_model.safetensors"
    weights.rename(weights.with_suffix(".bin"))
    with pytest.raises(InputError, match=r"pickled weights only.*save_pretrained"):
        load("ltx", place)


def test_damaged_weights_are_refused(copy, load):
    place = copy("ltx")
    (place / "vae" / "diffusion_pytorch_model.safetensors").write_bytes(b"nothing")
    with pytest.raises(InputError, match="cannot be loaded as a LTXImageToVideoPipeline"):
        load("ltx", place)


def test_a_class_that_diffusers_does_not_have_names_the_version(load, monkeypatch):
    from worldloop.models.diffusers.cosmos3 import Cosmos3

    monkeypatch.setattr(Cosmos3, "loads", "Cosmos9Pipeline")
    with pytest.raises(InputError, match=r"has no Cosmos9Pipeline, 0.42 has: pip install"):
        load("cosmos3")


@pytest.mark.parametrize(
    ("settings", "reason"),
    [
        ({"control": "keys"}, "control is one of text, code"),
        ({"steps": 0}, "steps is a positive whole number"),
        ({"frames": 9, "frames_per_action": 1}, "not both"),
        ({"dtype": "int8"}, "dtype is auto"),
        ({"offload": "yes"}, "offload is true or false"),
        ({"guidance": "much"}, "guidance is a number"),
        ({"size": "wide"}, "size is rows x columns"),
        ({"size": 50}, "multiples of 32"),
        ({"frames": 8}, "videos of 9 frames, not of 8"),
        ({"device": "tpu"}, "no such device"),
        ({"offload": "true"}, "device=cpu"),
        ({"attention": "flash_hub"}, "would download code"),
        ({"attention": "nothing"}, "cannot be set up as asked"),
        ({"template": "a room"}, "must say"),
        ({"control": "camera"}, "needs an adapter"),
    ],
)
def test_settings_that_cannot_be_used_are_refused(settings, reason, load):
    with pytest.raises(InputError, match=reason):
        load("ltx", **settings)


def test_more_settings_that_cannot_be_used(load, copy):
    with pytest.raises(InputError, match="takes control none, not text"):
        load("svd", control="text")
    with pytest.raises(InputError, match="chooses the size"):
        load("hunyuan", size=64)
    with pytest.raises(InputError, match="resolution tier: 256, 480"):
        load("cosmos3", size=64)
    with pytest.raises(InputError, match="no first-block cache"):
        load("cosmos", cache=0.1)
    place = copy("ltx")
    shutil.rmtree(place / "text_encoder")
    index(place, text_encoder=[None, None])
    with pytest.raises(InputError, match="no text_encoder and tokenizer"):
        load("ltx", place)
    blind = load("ltx", place, control="none")
    assert blind.card.control == "none"
    turned = query(names=("turn_right",) * 2)
    assert same(*blind.simulate([query(), turned]))


def test_the_safety_checker_of_cosmos_is_on_unless_it_is_turned_off(load, monkeypatch):
    assert load("cosmos").card.settings["safety_checker"] == "off"
    with pytest.raises(InputError, match="pip install cosmos_guardrail, or give safety=false"):
        load("cosmos", safety="true")
    seen = []

    class Checker:
        def __init__(self) -> None:
            from huggingface_hub import constants

            seen.append(constants.HF_HUB_OFFLINE)

        def to(self, device):
            return self

        def check_text_safety(self, text):
            return True

        def check_video_safety(self, frames):
            return np.zeros_like(frames)

    monkeypatch.setitem(sys.modules, "cosmos_guardrail", types.SimpleNamespace(CosmosSafetyChecker=Checker))
    model = load("cosmos", safety="true")
    assert seen == [True] and model.card.settings["safety_checker"] == "on"
    assert "safety checker may blur" in model.card.notes
    assert model.simulate([query()])[0].frames[0].rgb.max() == 0


def test_the_card_tells_what_results_depend_on(load, folder):
    card = load("ltx", guidance=2, template="Slowly. {actions}").card
    assert card.name == "ltx" and card.control == "text" and card.licence == "apache-2.0"
    assert len(card.weights_hash) == 16
    wanted = {
        "pipeline": "LTXImageToVideoPipeline",
        "steps": 2,
        "guidance": 2.0,
        "dtype": "float32",
        "device": "cpu",
    }
    assert card.settings.items() >= {**wanted, "template": "Slowly. {actions}", "size": 64}.items()
    assert json.dumps(dict(card.settings))
    assert load("ltx").card.weights_hash == card.weights_hash
    usual = load("ltx", steps=None, guidance=None).card.settings
    assert usual["steps"] == 50 and usual["guidance"] == 3.0


def test_the_same_text_is_encoded_once(load):
    model, texts = load("ltx"), []
    memory = model._speaker._say
    encode = memory._encode
    memory._encode = lambda text: texts.append(text) or encode(text)
    model.simulate([query(1), query(2), query(3, ("turn_right",))])
    model.simulate([query(4)])
    said = "The camera rotates left by 22.5°. The camera moves forward by 0.2m."
    assert texts == [said, "", "The camera rotates right by 22.5°."]


def test_templates_may_lie_in_files(load, tmp_path):
    file = tmp_path / "prompt.txt"
    file.write_text("A house, seen by a robot. {actions}\n")
    model = load("ltx", template=file)
    assert model._speaker.prompt(query().plan)[2].startswith("A house, seen by a robot. The camera rotates")
    assert model.card.settings["template"] == "A house, seen by a robot. {actions}"


def test_fewer_candidates_are_tried_when_memory_runs_out(load, caplog):
    model = load("ltx", batch=8)
    queries = [query(seed) for seed in range(7)]
    expected = [model.simulate([q])[0] for q in queries]
    sizes, call = [], model.pipeline.call

    def short(asks, *rest):
        sizes.append(len(asks))
        if len(asks) > 2:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 3 GiB\nand more")
        return call(asks, *rest)

    model.pipeline.call = short
    with caplog.at_level(logging.WARNING, "worldloop"):
        made = model.simulate(queries)
    assert sizes == [7, 3, 1, 1, 1, 1, 1, 1, 1] and len(made) == 7
    assert all(same(a, b) for a, b in zip(expected, made))
    warned = [r.getMessage() for r in caplog.records if r.name.startswith("worldloop")]
    assert len(warned) == 2 and "from now on 1 at a time" in warned[-1]
    model.simulate(queries[:2])
    assert sizes[9:] == [1, 1]


def test_one_candidate_that_does_not_fit_says_what_to_change(load):
    model = load("ltx")

    def full(*_):
        raise torch.OutOfMemoryError("CUDA out of memory.")

    model.pipeline.call = full
    with pytest.raises(ModelError, match=r"one candidate does not fit.*size.*offload=true"):
        model.simulate([query()])


def test_videos_that_are_not_what_was_asked_for_are_refused(load):
    model = load("ltx")
    call = model.pipeline.call
    model.pipeline.call = lambda *a: call(*a)[:, :3]
    with pytest.raises(ModelError, match="made 1x3x64x64x3 values for 1 x 9 frames"):
        model.simulate([query()])
    model.pipeline.call = lambda *a: call(*a) * np.nan
    with pytest.raises(ModelError, match="not finite"):
        model.simulate([query()])


@pytest.mark.parametrize("kind", ["wan-i2v", "ltx"])
def test_the_first_block_cache_skips_steps(kind, load):
    plain = load(kind, steps=4, guidance=1).simulate([query()])[0]
    never = load(kind, steps=4, guidance=1, cache=0.0)
    always = load(kind, steps=4, guidance=1, cache=1e6)
    assert never._batch == always._batch == 1 and always.card.settings["cache"] == 1e6
    asked = always.simulate([query()])[0]
    assert same(plain, never.simulate([query()])[0]) and not same(plain, asked)
    # Nothing of one candidate is left for the next.
    assert same(asked, always.simulate([query(2), query()])[1])


def test_an_attention_backend_can_be_named(load):
    model = load("wan-i2v", attention="_native_math")
    assert model.card.settings["attention"] == "_native_math"
    model.simulate([query()])


def test_parts_that_compile_are_compiled(load, monkeypatch):
    compiled = []
    monkeypatch.setattr(
        torch.nn.Module, "compile", lambda self, *a, **k: compiled.append(type(self).__name__)
    )
    load("wan-i2v", compile="true")
    assert compiled == ["WanTransformerBlock"] * 2
    with pytest.raises(InputError, match="cannot be set up"):
        load("cogvideox-i2v", compile="true")


def test_it_can_be_built_in_python(folder):
    model = DiffusersModel(DiffusersConfig(str(folder("ltx")), steps=1, size="64x96", device="cpu"))
    assert model._question(query()).ask.size == (64, 96)
    with pytest.raises(ModelError, match="uint8"):
        model.simulate([Query((Observation(np.zeros((64, 64, 3), np.float32)),), (), query().plan, 1)])
