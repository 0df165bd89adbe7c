"""World models: the controls do what their names say; geometry-based models agree with the renderer."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from worldloop.actions import NAVIGATION, intended_path
from worldloop.core import Episode, InputError, Observation, Query, Rollout
from worldloop.core.errors import ModelError
from worldloop.engine.guard import placed
from worldloop.envs.house.scenes import load_scene, register_scene
from worldloop.envs.house.world import HouseWorld
from worldloop.models import MODELS
from worldloop.models.pointcloud import walked_path

from fakes import SIZE, FakeSimulator, look
from house_boxes import box_room

PLAN = NAVIGATION.plan(["turn_left", "move_forward", "move_forward", "turn_right"])
OTHER = NAVIGATION.plan(["move_forward"] * 4)


def query(plan=PLAN, alternatives=(OTHER,), seed=5) -> Query:
    state = (0.3, -0.2, 45.0)
    return Query((look(*state),), (), plan, seed, FakeSimulator(state), alternatives)


def frames(rollout) -> np.ndarray:
    return np.stack([f.rgb for f in rollout.frames])


def truth(plan) -> np.ndarray:
    return np.stack([f.rgb for f in query().simulator.rollout(plan)])


def ask(name: str, q: Query) -> np.ndarray:
    return frames(MODELS.create(name).simulate([q])[0])


def test_oracle_is_the_simulator_and_frozen_stands_still():
    np.testing.assert_array_equal(ask("oracle", query()), truth(PLAN))
    np.testing.assert_array_equal(ask("frozen", query()), np.stack([query().history[-1].rgb] * 4))


def test_shuffled_shows_another_candidates_plan():
    np.testing.assert_array_equal(ask("shuffled", query()), truth(OTHER))
    alone = ask("shuffled", query(alternatives=()))
    assert not np.array_equal(alone, truth(PLAN))


def test_blind_shows_every_candidate_the_same():
    np.testing.assert_array_equal(ask("blind", query(PLAN)), ask("blind", query(OTHER, seed=9)))


def test_oracle_wrong_never_takes_the_asked_action():
    model = MODELS.create("oracle-wrong")
    for seed in range(20):
        wrong = model.plan(query(seed=seed))
        assert all(a != b for a, b in zip(wrong.names, PLAN.names)) and "stop" not in wrong.names
    assert MODELS.create("oracle-wrong").simulate([query()])[0].frames[0].pose is None


def test_oracle_blur_follows_the_plan_but_loses_detail():
    noisy = Observation(np.random.default_rng(0).integers(0, 255, (64, 64, 3), dtype=np.uint8))
    blurred = MODELS.create("oracle-blur:sigma=4").picture(noisy)
    assert blurred.rgb.std() < 0.5 * noisy.rgb.std()
    assert ask("oracle-blur", query()).shape == (4, SIZE, SIZE, 3)
    with pytest.raises(InputError, match="sigma"):
        MODELS.create("oracle-blur:sigma=-1")


def test_a_share_of_the_actions_may_be_wrong():
    model, long = MODELS.create("oracle-wrong:share=0.3"), NAVIGATION.plan(["move_forward"] * 500)
    names = model.plan(query(long)).names
    assert 0.2 < np.mean([n != "move_forward" for n in names]) < 0.4
    assert model.card.settings == {"share": 0.3} and not MODELS.create("oracle-wrong").card.settings
    assert len(set(MODELS.create("oracle-wrong").plan(query(long)).names)) == 2
    with pytest.raises(InputError, match="share"):
        MODELS.create("oracle-wrong:share=0")


@pytest.mark.parametrize("name", ["oracle", "shuffled", "blind", "oracle-blur", "oracle-wrong"])
def test_without_a_simulator_they_say_so(name):
    with pytest.raises(ModelError, match="simulate itself"):
        MODELS.create(name).simulate([Query((look(0, 0, 0),), (), PLAN, 1)])


@pytest.mark.parametrize("name", ["rotate-only", "pointcloud", "pointcloud-assumed"])
def test_without_a_panorama_they_say_so(name):
    with pytest.raises(ModelError, match="needs an environment"):
        MODELS.create(name).simulate([query()])


ELSEWHERE = {
    "none", "video", "video-table", "remote", "videos", "jobs", "diffusers", "nwm", "diamond", "dino-wm", "stable-worldmodel"
}  # fmt: skip
"""Those that imagine nothing, know no houses, or have no weights in the package."""


@pytest.mark.parametrize("name", [n for n in MODELS.names() if n not in ELSEWHERE])
def test_rollouts_do_not_depend_on_the_batch(name, room):
    queries = [
        room_query(room, plan, i) for i, plan in enumerate((PLAN, OTHER, NAVIGATION.plan(["turn_right"] * 4)))
    ]
    model = MODELS.create(name)
    together = model.simulate(queries)
    for q, r in zip(queries, together):
        np.testing.assert_array_equal(frames(model.simulate([q])[0]), frames(r))


@pytest.fixture(scope="module")
def room(tmp_path_factory) -> HouseWorld:
    register_scene("models-room", box_room())
    cache = tmp_path_factory.mktemp("light")
    place = load_scene("models-room", cache).nav.random_free_point(np.random.default_rng(1))
    world = HouseWorld(panorama_height=256, cache_dir=cache)
    world.reset(Episode("e", "t", "models-room", 0, {"position": list(place), "yaw_deg": 22.5}, {}, 1))
    return world


def room_query(world: HouseWorld, plan, seed=0) -> Query:
    return Query((world.view(),), (), plan, seed, world.simulator(), (OTHER,))


def difference(a: np.ndarray, b: np.ndarray) -> float:
    return float(np.median(np.abs(a.astype(float) - b)))


def test_rotate_only_turns_exactly_and_does_not_walk(room):
    turns = NAVIGATION.plan(["turn_left", "turn_left", "turn_right", "turn_right"])
    seen = ask("rotate-only", room_query(room, turns))
    true = np.stack([f.rgb for f in room.simulator().rollout(turns)])
    assert difference(seen, true) <= 6  # a panorama is coarser than the view
    np.testing.assert_array_equal(seen[3], room.view().rgb)
    walk = ask("rotate-only", room_query(room, OTHER))
    assert all(np.array_equal(f, room.view().rgb) for f in walk)


def test_pointcloud_walks_and_turns_like_the_renderer(room):
    for plan in (PLAN, OTHER, NAVIGATION.plan(["turn_right", "turn_right", "move_forward", "turn_left"])):
        path = intended_path(plan, *room.position, room.place.yaw_deg)
        if not all(room.loaded.nav.is_free(p[:2]) for p in path):
            continue
        true = np.stack([f.rgb for f in room.simulator().rollout(plan)])
        cloud, flat = (ask(n, room_query(room, plan)) for n in ("pointcloud", "rotate-only"))
        assert difference(cloud, true) <= 8
        if "move_forward" in plan.names:
            assert difference(cloud, true) <= difference(flat, true) + 1


@settings(max_examples=20, deadline=None)
@given(st.lists(st.sampled_from(["move_forward", "turn_left", "turn_right"]), min_size=1, max_size=8))
def test_pointcloud_leaves_no_hole(room, names):
    rollout = MODELS.create("pointcloud").simulate([room_query(room, NAVIGATION.plan(names))])[0]
    assert all((f.depth > 0).all() for f in rollout.frames)


def test_pointcloud_stops_where_the_world_stops(room):
    """Walking straight at a wall: the model says where it ends up, within a grid cell of the truth."""
    here = room.view()
    for yaw in range(0, 360, 45):
        room._place = replace(room._place, yaw_deg=float(yaw))
        now, plan = room.view(), NAVIGATION.plan(["move_forward"] * 10)
        query = Query((now,), (), plan, 0, room.simulator())
        rollout = MODELS.create("pointcloud").simulate([query])[0]
        ends = placed(rollout, now.pose, MODELS.create("pointcloud").card).frames[-1].pose[:2, 3]
        true = room.simulator().rollout(plan)[-1].pose[:2, 3]
        assert np.linalg.norm(ends - true) < 0.15
        through = MODELS.create("pointcloud:radius=0").simulate([query])[0].frames[-1].pose
        assert np.linalg.norm(through[:3, 3]) == pytest.approx(2.0)
    room._place = replace(room._place, yaw_deg=22.5)
    np.testing.assert_array_equal(room.view().rgb, here.rgb)


def test_walking_into_a_point():
    ahead = intended_path(NAVIGATION.plan(["move_forward"] * 5))
    walked = walked_path(ahead, np.array([[0.7, 0.0], [0.3, 0.5], [-0.1, 0.0]]), 0.2)
    np.testing.assert_allclose(walked[:, 0], [0, 0.2, 0.4, 0.5, 0.5, 0.5], atol=1e-9)
    np.testing.assert_array_equal(walked_path(ahead, np.zeros((0, 2)), 0.2), ahead)
    turned = walked_path(intended_path(PLAN), np.array([[0.1, 0.0]]), 0.2)
    assert (turned[:, 2] == intended_path(PLAN)[:, 2]).all()


def test_poses_of_rollouts_are_in_the_world():
    card = MODELS.create("pointcloud").card
    camera, ahead = look(1.0, 2.0, 90.0).pose, look(0.2, 0.0, 0.0).pose
    origin = look(0.0, 0.0, 0.0).pose
    frame = Observation(look(0, 0, 0).rgb, pose=np.linalg.inv(origin) @ ahead)
    moved = placed(Rollout((frame, _bare(frame))), camera, card).frames
    np.testing.assert_allclose(moved[0].pose, look(1.0, 2.2, 90.0).pose, atol=1e-12)
    assert moved[1].pose is None
    same = Rollout((frame,))
    assert placed(same, camera, MODELS.create("oracle").card) is same and placed(same, None, card) is same


def _bare(frame: Observation) -> Observation:
    return frame.without("pose")


def test_registry_errors_help():
    with pytest.raises(InputError, match="did you mean 'pointcloud'"):
        MODELS.create("pointclod")
    with pytest.raises(InputError, match="radius"):
        MODELS.create("pointcloud:radius=-1")
    with pytest.raises(InputError, match="key=value"):
        MODELS.create("oracle-blur:5")
    with pytest.raises(InputError, match="unexpected keyword"):
        MODELS.create("oracle-blur:colour=3")
    with pytest.raises(InputError, match="has no 'Nothing'"):
        MODELS.create("worldloop.models.controls.Nothing")
    with pytest.raises(InputError, match="No module named"):
        MODELS.create("no_such_package.Model")
    assert MODELS.create("worldloop.models.controls.Frozen").card.name == "frozen"
