"""The house as an environment and as a Gymnasium environment."""

from __future__ import annotations

import math
import threading
import warnings

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env
from hypothesis import given
from hypothesis import strategies as st

from worldloop.actions.navigation import NAVIGATION, intended_path
from worldloop.core import Action, Episode, InputError, Primitive, Simulator, Vocabulary
from worldloop.envs import register
from worldloop.envs.house import scenes
from worldloop.envs.house.gym_env import HouseEnv
from worldloop.envs.house.scenes import load_scene, register_scene
from worldloop.envs.house.world import HouseWorld

from house_boxes import box_room

CRATE, POLE, SCREEN = 7, 8, 9
EXTRA = (
    ("crate", (0.8, 0.2, 0.2), (3.0, 1.5, 0.0), (4.0, 2.5, 1.0)),
    ("pole", (0.1, 0.1, 0.1), (4.6, 1.9, 0.0), (4.9, 2.1, 0.8)),
    ("screen", (0.2, 0.8, 0.2), (2.5, 1.8, 0.5), (2.55, 2.2, 0.8)),
)
ROOM = "test-env-room"
FORWARD, LEFT, RIGHT = Action("move_forward"), Action("turn_left"), Action("turn_right")


@pytest.fixture(scope="module", autouse=True)
def room(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("WORLDLOOP_CACHE", str(tmp_path_factory.mktemp("cache")))
        register_scene(ROOM, box_room(EXTRA, key=ROOM))
        yield


def episode(position=(1.0, 2.0), yaw=0.0, scene=ROOM):
    return Episode("e", "t", scene, 0, {"position": list(position), "yaw_deg": yaw}, {}, 10)


@pytest.fixture
def world():
    world = HouseWorld(size=32, panorama_height=16)
    world.reset(episode())
    return world


def same(a, b):
    names = ("rgb", "panorama", "depth", "segmentation", "pose")
    return all(getattr(a, n).tobytes() == getattr(b, n).tobytes() for n in names) and all(
        a.extra[k].tobytes() == b.extra[k].tobytes() for k in a.extra.keys() | b.extra.keys()
    )


def test_observation(world):
    seen = world.view()
    assert seen.rgb.shape == (32, 32, 3) and seen.rgb.dtype == np.uint8
    assert seen.panorama.shape == (16, 32, 3) and seen.panorama.dtype == np.uint8
    assert seen.depth.shape == (32, 32) and seen.depth.dtype == np.float32
    assert seen.segmentation.shape == (32, 32) and seen.segmentation.dtype == np.int32
    assert seen.pose.shape == (4, 4) and seen.pose.dtype == np.float64
    assert seen.extra["panorama_depth"].shape == (16, 32)
    assert seen.extra["panorama_segmentation"].dtype == np.int32
    assert not seen.extra["collided"]
    np.testing.assert_array_equal(seen.pose[:3, 3], [1, 2, 1.25])


def test_unneeded_fields_are_not_rendered():
    world = HouseWorld(size=16, panorama_height=None, depth=False, segmentation=False)
    seen = world.reset(episode())
    assert seen.panorama is None and seen.depth is None and seen.segmentation is None
    assert set(seen.extra) == {"collided"}


def test_steps_and_turns(world):
    world.step(FORWARD)
    assert world.position == (1.2, 2.0)
    seen = world.step(LEFT)
    assert world.place.yaw_deg == 22.5 and seen.pose[1, 2] == pytest.approx(math.sin(math.pi / 8))
    world.step(RIGHT)
    world.step(RIGHT)
    assert world.place.yaw_deg == 337.5


def test_turning_round_comes_back_exactly(world):
    start = world.view()
    for _ in range(16 * 5):
        last = world.step(LEFT)
    assert same(start, last)


def test_collision_is_reported(world):
    for _ in range(20):
        seen = world.step(FORWARD)
    assert seen.extra["collided"] and world.loaded.nav.is_free(world.position)
    assert world.position[0] < 2.5 - 0.17
    assert not world.step(LEFT).extra["collided"]


def test_stop_does_not_move(world):
    start = world.view()
    assert same(start, world.step(Action("stop")))


def test_bad_input(world):
    with pytest.raises(InputError, match="no action"):
        world.step(Action("fly"))
    for start in (
        {},
        {"position": [1]},
        {"position": [1, 2, 3], "yaw_deg": 0},
        {"position": "ab", "yaw_deg": 0},
    ):
        with pytest.raises(InputError):
            world.reset(Episode("e", "t", ROOM, 0, start, {}, 1))
    for place in ((3.5, 2.0), (-4, 0), (float("nan"), 1)):
        with pytest.raises(InputError, match="stand"):
            world.reset(episode(place))
    with pytest.raises(InputError):
        world.reset(episode(scene="nowhere"))
    with pytest.raises(InputError, match="reset"):
        HouseWorld().step(FORWARD)


def test_close_twice(world):
    world.close()
    world.close()
    with pytest.raises(InputError):
        world.view()


PLAN = (
    ["move_forward"] * 9 + ["turn_left"] * 3 + ["move_forward"] * 4 + ["turn_right", "stop", "move_forward"]
)


def test_rollout_equals_real_steps(world):
    simulator = world.simulator()
    assert isinstance(simulator, Simulator)
    imagined = simulator.rollout(NAVIGATION.plan(PLAN))
    assert any(f.extra["collided"] for f in imagined)
    before = world.view()
    assert same(before, world.view())
    for frame, action in zip(imagined, PLAN):
        assert same(frame, world.step(Action(action)))


def test_simulator_is_detached_and_works_in_threads(world):
    simulator, plan = world.simulator(), NAVIGATION.plan(PLAN)
    expected = simulator.rollout(plan)
    world.step(FORWARD)
    world.close()
    results = []
    threads = [threading.Thread(target=lambda: results.append(simulator.rollout(plan))) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(results) == 3
    assert all(same(a, b) for frames in results for a, b in zip(expected, frames))
    assert [p.x for p in simulator.places(plan)] == [f.pose[0, 3] for f in expected]


def test_simulator_key_is_content(world):
    first = world.simulator().key
    assert world.simulator().key == first
    world.step(LEFT)
    assert world.simulator().key != first
    world.step(RIGHT)
    assert world.simulator().key == first
    other = HouseWorld(size=16)
    other.reset(episode())
    assert other.simulator().key != first


def test_other_vocabulary():
    strafe = Vocabulary("strafe", (Primitive("left", left=0.1), Primitive("spin", forward=0.1, yaw_deg=30)))
    world = HouseWorld(size=8, panorama_height=None, vocabulary=strafe)
    world.reset(episode(yaw=90))
    world.step(Action("left"))
    assert world.position == pytest.approx((0.9, 2.0))
    world.step(Action("spin"))
    # First the turn, then the walk in the new direction.
    ahead = (0.9 + 0.1 * math.cos(math.radians(120)), 2 + 0.1 * math.sin(math.radians(120)))
    assert world.position == pytest.approx(ahead) and world.place.yaw_deg == 120
    with pytest.raises(InputError):
        HouseWorld(vocabulary=Vocabulary("box", fields=("x",), low=(0.0,), high=(1.0,)))


@given(
    st.lists(st.sampled_from(["ahead", "aside", "arc", "drift", "turn"]), min_size=1, max_size=5),
    st.floats(0, 360),
)
def test_steps_lead_where_the_plan_intends(names, yaw):
    """What the controls of a plan tell a model is what the house carries out where nothing is in the way."""
    move = {
        "ahead": (0.1, 0, 0),
        "aside": (0, 0.1, 0),
        "arc": (0.1, 0, 40),
        "drift": (0.05, -0.1, -25),
        "turn": (0, 0, 22.5),
    }
    vocabulary = Vocabulary("moves", tuple(Primitive(n, f, s, t) for n, (f, s, t) in move.items()))
    plan = vocabulary.plan(names)
    world = HouseWorld(size=8, panorama_height=None, vocabulary=vocabulary)
    world.reset(episode(yaw=yaw))
    places = world.simulator().places(plan)
    wanted = intended_path(plan, 1.0, 2.0, yaw)[1:]
    assert np.allclose([(p.x, p.y) for p in places], wanted[:, :2])
    assert np.allclose(
        np.exp(1j * np.radians([p.yaw_deg for p in places])), np.exp(1j * np.radians(wanted[:, 2]))
    )


def test_box_of_a_thing(world):
    box, ids = world.project_box(CRATE), world.view().segmentation
    rows, columns = np.nonzero(ids == CRATE)
    assert box is not None
    assert 0 <= box[0] <= columns.min() + 0.5 and columns.max() + 0.5 <= box[2] <= 32
    assert 0 <= box[1] <= rows.min() + 0.5 and rows.max() + 0.5 <= box[3] <= 32
    # The crate's top edge is 0.25 m below the camera, its near face 2 m and its far edge 3 m ahead.
    assert box[1] == pytest.approx(16 + 16 * 0.25 / 3, abs=1e-4)
    assert box[0] == pytest.approx(16 - 16 * 0.5 / 2, abs=1e-4)
    behind = world.pose(yaw_deg=180)
    assert world.project_box(CRATE, behind) is None
    assert world.visible_pixels(CRATE, behind) == world.unoccluded_pixels(CRATE, behind) == 0
    with pytest.raises(InputError):
        world.project_box(99)


def test_box_of_a_thing_that_reaches_behind_the_camera(world):
    # Close beside the crate, looking along it: part of it is behind the image plane.
    pose = world.pose(3.5, 1.2, 10)
    box = world.project_box(CRATE, pose)
    assert box is not None and box[0] == 0 and box[3] == 32
    assert world.visible_pixels(CRATE, pose) == (world.view(pose).segmentation == CRATE).sum()


def test_visibility(world):
    pose = world.pose()
    ids = world.view().segmentation
    for thing in (CRATE, POLE, SCREEN, 4):
        assert world.visible_pixels(thing) == (ids == thing).sum()
        assert world.unoccluded_pixels(thing) >= world.visible_pixels(thing)
    assert world.visible_pixels(POLE) == 0 < world.unoccluded_pixels(POLE, world.pose(2.0, 2.05, 0))
    assert 0 < world.visible_pixels(CRATE) < world.unoccluded_pixels(CRATE, pose)
    assert world.visible_pixels(SCREEN) == world.unoccluded_pixels(SCREEN) > 0


def test_scenes_are_shared_and_forgotten(monkeypatch):
    assert load_scene(ROOM) is load_scene(ROOM)
    cache = scenes._SceneCache(1)
    prepared = []
    monkeypatch.setattr(
        scenes, "prepare_scene", lambda scene, name, folder: prepared.append(name) or object()
    )
    for name in ("a", "b"):
        cache.register(name, box_room(key=name))
    first = cache.get("a", None)
    assert cache.get("a", None) is first
    cache.get("b", None)
    assert cache.get("a", None) is not first and prepared == ["a", "b", "a"]
    with pytest.raises(InputError):
        cache.register("a", box_room(key="different"))


def test_two_threads_prepare_a_scene_once(monkeypatch):
    cache = scenes._SceneCache(2)
    cache.register("a", box_room(key="a"))
    prepared, gate = [], threading.Event()

    def prepare(scene, name, folder):
        gate.wait(5)
        prepared.append(name)
        return object()

    monkeypatch.setattr(scenes, "prepare_scene", prepare)
    found = []
    threads = [threading.Thread(target=lambda: found.append(cache.get("a", None))) for _ in range(4)]
    for thread in threads:
        thread.start()
    gate.set()
    for thread in threads:
        thread.join()
    assert prepared == ["a"] and len(set(map(id, found))) == 1


def test_gym_checker():
    register()
    register()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warnings.filterwarnings("ignore", message=".*(infinity|not within the observation space limits).*")
        env = gym.make("worldloop/House-v0", scene=ROOM, size=16, panorama_height=8, render_mode="rgb_array")
        check_env(env.unwrapped)


def test_gym_episode():
    env = HouseEnv(ROOM, size=16, panorama_height=8, render_mode="rgb_array")
    seen, info = env.reset(seed=3, options={"position": (1.0, 2.0), "yaw_deg": 0.0})
    assert set(seen) == {"rgb", "pose", "depth", "segmentation", "panorama"}
    assert info == {"position": (1.0, 2.0), "yaw_deg": 0.0, "collided": False}
    rewards = [env.step(np.int64(0))[1] for _ in range(5)]
    assert rewards == [0.0, 0.0, 0.25, 0.0, 0.0]  # the patch from x = 1.5 on
    *_, terminated, truncated, info = env.step(np.int64(3))
    assert terminated and not truncated and env.render().shape == (16, 16, 3)
    env.close()
    again = [env.reset(seed=5)[1] for _ in range(2)]
    assert again[0] == again[1] != env.reset(seed=6)[1]
    with pytest.raises(InputError):
        env.step(np.int64(4))
    with pytest.raises(InputError):
        env.reset(options={"postion": (1, 1)})
    with pytest.raises(InputError):
        HouseEnv(ROOM, render_mode="human")


def test_gym_id_with_a_module_and_a_generated_house():
    env = gym.make("worldloop.envs.house.gym_env:worldloop/House-v0", size=32)
    house = env.unwrapped
    seen, info = env.reset(seed=1)
    assert seen["rgb"].std() > 10 and (seen["segmentation"] > 0).all()
    nav, rng = house.world.loaded.nav, np.random.default_rng(0)
    for _ in range(60):
        seen, _, _, _, info = env.step(np.int64(rng.integers(3)))
        assert nav.is_free(info["position"]) and (seen["depth"] > 0).all()
    world = house.world
    for thing in np.unique(seen["segmentation"]).tolist():
        rows, columns = np.nonzero(seen["segmentation"] == thing)
        box = world.project_box(thing)
        assert box is not None
        assert box[0] <= columns.min() + 0.51 and columns.max() + 0.49 <= box[2]
        assert box[1] <= rows.min() + 0.51 and rows.max() + 0.49 <= box[3]
        assert world.visible_pixels(thing) == len(rows) <= world.unoccluded_pixels(thing)
