"""The video model's training, end to end at a tiny size: what is learnt, what is frozen, what is resumed."""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from worldloop.actions import NAVIGATION
from worldloop.cli.main import main
from worldloop.cli.train_recipes import SIZES
from worldloop.core import InputError, Observation, Query, SplitError
from worldloop.models.video import (
    BackboneConfig,
    Condition,
    ConditioningConfig,
    VAEConfig,
    VideoBackbone,
    VideoModel,
    load_checkpoint,
    plain_state,
)
from worldloop.models.video.questions import tensor_to_pictures
from worldloop.training.collect import CollectConfig, collect
from worldloop.training.loop import LoopConfig
from worldloop.training.video import (
    AutoencoderTraining,
    BaseTraining,
    SupervisedTraining,
    autoencoder,
    card,
    train_autoencoder,
    train_base,
    train_sft,
)
from worldloop.training.video.adapting import LARGEST_SHARE, adapt
from worldloop.training.video.base import TEXT_BUCKETS, loose_caption
from worldloop.training.video.footage import clip_batch, open_footage, relative
from worldloop.training.video.sft import conditions, examples
from worldloop.training.video.weights import load_vae

pytest.importorskip("peft")
TINY = BackboneConfig(
    width=32, depth=2, heads=2, modulation_rank=8, conditioning=ConditioningConfig(text_buckets=TEXT_BUCKETS)
)
ACTIONS = {"move_forward": (0.2, 0.0, 0.0), "turn_left": (0.0, 0.0, 22.5), "turn_right": (0.0, 0.0, -22.5)}
CPU = torch.device("cpu")
SCORED = {
    "trials": 1,
    "actions": 1,
    "scenes": 1,
    "steps_counted": 1,
    "distance": "x",
    "chance_of_recovery": 0.5,
}


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """Data, an autoencoder and a base, all tiny."""
    folder = tmp_path_factory.mktemp("video")
    config = CollectConfig(
        folder / "data", 384, styles=("A",), panorama_height=128, episode_frames=24, jobs=1
    )
    collect(config)
    loop = LoopConfig(steps=12, batch=8, learning_rate=2e-3, warmup=2)
    vae = VAEConfig(widths=(8, 8, 16), encoder_blocks=(1, 1, 1), decoder_blocks=(1, 1, 1))
    facts = train_autoencoder(AutoencoderTraining((str(folder / "data"),), folder / "vae", loop, vae))
    assert facts["losses"][-1][1] < facts["losses"][0][1] and facts["psnr"] > 5
    base = BaseTraining(
        (str(folder / "data"),),
        folder / "vae" / "vae.safetensors",
        folder / "base",
        replace(loop, steps=10),
        TINY,
    )
    facts = train_base(base)
    assert facts["losses"][-1][1] < facts["losses"][0][1]
    return folder


@pytest.fixture(scope="module")
def footage(trained):
    vae, card = load_vae(trained / "vae" / "vae.safetensors")
    assert card["training_scenes"]
    return open_footage([str(trained / "data")], vae, panorama=True)


def sft(trained, out, **changes) -> SupervisedTraining:
    defaults = {"examples": 32, "batch": 8, "rank": 1}
    return SupervisedTraining(
        str(trained / "base" / "base.safetensors"), (str(trained / "data"),), out, **{**defaults, **changes}
    )


def test_latents_have_unit_variance_and_clips_fit_the_footage(footage):
    assert abs(float(footage.latents.float().std()) - 1) < 0.3
    for context, frames in ((1, 4), (3, 2)):
        present = footage.starts(context, frames)
        batch = clip_batch(footage, present[:5], context, frames, CPU)
        assert batch.context.shape[:2] == (5, context) and batch.target.shape[:2] == (5, frames)
        assert (batch.codes >= 1).all() and (batch.context_codes[:, 0] == 0).all()
        np.testing.assert_array_equal(batch.codes[0], footage.codes[present[0] : present[0] + frames])
        assert (footage.episodes[present - context + 1] == footage.episodes[present + frames]).all()
        assert torch.allclose(batch.context_poses[:, -1], torch.zeros(3))


def test_poses_are_seen_from_the_present_camera():
    seen = relative(np.array([[[1.0, 1.0, 100.0]]]), np.array([[1.0, 0.0, 90.0]]))
    np.testing.assert_allclose(seen[0, 0], [1.0, 0.0, np.radians(10)], atol=1e-12)


def test_captions_name_kinds_of_motion_and_nothing_else(footage):
    codes = [list(footage.actions).index(n) + 1 for n in ("turn_left", "move_forward", "turn_left")]
    caption = loose_caption(footage, np.array(codes))
    assert caption == "The camera moves forward and rotates left."
    assert loose_caption(footage, np.array(codes[::-1])) == caption


def test_step_0_equals_the_base_and_few_parameters_train(trained):
    checkpoint = load_checkpoint(trained / "base" / "base.safetensors")
    before, x = (
        {k: v.clone() for k, v in checkpoint.backbone.state_dict().items()},
        torch.randn(1, 4, 8, 16, 16),
    )
    frames, around = torch.randn(1, 1, 8, 16, 16), torch.randn(1, 8, 16, 32)
    with torch.no_grad():
        plain = checkpoint.backbone(
            x, torch.full((1, 4), 0.5), None, checkpoint.backbone.context(frames, around)
        )
        adapt(checkpoint.backbone, "code", checkpoint.spec.actions, 2)
        codes = Condition(codes=torch.tensor([[1, 2, 3, 1]]))
        adapted = checkpoint.backbone(
            x, torch.full((1, 4), 0.5), codes, checkpoint.backbone.context(frames, around)
        )
    torch.testing.assert_close(adapted, plain, atol=1e-6, rtol=1e-5)
    kept = plain_state(checkpoint.backbone)
    shared = [k for k in before if not k.startswith("conditioner.")]
    assert shared and all(torch.equal(before[k], kept[k]) for k in shared)


@pytest.mark.parametrize("control", ["code", "text", "camera"])
@pytest.mark.parametrize("size", ["small", "default"])
def test_no_control_trains_more_than_its_share(control, size):
    width, depth, heads = SIZES[size]
    config = BackboneConfig(
        width=width, depth=depth, heads=heads, conditioning=ConditioningConfig(text_buckets=TEXT_BUCKETS)
    )
    backbone = VideoBackbone(config)
    rank = adapt(backbone, control, ACTIONS)
    trained = sum(p.numel() for p in backbone.parameters() if p.requires_grad)
    assert rank >= 1 and 0.005 < trained / sum(p.numel() for p in backbone.parameters()) <= LARGEST_SHARE


@pytest.mark.parametrize("control", ["code", "text", "camera"])
def test_adapted_models_answer_queries(trained, tmp_path, control):
    facts = train_sft(sft(trained, tmp_path, control=control))
    assert facts["steps"] == 4 and facts["examples"] == 32
    model = VideoModel(tmp_path / "adapted.safetensors", steps=2)
    assert model.card.control == control and model.card.settings["training_scenes"]
    now = Observation(np.full((128, 128, 3), 90, np.uint8), panorama=np.full((128, 256, 3), 90, np.uint8))
    plans = [NAVIGATION.plan([n] * 5) for n in ("turn_left", "turn_right")]
    rollouts = model.simulate([Query((now,), (), plan, 3) for plan in plans])
    assert [len(r.frames) for r in rollouts] == [5, 5]
    base, adapted = (
        load_checkpoint(f) for f in (trained / "base" / "base.safetensors", tmp_path / "adapted.safetensors")
    )
    for name, weight in base.vae.state_dict().items():
        assert torch.equal(weight, adapted.vae.state_dict()[name])
    frozen = [
        k for k in base.backbone.state_dict() if "attention" not in k and not k.startswith("conditioner")
    ]
    assert all(torch.equal(base.backbone.state_dict()[k], adapted.backbone.state_dict()[k]) for k in frozen)


def test_a_killed_adaptation_ends_the_same(trained, tmp_path):
    def kill(step, loss):
        if step == 2:
            raise KeyboardInterrupt

    whole = train_sft(sft(trained, tmp_path / "whole"))
    with pytest.raises(KeyboardInterrupt):
        train_sft(sft(trained, tmp_path / "broken"), kill)
    broken = train_sft(sft(trained, tmp_path / "broken"))
    assert broken["losses"] == whole["losses"]
    assert torch.equal(
        *(
            load_checkpoint(tmp_path / n / "adapted.safetensors").backbone.blocks[0].attention.q.weight
            for n in ("whole", "broken")
        )
    )


def test_smaller_sets_of_examples_are_part_of_larger_ones(footage):
    few, many = (examples(footage, 4, n, 1) for n in (20, 60))
    np.testing.assert_array_equal(few, many[:20])
    with pytest.raises(InputError, match="collect more"):
        examples(footage, 4, 10**6, 1)


def test_text_names_the_actions_in_order(footage):
    clips = clip_batch(footage, footage.starts(1, 4)[:6], 1, 4, CPU)
    text, past = conditions("text", clips, footage, TINY.conditioning)
    assert past is None and text.text.shape[0] == 6
    swapped = replace(clips, codes=clips.codes.flip(1))
    other, _ = conditions("text", swapped, footage, TINY.conditioning)
    moved = (clips.codes != swapped.codes).any(1)
    assert not torch.equal(text.text[moved], other.text[moved]) or not moved.any()


def test_pixels_of_clips(trained):
    vae, _ = load_vae(trained / "vae" / "vae.safetensors")
    folders = [str(trained / "data")]
    whole = open_footage(folders, vae, panorama=True, pictures=True)
    front, around = whole.pictures
    assert front.shape == (len(whole.codes), 128, 128, 3) and around.shape[1:] == (128, 256, 3)
    present, which = whole.starts(1, 4)[:3], np.array([0, 3, 1])
    shown = clip_batch(whole, present, 1, 4, CPU, which).shown
    np.testing.assert_array_equal(tensor_to_pictures(shown.truth), front[present + 1 + which])
    np.testing.assert_array_equal(tensor_to_pictures(shown.view), front[present])
    np.testing.assert_array_equal(tensor_to_pictures(shown.around), around[present])
    assert clip_batch(whole, present, 1, 4, CPU).shown is None


def test_training_on_poses_asks_for_pixels(trained, footage, tmp_path):
    assert footage.pictures is None
    with pytest.raises(InputError, match="with its pictures"):
        train_sft(sft(trained, tmp_path), footage=footage)


def test_held_out_scenes_are_refused(trained, tmp_path):
    collect(CollectConfig(tmp_path / "held", 32, split="val", evaluation=True, panorama_height=128, jobs=1))
    with pytest.raises(SplitError):
        train_sft(replace(sft(trained, tmp_path / "x"), data=(str(tmp_path / "held"),)))


@pytest.mark.parametrize(
    "command",
    [
        ["train", "vae"],
        ["train", "vae", "--data", "nowhere"],
        ["train", "video", "--data", "nowhere"],
        ["train", "video", "--data", "nowhere", "--vae", "none.safetensors"],
        ["train", "sft", "--data", "nowhere"],
        ["train", "sft", "--data", "nowhere", "--base", "none.safetensors"],
        ["train", "sft", "--data", "x", "--base", "y", "--control", "thought"],
        ["train", "distil", "--data", "nowhere"],
        ["train", "distil", "--data", "nowhere", "--base", "none.safetensors"],
        ["train", "distil", "--data", "x", "--base", "y", "--student-steps", "3"],
        ["train", "vae", "--data", "x", "--steps", "-3"],
    ],
    ids=" ".join,
)
def test_wrong_commands_end_in_a_sentence(command, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(command) == 2
    assert "Traceback" not in capsys.readouterr().err


def test_the_commands_train_and_write_cards(trained, tmp_path, capsys, monkeypatch):
    scored = []
    monkeypatch.setattr(card, "score_file", lambda path: scored.append(path) or {"models": {}, **SCORED})
    base, data = trained / "base" / "base.safetensors", str(trained / "data")
    monkeypatch.setattr(autoencoder, "HELD_OUT", 16)
    small = ["--batch", "2", "--json"]
    commands = {
        "vae": ["--steps", "1"],
        "video": ["--steps", "1", "--vae", str(trained / "vae" / "vae.safetensors"), "--no-score"],
        "sft": ["--base", str(base), "--examples", "4", "--rank", "1", "--sampling-steps", "1"],
        "distil": ["--base", str(base), "--steps", "2", "--student-steps", "2", "--no-score"],
    }
    for what, options in commands.items():
        out = tmp_path / what
        assert main(["train", what, "--data", data, "--out", str(out), *options, *small]) == 0
        printed = json.loads(capsys.readouterr().out)
        assert printed == json.loads((out / "card.json").read_text()) and (out / "card.md").is_file()
        assert printed["styles"] == ["A"] and printed["data"] == [data] and (out / printed["file"]).is_file()
        assert ("open_loop" in printed) == (what != "vae") and bool(printed.get("open_loop")) == (
            what == "sft"
        )
    assert scored == [tmp_path / "sft" / "adapted.safetensors"]
    steps = {
        n: VideoModel(next((tmp_path / n).glob("*ed.safetensors"))).card.settings["steps"]
        for n in commands
        if n in ("sft", "distil")
    }
    assert steps == {"sft": 1, "distil": 2}


def test_a_base_is_trained_further(trained, tmp_path):
    start = str(trained / "base" / "base.safetensors")
    loop = LoopConfig(steps=1, batch=8, learning_rate=1e-9, warmup=1)
    more = BaseTraining((str(trained / "data"),), None, tmp_path / "more", loop, start=start)
    facts = train_base(more)
    before, after = load_checkpoint(start), load_checkpoint(tmp_path / "more" / "base.safetensors")
    for name, value in before.backbone.state_dict().items():
        torch.testing.assert_close(after.backbone.state_dict()[name], value, atol=1e-3, rtol=1e-3)
    assert facts["before"]["weights_hash"] == before.weights_hash and facts["before"]["steps"] == 10
    assert after.spec.training_scenes == before.spec.training_scenes
    own = replace(more, vae=trained / "vae" / "vae.safetensors", out=tmp_path / "own")
    assert train_base(own)["before"]["vae"] == hash_of(own.vae)
    with pytest.raises(InputError, match="either"):
        BaseTraining((), None, tmp_path, loop)
    train_sft(sft(trained, tmp_path / "adapted"))
    with pytest.raises(InputError, match="post-trained"):
        train_base(replace(more, start=str(tmp_path / "adapted" / "adapted.safetensors")))
    beside = tmp_path / "adapted" / "base.safetensors"
    beside.write_bytes(Path(start).read_bytes())
    small, whole = (
        load_checkpoint(tmp_path / "adapted" / f"{n}.safetensors") for n in ("adapter", "adapted")
    )
    assert small.spec == whole.spec
    for name, value in whole.backbone.state_dict().items():
        torch.testing.assert_close(small.backbone.state_dict()[name], value, atol=2e-3, rtol=2e-3)


def test_an_autoencoder_is_trained_further(trained, tmp_path):
    start, data = trained / "vae" / "vae.safetensors", (str(trained / "data"),)
    loop = LoopConfig(steps=40, batch=8, learning_rate=2e-3, warmup=2, average=0.0)

    def more(weight: float) -> dict:
        out = tmp_path / str(weight)
        return train_autoencoder(AutoencoderTraining(data, out, loop, equivariance=weight, start=start))

    free, held = more(0.0), more(1.0)
    assert held["equivariance_error"] < 0.8 * free["equivariance_error"]
    _, before = load_vae(start)
    _, card = load_vae(tmp_path / "1.0" / "vae.safetensors")
    assert card["vae"] == before["vae"] and card["training_scenes"] == before["training_scenes"]
    assert card["start"] == hash_of(start) and card["data"] == ["data"]


def hash_of(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()[:16]


def test_latents_are_kept_and_found_again(trained, tmp_path, monkeypatch):
    vae, _ = load_vae(trained / "vae" / "vae.safetensors")
    folders = [str(trained / "data")]
    first = open_footage(folders, vae, panorama=True, store=tmp_path)
    assert len(list(tmp_path.iterdir())) == 2
    monkeypatch.setattr("worldloop.training.video.footage.encode", None)  # would fail if it were called
    again = open_footage(folders, vae, panorama=True, store=tmp_path)
    assert torch.equal(first.latents, again.latents) and torch.equal(first.panoramas, again.panoramas)
    monkeypatch.undo()
    with torch.no_grad():
        vae.encoder[1].bias += 0.1
    other = open_footage(folders, vae, panorama=True, store=tmp_path)
    assert not torch.equal(first.latents, other.latents) and len(list(tmp_path.iterdir())) == 4
    next(tmp_path.iterdir()).write_bytes(b"broken")
    assert torch.equal(open_footage(folders, vae, panorama=True, store=tmp_path).latents, other.latents)
