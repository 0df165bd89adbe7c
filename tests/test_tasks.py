"""Tasks: the shipped lists are what they claim, boxes and goals are right, success is what it says."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import replace

import numpy as np
import pytest

from worldloop.actions import NAVIGATION
from worldloop.core import Belief, Candidate, InputError, Outcome, Rollout
from worldloop.envs.house.generate import CATEGORIES, parse_scene_id
from worldloop.tasks import TASKS
from worldloop.tasks.episodes import load_episodes, parse_episodes, write_episodes
from worldloop.tasks.sampling import sample_episodes

NAMES = ("active-recognition", "image-goal")


@pytest.mark.parametrize("name", NAMES)
def test_shipped_lists(name):
    test, mini, val = (load_episodes(name, split) for split in ("test", "mini", "val"))
    assert len(test) == (200 if name == "active-recognition" else 144) and len(mini) == 20
    assert len({e.scene for e in test}) >= 40
    splits = [{e.scene for e in episodes} for episodes in (test, mini, val)]
    assert not (splits[0] & splits[1] or splits[0] & splits[2] or splits[1] & splits[2])
    assert {parse_scene_id(s).split for s in splits[0] | splits[1]} == {"test"}
    assert {parse_scene_id(s).split for s in splits[2]} == {"val"}
    assert {parse_scene_id(e.scene).style for e in mini} == {"A", "B", "C"}


def test_recognition_targets_are_varied_and_badly_seen():
    episodes = load_episodes("active-recognition", "test")
    counts = Counter(e.goal["category"] for e in episodes)
    assert len(counts) >= 27 and max(counts.values()) <= len(episodes) * 0.1
    assert set(counts) <= set(CATEGORIES)
    kinds = Counter(e.goal["difficulty"] for e in episodes)
    assert kinds["occluded"] > 0.2 * len(episodes)
    assert all(e.goal["hidden"] >= 0.65 for e in episodes if e.goal["difficulty"] == "occluded")


@pytest.mark.parametrize("name", NAMES)
def test_lists_can_be_drawn_again(name):
    shipped = load_episodes(name, "mini")
    scenes = list(dict.fromkeys(e.scene for e in shipped))[:2]
    wanted = [e for e in shipped if e.scene in scenes]
    drawn = sample_episodes(name, scenes, len(wanted))
    assert [replace(e) for e in drawn] == wanted


@pytest.mark.parametrize("name", NAMES)
def test_every_mini_episode_starts(name):
    task = TASKS.create(name)
    for episode in task.episodes("mini")[::4]:
        world = task.environment()
        observation = task.observe(world, episode, world.reset(episode))
        goal = task.goal(world, episode)
        assert observation.panorama is None and observation.depth is None
        if name == "active-recognition":
            x0, y0, x1, y1 = observation.extra["target_box"]
            assert 0 <= x0 < x1 <= 128 and 0 <= y0 < y1 <= 128
            assert episode.goal["category"] in goal.classes
        else:
            assert goal.image.shape == (128, 128, 3) and goal.image.std() > 5


def test_boxes_of_imagined_frames_follow_the_plan():
    task = TASKS.create("active-recognition")
    episode = task.episodes("mini")[0]
    world = task.environment()
    now = task.observe(world, episode, world.reset(episode))
    plan = NAVIGATION.plan(["turn_left", "turn_right"])
    frames = tuple(replace(f, pose=None) for f in world.simulator().rollout(plan))
    (candidate,) = task.imagined(world, episode, now, [Candidate(plan, rollout=Rollout(frames))])
    back = candidate.rollout.frames[1].extra["target_box"]
    np.testing.assert_allclose(back, now.extra["target_box"], atol=1e-3)
    first = candidate.rollout.frames[0].extra.get("target_box")
    assert first is None or abs(first[0] - now.extra["target_box"][0]) > 1


def test_recognition_is_won_by_the_right_name_alone():
    task = TASKS.create("active-recognition")
    episode = task.episodes("mini")[0]
    right = Outcome(Belief(episode.goal["category"], 0.5), True, 3, 1.0)
    wrong = Outcome(Belief("unicorn", 0.99), True, 3, 1.0)
    assert task.score(None, episode, right).success
    assert not task.score(None, episode, wrong).success
    assert not task.score(None, episode, Outcome(None, False, 3, 1.0)).success


def test_image_goal_success_and_spl():
    task = TASKS.create("image-goal")
    episode = task.episodes("mini")[0]
    world = task.environment()
    world.reset(episode)
    shortest = episode.goal["geodesic"]
    away = task.score(world, episode, Outcome(None, True, 0, 0.0))
    assert (
        not away.success
        and away.metrics["spl"] == 0
        and away.metrics["distance"] == pytest.approx(shortest, abs=0.01)
    )
    there = replace(episode, start={"position": episode.goal["position"], "yaw_deg": 0.0})
    world.reset(there)
    assert task.score(world, episode, Outcome(None, True, 9, 2 * shortest)).metrics["spl"] == pytest.approx(
        0.5, abs=0.01
    )
    assert not task.score(world, episode, Outcome(None, False, 9, 2.0)).success  # it never said it was there
    assert not task.done(world, episode)
    privileged = TASKS.create("image-goal:oracle_stop=true")
    assert privileged.privileges == ("oracle_stop",) and privileged.done(world, episode)
    assert privileged.score(world, episode, Outcome(None, False, 9, 2.0)).success
    assert privileged.version != task.version


def test_bad_episodes_are_named():
    task = TASKS.create("active-recognition")
    episode = task.episodes("mini")[0]
    world = task.environment()
    world.reset(episode)
    with pytest.raises(InputError, match="has no 'unicorn'"):
        task.goal(world, replace(episode, goal={"target": 1, "category": "unicorn"}))
    with pytest.raises(InputError, match="nobody can stand"):
        world.reset(replace(episode, start={"position": [-50, 0], "yaw_deg": 0}))
    goal = TASKS.create("image-goal")
    with pytest.raises(InputError, match="nobody can stand at the goal"):
        goal.goal(world, replace(episode, goal={"position": [-50.0, 0.0], "yaw_deg": 0.0}))
    with pytest.raises(InputError, match="goal needs position"):
        goal.goal(world, replace(episode, goal={}))


def test_lists_are_written_as_they_are_read(tmp_path):
    episodes = load_episodes("image-goal", "mini")
    path = tmp_path / "mine.json"
    write_episodes(path, "image-goal", "mine", episodes, "a note")
    assert load_episodes("image-goal", str(path)) == episodes
    assert parse_episodes(json.loads(path.read_text()), "image-goal", "x") == episodes
