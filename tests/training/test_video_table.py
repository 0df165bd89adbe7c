"""The video model at the table, end to end at a tiny size: demonstrations become clips, commands are learnt, cards."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
import torch

from worldloop.cli.main import main
from worldloop.core import InputError, Query, SplitError
from worldloop.engine.check import check_model, unfit, usual_scene
from worldloop.envs.tabletop.cameras import THIRD
from worldloop.envs.tabletop.commands import VOCABULARIES
from worldloop.envs.tabletop.layout import load_layout
from worldloop.envs.tabletop.world import TabletopWorld
from worldloop.models import MODELS
from worldloop.models.video import (
    BackboneConfig,
    Condition,
    ConditioningConfig,
    FlowConfig,
    VAEConfig,
    VideoBackbone,
    VideoCheckpoint,
    VideoModel,
    VideoSpec,
    VideoVAE,
    load_checkpoint,
    save_checkpoint,
)
from worldloop.models.video.vectors import projected
from worldloop.tasks import TASKS
from worldloop.training.collect import CollectConfig, collect
from worldloop.training.dataset import ActionClips
from worldloop.training.loop import LoopConfig
from worldloop.training.video import (
    BaseTraining,
    SupervisedTraining,
    autoencoder,
    card,
    train_base,
    train_sft,
)
from worldloop.training.video.adapting import adapt
from worldloop.training.video.base import TEXT_BUCKETS, caption
from worldloop.training.video.clip_loss import ClipLoss
from worldloop.training.video.demonstrations import CLIP, fitted, hand_projection
from worldloop.training.video.footage import clip_batch, open_footage
from worldloop.training.video.sft import conditions
from worldloop.training.video.table_card import markdown, table_open_loop, table_trials

pytest.importorskip("peft")
pytest.importorskip("mujoco")
WAYPOINT = VOCABULARIES["waypoint"]
CPU, PIXELS = torch.device("cpu"), 32
HOUSE = {"move_forward": (0.2, 0.0, 0.0), "turn_left": (0.0, 0.0, 22.5)}
TINY = BackboneConfig(
    latent_channels=4, latent_size=4, width=24, depth=2, heads=2, modulation_rank=8,
    conditioning=ConditioningConfig(text_buckets=TEXT_BUCKETS),
)  # fmt: skip


@pytest.fixture(autouse=True)
def tiny_models(one_thread):
    """All models here are tiny."""


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """Demonstrations, an autoencoder and a base of houses with a panorama; weights are random."""
    folder = tmp_path_factory.mktemp("table")
    config = CollectConfig(
        folder / "data",
        48,
        env="tabletop",
        policy="noisy",
        size=PIXELS,
        episode_frames=6,
        wrist=False,
        jobs=1,
    )
    collect(config)
    torch.manual_seed(0)
    vae = VideoVAE(VAEConfig(4, (8, 8, 16), (1, 0, 1), (1, 0, 1)))
    spec = VideoSpec("video-base", "text", HOUSE, training_scenes=("house/train/A/0000",))
    save_checkpoint(folder / "house.safetensors", VideoCheckpoint(vae, VideoBackbone(TINY), spec))
    return folder


@pytest.fixture(scope="module")
def footage(made):
    vae = load_checkpoint(made / "house.safetensors").vae
    return open_footage([str(made / "data")], vae, panorama=True, pictures=True)


def sft(made, out, **changes) -> SupervisedTraining:
    defaults = {"control": "vector", "examples": 8, "batch": 4, "full": True, "sampling_steps": 1}
    return SupervisedTraining(
        str(made / "house.safetensors"), (str(made / "data"),), out, **{**defaults, **changes}
    )


def test_commands_lead_to_the_frames_that_follow(made, footage):
    clips, commands = ActionClips(made / "data"), footage.commands
    assert footage.panoramas is None and footage.actions == {} and commands.vocabulary == WAYPOINT
    present = footage.starts(1, CLIP)
    assert len(present) and commands.unfinished[present].all()
    batch = clip_batch(footage, present, 1, CLIP, CPU)
    assert batch.commands.shape == (len(present), CLIP, 7) and batch.hands.shape == (len(present), 1, 7)
    low, high = np.array(WAYPOINT.low), np.array(WAYPOINT.high)
    metres = (batch.commands.numpy() + 1) / 2 * (high - low) + low
    np.testing.assert_allclose(metres[:, 0], clips.moves[present], atol=1e-4)
    # The arm goes where it is told: the hand of the next frame is near the command that led there.
    after = clips.states[present + 1]
    assert np.median(np.linalg.norm(metres[:, 0, :3] - after[:, :3], axis=1)) < 0.02


def test_what_is_over_is_not_trained_on(made, footage):
    clips = ActionClips(made / "data")
    over = ~footage.commands.unfinished
    assert not over[clips.offsets[:-1]].any()
    inside = np.setdiff1d(np.arange(len(over)), clips.offsets[:-1])
    np.testing.assert_array_equal(over[inside], (clips.reached | clips.lost)[inside - 1])


def test_captions_tell_the_goal(made, footage):
    clips = ActionClips(made / "data")
    for i, scene in enumerate(clips.meta.scenes):
        assert caption(footage, int(clips.offsets[i]), np.zeros(CLIP)) == load_layout(scene).text


def test_commands_are_projected_as_the_camera_sees_them(footage):
    rng, low, high = np.random.default_rng(0), np.array(WAYPOINT.low), np.array(WAYPOINT.high)
    rows = rng.uniform(low, high, (20, 7))
    commands = footage.commands
    matrix = torch.tensor(hand_projection(WAYPOINT, commands.camera, commands.hfov_deg))
    vectors = torch.from_numpy(2 * (rows - low) / (high - low) - 1).float()
    spots = projected(vectors, matrix).numpy() * PIXELS
    np.testing.assert_allclose(spots[:, 0], THIRD.project(rows[:, :3], (PIXELS, PIXELS)), atol=1e-3)
    ground = np.concatenate([rows[:, :2], np.full((20, 1), low[2])], axis=1)
    np.testing.assert_allclose(spots[:, 1], THIRD.project(ground, (PIXELS, PIXELS)), atol=1e-3)
    assert hand_projection(VOCABULARIES["delta"], commands.camera, commands.hfov_deg) == ()


def test_a_base_of_houses_fits_a_table_with_the_same_weights(footage):
    torch.manual_seed(0)
    house = VideoBackbone(TINY)
    with torch.no_grad():
        for p in house.parameters():
            p += 0.1 * torch.randn(p.shape)
    table = fitted(house, footage.commands)
    assert (table.config.panorama, table.config.clip_frames, table.config.hfov_deg) == (False, CLIP, 42.0)
    assert all(torch.equal(v, house.state_dict()[k]) for k, v in table.state_dict().items())
    assert fitted(house, None) is house and fitted(table, footage.commands) is table
    x, t = torch.randn(1, 4, 4, 4, 4), torch.full((1, 4), 0.5)
    assert torch.equal(house.velocity(x, t), table.velocity(x, t))


def test_commands_matter_once_they_are_learnt(footage):
    """Overfitted to demonstrations that look alike at first, the right commands explain them better than shuffled ones."""
    torch.manual_seed(0)
    body = fitted(VideoBackbone(TINY), footage.commands)
    adapt(body, "vector", {}, commands=footage.commands, full=True)
    learner, present = ClipLoss(body, FlowConfig(shift=3.0)), footage.starts(1, CLIP)[:6]
    batch = clip_batch(footage, present, 1, CLIP, CPU)
    # One view of the present for all: nothing but the commands tells what follows.
    same = {n: getattr(batch, n)[:1].expand_as(getattr(batch, n)) for n in ("context", "hands")}
    batch = replace(batch, **same)
    ahead, past = conditions("vector", batch, footage, body.config.conditioning)
    swapped = replace(ahead, vectors=ahead.vectors.flip(0))

    def error(condition: Condition) -> float:
        with torch.no_grad():
            return float(np.mean([float(learner(batch, condition, past, 1000 + i).mean()) for i in range(8)]))

    assert error(ahead) == error(swapped)  # nothing is known of commands yet
    optimiser = torch.optim.AdamW(body.parameters(), lr=4e-3)
    first = error(ahead)
    for step in range(150):
        optimiser.zero_grad()
        learner(batch, ahead, past, step).mean().backward()
        optimiser.step()
    assert error(ahead) < 0.8 * first and error(swapped) > 1.05 * error(ahead)


def test_all_weights_are_trained_and_scored(made, tmp_path):
    facts = train_sft(sft(made, tmp_path))
    assert facts["steps"] == 2 and facts["method"] == "all weights" and facts["world"] == "tabletop"
    assert (
        facts["trained_parameters"] == facts["parameters"] and not (tmp_path / "adapter.safetensors").exists()
    )
    model = VideoModel(tmp_path / "adapted.safetensors")
    assert (model.card.control, model.card.reads, model.card.settings["steps"]) == ("vector", ("gripper",), 1)
    scenes = model.card.settings["training_scenes"]
    assert "house/train/A/0000" in scenes and any(s.startswith("tabletop/train/") for s in scenes)
    trials = table_trials(4, size=PIXELS)
    score = table_open_loop(model, trials)
    assert list(score["models"]) == ["this model", "shuffled commands", "copying the present"]
    page = card.write_card(tmp_path, "sft", facts, score)
    assert page["open_loop"] == json.loads(json.dumps(score)) and "arm" in page["what"]
    text = (tmp_path / "card.md").read_text()
    assert "families" in text and markdown(score) in text and "houses" not in text


def test_scores_know_the_truth_from_the_present():
    trials = table_trials(4, size=PIXELS)
    assert {t.scene.split("/")[1] for t in trials} == {"val"}
    assert [t.scene for t in trials] == [t.scene for t in table_trials(4, size=PIXELS)]

    class Known:
        """Tells what truly follows."""

        def simulate(self, queries):
            from worldloop.core import Observation, Rollout

            known = {t.seed: t.truth for t in trials}
            return [Rollout(tuple(Observation(f) for f in known[q.seed])) for q in queries]

    rows = table_open_loop(Known(), trials)["models"]
    assert rows["this model"] == {"psnr": 99.0, "psnr_last": 99.0, "psnr_changed": 99.0}
    assert rows["copying the present"]["psnr_changed"] < rows["copying the present"]["psnr_last"] < 60


def test_data_and_base_must_go_together(made, footage, tmp_path):
    with pytest.raises(InputError, match="no such commands"):
        train_sft(sft(made, tmp_path, full=False), footage=footage)
    with pytest.raises(InputError, match="learns from walks"):
        train_sft(sft(made, tmp_path, control="code"), footage=footage)
    with pytest.raises(InputError, match="say --full"):
        sft(made, tmp_path, full=False, muon=True)
    with pytest.raises(InputError, match="choose one"):
        sft(made, tmp_path, rank=2)
    with pytest.raises(InputError, match="learns from commands"):
        adapt(VideoBackbone(TINY), "vector", HOUSE)


def test_held_out_tables_are_refused(made, tmp_path):
    collect(
        CollectConfig(
            tmp_path / "held",
            12,
            env="tabletop",
            split="val",
            size=PIXELS,
            episode_frames=6,
            wrist=False,
            evaluation=True,
            jobs=1,
        )
    )
    with pytest.raises(SplitError):
        train_sft(replace(sft(made, tmp_path / "x"), data=(str(tmp_path / "held"),)))


def test_a_table_base_is_adapted_by_lora(made, tmp_path):
    """Passive training on a table, from a base of houses, and low-rank adaptation of that."""
    loop = LoopConfig(steps=2, batch=4, learning_rate=1e-3, warmup=1, precision="fp32")
    data, start = (str(made / "data"),), str(made / "house.safetensors")
    facts = train_base(BaseTraining(data, None, tmp_path / "base", loop, start=start, history=2))
    base = load_checkpoint(tmp_path / "base" / "base.safetensors")
    assert (
        base.spec.vocabulary == WAYPOINT and base.spec.control == "none" and facts["before"]["weights_hash"]
    )
    lora = sft(made, tmp_path / "lora", full=False, rank=1)
    train_sft(replace(lora, base=str(tmp_path / "base" / "base.safetensors")))
    (tmp_path / "lora" / "base.safetensors").write_bytes(
        (tmp_path / "base" / "base.safetensors").read_bytes()
    )
    small, whole = (load_checkpoint(tmp_path / "lora" / f"{n}.safetensors") for n in ("adapter", "adapted"))
    assert small.spec == whole.spec and small.spec.name == "video-table-lora-vector"
    for name, value in whole.backbone.state_dict().items():
        torch.testing.assert_close(small.backbone.state_dict()[name], value, atol=2e-3, rtol=2e-3)


def test_models_meet_only_tasks_that_they_can_be_asked_in(made, tmp_path):
    train_sft(sft(made, tmp_path))
    arm, house = VideoModel(tmp_path / "adapted.safetensors"), VideoModel(made / "house.safetensors")
    manipulation, walk = TASKS.create("manipulation"), TASKS.create("image-goal")
    assert unfit(manipulation, arm) is None and unfit(walk, house) is None
    assert "takes named actions (move_forward, turn_left)" in unfit(manipulation, house)
    assert "was trained on commands of 'gripper-waypoint'" in unfit(walk, arm)
    assert unfit(manipulation, MODELS.create("frozen")) is None
    assert usual_scene(arm).startswith("tabletop/val/") and usual_scene(house).startswith("house/val/")


def test_the_commands_train_check_and_run(made, tmp_path, capsys, monkeypatch):
    """From data to a run: autoencoder, base, all weights with that autoencoder, conformance, four decisions."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(autoencoder, "HELD_OUT", 8)
    big = tmp_path / "data"
    config = CollectConfig(big, 36, env="tabletop", wrist=False, jobs=1)
    collect(config)
    torch.manual_seed(0)
    vae = VideoVAE(VAEConfig(4, (8, 8, 16), (1, 0, 1), (1, 0, 1)))
    body = VideoBackbone(replace(TINY, latent_size=16))
    save_checkpoint("house.safetensors", VideoCheckpoint(vae, body, VideoSpec("video-base", "text", HOUSE)))
    small = ["--data", "data", "--json", "--batch", "2", "--precision", "fp32"]
    quick = [*small, "--no-score"]
    assert main(["train", "vae", "--start", "house.safetensors", "--steps", "1", *small]) == 0
    assert "table" in json.loads(capsys.readouterr().out)["what"]
    own = ["--vae", "vae/vae.safetensors"]
    assert main(["train", "video", "--start", "house.safetensors", "--steps", "1", *own, *quick]) == 0
    assert json.loads(capsys.readouterr().out)["styles"]
    given = ["--control", "vector", "--full", "--examples", "4", "--sampling-steps", "1", *own, *quick]
    assert main(["train", "sft", "--base", "house.safetensors", *given]) == 0
    capsys.readouterr()
    arm = "video:weights=sft/adapted.safetensors"
    report = check_model(MODELS.create(arm), horizon=2, count=2)
    assert report.passed and any("opposite corners look" in i.detail for i in report.items)
    command = ["run", "--task", "manipulation", "--model", f"none,{arm}", "--split", "val", "--episodes", "1"]
    assert main([*command, "--out", "runs", "--json"]) == 0
    said = json.loads(capsys.readouterr().out)
    assert said["left_out"] == [] and len(said["leaderboard"]["tasks"][0]["rows"]) == 2
    assert main(["view", "runs", "--html", "report.html", "--allow-missing-controls"]) == 0
    assert "gripper-waypoint" in (tmp_path / "report.html").read_text()


@pytest.mark.parametrize(
    "command",
    [
        ["--control", "vector", "--base", "video-base", "--data", "x", "--muon"],
        ["--control", "vector", "--base", "video-base", "--data", "x", "--vae", "video-base"],
        ["--control", "vector", "--base", "video-base", "--data", "x", "--full", "--rank", "2"],
        ["--control", "vector", "--base", "video-base", "--data", "x", "--full", "--vae", "nowhere"],
    ],
    ids=" ".join,
)
def test_wrong_commands_end_in_a_sentence(command, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(["train", "sft", *command]) == 2
    assert "Traceback" not in capsys.readouterr().err


def test_a_query_of_the_real_world_is_answered(made, tmp_path):
    train_sft(sft(made, tmp_path))
    model, world = VideoModel(tmp_path / "adapted.safetensors"), TabletopWorld(size=PIXELS)
    from worldloop.core import Episode

    scene = "tabletop/val/push/0000"
    now = world.reset(Episode(scene, "manipulation", scene, 0, {}, {}, 1))
    query = Query((now,), (), WAYPOINT.plan([WAYPOINT.low] * 4), 0)
    assert len(model.simulate([query])[0].frames) == 4
