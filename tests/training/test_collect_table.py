"""Demonstrations at the table: exact counts, true pictures, an expert that finds its way, and labels that are right."""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace

import numpy as np
import pyarrow.parquet as pq
import pytest

from worldloop.cli.main import main
from worldloop.core import Episode, InputError, SplitError
from worldloop.envs.tabletop.commands import VOCABULARIES, carry_out
from worldloop.envs.tabletop.layout import load_layout
from worldloop.envs.tabletop.physics import Physics
from worldloop.envs.tabletop.recovery import facts_of, next_commands
from worldloop.envs.tabletop.world import TabletopWorld
from worldloop.training.collect import CollectConfig, collect
from worldloop.training.collect_config import FAMILIES, plan_shards
from worldloop.training.collect_table import Demonstrator
from worldloop.training.dataset import WRIST, ActionClips, training_scenes
from worldloop.training.diffusers.clips import select

WAYPOINT = VOCABULARIES["waypoint"]


def config(out, **changes):
    settings = {
        "frames": 21,
        "episode_frames": 4,
        "size": 32,
        "seed": 3,
        "jobs": 1,
        "env": "tabletop",
    } | changes
    return CollectConfig(out, **settings)


def content(folder):
    files = (p for p in sorted(folder.rglob("*")) if p.is_file())
    return {str(p.relative_to(folder)): hashlib.sha256(p.read_bytes()).hexdigest() for p in files}


@pytest.fixture(scope="module")
def collected(tmp_path_factory):
    out = tmp_path_factory.mktemp("table") / "data"
    return out, collect(config(out, policy="noisy"))


def clipped(command):
    return np.clip(command, WAYPOINT.low, WAYPOINT.high)


def steered(scene, limit=14, astray=None):
    """Whether the expert reaches the goal; `astray` is a first command of somebody else."""
    physics = Physics(load_layout(scene))
    commands = [] if astray is None else [astray]
    for _ in range(limit):
        facts = facts_of(physics)
        if facts.over:
            return facts.reached
        command = commands.pop() if commands else clipped(next_commands(facts)[0])
        carry_out(physics, "waypoint", WAYPOINT.plan([command]).actions[0])
    return facts_of(physics).reached


def test_counts_and_facts(collected):
    out, summary = collected
    clips = ActionClips(out)
    assert summary["frames"] == 21 == clips.lengths.sum() and clips.lengths.tolist() == [4, 4, 4, 3, 3, 3]
    assert clips.meta.families == (*FAMILIES, *FAMILIES[:2]) and set(clips.meta.policies) == {"noisy"}
    assert training_scenes(out) == tuple(sorted(clips.meta.scenes))
    for episode, scene in enumerate(clips.meta.scenes):
        rows = slice(*clips.offsets[episode : episode + 2])
        text = load_layout(scene).text
        assert {clips.spec.tasks[t] for t in clips.tasks[rows]} == {text}
        assert clips.meta.successes[episode] == clips.reached[rows][:-1].any()
    facts = json.loads((out / "meta/info.json").read_text())
    assert facts["robot_type"] == "franka" and facts["features"]["action"]["shape"] == [7]
    tasks = pq.read_table(out / "meta/tasks.parquet").to_pylist()
    assert [r["__index_level_0__"] for r in tasks] == list(clips.spec.tasks)
    assert set(summary["success"]) == set(FAMILIES)


def test_frames_are_what_the_table_shows(collected):
    """Carrying out the stored commands gives the stored pictures and hands again."""
    clips = ActionClips(collected[0])
    wrists, _ = clips.to_memory(WRIST)
    world = TabletopWorld(size=32, wrist=True)
    for episode in (0, 3):
        clip, first = clips.clip(episode, 0, int(clips.lengths[episode])), int(clips.offsets[episode])
        seen = [world.reset(Episode("e", "t", clip.scene, 0, {}, {}, 0))]
        commands = np.clip(clip.moves.astype(float), WAYPOINT.low, WAYPOINT.high)
        seen += [world.step(a) for a in WAYPOINT.plan(commands).actions]
        for t, view in enumerate(seen):
            assert (np.abs(view.rgb.astype(int) - clip.frames[t]) > 8).mean() < 0.02
            assert (np.abs(view.extra["wrist_rgb"].astype(int) - wrists[first + t]) > 8).mean() < 0.03
            np.testing.assert_allclose(view.extra["gripper"], clips.states[first + t], atol=2e-3 * 180)
            np.testing.assert_allclose(view.extra["gripper"][:3], clips.states[first + t, :3], atol=2e-3)
        assert (clip.codes == -1).all() and not clip.collided.any()


def test_interrupted_and_repeated_collections_end_the_same(collected, tmp_path):
    class CutError(Exception):
        pass

    def cut(done, total):
        raise CutError

    with pytest.raises(CutError):
        collect(config(tmp_path / "data", policy="noisy"), cut)
    with pytest.raises(InputError, match="unfinished"):
        ActionClips(tmp_path / "data")
    collect(config(tmp_path / "data", policy="noisy"))
    assert content(tmp_path / "data") == content(collected[0])
    with pytest.raises(InputError, match="differs in policy"):
        collect(config(tmp_path / "data", policy="expert"))


@pytest.mark.slow
def test_two_processes_make_the_same_demonstrations(tmp_path):
    for jobs in (1, 2):
        collect(config(tmp_path / str(jobs), frames=160, jobs=jobs))
    assert content(tmp_path / "1") == content(tmp_path / "2")


def test_held_out_layouts_are_no_training_data(tmp_path):
    with pytest.raises(SplitError):
        config(tmp_path, split="val")
    collect(config(tmp_path / "data", split="val", evaluation=True, frames=2, size=16, wrist=False))
    with pytest.raises(SplitError, match="tabletop/val/push/0000"):
        ActionClips(tmp_path / "data")


@pytest.mark.parametrize("wrong", [
    {"policy": "tour"}, {"styles": ("B",)}, {"panorama_height": 16}, {"env": "kitchen"}, {"scenes": 0},
])  # fmt: skip
def test_impossible_settings_are_refused(tmp_path, wrong):
    with pytest.raises(InputError):
        collect(config(tmp_path / "data", **wrong))


def test_layouts_take_turns(tmp_path):
    plan = plan_shards(config(tmp_path, frames=400, scenes=3))
    pairs = [p for s in plan for p in zip(s.scenes, s.numbers)]
    assert len(pairs) == 100 == len(set(pairs)) and len({scene for scene, _ in pairs}) == 12
    assert max(len(s.scenes) for s in plan) == 32 and sum(n for s in plan for n in s.lengths) == 400
    assert len({s for p in plan_shards(config(tmp_path, frames=400)) for s in p.scenes}) == 100


@pytest.mark.parametrize("family", FAMILIES)
def test_the_expert_finds_its_way(family):
    scene = f"tabletop/train/{family}/0001"
    thing = load_layout(scene).things[0].position
    assert steered(scene)
    beside = clipped(np.array([thing[0] - 0.07, thing[1] + 0.05, 0.03, 0, 0, 20, 0]))
    assert steered(scene, astray=beside)


def test_noisy_demonstrators_err_and_come_back():
    physics = Physics(load_layout("tabletop/train/stack/0000"))
    facts = facts_of(physics)
    truth = next_commands(facts)
    noisy = Demonstrator("noisy", np.random.default_rng(0))
    off = np.array([np.linalg.norm(noisy.command(facts, truth)[:2] - truth[0, :2]) for _ in range(200)])
    assert 0.3 < (off > 1e-6).mean() < 0.9 and 0.02 < off[off > 1e-6].mean() < 0.08
    steady = Demonstrator("expert", np.random.default_rng(0))
    assert np.array_equal(steady.command(facts, truth), truth[0])
    assert np.array_equal(noisy.command(replace(facts, reached=True), truth), truth[0])


def test_trainers_of_diffusers_refuse_demonstrations(collected):
    with pytest.raises(InputError, match="demonstrations"):
        select([collected[0]], 2, None, 0)


def test_command_line(tmp_path, capsys):
    options = ["collect", "--env", "tabletop", "--frames", "2", "--size", "16", "--no-wrist", "--jobs", "1"]
    assert main([*options, "--policy", "expert", "--out", str(tmp_path / "data")]) == 0
    assert "reached: push 0%" in capsys.readouterr().out
    assert main([*options, "--policy", "tour", "--out", str(tmp_path / "other")]) == 2
    assert "expert, noisy" in capsys.readouterr().err
