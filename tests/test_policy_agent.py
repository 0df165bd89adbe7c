"""The learnt policy as an agent: seeded samples, no depth, clear words when weights do not fit, and a choice that helps."""

from __future__ import annotations

import asyncio

import numpy as np
import pytest
import torch

from worldloop.agents import AGENTS
from worldloop.agents.policy import (
    DiffusionPolicy,
    PolicyConfig,
    load_policy,
    save_policy,
    shipped_policy_path,
)
from worldloop.agents.policy.agent import read_progress
from worldloop.agents.table_sight import read_goal
from worldloop.core import Candidate, InputError, Rollout, Situation, generator
from worldloop.engine import RunSettings, run
from worldloop.envs.tabletop.recovery import facts_of, next_commands
from worldloop.models.controls import NoModel
from worldloop.runs import read_run
from worldloop.tasks import TASKS


async def inline(function, *args):
    return function(*args)


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("policy") / "policy.safetensors"
    save_policy(
        path, DiffusionPolicy(PolicyConfig(width=16, blocks=1, hidden=32, depth=1, steps=2)), {"steps": 0}
    )
    return path


def start(index=0, horizon=4):
    task = TASKS.create("manipulation")
    episode = task.episodes("val")[index]
    world = task.environment({"depth"})
    seen = world.reset(episode)
    situation = Situation(
        goal=task.goal(world, episode), vocabulary=world.vocabulary, budget=15, rollouts=3, horizon=horizon,
        execute=1, compute=inline, draw=lambda purpose, *more: generator(0, episode.id, purpose, *more),
        history=[seen],
    )  # fmt: skip
    return world, situation


def agent(weights):
    return AGENTS.create(f"diffusion:weights={weights}", task="manipulation")


def proposed(weights, situation):
    return asyncio.run(agent(weights).proposer.propose(situation))


def test_samples_differ_and_come_again(weights):
    world, situation = start()
    plans = [c.plan for c in proposed(weights, situation)]
    assert len(set(plans)) == 3 and all(len(p) == 4 and p.vocabulary == world.vocabulary for p in plans)
    assert [c.plan for c in proposed(weights, start()[1])] == plans
    _, fewer = start()
    fewer.rollouts = 2
    assert [c.plan for c in proposed(weights, fewer)] == plans[:2]
    _, shorter = start(horizon=2)
    assert [c.plan.actions for c in proposed(weights, shorter)] == [p.actions[:2] for p in plans]


def test_neither_depth_nor_segmentation_is_read(weights):
    _, situation = start()
    plans = [c.plan for c in proposed(weights, situation)]
    _, blind = start()
    blind.history = [o.without("depth", "segmentation", "pose") for o in blind.history]
    assert [c.plan for c in proposed(weights, blind)] == plans


def test_what_does_not_fit_is_said(weights, tmp_path):
    with pytest.raises(InputError, match="4 waypoints at most"):
        proposed(weights, start(horizon=5)[1])
    _, small = start()
    small.history = [type(o)(o.rgb[::2, ::2], extra=o.extra) for o in small.history]
    with pytest.raises(InputError, match="128 x 128 pixels"):
        proposed(weights, small)
    with pytest.raises(InputError, match="worldloop train policy"):
        agent(tmp_path / "none.safetensors")
    (tmp_path / "other.safetensors").write_bytes(b"nothing")
    with pytest.raises(InputError, match="cannot be read"):
        agent(tmp_path / "other.safetensors")
    policy, card = load_policy(weights)
    del policy.end
    save_policy(tmp_path / "part.safetensors", policy, card)
    with pytest.raises(InputError, match="cannot be read"):
        agent(tmp_path / "part.safetensors")
    with pytest.raises(InputError, match="manipulation"):
        AGENTS.create(f"diffusion:weights={weights}", task="image-goal")


@pytest.mark.parametrize("index", range(4))
def test_pictures_alone_tell_where_things_are(index):
    world, situation = start(index)
    goal = read_goal(situation.goal)
    situation.history = [situation.observation.without("depth", "pose")]
    progress, truth = read_progress(situation, goal), facts_of(world.physics)
    assert (progress.facts.held, progress.facts.pressed) == (truth.held, truth.pressed) == (False, 0)
    for name in goal.things:
        np.testing.assert_allclose(progress.places[name][:2], truth.places[name][:2], atol=0.015)


def test_the_reviser_takes_the_plan_that_works(weights):
    world, situation = start(3)  # pick and place
    candidates, good = proposed(weights, situation), next_commands(facts_of(world.physics))
    plans = [world.vocabulary.plan(good + np.array([0, e, 0, 0, 0, 0, 0])) for e in (0.06, 0.0, -0.06)]
    imagined = [Candidate(p, rollout=Rollout(world.simulator().rollout(p))) for p in plans]
    reviser = agent(weights).reviser
    assert asyncio.run(reviser.revise(situation, imagined)).chosen == 1
    assert asyncio.run(reviser.revise(situation, candidates)).chosen == 0


def test_the_packaged_policy_stacks_and_places():
    """On validation layouts, whose colours and table it has never seen."""
    path, reached = shipped_policy_path(), []
    _, card = load_policy()
    assert path.stat().st_size < 4_000_000 and card["split"] == "train" and card["held_out"]["median_mm"] < 20
    task, made = TASKS.create("manipulation"), AGENTS.create("diffusion", task="manipulation")
    for index in (1, 3):
        world, situation = start(index)
        for number in range(situation.budget):
            situation.draw = lambda purpose, *more, k=number: generator(0, k, purpose, *more)
            candidates = asyncio.run(made.proposer.propose(situation))
            situation.history.append(world.step(candidates[0].plan.actions[0]))
            if task.done(world, task.episodes("val")[index]):
                break
        reached.append(facts_of(world.physics).reached)
    assert any(reached)


def test_a_run_does_not_depend_on_concurrency(weights, tmp_path):
    task, found = TASKS.create("manipulation"), []
    for concurrency in (1, 2):
        settings = RunSettings("manipulation", "none", split="mini", episodes=2, concurrency=concurrency)
        run(task, NoModel(), agent(weights), settings, tmp_path / str(concurrency))
        records = [r.episode for r in read_run(tmp_path / str(concurrency)).records()]
        assert all(r.status == "finished" for r in records)
        found.append([(r.episode_id, r.success, r.steps, dict(r.metrics)) for r in records])
    assert found[0] == found[1]
