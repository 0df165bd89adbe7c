"""The manipulation task and its agent: fixed lists, honest eyes, plans of the right kind, choices that help."""

from __future__ import annotations

import asyncio

import numpy as np
import pytest

from worldloop.agents import AGENTS
from worldloop.agents.table_sight import gap, locate, middle_pixel, read_goal
from worldloop.core import (
    Candidate,
    Goal,
    InputError,
    Observation,
    Outcome,
    Query,
    Rollout,
    Situation,
    generator,
)
from worldloop.core.errors import WorldloopError
from worldloop.engine import RunSettings, run
from worldloop.envs.tabletop.experts import PHASES, phase
from worldloop.envs.tabletop.layout import load_layout
from worldloop.models import MODELS
from worldloop.models.controls import NoModel
from worldloop.runs import read_run
from worldloop.tasks import TASKS
from worldloop.tasks.manipulation import FAMILIES, list_episodes


async def inline(function, *args):
    return function(*args)


def start(index: int = 0, split: str = "val"):
    """Task, world, episode and the situation of its first decision."""
    task = TASKS.create("manipulation")
    episode = task.episodes(split)[index]
    world = task.environment({"depth"})
    seen = world.reset(episode)
    situation = Situation(
        goal=task.goal(world, episode), vocabulary=world.vocabulary, budget=15, rollouts=3, horizon=4, execute=1,
        compute=inline, draw=lambda purpose, *more: generator(0, episode.id, purpose, *more), history=[seen],
    )  # fmt: skip
    return task, world, episode, situation


def test_shipped_lists():
    task = TASKS.create("manipulation")
    test, val, mini = (task.episodes(s) for s in ("test", "val", "mini"))
    assert len(test) == 200 and len(mini) == 20 and len(val) == 72
    for episodes in (test, val, mini):
        counts = [sum(e.goal["family"] == f for e in episodes) for f in FAMILIES]
        assert set(counts) == {len(episodes) // 4}
        assert all(e.budget == 15 and load_layout(e.scene).text == e.goal["text"] for e in episodes)
    scenes = [{e.scene for e in episodes} for episodes in (test, val, mini)]
    assert not (scenes[0] & scenes[1] or scenes[0] & scenes[2] or scenes[1] & scenes[2])
    assert list_episodes("val", 72) == val and list_episodes("test", 20, 900) == mini


@pytest.mark.parametrize("index", range(4))
def test_the_agent_sees_where_things_are(index):
    _, world, episode, situation = start(index, "test")
    goal = read_goal(situation.goal)
    assert goal.family == episode.goal["family"] and goal.things == world.layout.goal
    for name in goal.things:
        true = world.physics.place(name)[:3, 3]
        np.testing.assert_allclose(locate(situation.observation, name)[:3], true, atol=0.008)
        if name.endswith("block"):
            assert gap(situation.observation.rgb, name, true + np.array([0, 0, 0.02])) < 0.012


def test_what_is_not_there_is_not_seen():
    nothing = Observation(np.full((128, 128, 3), 128, np.uint8), depth=np.ones((128, 128), np.float32))
    assert locate(nothing, "red block") is None and middle_pixel(nothing.rgb, "red block") is None
    assert gap(nothing.rgb, "red block", np.zeros(3)) is None
    with pytest.raises(InputError, match="depth"):
        locate(nothing.without("depth"), "red block")
    # Pixels at two heights far apart: none is near where the upper side is taken to be.
    few, depth = nothing.rgb.copy(), np.ones((128, 128), np.float32)
    few[60:62, 60:65], depth[60, 60:62] = (220, 20, 20), 0.5
    assert np.isfinite(locate(Observation(few, depth=depth), "red block")).all()
    with pytest.raises(InputError, match="manipulation"):
        read_goal(Goal("Go where this picture was taken."))


def test_plans_are_waypoints_and_differ():
    _, world, _, situation = start(1)
    agent = AGENTS.create("heuristic", task="manipulation")
    candidates = asyncio.run(agent.proposer.propose(situation))
    assert len(candidates) == 3 and len({c.plan for c in candidates}) == 3
    assert all(len(c.plan) == 4 and c.plan.vocabulary == world.vocabulary for c in candidates)
    again = start(1)[3]
    assert [c.plan for c in asyncio.run(agent.proposer.propose(again))] == [c.plan for c in candidates]
    decision = asyncio.run(agent.reviser.revise(situation, candidates))
    assert decision.chosen == 0 and decision.actions == candidates[0].plan.actions


def test_the_reviser_takes_the_plan_that_works():
    _, world, _, situation = start(3)  # pick and place
    agent = AGENTS.create("heuristic", task="manipulation")
    asyncio.run(agent.proposer.propose(situation))
    layout = world.layout
    places = {t.name: np.array([*world.physics.place(t.name)[:3, 3], t.yaw_deg]) for t in layout.things}
    good = phase(layout.family, "pick", layout.goal, places)
    plans = [world.vocabulary.plan(good + np.array([0, e, 0, 0, 0, 0, 0])) for e in (0.06, 0.0, -0.06)]
    simulator = world.simulator()

    def imagining(model: str) -> list[Candidate]:
        queries = [Query((situation.observation,), (), p, 0, simulator) for p in plans]
        return [Candidate(p, rollout=r) for p, r in zip(plans, MODELS.create(model).simulate(queries))]

    decision = asyncio.run(agent.reviser.revise(situation, imagining("oracle")))
    assert decision.chosen == 1 and decision.scores[1] > -0.03 > decision.scores[0]
    assert asyncio.run(agent.reviser.revise(situation, imagining("frozen"))).chosen == 0


def test_the_reviser_sees_which_button_went_dark():
    _, world, _, situation = start(2)
    agent = AGENTS.create("heuristic", task="manipulation")
    asyncio.run(agent.proposer.propose(situation))
    layout = world.layout
    places = {t.name: np.array([*world.physics.place(t.name)[:3, 3], 0.0]) for t in layout.things}
    steps = [phase("press", s, layout.goal, places) for s in PHASES["press"]]
    plans = [
        world.vocabulary.plan(s)
        for s in (steps[0] + np.array([0.05, 0.05, 0, 0, 0, 0, 0]), steps[1], steps[0])
    ]
    frames = [world.simulator().rollout(p) for p in plans]
    candidates = [Candidate(p, rollout=Rollout(f)) for p, f in zip(plans, frames)]
    decision = asyncio.run(agent.reviser.revise(situation, candidates))
    assert decision.chosen == 2 and decision.scores[0] == 0 and decision.scores[1] < 0


def test_score_and_done_follow_the_state():
    task, world, episode, _ = start(2)
    outcome = Outcome(None, False, 3, 0.0)
    assert not task.done(world, episode) and not task.score(world, episode, outcome).success
    layout = world.layout
    places = {t.name: np.array([*world.physics.place(t.name)[:3, 3], 0.0]) for t in layout.things}
    for step in PHASES["press"]:
        for action in world.vocabulary.plan(phase("press", step, layout.goal, places)[:3]).actions:
            world.step(action)
    score = task.score(world, episode, outcome)
    assert task.done(world, episode) and score.success and score.metrics["distance"] == 0


def test_controls_answer_plans_of_commands():
    _, world, _, situation = start()
    plans = [world.vocabulary.plan([(0.5, y, 0.2, 0, 0, 0, 1)]) for y in (0.1, -0.1)]
    simulator = world.simulator()

    def ask(model: str, which: int) -> np.ndarray:
        query = Query((situation.observation,), (), plans[which], which, simulator, (plans[1 - which],))
        return MODELS.create(model).simulate([query])[0].frames[0].rgb

    truth = [ask("oracle", i) for i in (0, 1)]
    assert not np.array_equal(*truth)
    np.testing.assert_array_equal(ask("shuffled", 0), truth[1])
    np.testing.assert_array_equal(ask("blind", 0), ask("blind", 1))
    assert not np.array_equal(ask("oracle-wrong", 0), truth[0])
    blurred = ask("oracle-blur", 0)
    assert np.abs(blurred.astype(int) - truth[0]).mean() < np.abs(blurred.astype(int) - truth[1]).mean()


@pytest.mark.parametrize("model", ["pointcloud", "rotate-only"])
def test_models_that_cannot_answer_say_so(model):
    _, world, _, situation = start()
    plan = world.vocabulary.plan([(0.5, 0, 0.2, 0, 0, 0, 1)])
    with pytest.raises(WorldloopError, match="needs an environment"):
        MODELS.create(model).simulate([Query((situation.observation,), (), plan, 0)])
    with pytest.raises(InputError, match="manipulation needs"):
        AGENTS.create("beam", task="manipulation")


def test_a_run_does_not_depend_on_concurrency(tmp_path):
    task, agent = TASKS.create("manipulation"), AGENTS.create("heuristic", task="manipulation")
    found = []
    for concurrency in (1, 3):
        settings = RunSettings("manipulation", "none", split="mini", episodes=3, concurrency=concurrency)
        run(task, NoModel(), agent, settings, tmp_path / str(concurrency))
        records = [r.episode for r in read_run(tmp_path / str(concurrency)).records()]
        assert all(r.status == "finished" and 1 <= r.steps <= 15 for r in records)
        found.append([(r.episode_id, r.success, r.steps, dict(r.metrics)) for r in records])
    assert found[0] == found[1]
