"""Playing: long drives go on from imagined frames, or say why not; what is written can be read again."""

from __future__ import annotations

import json

import numpy as np
import pytest
from PIL import Image

from worldloop.actions import NAVIGATION, WALKING, keys_plan
from worldloop.cli.main import main
from worldloop.core import InputError, ModelCard, ModelError, Plan, Query, Rollout
from worldloop.engine.play import PlayConfig, play, told_as
from worldloop.envs.house.scenes import load_scene, register_scene
from worldloop.models import MODELS
from worldloop.view.contact_sheet import contact_sheet

from house_boxes import box_room
from toy_models import Flown, Told

SCENE = "play-room"
PLAN = keys_plan("WWRRLLW", NAVIGATION)


@pytest.fixture(scope="module", autouse=True)
def room(tmp_path_factory):
    register_scene(SCENE, box_room())
    load_scene(SCENE, tmp_path_factory.mktemp("light"))


def frames(played) -> np.ndarray:
    return np.stack([f.rgb for f in played.frames])


def test_a_drive_goes_on_from_imagined_frames():
    model = Flown()
    played = play(model, PLAN, PlayConfig(SCENE, chunk=3, size=32))
    assert [(c.first, c.actions) for c in played.chunks] == [(0, 3), (3, 3), (6, 1)]
    # One real observation, then as much of what was imagined as the card asks for.
    assert model.seen == [(1, 0), (3, 2), (3, 2)]
    assert len({c.seed for c in played.chunks}) == 3 and not played.whole
    second = Plan(NAVIGATION, PLAN.actions[3:6])
    by_hand = Flown().simulate([Query((played.frames[2],), (), second, 0)])[0]
    np.testing.assert_array_equal(frames(played)[3:6], np.stack([f.rgb for f in by_hand.frames]))


def test_chunks_of_a_model_without_memory_make_one_drive():
    """A model whose next frame follows from the last one alone does not notice where the cuts are."""
    pieces = [frames(play(Told(), PLAN, PlayConfig(SCENE, chunk=n, size=32))) for n in (1, 3, 7)]
    np.testing.assert_array_equal(pieces[0], pieces[1])
    np.testing.assert_array_equal(pieces[0], pieces[2])


def test_what_is_not_imagined_is_not_made_up():
    for name in ("rotate-only", "pointcloud-assumed"):
        played = play(MODELS.create(name), PLAN, PlayConfig(SCENE, chunk=2, size=32))
        assert played.whole == "it reads panorama, which it does not imagine"
        assert [c.actions for c in played.chunks] == [len(PLAN)] and len(played.frames) == len(PLAN)


def test_the_oracle_plays_the_truth():
    played = play(MODELS.create("oracle"), PLAN, PlayConfig(SCENE, chunk=2, size=32, truth=True))
    assert played.whole == "it runs the simulator"
    np.testing.assert_array_equal(frames(played), np.stack([f.rgb for f in played.truth]))


def test_drives_are_repeatable_and_start_from_the_seed():
    a, b, c = (play(Told(), PLAN, PlayConfig(SCENE, seed=s, size=32)) for s in (1, 1, 2))
    np.testing.assert_array_equal(frames(a), frames(b))
    assert a.place == b.place != c.place


def test_models_that_cannot_be_played_say_why():
    class Cut(Told):
        def one(self, now, text):
            return Rollout(super().one(now, text).frames[1:])

    class Handy(Told):
        card = ModelCard("handy", "a hand", "vector", reads=("gripper",))

    for model, error, words in (
        (MODELS.create("none"), InputError, "imagines nothing"),
        (Handy(), InputError, "reads gripper"),
        (Cut(), ModelError, "predicted 6 frames for a plan of 7"),
    ):
        with pytest.raises(error, match=words):
            play(model, PLAN, PlayConfig(SCENE, size=32))
    with pytest.raises(ModelError, match="not trained on 'move_left'"):
        play(MODELS.create("video-lora"), keys_plan("AD"), PlayConfig(SCENE))
    with pytest.raises(InputError, match="keys walk through houses"):
        play(Told(), PLAN, PlayConfig("tabletop/val/push/0000"))
    for settings in ({"chunk": 0}, {"size": 2}):
        with pytest.raises(InputError):
            PlayConfig(SCENE, **settings)


def test_plans_are_told_in_every_language_as_json():
    plan = keys_plan("WL", WALKING)
    told = {k: told_as(plan, k) for k in ("text", "camera", "code", "keys", "vector", "none")}
    assert json.loads(json.dumps(told)) == told
    assert told["keys"] == ["W", "L"] and told["none"] is None and told["camera"][1] == [0.2, 0.0, 0.0]


@pytest.mark.parametrize("options", [["--script", "ada", "--step-seconds", "20"], ["--keys", "W*2 A"]])
def test_the_command_writes_what_it_saw(options, tmp_path, monkeypatch, capsys):
    pytest.importorskip("av")
    monkeypatch.chdir(tmp_path)
    command = [
        "play",
        "toy_models.Told",
        *options,
        "--scene",
        SCENE,
        "--out",
        "out",
        "--compare-oracle",
        "--video",
    ]
    assert main(command) == 0
    assert "3 frames" in capsys.readouterr().out
    told = json.loads((tmp_path / "out/play.json").read_text())
    assert told["vocabulary"] == "walking" and len(told["actions"]) == 3
    assert told["chunks"][0]["seconds"] > 0 and told["seconds_per_frame"] > 0
    assert sorted(p.name for p in (tmp_path / "out/frames").iterdir()) == [f"{i:04d}.png" for i in range(4)]
    assert Image.open(tmp_path / "out/contact.png").size[0] > 4 * 128
    assert film(tmp_path / "out/film.mp4") == (4, 256, 128)
    assert main(command) == 2
    assert "is there already" in capsys.readouterr().err


def film(path) -> tuple[int, int, int]:
    import av

    with av.open(str(path)) as container:
        seen = [f.to_ndarray(format="rgb24") for f in container.decode(video=0)]
    return len(seen), *seen[0].shape[:2]


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--script", "XYZ"], "no key script 'XYZ'"),
        (["--script", "W", "--step-seconds", "7"], "no whole number"),
        (["--keys", "Q"], "is not a key script"),
        (["--keys", "W", "--chunk", "0"], "a chunk has 1 action or more"),
        (["--keys", "W", "--scene", "house/moon/A/0000"], "house/moon"),
        ([], "one of the arguments --script --keys is required"),
    ],
)
def test_bad_commands_say_what_to_do(options, words, tmp_path, capsys):
    assert main(["play", "toy_models.Told", *options, "--out", str(tmp_path / "out")]) == 2
    assert words in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_a_contact_sheet_shows_every_frame():
    rng = np.random.default_rng(0)
    rows = [(n, list(rng.integers(0, 255, (13, 8, 12, 3), dtype=np.uint8))) for n in ("imagined", "true")]
    sheet = np.asarray(contact_sheet("a drive", [str(i) for i in range(13)], rows))
    colours = {tuple(c) for c in sheet.reshape(-1, 3).tolist()}
    # Tiles are enlarged without blur, so every frame's colours are there.
    assert all(tuple(p[0, 0].tolist()) in colours for _, pictures in rows for p in pictures)
    alone = contact_sheet("a drive", ["0"], rows[:1])
    assert alone.size[1] < sheet.shape[0]
