"""The task: what the agent is shown, when it is over, what an answer is worth; and OpenEQA's file."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest

from worldloop.actions import NAVIGATION
from worldloop.core import Belief, Candidate, InputError, Outcome, Rollout
from worldloop.tasks import TASKS
from worldloop.tasks.embodied_qa import MIN_PIXELS, MOST_STEPS, EmbodiedQa
from worldloop.tasks.openeqa import import_openeqa

TASK = EmbodiedQa()


@pytest.fixture(scope="module")
def played():
    episode = TASK.episodes("mini")[0]
    world = TASK.environment()
    return world, episode, TASK.observe(world, episode, world.reset(episode))


def test_boxes_are_of_furniture_in_sight(played):
    world, _, seen = played
    boxes, tracks = seen.extra["object_boxes"], seen.extra["object_tracks"]
    assert boxes.shape == (len(tracks), 4) and len(set(tracks.tolist())) == len(tracks)
    counts = np.bincount(seen.segmentation.ravel(), minlength=max(world.loaded.things) + 1)
    shown = {i for i, t in world.loaded.things.items() if not t.structure and counts[i] >= MIN_PIXELS}
    assert set(tracks.tolist()) == shown
    for box, track in zip(boxes, tracks):
        rows, columns = np.nonzero(seen.segmentation == track)
        assert (
            box[0] <= columns.min() + 1
            and box[2] >= columns.max()
            and box[1] <= rows.min() + 1
            and box[3] >= rows.max()
        )


def test_the_goal_does_not_tell_the_answer(played):
    world, episode, _ = played
    goal = TASK.goal(world, episode)
    assert goal.text == episode.goal["question"] and goal.image is None and not goal.classes


def test_imagined_boxes_are_where_the_plan_really_leads(played):
    world, episode, now = played
    plan = NAVIGATION.plan(["turn_left", "move_forward", "turn_right"])
    blank = replace(now, rgb=np.zeros_like(now.rgb), extra={}, pose=None)
    shown = TASK.imagined(
        world, episode, now, [Candidate(plan, rollout=Rollout((blank,) * 3)), Candidate(plan)]
    )
    assert shown[1].rollout is None
    simulated = world.simulator().rollout(plan)
    for frame, truth in zip(shown[0].rollout.frames, simulated):
        real = TASK.observe(world, episode, truth)
        theirs, ours = (set(f.extra["object_tracks"].tolist()) for f in (real, frame))
        # Half the pixels are counted, so what is at the limit may differ.
        assert len(theirs ^ ours) <= 2 and (theirs & ours or not theirs)


def test_steps_end_the_episode(played):
    _, episode, _ = played
    world = TASK.environment()
    world.reset(episode)
    for _ in range(MOST_STEPS - 1):
        world.steps += 1
    assert not TASK.done(world, episode)
    world.step("turn_left")
    assert TASK.done(world, episode)
    world.reset(episode)
    assert not TASK.done(world, episode)


def outcome(answer, path=4.0):
    return Outcome(Belief(answer, 0.9) if answer is not None else None, True, 30, path)


def test_scores(played):
    world, episode, _ = played
    goal = {"question": "How many?", "answer": "3", "extra_answers": ["a trio"], "shortest": 2.0}
    episode = replace(episode, goal=goal)
    right = TASK.score(world, episode, outcome("three"))
    assert right.success and right.score == 100 and right.metrics["spl"] == pytest.approx(0.5)
    assert TASK.score(world, episode, outcome("a trio")).success
    near = TASK.score(world, episode, outcome("4"))
    assert not near.success and near.score == 25 and near.metrics["spl"] == 0 and near.metrics["grade"] == 2
    silent = TASK.score(world, episode, outcome(None))
    assert silent.score == 0 and silent.metrics["answered"] == 0
    # Who need not move is not asked to: a metre is free.
    at_once = replace(episode, goal={**goal, "shortest": 0.0})
    assert TASK.score(world, at_once, outcome("3", 0.4)).metrics["spl"] == 1


@pytest.mark.parametrize(
    "change",
    [{"question": ""}, {"answer": 3}, {"extra_answers": "yes"}, {"shortest": float("nan")}, {"shortest": -1}],
)
def test_bad_goals_are_named(played, change):
    world, episode, _ = played
    with pytest.raises(InputError, match=episode.id):
        TASK.score(world, replace(episode, goal={**episode.goal, **change}), outcome("yes"))


def test_another_judge_is_another_version():
    class Strict:
        name = "strict"

        def judge(self, question, accepted, given):
            return 5 if given in accepted else 1

    task = EmbodiedQa(judge=Strict())
    assert task.version != TASK.version and "strict" in task.version
    with pytest.raises(InputError, match="no judge"):
        TASKS.create("embodied-qa:judge=nobody")


ITEM = {
    "question": "What is behind the door?", "answer": "a broom", "category": "object recognition", "question_id": "q-1",
    "episode_history": "hm3d-v0/made-up", "extra_answers": ["broom"], "hfov": 105,
}  # fmt: skip


def written(tmp_path, items):
    path = tmp_path / "open-eqa.json"
    path.write_text(json.dumps(items))
    return path


def test_openeqa_is_read(tmp_path):
    plain = {k: v for k, v in ITEM.items() if k not in ("extra_answers", "hfov")} | {"question_id": "q-2"}
    first, second = import_openeqa(written(tmp_path, [ITEM, plain]))
    assert (first.id, first.task, first.scene) == ("q-1", "embodied-qa", "openeqa/hm3d-v0/made-up")
    assert first.goal["hfov"] == 105 and second.goal["extra_answers"] == []
    assert TASK.accepted_answers(first) == ("a broom", "broom")


def test_openeqa_needs_a_start_and_habitat(tmp_path):
    with pytest.raises(
        InputError, match=r"Habitat.*scene_id, start_position and start_rotation.*--split val"
    ):
        TASK.episodes(str(written(tmp_path, [ITEM])))
    start = {"scene_id": "a/a.glb", "start_position": [1, 0, -2], "start_rotation": [1, 0, 0, 0]}
    path = str(written(tmp_path, [{**ITEM, **start}]))
    (episode,) = import_openeqa(path)
    assert episode.scene == "habitat/a/a.glb" and episode.start["position"] == [2.0, -1.0]
    with pytest.raises(InputError, match=r"Habitat.*--split val"):
        EmbodiedQa().episodes(path)
    with pytest.raises(InputError, match="start_position"):
        import_openeqa(written(tmp_path, [{**ITEM, **start, "start_position": [1, 2]}]))


@pytest.mark.parametrize(
    "items",
    [
        [],
        {},
        [3],
        [{**ITEM, "answer": ""}],
        [{**ITEM, "extra_answers": "broom"}],
        [{**ITEM, "question": None}],
        [ITEM, ITEM],
    ],
)
def test_openeqa_that_is_none(tmp_path, items):
    with pytest.raises(InputError):
        import_openeqa(written(tmp_path, items))
