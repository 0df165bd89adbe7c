"""The adapter for DINO-WM, against a stand-in clone."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from worldloop.actions import NAVIGATION
from worldloop.core import InputError, Vocabulary
from worldloop.core.errors import ModelError
from worldloop.engine.check import check_model
from worldloop.models.research.config import Statistics
from worldloop.models.research.dino_wm import Blocks

from tiny_clones import BOX, STATS, dino_wm, query, same

pytestmark = pytest.mark.usefixtures("one_thread")
VALUES = [(1.0, 2.0), (0.5, -2.0), (0.0, 2.0), (2.0, -2.0), (1.5, 0.0)] * 2
PLAN = BOX.plan(VALUES)
MEAN, DEVIATION = np.array([1.0, -2.0]), np.array([0.5, 4.0])


def blocks(tmp_path, per_step: int) -> Blocks:
    (tmp_path / "s.json").write_text(json.dumps(STATS))
    return Blocks(Statistics.read(tmp_path / "s.json"), 5, per_step)


def test_commands_are_normalised_and_put_together(tmp_path):
    whole = blocks(tmp_path, 5).encode(PLAN)
    assert whole.shape == (2, 10) and whole.dtype == np.float32
    normal = (np.array(VALUES) - MEAN) / DEVIATION
    np.testing.assert_allclose(whole, normal.reshape(2, 10), atol=1e-6)
    held = blocks(tmp_path, 1).encode(BOX.plan(VALUES[:2]))
    np.testing.assert_allclose(held, np.tile(normal[:2], (1, 5)), atol=1e-6)
    short = blocks(tmp_path, 5).encode(BOX.plan(VALUES[:4]))
    completed = blocks(tmp_path, 5).encode(BOX.plan([*VALUES[:4], VALUES[3]]))
    np.testing.assert_array_equal(short, completed)
    with pytest.raises(InputError, match="divisors"):
        blocks(tmp_path, 3)


def test_within_a_step_the_state_is_the_one_before(tmp_path):
    steps, now = np.array([[1], [2]]), np.array([0])
    assert blocks(tmp_path, 5).spread(steps, now, 10)[:, 0].tolist() == [0, 0, 0, 0, 1, 1, 1, 1, 1, 2]
    assert blocks(tmp_path, 5).spread(steps, now, 6)[:, 0].tolist() == [0, 0, 0, 0, 1, 1]
    assert blocks(tmp_path, 1).spread(steps, now, 2)[:, 0].tolist() == [1, 2]


def test_the_model_is_asked_as_it_was_trained(load):
    model = load("dino_wm", proprio="hand")
    told, rollout = [], model._network.rollout
    model._network.rollout = lambda obs, act: told.append((obs, act)) or rollout(obs, act)
    made = model.simulate([query(PLAN, hand=np.array([11.0, 24.0, 26.0]))])[0]
    obs, act = told[0]
    np.testing.assert_allclose(obs["proprio"], [[[1.0, 2.0, -1.0]]])
    assert obs["visual"].shape == (1, 1, 3, 28, 28) and act.shape == (1, 2, 10)
    assert (
        len(made.frames) == 10 and made.latent.shape == (10, 4, 6) and made.frames[0].rgb.shape == (40, 40, 3)
    )
    assert np.array_equal(made.frames[4].rgb, made.frames[8].rgb)
    assert not np.array_equal(made.frames[8].rgb, made.frames[9].rgb)
    # Frame t of the model is what its own rollout gives after t steps, decoded.
    states, _ = rollout(obs, act)
    np.testing.assert_array_equal(made.latent[[4, 9]], states["visual"][0, 1:].numpy())
    with pytest.raises(ModelError, match="3 finite numbers as 'hand'"):
        model.simulate([query(PLAN)])


def test_what_comes_later_does_not_change_what_came_before(load):
    model = load("dino_wm", commands_per_step=1)
    short, long = (model.simulate([query(BOX.plan(VALUES[:n]))])[0] for n in (2, 4))
    assert all(np.array_equal(a.rgb, b.rgb) for a, b in zip(short.frames, long.frames))
    other = model.simulate([query(BOX.plan([VALUES[1], VALUES[1]]))])[0]
    assert not np.array_equal(other.frames[0].rgb, short.frames[0].rgb)


def test_a_batch_equals_one_at_a_time(load):
    one, many = load("dino_wm"), load("dino_wm", batch=3)
    queries = [query(PLAN, past=2), query(BOX.plan(VALUES[:5])), query(BOX.plan(VALUES[::-1]))]
    apart = [one.simulate([q])[0] for q in queries]
    assert all(same(a, b) for a, b in zip(apart, one.simulate(queries)))
    for a, b in zip(apart, many.simulate(queries)):
        np.testing.assert_allclose(a.latent, b.latent, atol=1e-5)


def test_without_a_decoder_there_are_latents_only(tmp_path, load):
    settings = dino_wm(tmp_path, decoder=False)
    model = load("dino_wm", **settings)
    q = query(PLAN)
    made = model.simulate([q])[0]
    assert all(np.array_equal(f.rgb, q.history[-1].rgb) for f in made.frames)
    assert made.latent.shape == (10, 4, 6) and "no frames" in model.card.summary
    assert "frames repeat the present one" in model.card.notes and not model.card.settings["decoder"]


def test_a_checkpoint_with_more_in_it_needs_trust(tmp_path, load):
    settings = dino_wm(tmp_path, further=Path("/tmp"))
    with pytest.raises(InputError, match=r"holds more than weights \(.*PosixPath.*trust=true"):
        load("dino_wm", **settings)
    model = load("dino_wm", **settings, trust=True)
    assert model.card.settings["trust"] is True and "unpickled on trust" in model.card.notes
    assert same(model.simulate([query(PLAN)])[0], load("dino_wm").simulate([query(PLAN)])[0])


def test_an_encoder_that_would_be_downloaded_is_refused(tmp_path, load, monkeypatch):
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path / "hub"))
    settings = dino_wm(tmp_path, encoder="dinov2_vits14")
    with pytest.raises(InputError, match=r"dinov2_vits14 is not on this machine .* nothing is downloaded"):
        load("dino_wm", **settings)
    (tmp_path / "hub" / "facebookresearch_dinov2_main").mkdir(parents=True)
    (tmp_path / "hub" / "checkpoints").mkdir()
    (tmp_path / "hub" / "checkpoints" / "dinov2_vits14_pretrain.pth").touch()
    assert load("dino_wm", **settings).simulate([query(PLAN)])


def test_other_vocabularies_are_refused(load):
    model = load("dino_wm")
    assert model.refuses(BOX) is None
    assert "commands of 2 numbers, not the named actions of 'navigation'" in model.refuses(NAVIGATION)
    wide = Vocabulary("arm", (), ("x", "y", "z"), (0.0,) * 3, (1.0,) * 3)
    assert "commands of 2 numbers, those of 'arm' have 3" in model.refuses(wide)


def test_settings_that_cannot_be_used_are_refused(load, given, tmp_path):
    def stats(**changes) -> Path:
        file = tmp_path / "stats.json"
        file.write_text(json.dumps({**STATS, **changes}))
        return file

    with pytest.raises(InputError, match="equally long, all deviations positive"):
        load("dino_wm", stats=stats(action_std=[1, 0]))
    with pytest.raises(InputError, match="action_mean should be a list of numbers"):
        load("dino_wm", stats=stats(action_mean="two"))
    with pytest.raises(
        InputError, match=r"action_encoder reads 10 numbers and .* tells of 15 \(frameskip 5\)"
    ):
        load("dino_wm", stats=stats(action_mean=[0] * 3, action_std=[1] * 3))
    with pytest.raises(InputError, match="proprio_encoder reads 3 numbers"):
        load("dino_wm", stats=stats(proprio_mean=[], proprio_std=[]))
    with pytest.raises(InputError, match="divisors"):
        load("dino_wm", commands_per_step=2)
    training = Path(given("dino_wm")["checkpoint"]).parent.parent / "hydra.yaml"
    changed = tmp_path / "hydra.yaml"
    changed.write_text(training.read_text().replace("models.visual_world_model.VWorldModel", "os.system"))
    with pytest.raises(InputError, match=r"ask for os\.system; only what lies in models/"):
        load("dino_wm", config=changed)
    changed.write_text(training.read_text().replace("num_pred: 1", "depth: 1"))
    with pytest.raises(InputError, match=r"VWorldModel cannot be made from its settings: TypeError"):
        load("dino_wm", config=changed)
    torch.save({"epoch": 1}, tmp_path / "empty.pth")
    with pytest.raises(InputError, match="holds no proprio_encoder, action_encoder, predictor"):
        load("dino_wm", checkpoint=tmp_path / "empty.pth", config=training)
    (tmp_path / "deep" / "er").mkdir(parents=True)
    torch.save({"epoch": 1}, tmp_path / "deep" / "er" / "model.pth")
    with pytest.raises(InputError, match=r"no hydra\.yaml beside"):
        load("dino_wm", checkpoint=tmp_path / "deep" / "er" / "model.pth")


def test_it_passes_the_check_at_the_table(load):
    pytest.importorskip("mujoco")
    model = load("dino_wm_table")
    assert model.card.reads == ("gripper",)
    report = check_model(model, horizon=5, count=2)
    assert report.passed, report.items
    details = {i.name: i.detail for i in report.items}
    assert "different" in details["controls"] and "deterministic" in details["seeds"]
