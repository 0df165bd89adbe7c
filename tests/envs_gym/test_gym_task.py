"""Gymnasium environments as a task: lists, success, and the whole loop with the agent `shooting`."""

from __future__ import annotations

import json

import numpy as np
import pytest

from worldloop.agents import AGENTS
from worldloop.agents.shooting import ShootingProposer, ShootingReviser, draw_plan, imagined_return, shooting
from worldloop.cli.main import main
from worldloop.cli.run import task_names
from worldloop.core import Agent, InputError, ModelCard, Observation, Outcome, Rollout, Vocabulary, generator
from worldloop.engine import RunSettings, run
from worldloop.engine.check import unfit
from worldloop.models import MODELS
from worldloop.models.controls import Frozen, NoModel, Oracle, Shuffled
from worldloop.runs import read_run
from worldloop.tasks.gym import GymTask

import toy_env  # noqa: F401 (registers the toys)

TOY, SOLVED, SEEN = "toys/Toy-v0", "toys/ToySolved-v0", "toys/ToySeen-v0"
OUTCOME = Outcome(None, False, 0, 0.0)


def test_lists_are_fixed_and_disjoint():
    task = GymTask(TOY)
    lists = {s: task.episodes(s) for s in ("mini", "val", "test")}
    assert [len(v) for v in lists.values()] == [10, 50, 100]
    seeds = [e.seed for v in lists.values() for e in v]
    assert len(set(seeds)) == len({e.scene for v in lists.values() for e in v}) == 160
    assert lists["mini"] == GymTask(TOY).episodes("mini") and lists["mini"][0].budget == 40
    with pytest.raises(InputError, match=r"mini, val, test"):
        task.episodes("train")


def played(task, actions, seed=0):
    world, episode = task.environment(), task.episodes("mini")[seed]
    world.reset(episode)
    for action in actions:
        world.step(world.vocabulary.plan([action]).actions[0])
        if task.done(world, episode):
            break
    score = task.score(world, episode, OUTCOME)
    world.close()
    return score


RIGHT, LEFT, STAY = ["action_1"] * 12, ["action_0"] * 12, ["action_1", "action_0"] * 20


@pytest.mark.parametrize(
    ("task", "actions", "success"),
    [
        (GymTask(TOY, told="success"), RIGHT, True),
        (GymTask(TOY, told="is_success", success_return=-9), LEFT, False),  # what info says comes first
        (GymTask(TOY, paid=0.1, success_return=1.5), RIGHT, True),
        (GymTask(TOY, paid=0.1, success_return=3), RIGHT, False),
        (GymTask(SOLVED, paid=0.1), STAY, True),  # 40 steps of 0.1, and 3 is the threshold
        (GymTask(SOLVED, paid=0.1), RIGHT, False),
        (GymTask(TOY), RIGHT, True),  # ended with a reward
        (GymTask(TOY), LEFT, False),
        (GymTask(TOY, paid=0.1), STAY, False),  # rewarded, but not ended
    ],
)
def test_success_in_the_documented_order(task, actions, success):
    score = played(task, actions)
    assert score.success == success and score.score == score.metrics["return"]
    assert score.metrics["length"] <= 40


def test_settings_are_part_of_the_version_and_checked():
    versions = {GymTask(TOY, **s).version for s in ({}, {"steps": 9}, {"success_return": 1}, {"paid": 2.0})}
    assert len(versions) == 4
    assert GymTask(TOY, fault="random").version.endswith("not-deterministic")
    with pytest.raises(InputError, match="success_return"):
        GymTask(SOLVED, steps=10)
    with pytest.raises(InputError, match="number"):
        GymTask(TOY, success_return=float("nan"))


def test_what_runs_the_simulator_is_refused_and_nothing_else():
    task = GymTask(TOY, fault="random")
    assert "not deterministic" in (unfit(task, Oracle()) or "") and unfit(task, Shuffled()) is not None
    assert unfit(task, Frozen()) is None and unfit(GymTask(TOY), Oracle()) is None
    assert "panorama" in (unfit(GymTask(TOY), MODELS.create("pointcloud")) or "")


@pytest.mark.parametrize("make", [{}, {"box": True}])
def test_perfect_imagination_helps(tmp_path, make):
    task, rates = GymTask(TOY, **make), {}
    settings = RunSettings("gym", "x", "shooting", episodes=8, rollouts=6, horizon=12, execute=3)
    for model in (NoModel(), Oracle(), Frozen()):
        run(task, model, shooting(task.name), settings, tmp_path / model.card.name)
        records = read_run(tmp_path / model.card.name).records()
        assert [e.episode.status for e in records] == ["finished"] * 8
        rates[model.card.name] = sum(e.episode.success for e in records)
    assert rates["oracle"] == 8 > rates["none"]
    assert rates["frozen"] == rates["none"], "it imagines no reward: the first plan is taken"


@pytest.mark.parametrize("fault", ["", "leaky"])
def test_results_do_not_depend_on_concurrency(tmp_path, fault):
    task, found = GymTask(TOY, fault=fault), []
    for concurrency in (1, 5):
        settings = RunSettings("gym", "oracle", episodes=5, rollouts=3, horizon=5, concurrency=concurrency)
        folder = tmp_path / str(concurrency)
        run(task, Oracle(), shooting(task.name), settings, folder)
        records = read_run(folder).records()
        found.append([(e.episode.score, [d.actions for d in e.decisions]) for e in records])
    assert found[0] == found[1]


def test_with_a_picture_of_the_goal_the_likest_end_is_taken(tmp_path):
    class Frames(Oracle):
        card = ModelCard("frames", "true frames without rewards", "code", ("simulator",))

        def simulate(self, queries):
            return [Rollout(r.frames) for r in super().simulate(queries)]

    task, successes = GymTask(SEEN, steps=10), {}
    settings = RunSettings("gym", "x", "shooting", episodes=6, rollouts=8, horizon=10, execute=2)
    for model in (NoModel(), Frames()):
        run(task, model, shooting(task.name), settings, tmp_path / model.card.name)
        records = read_run(tmp_path / model.card.name).records()
        successes[model.card.name] = sum(e.episode.success for e in records)
        reasons = {d.reason for e in records for d in e.decisions}
    assert successes["frames"] > successes["none"]
    assert reasons <= {"ends nearest to the goal picture", "no other plan looks better"}


def test_plans_are_held_drawn_by_name_and_different(tmp_path):
    class Keep(ShootingReviser):
        seen: list = []  # noqa: RUF012

        async def revise(self, situation, candidates):
            self.seen.append(tuple(c.plan for c in candidates))
            return await super().revise(situation, candidates)

    task, agents = GymTask(TOY), []
    settings = RunSettings("gym", "x", "shooting", episodes=1, rollouts=6, horizon=8, execute=2)
    for model in (NoModel(), Oracle()):
        keep = Keep()
        keep.seen = []
        agent = Agent("keep", "", ShootingProposer(shooting("gym").proposer.config), keep)
        run(task, model, agent, settings, tmp_path / model.card.name)
        agents.append(keep.seen)
    assert agents[0][0] == agents[1][0], "the same proposals with and without a model"
    assert len(set(agents[0][0])) == 6


def test_held_actions_and_boxes():
    names = Vocabulary("v", (), ("a",), (-1.0,), (2.0,))
    plan = draw_plan(names, 200, 4, generator("held"))
    runs = np.diff(np.flatnonzero(np.diff([a.values[0] for a in plan.actions])))
    assert len(plan) == 200 and set(runs.tolist()) == {1, 2, 3, 4}
    assert len(draw_plan(names, 3, 9, generator("cut"))) == 3


def test_imagined_returns_count_until_the_end():
    def frames(reward, done):
        picture = Observation(np.zeros((2, 2, 3), np.uint8))
        return Rollout((picture,) * 3, np.float32(reward), None if done is None else np.float32(done))

    assert imagined_return(frames([1, 2, 4], None)) == 7
    assert imagined_return(frames([1, 2, 4], [0, 1, 1])) == 3
    assert imagined_return(frames([1, 2, 4], [0.5, 0, 0])) == 4


def test_the_agent_says_what_it_is_not_for():
    with pytest.raises(InputError, match="answers nothing"):
        AGENTS.create("shooting", task="embodied-qa")
    with pytest.raises(InputError, match="repeat"):
        AGENTS.create("shooting:repeat=0", task="gym")


def test_env_names_a_task():
    assert task_names("active-recognition,image-goal", "gym:a/B-v1,steps=3") == ["gym:env=a/B-v1,steps=3"]
    for tasks, env in (("image-goal", "gym:X-v1"), ("active-recognition,image-goal", "X-v1")):
        with pytest.raises(InputError, match="--env"):
            task_names(tasks, env)


def test_the_command_line(tmp_path, capsys):
    command = [
        *("run", "--env", f"gym:{TOY},told=success", "--episodes", "3"),
        *("--out", str(tmp_path / "runs"), "--json", "--horizon", "12", "--rollouts", "6"),
    ]
    assert main(command) == 0
    found = json.loads(capsys.readouterr().out)
    assert len(found["runs"]) == 2 and not found["left_out"]
    header = read_run(found["runs"][1]).header
    assert header.spec["task"] == f"gym:{TOY}" and header.privileges == ("simulator",)
    assert main(["view", str(tmp_path / "runs"), "--html", str(tmp_path / "report.html")]) == 0
    assert main(["run", "--env", "gym:NoSuch-v0"]) == 2
    assert "no environment" in capsys.readouterr().err
    assert main(["run", "--env", f"gym:{TOY}", "--model", "none,pointcloud"]) == 2
    assert "pointcloud is left out" in capsys.readouterr().err
