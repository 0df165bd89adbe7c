"""Scans walked in with Habitat, against a stand-in of its interface: frames of reference, collisions, the whole task."""

from __future__ import annotations

import json
import math
import sys
from dataclasses import replace

import numpy as np
import pytest

from worldloop.actions import NAVIGATION, intended_path, yaw_of
from worldloop.agents.shooting import shooting
from worldloop.core import Action, Episode, InputError
from worldloop.engine import RunSettings, run
from worldloop.envs.habitat.scans import SCANS, HabitatConfig
from worldloop.envs.habitat.world import HabitatState, HabitatWorld, yaw_deg
from worldloop.envs.stage import on_stage
from worldloop.models.controls import NoModel, Oracle
from worldloop.models.panorama import cut_view, view_angles
from worldloop.runs import read_run
from worldloop.tasks.image_goal import ImageGoal
from worldloop.tasks.world_in_world import import_world_in_world

import fake_habitat

LEFT = [math.cos(math.pi / 8), 0.0, math.sin(math.pi / 8), 0.0]  # 45 degrees about the vertical
ITEM = {
    "datum_id": 0, "episode_id": 0, "scene_relpath": "room/room.glb", "start_position": [0.0, 0.0, 0.0],
    "start_rotation": LEFT, "goal_position": [-1.0, 0.0, -1.0], "goal_rotation": LEFT,
}  # fmt: skip


@pytest.fixture
def scenes(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "habitat_sim", fake_habitat.module())
    fake_habitat.Simulator.opened.clear()
    for name in ("room", "other", "third"):
        (tmp_path / "scans" / name).mkdir(parents=True)
        (tmp_path / "scans" / name / f"{name}.glb").write_bytes(b"glTF")
    yield tmp_path / "scans"
    on_stage(SCANS.close)
    assert all(s.closed for s in fake_habitat.Simulator.opened)


def episode(**changes):
    return import_world_in_world({"data": [{**ITEM, **changes}]}, "a list", "image-goal", 20)[0]


def world_in(scenes, size=32, **config):
    world = HabitatWorld(scenes, HabitatConfig(size=size, **config))
    return world, world.reset(episode())


def test_depth_and_pose_put_the_walls_where_they_are(scenes):
    for pitch in (0.0, -20.0):
        world, seen = world_in(scenes, depth=True, pitch_deg=pitch)
        for action in ("turn_left", "move_forward", None):
            step = 2 * math.tan(math.radians(45)) / 32
            grid = (np.arange(32) + 0.5 - 16) * step
            rays = np.stack(
                [*np.meshgrid(grid, grid), np.ones((32, 32))], axis=-1
            )  # x right, y down, z ahead
            points = (rays * seen.depth[..., None]) @ seen.pose[:3, :3].T + seen.pose[:3, 3]
            # The room is x -3..3, y 0..2.6, z -4..2 there: here x is -z, y is -x and z is y.
            low, high = np.array([-2.0, -3.0, 0.0]), np.array([4.0, 3.0, 2.6])
            off = np.minimum(np.abs(points - low), np.abs(points - high)).min(axis=-1)
            assert off.max() < 1e-4 and (points > low - 1e-4).all() and (points < high + 1e-4).all()
            assert seen.pose[2, 3] == pytest.approx(1.5) and np.linalg.det(seen.pose) == pytest.approx(1)
            seen = world.step(action) if action else seen


def test_steps_are_those_of_the_vocabulary(scenes):
    world, seen = world_in(scenes)
    start = (*seen.pose[:2, 3], yaw_of(seen.pose))
    assert start == pytest.approx((0, 0, 45)) and yaw_deg(world.state) == pytest.approx(45)
    plan = NAVIGATION.plan(
        ["move_forward", "turn_left", "move_forward", "turn_right", "turn_right", "move_forward"]
    )
    for action, expected in zip(plan.actions, intended_path(plan, *start)[1:]):
        seen = world.step(action)
        assert (*seen.pose[:2, 3], yaw_of(seen.pose)) == pytest.approx(tuple(expected), abs=1e-5)
        assert not seen.extra["collided"] and seen.rgb.dtype == np.uint8 and seen.rgb.shape == (32, 32, 3)


def test_a_wall_stops_the_walk(scenes):
    world, _ = world_in(scenes)
    blocked = [bool(world.step("move_forward").extra["collided"]) for _ in range(30)]
    assert not blocked[0] and blocked[-1]
    assert max(abs(world.state.position[0]), abs(world.state.position[2])) <= 3.9 + 1e-5


def test_pictures_stay_as_they_were_seen(scenes):
    world, seen = world_in(scenes, depth=True)
    before = seen.rgb.copy(), seen.depth.copy()
    world.step("turn_left")
    assert np.array_equal(seen.rgb, before[0]) and np.array_equal(seen.depth, before[1])


def test_panoramas_look_ahead_in_the_middle_and_left_is_left(scenes):
    world, seen = world_in(scenes, size=48, panorama_height=96, depth=True)
    assert seen.panorama.shape == (96, 192, 3)
    azimuth, elevation = view_angles(48, 48, 90.0)
    for turn, name in ((0, None), (22.5, "turn_left"), (0, "turn_right"), (-22.5, "turn_right")):
        real = world.step(name).rgb if name else seen.rgb
        cut = cut_view(seen.panorama, azimuth, elevation, math.radians(turn))
        assert np.abs(cut.astype(int) - real).mean() < 8, turn
    # Straight ahead, range and depth are one; the nadir is as far away as the eye is high.
    assert seen.extra["panorama_depth"][48, 96] == pytest.approx(seen.depth[24, 24], rel=0.1)
    assert seen.extra["panorama_depth"][-1].mean() == pytest.approx(1.5, rel=0.02)


def test_what_is_simulated_comes_true_and_worlds_do_not_disturb_each_other(scenes):
    one, _ = world_in(scenes)
    two = HabitatWorld(scenes, one.config)
    two.reset(episode(start_position=[1.0, 0.0, 1.0], episode_id=1))
    plan = NAVIGATION.plan(["move_forward", "turn_left", "move_forward", "stop"])
    simulator = one.simulator()
    imagined = simulator.rollout(plan)
    for action, frame in zip(plan.actions, imagined):
        two.step("turn_left")
        seen = one.step(action)
        assert np.array_equal(seen.rgb, frame.rgb) and np.array_equal(seen.pose, frame.pose)
    again = simulator.rollout(plan)
    assert all(np.array_equal(a.rgb, b.rgb) for a, b in zip(imagined, again))
    assert len({one.simulator().key, two.simulator().key, simulator.key}) == 3
    assert len(fake_habitat.Simulator.opened) == 1, "worlds of one scene share it"


def test_few_scenes_are_open_at_once(scenes):
    world = HabitatWorld(scenes)
    for i, name in enumerate(("room", "other", "third")):
        world.reset(replace(episode(episode_id=i), scene=f"habitat/{name}/{name}.glb"))
    assert [s.closed for s in fake_habitat.Simulator.opened] == [True, False, False]


@pytest.mark.parametrize("broken", [{"start_position": [99, 0, 0]}, {"start_position": [0, 5, 0]}])
def test_nobody_starts_in_a_wall(scenes, broken):
    with pytest.raises(InputError, match="nobody can stand"):
        HabitatWorld(scenes).reset(episode(**broken))


def test_what_is_no_place_or_scene(scenes):
    with pytest.raises(InputError, match="no scene"):
        HabitatWorld(scenes).reset(episode(scene_relpath="nowhere.glb"))
    for position, rotation in (
        ([0, 0], LEFT),
        ([0, 0, 0], [0, 0, 0, 0]),
        (None, None),
        ([0, 0, math.nan], LEFT),
    ):
        with pytest.raises(InputError, match="position of 3 numbers"):
            HabitatState.of(position, rotation, "here")
    world = HabitatWorld(scenes)
    for use in (world.simulator, lambda: world.step(Action("turn_left"))):
        with pytest.raises(InputError, match="reset"):
            use()


def written(folder, *items):
    path = folder / "episodes.json"
    path.write_text(json.dumps({"data": list(items)}))
    return str(path)


def test_a_list_of_world_in_world_is_played(scenes, tmp_path):
    near = {**ITEM, "episode_id": 1, "goal_position": ITEM["start_position"]}
    split = written(tmp_path, ITEM, near)
    rates = {}
    for model in (NoModel(), Oracle()):
        task = ImageGoal(oracle_stop=True, scenes=str(scenes))
        settings = RunSettings("image-goal", "x", "shooting", split, rollouts=6, horizon=4, execute=2, seed=1)
        folder = tmp_path / model.card.name
        header = run(task, model, shooting(task.name), settings, folder)
        records = [e.episode for e in read_run(folder).records()]
        assert header.status == "complete" and {r.status for r in records} == {"finished"}
        assert records[0].metrics["shortest"] == pytest.approx(math.sqrt(2), abs=1e-5)
        assert records[1].success and records[1].metrics["distance"] == pytest.approx(0, abs=0.51)
        rates[model.card.name] = records
    assert "oracle_stop" in header.privileges and rates["oracle"][0].path_length > 0


def test_the_goal_is_seen_from_its_own_place(scenes, tmp_path):
    task = ImageGoal(scenes=str(scenes))
    (only,) = task.episodes(written(tmp_path, ITEM))
    world = task.environment(("panorama", "depth"))
    seen = world.reset(only)
    assert seen.panorama is not None and seen.depth is not None
    goal = task.goal(world, only).image
    straight = HabitatState((-1.0, 0.0, -1.0), tuple(LEFT))
    assert np.array_equal(goal, world.view(straight).rgb) and not np.array_equal(goal, seen.rgb)
    assert isinstance(only, Episode) and task.environment().config.panorama_height is None


def test_what_is_missing_is_said(scenes, tmp_path, monkeypatch):
    split = written(tmp_path, ITEM, {**ITEM, "episode_id": 2, "scene_relpath": "room/gone.glb"})
    with pytest.raises(InputError, match="scenes=FOLDER"):
        ImageGoal().episodes(split)
    with pytest.raises(InputError, match=r"gone\.glb"):
        ImageGoal(scenes=str(scenes)).episodes(split)
    monkeypatch.delitem(sys.modules, "habitat_sim")
    with pytest.raises(InputError, match="conda install habitat-sim"):
        ImageGoal(scenes=str(scenes)).episodes(split)
