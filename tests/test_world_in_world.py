"""World-In-World's own episode files: read as they are published, and refused where nobody can walk."""

from __future__ import annotations

import json
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from worldloop.core import InputError
from worldloop.tasks import TASKS
from worldloop.tasks.world_in_world import Item, import_world_in_world, is_world_in_world

RECOGNITION = {
    "scene_id": "mp3d/made-up/made-up.glb", "episode_id": 7, "difficulty": "hard", "target_categrory": "chair",
    "target_id": 12, "start_position": [1.0, 0.1, -2.0], "start_rotation": [1.0, 0.0, 0.0, 0.0],
}  # fmt: skip
NAVIGATION = {
    "datum_id": 3, "episode_id": 5, "scene_relpath": "hm3d/made-up.glb", "goal_image_relpath": "images/3.png",
    "start_position": [0.0, 0.1, 0.0], "start_rotation": [1.0, 0.0, 0.0, 0.0],
    "goal_position": [-1.0, 0.1, -3.0], "goal_rotation": [math.cos(math.pi / 4), 0.0, math.sin(math.pi / 4), 0.0],
    "goal_radius": 0.5, "goal_rot_diff": 90.0, "step_to_goal": 20,
}  # fmt: skip


def written(folder, data):
    path = folder / "episodes.json"
    path.write_text(json.dumps(data))
    return str(path)


@pytest.mark.parametrize("wrapped", [False, True])
def test_recognition_is_read(wrapped):
    items = [RECOGNITION, {**RECOGNITION, "episode_id": 8}]
    data = {"episodes": items} if wrapped else items
    first, second = import_world_in_world(data, "a file", "active-recognition", 10)
    assert (first.scene, first.budget) == ("habitat/mp3d/made-up/made-up.glb", 10)
    assert first.id != second.id and first.seed != second.seed
    assert first.goal["category"] == "chair" and first.goal["target"] == 12
    assert first.start == {"position": [2.0, -1.0], "yaw_deg": pytest.approx(0.0)}


def test_navigation_is_read():
    data = {"version": "1", "num_items": 1, "meta": {}, "data": [NAVIGATION]}
    (episode,) = import_world_in_world(data, "a file", "image-goal", 20)
    # Three metres ahead (-z) and one to the left (-x), looking to the left after a quarter turn about y.
    assert episode.goal["position"] == [3.0, 1.0] and episode.goal["yaw_deg"] == pytest.approx(90.0)
    assert episode.goal["goal_image_relpath"] == "images/3.png" and episode.goal["step_to_goal"] == 20


@given(st.floats(-179, 179), st.floats(0.1, 3))
def test_yaw_is_the_turn_about_the_vertical(yaw, size):
    half = math.radians(yaw) / 2
    item = {**RECOGNITION, "start_rotation": [size * math.cos(half), 0.0, size * math.sin(half), 0.0]}
    assert Item(item, "here").place("start")["yaw_deg"] == pytest.approx(yaw, abs=1e-6)


@pytest.mark.parametrize("task", ["active-recognition", "image-goal"])
def test_scans_need_habitat(tmp_path, task):
    data = [RECOGNITION] if task == "active-recognition" else {"data": [NAVIGATION]}
    with pytest.raises(InputError, match=r"Habitat.*--split val"):
        TASKS.create(task).episodes(written(tmp_path, data))


@pytest.mark.parametrize(
    "broken",
    [
        {"scene_id": None},
        {"episode_id": True},
        {"target_categrory": ""},
        {"start_position": [0, 0]},
        {"start_rotation": [0, 0, 0, 0]},
        {"start_rotation": [1, 0, 0, "0"]},
        {"start_position": [0, 0, float("nan")]},
    ],
)
def test_items_that_are_none(broken):
    items = [RECOGNITION, {**RECOGNITION, **broken}]
    with pytest.raises(InputError, match="episode 1"):
        import_world_in_world(items, "a file", "active-recognition", 10)


@pytest.mark.parametrize("data", [[], {"episodes": []}, {"data": 3}, [3], [RECOGNITION, RECOGNITION]])
def test_files_that_are_none(data):
    with pytest.raises(InputError):
        import_world_in_world(data, "a file", "active-recognition", 10)


def test_other_files_are_left_alone():
    assert not is_world_in_world({"format": 1, "task": "image-goal", "episodes": []})
    assert not is_world_in_world("text")
    with pytest.raises(InputError, match="embodied-qa"):
        import_world_in_world([RECOGNITION], "a file", "embodied-qa", 10)
