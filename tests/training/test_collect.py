"""Collecting data: exact, deterministic, resumable, and with policies that behave."""

from __future__ import annotations

import hashlib
import json
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from worldloop.actions.navigation import NAVIGATION
from worldloop.cli.main import main
from worldloop.core import Episode, InputError, RunFolderError, SplitError
from worldloop.envs.house.render import camera_pose
from worldloop.envs.house.scenes import load_scene
from worldloop.envs.house.world import HouseWorld
from worldloop.runs.lock import FolderLock
from worldloop.training.collect import collect
from worldloop.training.collect_config import CollectConfig, plan_shards
from worldloop.training.collect_policies import (
    POLICIES,
    SHARES,
    OrbitWalk,
    bearing_deg,
    draw_walk,
    reach,
)
from worldloop.training.dataset import ActionClips, training_scenes

SCENES = ("house/train/A/0000", "house/train/A/0001")


def config(out, **changes):
    settings = {"frames": 21, "scenes": 2, "episode_frames": 6, "size": 32, "seed": 3, "jobs": 1} | changes
    return CollectConfig(Path(out), **settings)


def content(folder):
    """Digest of every file of a dataset, by path."""
    return {
        str(p.relative_to(folder)): hashlib.sha256(p.read_bytes()).hexdigest()
        for p in sorted(Path(folder).rglob("*"))
        if p.is_file()
    }


@pytest.fixture(scope="module")
def collected(tmp_path_factory):
    out = tmp_path_factory.mktemp("collected") / "data"
    return out, collect(config(out, panorama_height=16, depth=True))


class CutError(Exception):
    pass


def cut_after(shards):
    calls = []

    def progress(done, total):
        calls.append(done)
        if len(calls) > shards:
            raise CutError

    return progress


def test_counts_are_exact(collected):
    out, summary = collected
    clips = ActionClips(out)
    assert summary["frames"] == 21 == clips.lengths.sum() and summary["episodes"] == 4
    assert clips.lengths.tolist() == [6, 5, 5, 5] and clips.scenes == SCENES == training_scenes(out)
    assert sum(summary["actions"].values()) == pytest.approx(1, abs=1e-3)
    assert not (out / ".collect").exists()
    assert set(summary["bytes"]) == {"videos", "tables"} and summary["bytes"]["videos"] > 0


def test_frames_are_what_the_world_shows(collected):
    """Carrying out the stored actions in the environment gives the stored frames, poses and collisions."""
    out, _ = collected
    clips = ActionClips(out)
    world = HouseWorld(32, panorama_height=16, segmentation=False)
    for episode in range(len(clips)):
        clip = clips.clip(episode, 0, int(clips.lengths[episode]), panorama=2)
        x, y = clip.poses[0, :2, 3]
        yaw = np.degrees(np.arctan2(clip.poses[0, 1, 2], clip.poses[0, 0, 2]))
        start = {"position": [x, y], "yaw_deg": round(yaw / 22.5) * 22.5 % 360}
        world.reset(Episode("e", "t", clip.scene, 0, start, {}, 0))
        for t, code in enumerate(clip.codes):
            seen = world.step(NAVIGATION.primitives[code].name)
            assert bool(seen.extra["collided"]) == clip.collided[t]
            np.testing.assert_allclose(seen.pose, clip.poses[t + 1], atol=1e-5)
            difference = np.abs(seen.rgb.astype(int) - clip.frames[t + 1])
            assert (difference > 0).mean() < 0.02  # single-precision starts move an edge here and there
            if t == 1:
                assert (np.abs(seen.panorama.astype(int) - clip.panorama) > 0).mean() < 0.02
        depth = clips.depth(episode, len(clip.codes), 1)[0]
        assert np.median(np.abs(depth - seen.depth)) < 0.001


def test_metadata_tells_where_data_comes_from(collected):
    info = json.loads((collected[0] / "meta/info.json").read_text())
    facts = info["worldloop"]
    assert facts["scenes"] == list(SCENES) and facts["split"] == "train" and facts["styles"] == ["A"]
    assert facts["policy"] == "mixed" and facts["seed"] == 3 and facts["lossless"] is True
    assert facts["camera"] == {"size": 32, "hfov_deg": 90.0, "height": 1.25}
    assert facts["vocabulary"]["primitives"][1] == {
        "name": "turn_left", "forward": 0.0, "left": 0.0, "yaw_deg": 22.5, "stops": False,
    }  # fmt: skip
    assert facts["evaluation"] is False and {"format", "generator_version", "licence"} <= set(facts)


@pytest.mark.parametrize("shards", [0, 1, 2])
def test_interrupted_collections_end_the_same(collected, tmp_path, shards):
    out, settings = tmp_path / "data", {"panorama_height": 16, "depth": True}
    with pytest.raises(CutError):
        collect(config(out, **settings), cut_after(shards))
    assert not (out / "meta/info.json").exists()
    with pytest.raises(InputError, match="unfinished"):
        ActionClips(out)
    seen = []
    collect(config(out, **settings), lambda done, total: seen.append(done))
    assert seen[0] == (0, 11, 21)[shards] and seen[-1] == 21
    assert content(out) == content(collected[0])


def test_half_written_shards_are_done_again(collected, tmp_path):
    out, settings = tmp_path / "data", {"panorama_height": 16, "depth": True}
    with pytest.raises(CutError):
        collect(config(out, **settings), cut_after(2))
    video = next(out.glob("videos/*/*/file-000.mp4"))
    video.write_bytes(video.read_bytes()[:100])
    (out / ".collect/shard-00001.json").write_text('{"shard": 1, "fil')
    (out / ".collect/shard-00001").mkdir()
    (out / ".collect/shard-00001/data.parquet").write_bytes(b"half")
    seen = []
    collect(config(out, **settings), lambda done, total: seen.append(done))
    assert seen[0] == 0 and content(out) == content(collected[0])


def test_two_processes_make_the_same_dataset(collected, tmp_path):
    collect(config(tmp_path / "data", panorama_height=16, depth=True, jobs=2))
    assert content(tmp_path / "data") == content(collected[0])


@pytest.mark.slow
@pytest.mark.parametrize("blow", [signal.SIGINT, signal.SIGKILL])
def test_killed_collections_go_on(tmp_path, blow):
    def command(out):
        options = [
            "--frames",
            "400",
            "--scenes",
            "4",
            "--size",
            "64",
            "--jobs",
            "2",
            "--out",
            str(out),
            "--json",
        ]
        return ["collect", *options]

    code = "import sys; from worldloop.cli.main import main; sys.exit(main(sys.argv[1:]))"
    whole, out = tmp_path / "whole", tmp_path / "data"
    assert main(command(whole)) == 0
    process = subprocess.Popen([sys.executable, "-c", code, *command(out)])
    until = time.monotonic() + 60
    while not list(out.glob(".collect/shard-*.json")) and time.monotonic() < until:
        time.sleep(0.02)
    process.send_signal(blow)
    assert process.wait(60) == (130 if blow == signal.SIGINT else -signal.SIGKILL)
    assert not (out / "meta/info.json").exists()
    assert main(command(out)) == 0
    assert content(out) == content(whole)


def test_a_finished_dataset_is_left_alone(collected):
    out, _ = collected
    before = {p: p.stat().st_mtime_ns for p in out.rglob("*") if p.is_file()}
    again = collect(config(out, panorama_height=16, depth=True, jobs=2))
    assert again["frames"] == 21
    assert before == {p: p.stat().st_mtime_ns for p in out.rglob("*") if p.is_file()}


def test_episodes_of_a_scene_differ(collected):
    meta, clips = ActionClips(collected[0]).meta, ActionClips(collected[0])
    assert len(set(meta.seeds.tolist())) == len(clips)
    assert meta.scenes[0] == meta.scenes[1]
    assert not np.array_equal(clips.clip(0, 0, 5).poses, clips.clip(1, 0, 5).poses)


def test_longer_collections_begin_alike(collected, tmp_path):
    """An episode depends on seed, scene and its number there, not on how much else is collected."""
    collect(config(tmp_path / "data", frames=30, scenes=1))
    short, long = ActionClips(collected[0]), ActionClips(tmp_path / "data")
    np.testing.assert_array_equal(short.clip(1, 0, 5).frames, long.clip(1, 0, 5).frames)


def test_seeds_matter(collected, tmp_path):
    collect(config(tmp_path / "data", seed=4))
    assert not np.array_equal(ActionClips(tmp_path / "data").poses, ActionClips(collected[0]).poses)


def test_other_folders_are_refused(collected, tmp_path):
    with pytest.raises(InputError, match="differs in frames, seed"):
        collect(config(collected[0], panorama_height=16, depth=True, seed=9, frames=22))
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(InputError, match="not empty"):
        collect(config(tmp_path))
    with pytest.raises(InputError, match="is a file"):
        collect(config(tmp_path / "notes.txt"))
    busy = tmp_path / "busy"
    (busy / ".collect").mkdir(parents=True)
    lock = FolderLock(busy / ".collect")
    with pytest.raises(RunFolderError, match="being written"):
        collect(config(busy))
    lock.release()


def test_held_out_splits_need_a_word(tmp_path):
    for split in ("val", "test"):
        with pytest.raises(SplitError):
            config(tmp_path, split=split)
    collect(config(tmp_path / "data", split="val", evaluation=True, frames=4, scenes=1, size=16))
    facts = json.loads((tmp_path / "data/meta/info.json").read_text())["worldloop"]
    assert facts["evaluation"] is True and facts["split"] == "val"
    with pytest.raises(SplitError, match="house/val/A/0000"):
        ActionClips(tmp_path / "data")
    assert len(ActionClips(tmp_path / "data", evaluation=True)) == 1


@pytest.mark.parametrize("wrong", [
    {"env": "moon"}, {"split": "all"}, {"styles": ()}, {"styles": ("A", "A")}, {"styles": ("D",)},
    {"policy": "best"}, {"frames": 1}, {"episode_frames": 1}, {"scenes": 0}, {"jobs": 0}, {"size": 4},
    {"size": 33, "lossless": False}, {"panorama_height": 1}, {"frames": 5, "episode_frames": 2},
])  # fmt: skip
def test_impossible_settings_are_refused(tmp_path, wrong):
    with pytest.raises(InputError):
        collect(config(tmp_path / "data", **wrong))
    assert not (tmp_path / "data").exists()


@settings(max_examples=200, deadline=None)
@given(
    frames=st.integers(2, 5000),
    episode_frames=st.integers(3, 70),
    scenes=st.none() | st.integers(1, 40),
    styles=st.sampled_from([("A",), ("B", "C"), ("A", "B", "C")]),
)
def test_plans_add_up(frames, episode_frames, scenes, styles):
    plan = plan_shards(
        CollectConfig(Path("x"), frames, episode_frames=episode_frames, scenes=scenes, styles=styles)
    )
    lengths = [n for s in plan for n in s.lengths]
    assert all(len(set(s.scenes)) == 1 and s.numbers == tuple(range(len(s.lengths))) for s in plan)
    assert sum(lengths) == frames and all(s.lengths for s in plan)
    assert min(lengths) >= 2 and max(lengths) <= episode_frames and max(lengths) - min(lengths) <= 1
    assert len({s.scenes[0] for s in plan}) == len(plan)
    counts = Counter(s.scenes[0].split("/")[2] for s in plan)
    assert scenes is None or max(counts.values()) <= scenes
    assert max(counts.values()) - min(counts.get(s, 0) for s in styles) <= 1
    episode = frame = 0
    for i, shard in enumerate(plan):
        assert (shard.place.index, shard.place.first_episode, shard.place.first_frame) == (i, episode, frame)
        episode, frame = episode + len(shard.lengths), frame + sum(shard.lengths)


@pytest.fixture(scope="module")
def houses():
    return [load_scene(name) for name in SCENES]


@pytest.fixture(scope="module")
def walks(houses):
    return {
        name: [
            draw_walk(h, name, 32, np.random.default_rng([i, k]))
            for i, h in enumerate(houses)
            for k in range(30)
        ]
        for name in (*POLICIES, "mixed")
    }


@pytest.mark.parametrize("policy", [*POLICIES, "mixed"])
def test_policies_move_and_turn_both_ways(walks, policy):
    count = Counter(a for w in walks[policy] for a in w.actions)
    share = {k: v / sum(count.values()) for k, v in count.items()}
    assert 0.25 < share["move_forward"] < 0.7
    assert min(share["turn_left"], share["turn_right"]) > 0.12
    assert "stop" not in count
    blocked = np.concatenate([w.collided[1:] for w in walks[policy]]).mean()
    assert blocked < {"heedless": 0.5, "uniform": 0.3, "mixed": 0.05, "random": 0.03}.get(policy, 1e-9)
    if policy == "heedless":
        assert blocked > 0.15


def test_collisions_do_happen_in_random_walks(walks):
    assert any(w.collided.any() for w in walks["random"])


def test_walks_are_consistent(walks, houses):
    for i, walk in enumerate(walks["mixed"]):
        assert len(walk.places) == 32 == len(walk.actions) + 1 and not walk.collided[0]
        for a, b, action, blocked in zip(walk.places, walk.places[1:], walk.actions, walk.collided[1:]):
            assert a.moved(NAVIGATION.primitive(action), houses[i // 30]) == (b, blocked)


def test_mixed_draws_every_policy(walks):
    drawn = Counter(w.policy for w in walks["mixed"])
    assert set(drawn) == set(SHARES) and drawn["uniform"] < drawn["random"]


def test_starts_do_not_face_a_wall(walks, houses):
    for name, least in (("random", 0.79), ("tour", 0.79), ("uniform", 0.79), ("orbit", 0.39)):
        for i, walk in enumerate(walks[name]):
            house, start = houses[i // 30], walk.places[0]
            assert start.yaw_deg % 22.5 == 0 and house.nav.is_free((start.x, start.y))
            assert reach(house, start) > least
    near = [
        houses[i // 30].renderer.pinhole(camera_pose(p.x, p.y, p.yaw_deg), 32).depth
        for i, w in enumerate(walks["random"])
        for p in w.places[:1]
    ]
    assert all((depth < 0.3).mean() < 0.5 for depth in near)


def test_tours_get_around(walks):
    def spread(name):
        return np.mean([np.ptp([(p.x, p.y) for p in w.places], axis=0).max() for w in walks[name]])

    assert spread("tour") > 2 * spread("uniform") and spread("tour") > spread("orbit")


def test_orbits_go_around_what_they_look_at(houses):
    seen, around = [], []
    for k in range(30):
        walker = OrbitWalk(houses[k % 2], np.random.default_rng([5, k]))
        place, total = walker.start(), 0.0
        assert 0.99 < np.hypot(place.x - walker._target[0], place.y - walker._target[1]) < 3.01
        for _ in range(31):
            after, blocked = place.moved(NAVIGATION.primitive(walker.act(place, False)), houses[k % 2])
            assert not blocked
            total += walker._around(place, after)
            place = after
            seen.append(abs(bearing_deg(place, walker._target)) < 45)
        around.append(abs(total))
    assert np.mean(seen) > 0.45 and np.median(around) > 15


def test_unknown_policies(houses):
    with pytest.raises(InputError, match="tour"):
        draw_walk(houses[0], "wander", 4, np.random.default_rng(0))


def test_command_line(tmp_path, capsys):
    out = tmp_path / "data"
    base = [
        "collect",
        "--frames",
        "8",
        "--episode-frames",
        "4",
        "--size",
        "16",
        "--jobs",
        "1",
        "--out",
        str(out),
    ]
    command = [*base, "--style", "A,B", "--scenes", "1", "--policy", "tour", "--lossy", "--panorama", "16"]
    assert main([*command, "--json"]) == 0
    summary = json.loads(capsys.readouterr().out)
    assert (summary["frames"], summary["episodes"], summary["scenes"]) == (8, 2, 2)
    clips = ActionClips(out)
    assert not clips.spec.lossless and clips.spec.panorama_height == 16 and not clips.spec.depth
    assert clips.scenes == ("house/train/A/0000", "house/train/B/0000")
    assert main(command) == 0
    assert "8 frames in 2 episodes from 2 scenes" in capsys.readouterr().out


@pytest.mark.parametrize("options,words", [
    (["--split", "val"], "held out"), (["--style", "Z"], "styles are"), (["--policy", "best"], "no policy"),
    (["--frames", "0"], "frames must be"), (["--env", "mars"], "house"), (["--size", "3"], "size must be"),
    (["--jobs", "0"], "jobs must be"), (["--style", ""], "styles are"),
])  # fmt: skip
def test_command_line_errors_are_sentences(tmp_path, capsys, options, words):
    out = tmp_path / "data"
    assert main(["collect", "--frames", "8", "--out", str(out), *options]) == 2
    complaint = capsys.readouterr().err
    assert words in complaint and "Traceback" not in complaint and not out.exists()


def test_command_line_wants_frames_and_folder(capsys):
    assert main(["collect"]) == 2
