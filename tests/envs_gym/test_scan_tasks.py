"""Active recognition and embodied questions in scans, against a stand-in of Habitat: boxes, whole runs, refusals."""

from __future__ import annotations

import json
import math
import sys
from dataclasses import replace

import numpy as np
import pytest

from worldloop.actions import NAVIGATION
from worldloop.agents.build import heuristic
from worldloop.agents.shooting import shooting
from worldloop.core import Belief, Candidate, InputError, Outcome, Rollout
from worldloop.engine import RunSettings, run
from worldloop.envs.habitat.scans import SCANS, HabitatConfig, last_number
from worldloop.envs.stage import on_stage
from worldloop.models.controls import NoModel, Oracle
from worldloop.runs import read_run
from worldloop.tasks import TASKS
from worldloop.tasks.active_recognition import ActiveRecognition
from worldloop.tasks.embodied_qa import MIN_PIXELS, MOST_STEPS, EmbodiedQa
from worldloop.tasks.scans import is_thing, pixel_boxes

import fake_habitat

LEFT = [math.cos(math.pi / 8), 0.0, math.sin(math.pi / 8), 0.0]  # 45 degrees about the vertical
START = {"start_position": [0.0, 0.0, 0.0], "start_rotation": LEFT}
MARKED = {
    "scene_id": "room/room.glb", "episode_id": 1, "difficulty": 0, "target_categrory": "chair", "target_id": 12, **START,
}  # fmt: skip
ASKED = {
    "question": "What hangs on the wall?", "answer": "a picture", "category": "object recognition", "question_id": "q-1",
    "episode_history": "hm3d-v0/made-up", "scene_id": "room/room.glb", "hfov": 100, **START,
}  # fmt: skip


@pytest.fixture
def scenes(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "habitat_sim", fake_habitat.module())
    fake_habitat.Simulator.opened.clear()
    for name in ("room", "other", "bare"):
        (tmp_path / "scans" / name).mkdir(parents=True)
        (tmp_path / "scans" / name / f"{name}.glb").write_bytes(b"glTF")
    yield tmp_path / "scans"
    on_stage(SCANS.close)


def written(folder, *items):
    path = folder / "list.json"
    path.write_text(json.dumps(list(items)))
    return str(path)


def begun(task, split):
    """The task's world in the first episode of a list, the episode and what is seen."""
    episode = task.episodes(split)[0]
    world = task.environment()
    return world, episode, task.observe(world, episode, world.reset(episode))


def imagined(task, world, episode, now, plan):
    """The imagined frames of a model that shows nothing, with the task's boxes, and what really comes."""
    blank = replace(now, rgb=np.zeros_like(now.rgb), segmentation=None, extra={}, pose=None)
    candidates = [Candidate(plan, rollout=Rollout((blank,) * len(plan))), Candidate(plan)]
    shown, plain = task.imagined(world, episode, now, candidates)
    assert plain.rollout is None
    return shown.rollout.frames, [task.observe(world, episode, world.step(a)) for a in plan.actions]


PLAN = NAVIGATION.plan(["turn_left", "move_forward", "turn_left", "turn_right", "move_forward"])


def test_boxes_of_pixels():
    picture = np.zeros((4, 6), np.int32)
    picture[1:3, 2:5] = 7
    picture[3, 5] = 9
    assert pixel_boxes(picture, 2)[7] == (2, 1, 5, 3) and 9 not in pixel_boxes(picture, 2)
    assert pixel_boxes(picture)[9] == (5, 3, 6, 4)
    assert (last_number("0_1_5"), last_number("chair 12"), last_number("chair")) == (5, 12, None)
    assert is_thing("Lighting") and not is_thing("Board_Panel") and not is_thing("")


def test_the_box_is_around_the_pixels_and_moves_as_the_camera_turns(scenes, tmp_path):
    task = ActiveRecognition(scenes=str(scenes))
    world, episode, now = begun(task, written(tmp_path, MARKED))
    assert now.segmentation.dtype == np.int32 and set(np.unique(now.segmentation)) >= {0, 5, 12}
    middles, seen = [], now
    for action in ("turn_left", "turn_left", None):
        rows, columns = np.nonzero(seen.segmentation == 12)
        x0, y0, x1, y1 = seen.extra["target_box"]
        assert (x0, y0, x1, y1) == (columns.min(), rows.min(), columns.max() + 1, rows.max() + 1)
        middles.append(x0 + x1)
        seen = task.observe(world, episode, world.step(action)) if action else seen
    assert middles == sorted(middles) and len(set(middles)) == 3, "the chair goes to the right"
    for _ in range(5):
        seen = task.observe(world, episode, world.step("turn_right"))
    assert "target_box" not in seen.extra, "out of sight"


def test_imagined_boxes_are_those_of_the_true_future(scenes, tmp_path):
    task = ActiveRecognition(scenes=str(scenes))
    frames, truths = imagined(task, *begun(task, written(tmp_path, MARKED)), PLAN)
    assert "target_box" in truths[-1].extra
    for frame, truth in zip(frames, truths, strict=True):
        assert np.array_equal(frame.extra["target_box"], truth.extra["target_box"])
        assert frame.segmentation is None and not frame.rgb.any()
    task = EmbodiedQa(scenes=str(scenes))
    frames, truths = imagined(task, *begun(task, written(tmp_path, ASKED)), PLAN)
    for frame, truth in zip(frames, truths, strict=True):
        for name in ("object_boxes", "object_tracks"):
            assert np.array_equal(frame.extra[name], truth.extra[name])


def test_a_list_of_recognition_is_played(scenes, tmp_path):
    # The second scan has annotations as older versions of Habitat give them, and the list its number as a text.
    second = {**MARKED, "episode_id": 2, "scene_id": "other/other.glb", "target_id": "0_1_5"}
    split = written(tmp_path, MARKED, {**second, "target_categrory": "picture"})
    for model in (NoModel(), Oracle()):
        task = TASKS.create(f"active-recognition:scenes={scenes}")
        settings = RunSettings(
            task.name, model.card.name, "heuristic", split, rollouts=2, horizon=4, execute=1, seed=1
        )
        folder = tmp_path / model.card.name
        header = run(task, model, heuristic(task.name), settings, folder)
        records = [e.episode for e in read_run(folder).records()]
        assert header.status == "complete" and {r.status for r in records} == {"finished"}, records
        assert "true_boxes" in header.privileges and {r.answer for r in records} <= {"chair", "picture"}


def test_any_category_will_do(scenes, tmp_path):
    task = ActiveRecognition(scenes=str(scenes))
    world, episode, _ = begun(task, written(tmp_path, {**MARKED, "target_categrory": "kitchen islands"}))
    assert task.goal(world, episode).classes == ("kitchen islands",)

    def score(answer):
        return task.score(world, episode, Outcome(Belief(answer, 0.9), True, 3, 1.0)).score

    assert (score("kitchen islands"), score("Kitchen island"), score("island"), score(None)) == (1, 1, 0, 0)


@pytest.mark.parametrize(
    "broken", [{"target_id": None}, {"target_id": "chair"}, {"target_id": 99}, {"scene_id": "bare/bare.glb"}]
)
def test_targets_without_annotations(scenes, tmp_path, broken):
    task = ActiveRecognition(scenes=str(scenes))
    with pytest.raises(InputError, match="no semantic annotations for its target_id"):
        world, episode, _ = begun(task, written(tmp_path, {**MARKED, **broken}))
        task.goal(world, episode)


def test_what_is_rendered_and_provided(scenes, tmp_path):
    (scenes / "hm3d_basis.scene_dataset_config.json").write_text("{}")
    (scenes / "hm3d_annotated_basis.scene_dataset_config.json").write_text("{}")
    task = ActiveRecognition(scenes=str(scenes))
    assert "panorama_segmentation" in task.provides
    begun(task, written(tmp_path, MARKED))
    assert "segmentation" in task.provides and "panorama_segmentation" not in task.provides
    config = task.environment(("panorama", "depth")).config
    assert config == HabitatConfig(segmentation=True, depth=True, panorama_height=128)
    (opened,) = fake_habitat.Simulator.opened
    assert opened.config.sim_cfg.scene_dataset_config_file.endswith(
        "hm3d_annotated_basis.scene_dataset_config.json"
    )


def test_boxes_are_of_things_in_the_scan(scenes, tmp_path):
    task = EmbodiedQa(scenes=str(scenes))
    world, _, now = begun(task, written(tmp_path, ASKED))
    assert now.hfov_deg == 100 and now.extra["object_tracks"].dtype == np.int32
    counts = np.bincount(now.segmentation.ravel(), minlength=40)
    assert counts[31] >= MIN_PIXELS, "a wall is in sight"
    assert (
        set(now.extra["object_tracks"].tolist())
        == {i for i in (5, 12, 20) if counts[i] >= MIN_PIXELS}
        >= {5, 12}
    )
    boxes = pixel_boxes(now.segmentation)
    for box, track in zip(now.extra["object_boxes"], now.extra["object_tracks"], strict=True):
        assert tuple(box) == boxes[int(track)]
    assert world.instances()[33] == ""


def test_questions_are_played(scenes, tmp_path):
    # Nothing is annotated in the second scan: nobody can recognise there, which is no failure.
    split = written(tmp_path, ASKED, {**ASKED, "question_id": "q-2", "scene_id": "bare/bare.glb"})
    for model in (NoModel(), Oracle()):
        task = TASKS.create(f"embodied-qa:scenes={scenes}")
        task.budgets = replace(task.budgets, budget=4)
        settings = RunSettings(
            task.name, model.card.name, "heuristic", split, rollouts=2, horizon=6, execute=6, seed=1
        )
        folder = tmp_path / model.card.name
        header = run(task, model, heuristic(task.name), settings, folder)
        records = [e.episode for e in read_run(folder).records()]
        assert header.status == "complete" and {r.status for r in records} == {"finished"}, records
        assert {"true_boxes", "true_tracks"} <= set(header.privileges)
        assert all(set(r.metrics) == {"grade", "answered"} and r.steps <= MOST_STEPS for r in records)


def test_steps_end_the_walk(scenes, tmp_path):
    task = EmbodiedQa(scenes=str(scenes))
    world, episode, _ = begun(task, written(tmp_path, ASKED))
    world.steps = MOST_STEPS - 1
    assert not task.done(world, episode)
    world.step("turn_left")
    assert task.done(world, episode)
    world.reset(episode)
    assert not task.done(world, episode)
    # An agent that asks nothing and never stops by itself: 36 decisions of 7 steps would be 252.
    split = written(tmp_path, ASKED)
    settings = RunSettings(task.name, "none", "shooting", split, rollouts=1, horizon=7, execute=7, seed=1)
    run(EmbodiedQa(scenes=str(scenes)), NoModel(), shooting("image-goal"), settings, tmp_path / "long")
    (record,) = [e.episode for e in read_run(tmp_path / "long").records()]
    assert record.steps == MOST_STEPS


def test_scores_of_questions_in_scans(scenes, tmp_path):
    task = EmbodiedQa(scenes=str(scenes))
    world, episode, _ = begun(task, written(tmp_path, ASKED))
    right = Outcome(Belief("a picture", 0.9), True, 30, 4.0)
    score = task.score(world, episode, right)
    assert score.score == 100 and score.metrics == {"grade": 5, "answered": 1}
    known = replace(episode, goal={**episode.goal, "shortest": 2.0})
    assert task.score(world, known, right).metrics["spl"] == pytest.approx(0.5)


def test_options_of_judges_stay(scenes):
    task = TASKS.create(f"embodied-qa:judge=scripted,scenes={scenes}")
    assert task.version == "1" and task.scenes == str(scenes)
    with pytest.raises(InputError):
        TASKS.create(f"embodied-qa:nonsense=1,scenes={scenes}")


@pytest.mark.parametrize("missing", ["scene_id", "start_position", "start_rotation"])
def test_questions_about_recordings_are_refused(scenes, tmp_path, missing):
    bare = {k: v for k, v in ASKED.items() if k != missing} | {"question_id": "q-2"}
    with pytest.raises(InputError, match=r"q-2.*scene_id, start_position and start_rotation.*A-EQA"):
        EmbodiedQa(scenes=str(scenes)).episodes(written(tmp_path, ASKED, bare))


@pytest.mark.parametrize("other", [90, None, "wide", 200])
def test_one_run_has_one_camera(scenes, tmp_path, other):
    items = ASKED, {**ASKED, "question_id": "q-2", "hfov": other}
    with pytest.raises(InputError, match="hfov"):
        EmbodiedQa(scenes=str(scenes)).episodes(written(tmp_path, *items))
    task = EmbodiedQa(scenes=str(scenes))
    task.episodes(written(tmp_path, {**ASKED, "hfov": None}))
    assert task.environment().config.hfov_deg == 90


@pytest.mark.parametrize(("task", "item"), [(ActiveRecognition, MARKED), (EmbodiedQa, ASKED)])
def test_what_is_missing_is_said(scenes, tmp_path, monkeypatch, task, item):
    split = written(tmp_path, item)
    with pytest.raises(InputError, match=f"{task.name}:scenes=FOLDER"):
        task().episodes(split)
    with pytest.raises(InputError, match="no scene"):
        task(scenes=str(scenes / "nowhere")).episodes(split)
    monkeypatch.delitem(sys.modules, "habitat_sim")
    with pytest.raises(InputError, match="conda install habitat-sim"):
        task(scenes=str(scenes)).episodes(split)


def test_a_scene_may_be_named_by_its_folder(scenes, tmp_path):
    split = written(tmp_path, {**ASKED, "scene_id": "room"})
    (scenes / "room" / "room.semantic.glb").write_bytes(b"glTF")
    world, _, _ = begun(EmbodiedQa(scenes=str(scenes)), split)
    assert world.path == scenes / "room" / "room.glb"
    (scenes / "room" / "second.glb").write_bytes(b"glTF")
    with pytest.raises(InputError, match="has 2 scenes; name the file"):
        EmbodiedQa(scenes=str(scenes)).episodes(split)
