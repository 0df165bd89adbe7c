"""Post-training a folder of diffusers by command: what is written, resumed, left alone and refused."""

from __future__ import annotations

import hashlib
import json
import shutil
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from worldloop.cli.main import main
from worldloop.core import InputError, SplitError
from worldloop.core.errors import MissingExtraError
from worldloop.training.collect import CollectConfig, collect
from worldloop.training.diffusers import DiffusersTraining, load_control, train_diffusers
from worldloop.training.diffusers.adapter import WEIGHTS
from worldloop.training.diffusers.clips import fitted
from worldloop.training.diffusers.folder import licence, open_folder
from worldloop.training.diffusers.prompts import encode_captions
from worldloop.training.diffusers.sft import CONTROL_FILE

from tiny_diffusers import CAPTION, CPU, NAMES, load

pytestmark = pytest.mark.usefixtures("one_thread")


def settings(folder, data, out, **changes) -> DiffusersTraining:
    return DiffusersTraining(str(folder), (data,), out, **{"examples": 4, "batch": 2, "rank": 2, **changes})


def digest(root: Path) -> dict[str, str]:
    return {str(p): hashlib.sha256(p.read_bytes()).hexdigest() for p in root.rglob("*") if p.is_file()}


@pytest.mark.parametrize("kind", NAMES)
def test_training_runs_and_leaves_the_base_alone(kind, folders, small_data, tmp_path):
    before = digest(folders[kind])
    for control in ("text", "code", "camera"):
        card = train_diffusers(settings(folders[kind], small_data, tmp_path / control, control=control))
        assert card["steps"] == 2 and np.isfinite([v for _, v in card["losses"]]).all()
        assert card == json.loads((tmp_path / control / "card.json").read_text(), object_hook=tuples)
        assert card["licence"] == "apache-2.0" and card["scenes"] > 0 and len(card["base"]) == 16
        assert (tmp_path / control / CONTROL_FILE).exists() == (control != "text")
        assert [p.name for p in (tmp_path / control).glob("*.safetensors")] == [WEIGHTS]
        if control != "text":
            assert load_control(tmp_path / control / CONTROL_FILE).out.weight.abs().max() > 0
    assert digest(folders[kind]) == before


def tuples(found: dict) -> dict:
    """JSON has no tuples; the card has some."""
    return {
        k: [tuple(p) for p in v] if k == "losses" else {n: tuple(m) for n, m in v.items()} if k == "actions" else v
        for k, v in found.items()
    }  # fmt: skip


def test_a_killed_training_ends_with_the_same_weights(folders, small_data, tmp_path):
    def kill(step, loss):
        if step == 3:
            raise KeyboardInterrupt

    def run(name, progress=None, **changes):
        train_diffusers(
            settings(folders["wan"], small_data, tmp_path / name, control="camera", epochs=2, **changes),
            progress,
        )

    run("whole")
    import worldloop.training.diffusers.sft as sft

    eager = sft.LoopConfig
    sft.LoopConfig = lambda **k: eager(**k, checkpoint_seconds=0.0)
    try:
        with pytest.raises(KeyboardInterrupt):
            run("broken", kill)
        run("broken")
    finally:
        sft.LoopConfig = eager
    for name in (WEIGHTS, CONTROL_FILE):
        whole, broken = (load_file(tmp_path / out / name) for out in ("whole", "broken"))
        assert whole.keys() == broken.keys() and all(torch.equal(whole[k], broken[k]) for k in whole)
    with pytest.raises(InputError, match="other settings"):
        run("whole", dropped=0.5)


@pytest.fixture
def fresh_accelerate():
    """accelerate keeps one precision for the whole process."""
    from accelerate.state import AcceleratorState

    AcceleratorState._reset_state(True)
    yield AcceleratorState
    AcceleratorState._reset_state(True)


def test_checkpointing_and_bf16_train(folders, small_data, tmp_path, fresh_accelerate):
    plain, twice, half = (
        train_diffusers(settings(folders["wan"], small_data, tmp_path / name, control="code", **changes))
        for name, changes in {
            "plain": {},
            "twice": {"checkpointing": True},
            "half": {"precision": "bf16"},
        }.items()
        if fresh_accelerate._reset_state(True) is None
    )
    np.testing.assert_allclose([v for _, v in plain["losses"]], [v for _, v in twice["losses"]], rtol=1e-5)
    np.testing.assert_allclose([v for _, v in plain["losses"]], [v for _, v in half["losses"]], rtol=0.05)
    assert twice["gradient_checkpointing"] and not plain["gradient_checkpointing"]


def test_the_command_trains(folders, small_data, tmp_path, capsys):
    command = ["train", "sft", "--base", str(folders["ltx"]), "--data", small_data, "--control", "text"]
    command += ["--examples", "4", "--batch", "2", "--rank", "2", "--frames", "8", "--size", "64,96"]
    assert main([*command, "--epochs", "1", "--out", str(tmp_path / "out"), "--json"]) == 0
    card = json.loads(capsys.readouterr().out)
    assert card["family"] == "ltx" and card["size"] == [64, 96] and (tmp_path / "out" / WEIGHTS).is_file()
    assert main([*command, "--size", "64"]) == 2


def test_pictures_are_scaled_to_cover_and_the_middle_is_kept():
    frames = np.zeros((1, 2, 10, 20, 3), np.uint8)
    frames[:, :, :, 5:15] = 255
    assert fitted(frames, (10, 20), CPU).shape == (1, 3, 2, 10, 20)
    assert fitted(frames, (10, 10), CPU).min() == 1
    large = fitted(frames, (20, 20), CPU)
    assert large.shape == (1, 3, 2, 20, 20) and large[..., 3:-3].min() > 0.9


def test_incomplete_and_unknown_folders_end_in_a_sentence(folders, small_data, tmp_path):
    def changed(name, *gone, kind="wan", config=None):
        shutil.copytree(folders[kind], tmp_path / name)
        for part in gone:
            shutil.rmtree(tmp_path / name / part)
        if config:
            place = tmp_path / name / "transformer" / "config.json"
            place.write_text(json.dumps({**json.loads(place.read_text()), **config}))
        return tmp_path / name

    cases = {
        "cannot be adapted; known are": changed("unknown", config={"_class_name": "OtherTransformer"}),
        "no autoencoder; give its folder": changed("vae", "vae"),
        "no text_encoder and no tokenizer": changed("mute", "text_encoder", "tokenizer"),
        "neither transformer/config.json": changed("empty", "transformer"),
        "needs its scheduler": changed("free", "scheduler", kind="cogvideox"),
        "no image_encoder": changed("blind", "image_encoder", kind="wan-i2v"),
        "reads 20 channels": changed("wide", config={"in_channels": 20}),
    }
    for message, folder in cases.items():
        if folder.name == "wide":
            for file in (folder / "transformer").glob("*.safetensors"):
                file.unlink()
            message = "cannot be loaded as WanTransformer3DModel"
        with pytest.raises(InputError, match=message):
            train_diffusers(settings(folder, small_data, tmp_path / "out"))
    alone = changed("alone", "vae", "text_encoder", "tokenizer") / "transformer"
    other = replace(
        settings(alone, small_data, tmp_path / "lone", control="code"), vae=Path(folders["wan"]) / "vae"
    )
    assert train_diffusers(other)["steps"] == 2
    with pytest.raises(InputError, match="is a AutoencoderKLLTXVideo"):
        train_diffusers(replace(other, vae=Path(folders["ltx"]) / "vae", out=tmp_path / "x"))


def test_unsafe_weights_are_not_read(folders, small_data, tmp_path):
    shutil.copytree(folders["wan"], tmp_path / "old")
    place = tmp_path / "old" / "transformer"
    next(place.glob("*.safetensors")).rename(place / "diffusion_pytorch_model.bin")
    with pytest.raises(InputError, match="cannot be loaded"):
        train_diffusers(settings(tmp_path / "old", small_data, tmp_path / "out"))


def test_the_extra_is_named_when_diffusers_is_missing(folders, small_data, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "diffusers", None)
    with pytest.raises(MissingExtraError, match=r"worldloop\[diffusers\]"):
        train_diffusers(settings(folders["wan"], small_data, tmp_path))


def test_held_out_scenes_and_small_data_are_refused(folders, small_data, tmp_path):
    collect(CollectConfig(tmp_path / "held", 32, split="val", evaluation=True, size=64, jobs=1))
    with pytest.raises(SplitError):
        train_diffusers(settings(folders["wan"], str(tmp_path / "held"), tmp_path / "x"))
    with pytest.raises(InputError, match="collect more"):
        train_diffusers(settings(folders["wan"], small_data, tmp_path / "x", examples=10**6))
    with pytest.raises(InputError, match="thought"):
        settings(folders["wan"], small_data, tmp_path / "x", control="thought")


def test_captions_that_do_not_fit_are_refused(folders):
    model = load(folders["cogvideox"])
    with pytest.raises(InputError, match="predict fewer frames"):
        encode_captions(model.folder, model.family, [CAPTION * 20], CPU)


def test_licences_are_found(folders, tmp_path):
    shutil.copytree(folders["wan"], tmp_path / "a")
    (tmp_path / "a" / "model_index.json").write_text("{}")
    assert licence(open_folder(tmp_path / "a")) is None
    (tmp_path / "a" / "README.md").write_text("---\nlicense: mit\ntags: []\n---\nText\n")
    assert licence(open_folder(tmp_path / "a")) == "mit"
