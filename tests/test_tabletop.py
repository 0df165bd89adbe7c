"""The tabletop world: states come back to the last bit, pictures show what the physics knows, experts succeed."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from worldloop.actions import gripper_delta_vocabulary, gripper_vocabulary
from worldloop.core import Action, Episode, InputError
from worldloop.envs.tabletop.cameras import THIRD
from worldloop.envs.tabletop.commands import VOCABULARIES, carry_out, pose_of
from worldloop.envs.tabletop.experts import PHASES, phase
from worldloop.envs.tabletop.goals import failed, succeeded
from worldloop.envs.tabletop.layout import FAMILIES, HALF, load_layout, scene_id
from worldloop.envs.tabletop.looks import LOOKS
from worldloop.envs.tabletop.physics import Physics
from worldloop.envs.tabletop.shapes import arm_surfaces, box, thing_surfaces
from worldloop.envs.tabletop.world import TabletopWorld, gripper_pose

WAYPOINT = VOCABULARIES["waypoint"]


def episode(family: str = "stack", index: int = 0) -> Episode:
    start = {"position": [0, 0], "yaw_deg": 0}
    return Episode("e", "manipulation", scene_id("train", family, index), 0, start, {}, 15)


def commands(physics: Physics, step: str) -> list[Action]:
    layout = physics.layout
    places = {t.name: np.array([*physics.place(t.name)[:3, 3], t.yaw_deg]) for t in layout.things}
    rows = phase(layout.family, step, layout.goal, places)
    return list(WAYPOINT.plan(np.clip(rows, WAYPOINT.low, WAYPOINT.high)).actions)


def expert(physics: Physics) -> None:
    for step in PHASES[physics.layout.family]:
        for action in commands(physics, step):
            carry_out(physics, "waypoint", action)


@pytest.mark.parametrize("family", FAMILIES)
def test_the_expert_reaches_the_goal(family):
    physics = Physics(load_layout(scene_id("train", family, 1)))
    assert not succeeded(physics) and not failed(physics)
    expert(physics)
    assert succeeded(physics) and not failed(physics)


@pytest.mark.slow
@pytest.mark.parametrize("family", FAMILIES)
def test_the_expert_is_an_expert(family):
    wins = 0
    for index in range(100):
        physics = Physics(load_layout(scene_id("train", family, index)))
        expert(physics)
        wins += succeeded(physics)
    assert wins >= 95


def test_a_wrong_button_cannot_be_made_good():
    physics = Physics(load_layout(scene_id("train", "press", 0)))
    for action in commands(physics, "press-1"):
        carry_out(physics, "waypoint", action)
    assert physics.presses == physics.layout.goal[1:] and failed(physics) and not succeeded(physics)
    for action in commands(physics, "press-0"):
        carry_out(physics, "waypoint", action)
    assert failed(physics) and not succeeded(physics)


def test_a_state_comes_back_to_the_last_bit():
    physics = Physics(load_layout(scene_id("train", "stack", 0)))
    pick = commands(physics, "pick")
    for action in pick[:3]:
        carry_out(physics, "waypoint", action)
    kept = physics.state()
    carry_out(physics, "waypoint", pick[3])
    after = physics.state()
    assert after.key != kept.key
    physics.restore(kept)
    assert physics.state() == kept
    carry_out(physics, "waypoint", pick[3])
    assert physics.state() == after
    other = Physics(physics.layout)
    other.restore(kept)
    carry_out(other, "waypoint", pick[3])
    assert other.state().key == after.key


def test_a_rollout_is_what_comes_and_leaves_the_world_alone():
    world = TabletopWorld()
    world.reset(episode("push"))
    actions = commands(world.physics, "push")[:2]
    before = world.state()
    simulator = world.simulator()
    imagined = simulator.rollout(WAYPOINT.plan(actions))
    assert world.state() == before and world.simulator().key == simulator.key
    for action, frame in zip(actions, imagined):
        seen = world.step(action)
        np.testing.assert_array_equal(seen.rgb, frame.rgb)
        np.testing.assert_array_equal(seen.depth, frame.depth)
        np.testing.assert_array_equal(seen.extra["gripper"], frame.extra["gripper"])
    assert world.simulator().key != simulator.key
    world.restore(before)
    assert world.simulator().key == simulator.key
    world.close()
    with pytest.raises(InputError, match="reset"):
        world.state()


def test_pictures_show_what_the_physics_knows():
    world = TabletopWorld(wrist=True)
    seen = world.reset(episode("pick-place", 2))
    assert seen.rgb.shape == (128, 128, 3) and seen.extra["wrist_rgb"].shape == (128, 128, 3)
    for number, thing in enumerate(world.layout.things):
        rows, columns = np.nonzero(seen.segmentation == number + 2)
        assert len(rows) >= 15, thing.name
        pixels = np.stack([columns, rows], axis=1) + 0.5
        points = THIRD.lift(pixels, seen.depth[rows, columns], (128, 128))
        where = world.physics.place(thing.name)[:3, 3]
        inside = np.linalg.norm(points[:, :2] - where[:2], axis=1) < 0.05
        assert inside.mean() > 0.95 and points[:, 2].max() < 0.06
        middle = THIRD.project(where, (128, 128))
        assert np.linalg.norm(middle - pixels.mean(axis=0)) < 6
    table = seen.segmentation == 0
    on_table = table & (seen.depth > 0)
    rows, columns = np.nonzero(on_table)
    heights = THIRD.lift(np.stack([columns, rows], 1) + 0.5, seen.depth[rows, columns], (128, 128))[:, 2]
    assert np.abs(heights).min() < 1e-3 and np.isclose(heights, 0, atol=2e-3).mean() > 0.5


def test_a_pressed_button_goes_dark():
    world = TabletopWorld()
    before = world.reset(episode("press"))
    for action in commands(world.physics, "press-0"):
        after = world.step(action)
    name = world.layout.goal[0]
    number = [t.name for t in world.layout.things].index(name) + 2
    bright = before.rgb[before.segmentation == number].max(axis=1).mean()
    dark = after.rgb[after.segmentation == number].max(axis=1).mean()
    assert world.physics.presses == (name,) and dark < 0.7 * bright


def test_commands_mean_what_they_say():
    physics = Physics(load_layout(scene_id("train", "push", 0)))
    carry_out(physics, "waypoint", Action("g", (0.5, -0.2, 0.2, 10.0, -5.0, 40.0, 0.5)))
    here = pose_of(physics)
    np.testing.assert_allclose(here[:3], [0.5, -0.2, 0.2], atol=0.006)
    np.testing.assert_allclose(here[3:6], [10, -5, 40], atol=1.5)
    assert here[6] == pytest.approx(0.5, abs=0.05)
    start, _ = physics.setpoint
    for _ in range(6):
        carry_out(physics, "delta", Action("g", (0.0, 0.01, 0.0, 0.0, 0.0, 0.0, 1.0)))
    assert physics.setpoint[0] - start == pytest.approx([0, 0.06, 0], abs=1e-6)
    assert physics.tip[1] == pytest.approx(-0.14, abs=0.03) and physics.opening > 0.06
    carry_out(physics, "absolute", Action("g", (0.5, 0.2, 0.2, 0.0, 0.0, 0.0, 1.0)))
    assert np.linalg.norm(physics.setpoint[0] - start) < 0.1  # one command is not the whole way
    with pytest.raises(InputError, match="outside"):
        carry_out(physics, "waypoint", Action("g", (2.0, 0, 0.2, 0, 0, 0, 1)))


@given(st.integers(0, 9999), st.sampled_from(FAMILIES), st.sampled_from(sorted(LOOKS)))
@settings(max_examples=25, deadline=None)
def test_layouts_are_what_their_ids_say(index, family, split):
    layout = load_layout(scene_id(split, family, index))
    assert load_layout.__wrapped__(layout.key) == layout
    places = np.array([t.position for t in layout.things])
    gaps = np.linalg.norm(places[:, None] - places[None], axis=2)
    assert gaps[np.triu_indices(len(places), 1)].min() > 0.1
    assert len({t.colour for t in layout.things}) == len(layout.things)
    assert all(name in layout.text for name in layout.goal)


def test_splits_share_neither_layouts_nor_shades():
    shades = [LOOKS[s].shade(c) for s in LOOKS for c in ("red", "yellow", "green", "blue", "purple")]
    assert len(set(shades)) == 15
    layouts = [load_layout(scene_id(s, "push", 0)).things for s in LOOKS]
    assert layouts[0] != layouts[1] != layouts[2] != layouts[0]


@pytest.mark.parametrize(
    "scene", ["tabletop/val/juggle/0000", "tabletop/x/push/0000", "house/val/A/0000", ""]
)
def test_unknown_scenes(scene):
    with pytest.raises(InputError, match="tabletop"):
        load_layout(scene)


def test_bad_input():
    with pytest.raises(InputError, match="commands as"):
        TabletopWorld("joints")
    with pytest.raises(InputError, match="degrees"):
        gripper_vocabulary(tilt_deg=0)
    with pytest.raises(InputError, match="steps"):
        gripper_delta_vocabulary(metres=-1)
    world = TabletopWorld()
    seen = world.reset(replace(episode(), scene=scene_id("val", "push", 3)))
    assert gripper_pose(seen).shape == (7,)
    with pytest.raises(InputError, match="gripper"):
        gripper_pose(seen.without("gripper"))


def test_surfaces_are_closed_and_face_outwards():
    surface = box((-HALF, -HALF, 0), (HALF, HALF, 2 * HALF), 0.003)
    a, b, c = np.moveaxis(surface.corners.astype(float), 1, 0)
    volume = np.einsum("ij,ij->i", a, np.cross(b, c)).sum() / 6
    assert 0.9 * (2 * HALF) ** 3 < volume < (2 * HALF) ** 3
    for kind in ("block", "stand", "button", "peg", "socket"):
        for _, part in thing_surfaces(kind):
            flat = np.cross(part.corners[:, 1] - part.corners[:, 0], part.corners[:, 2] - part.corners[:, 0])
            assert (np.einsum("ij,ij->i", flat, part.normals.mean(axis=1)) > 0).all(), kind
    assert 8_000 < sum(len(s.corners) for s in arm_surfaces().values()) < 15_000
