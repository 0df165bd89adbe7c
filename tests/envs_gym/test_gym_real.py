"""Environments of others, where the packages they need are installed."""

from __future__ import annotations

import numpy as np
import pytest

from worldloop.agents.shooting import shooting
from worldloop.engine import RunSettings, run
from worldloop.envs.stage import on_stage
from worldloop.models.controls import NoModel, Oracle
from worldloop.runs import read_run
from worldloop.tasks.gym import GymTask


def faithful(task):
    """Imagined frames and rewards of a plan, compared with what then happens."""
    world = task.environment()
    world.reset(task.episodes("mini")[1])
    rng = np.random.default_rng(0)
    for _ in range(3):
        world.step(world.interface.codec.draw(rng))
    plan = world.vocabulary.plan([world.interface.codec.draw(rng) for _ in range(4)])
    rollout = world.simulator().rewarded(plan)
    for action, frame, reward in zip(plan.actions, rollout.frames, rollout.reward):
        assert np.array_equal(world.step(action).rgb, frame.rgb)
        assert world.played.last.reward == pytest.approx(float(reward), rel=1e-6)
    world.close()
    on_stage(task._instances.close)


@pytest.mark.parametrize("env", ["CartPole-v1", "MountainCar-v0", "Acrobot-v1", "Pendulum-v1"])
def test_classic_control(env):
    pytest.importorskip("pygame")
    task = GymTask(env)
    assert task.interface.restore == "copy" and task.interface.reusable
    faithful(task)


def test_the_pole_stays_up_longer_with_foresight(tmp_path):
    pytest.importorskip("pygame")
    task, lengths = GymTask("CartPole-v1", steps=40, success_return=40, size=32), {}
    settings = RunSettings("gym", "x", "shooting", episodes=2, rollouts=5, horizon=12)
    for model in (NoModel(), Oracle()):
        run(task, model, shooting(task.name), settings, tmp_path / model.card.name)
        records = read_run(tmp_path / model.card.name).records()
        lengths[model.card.name] = np.mean([e.episode.score for e in records])
    assert lengths["oracle"] > 1.5 * lengths["none"]


@pytest.mark.slow
def test_the_table():
    pytest.importorskip("mujoco")
    task = GymTask("worldloop/Table-v0", size=48)
    assert task.interface.restore == "replay" and not task.interface.codec.vocabulary.discrete
    faithful(task)


@pytest.mark.slow
def test_the_house():
    task = GymTask("worldloop/House-v0", size=48)
    assert next(p.name for p in task.interface.vocabulary.primitives) == "move_forward"


@pytest.mark.slow
@pytest.mark.parametrize(
    "env", ["minigrid:MiniGrid-DoorKey-5x5-v0", "Reacher-v5", "gymnasium_robotics:FetchReach-v4"]
)
def test_packages_of_others(env):
    """On MuJoCo with MUJOCO_GL=egl or osmesa; gymnasium-robotics 1.4 needs mujoco < 3.4."""
    for module in {"minigrid": ["minigrid"], "Reacher-v5": ["imageio", "mujoco"]}.get(
        env.partition(":")[0], [env.partition(":")[0]]
    ):
        pytest.importorskip(module)
    task = GymTask(env)
    assert task.interface.restore == "copy"
    faithful(task)
