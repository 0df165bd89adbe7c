"""The loop: order, privileges, failures, limits, batching; a result depends on none of the plumbing."""

from __future__ import annotations

import logging

import numpy as np
import pytest

from worldloop.core import Budgets, Decision, InputError, RunFolderError
from worldloop.engine import Limits, RolloutCache, RunSettings, run
from worldloop.engine.cache import _pack, _unpack
from worldloop.models.controls import Frozen, NoModel, Oracle
from worldloop.runs import read_run, table_digest

from fakes import FakeModel, FakeTask, fake_agent


def go(folder, task=None, model=None, agent=None, **settings):
    settings = {"task": "fake", "model": "fake", "concurrency": 4, **settings}
    return run(
        task or FakeTask(), model or FakeModel(), agent or fake_agent(), RunSettings(**settings), folder
    )


@pytest.mark.parametrize("concurrency", [8, 32])
def test_concurrency_changes_nothing(tmp_path, concurrency):
    go(tmp_path / "one", concurrency=1)
    go(tmp_path / "many", concurrency=concurrency)
    assert table_digest(tmp_path / "one") == table_digest(tmp_path / "many")


def test_every_episode_has_a_row_and_the_loop_is_recorded(tmp_path):
    header = go(tmp_path, keep_frames=2)
    assert header.status == "complete"
    entries = read_run(tmp_path).records()
    assert [e.episode.episode_id for e in entries] == list(header.episode_ids)
    first = entries[0]
    assert len(first.decisions) == 6 and all(len(d.actions) == 2 for d in first.decisions)
    assert len(first.candidates) == 18 and all(len(c.frames) == 4 for c in first.candidates)
    assert sum(c.chosen for c in first.candidates) == 6
    assert entries[5].decisions[0].frame == "" and first.decisions[0].frame
    assert first.episode.path_length > 0 and first.episode.metrics["distance"] >= 0


def test_oracle_with_argmax_and_first_action_is_model_predictive_control(tmp_path):
    """World model = simulator, best score, first action: action for action the textbook controller."""
    task = FakeTask(count=3)
    go(tmp_path, task=task, model=Oracle(), execute=1)
    for entry, episode in zip(read_run(tmp_path).records(), task.episodes("mini")):
        world = task.environment()
        world.reset(episode)
        goal = task.goal(world, episode).image
        for decision in entry.decisions:
            options = [c for c in entry.candidates if c.decision == decision.decision]
            costs = []
            for option in options:
                last = world.simulator().rollout(world.vocabulary.plan(option.plan))[-1].rgb
                costs.append(float(np.mean((last.astype(float) - goal) ** 2)))
            best = options[int(np.argmin(costs))]
            assert decision.actions == best.plan[:1]
            world.step(world.vocabulary.plan(best.plan).actions[0])


def test_none_follows_the_first_proposal_and_proposals_do_not_depend_on_the_model(tmp_path):
    go(tmp_path / "none", model=NoModel())
    go(tmp_path / "frozen", model=Frozen())
    none, frozen = (read_run(tmp_path / n).records() for n in ("none", "frozen"))
    for a, b in zip(none, frozen):
        assert all(c.chosen == (c.candidate == 0) and not c.simulated for c in a.candidates)
        first = [[c.plan for c in e.candidates if c.decision == 0] for e in (a, b)]
        assert first[0] == first[1]


def test_privileges_are_enforced(tmp_path):
    plain = FakeModel(privileges=(), name="plain")
    go(tmp_path / "a", model=plain)
    for q in plain.seen:
        assert q.simulator is None and q.history[-1].pose is None and q.history[-1].depth is None
        assert q.alternatives == ()
    reader = FakeModel(privileges=("true_depth", "other_plans"), reads=("depth", "pose"), name="reader")
    header = go(tmp_path / "b", model=reader)
    assert all(q.history[-1].depth is not None and q.history[-1].pose is None for q in reader.seen)
    assert all(len(q.alternatives) == 2 for q in reader.seen)
    assert header.privileges == ("other_plans", "true_depth")


def test_crashed_episodes_stay_in_the_denominator(tmp_path, caplog):
    with caplog.at_level(logging.CRITICAL):
        header = go(tmp_path, task=FakeTask(count=6, crash=(1, 4)))
    entries = read_run(tmp_path).records()
    assert header.status == "complete" and len(entries) == 6
    assert [e.episode.status for e in entries].count("crashed") == 2
    assert entries[1].episode.error == "this start is inside a wall"


@pytest.mark.parametrize("fault", ["short", "dtype", "nan", "count", "raise"])
def test_a_model_that_breaks_its_contract_is_named(tmp_path, fault):
    go(tmp_path, task=FakeTask(count=2), model=FakeModel(fault))
    for entry in read_run(tmp_path).records():
        assert entry.episode.status == "crashed" and "'fake'" in entry.episode.error


def test_a_flaky_model_is_asked_again_and_gives_the_same_run(tmp_path):
    go(tmp_path / "good", concurrency=1)
    go(tmp_path / "flaky", model=FakeModel("raise", every=3), concurrency=4)
    assert table_digest(tmp_path / "good") == table_digest(tmp_path / "flaky")


def test_timeouts_are_recorded(tmp_path):
    go(tmp_path, task=FakeTask(count=2, delay=0.05), limits=Limits(seconds=0.1))
    assert {e.episode.status for e in read_run(tmp_path).records()} == {"timed_out"}


def test_simulation_is_batched_across_episodes(tmp_path):
    model = FakeModel(delay=0.005)
    go(tmp_path, model=model, concurrency=12)
    assert max(model.batches) > 3  # more than the three candidates of one decision


def test_perceiving_stops_early_and_answers(tmp_path):
    task = FakeTask(budgets=Budgets(rollouts=3, horizon=4, execute=1, budget=8, confidence=0.6))
    go(tmp_path / "plan", task=task, agent=fake_agent(True), use="plan")
    go(tmp_path / "both", task=task, agent=fake_agent(True), use="both")
    plan, both = (read_run(tmp_path / n).records() for n in ("plan", "both"))
    assert all(e.episode.answer == "point" for e in plan + both)
    # One real look gives .1; nine real looks pass .6, but one real and twelve imagined ones do at once.
    assert all(e.episode.steps == 0 for e in both) and all(e.episode.steps == 8 for e in plan)
    assert "imagines" in both[0].decisions[-1].reason


def test_execute_and_stop():
    task = FakeTask()
    assert RunSettings("fake", "fake", execute=0).resolve(task).execute == 4
    assert RunSettings("fake", "fake").resolve(task).execute == 2
    with pytest.raises(InputError, match="exceeds the horizon"):
        RunSettings("fake", "fake", execute=9).resolve(task)
    for bad in ({"use": "dream"}, {"rollouts": 0}, {"concurrency": 0}, {"horizon": -1}, {"episodes": 0}):
        with pytest.raises(InputError):
            RunSettings("fake", "fake", **bad)


def test_stop_decision_ends_the_episode(tmp_path):
    class Stopper:
        async def revise(self, situation, candidates):
            return Decision((), None, (), "here", stop=True)

    agent = fake_agent()
    object.__setattr__(agent, "reviser", Stopper())
    go(tmp_path, agent=agent)
    assert all(e.episode.steps == 0 and e.decisions[-1].stop for e in read_run(tmp_path).records())


def test_too_many_episodes_and_another_run_in_the_folder(tmp_path):
    with pytest.raises(InputError, match="has 12 episodes"):
        go(tmp_path, episodes=13)
    go(tmp_path, episodes=3)
    go(tmp_path, episodes=3)  # complete: nothing to do
    with pytest.raises(RunFolderError):
        go(tmp_path, episodes=3, seed=1)


def test_training_scenes_are_refused(tmp_path):
    with pytest.raises(InputError, match="trained on 1 of these scenes"):
        go(tmp_path, model=FakeModel(settings={"training_scenes": ("scene-2",)}))


def test_cache_returns_what_was_put(tmp_path):
    model, task = FakeModel(), FakeTask(count=3)
    settings = {"cache": str(tmp_path / "cache"), "concurrency": 1}
    go(tmp_path / "cold", task=task, model=model, **settings)
    again = FakeModel()
    go(tmp_path / "warm", task=task, model=again, **settings)
    assert model.calls > 0 and again.calls == 0
    assert table_digest(tmp_path / "cold") == table_digest(tmp_path / "warm")


def test_cache_forgets_the_oldest_and_survives_damage(tmp_path):
    model, task = FakeModel(), FakeTask(count=1)
    go(tmp_path / "run", task=task, model=model)
    rollout = model.simulate(model.seen[:1])[0]
    back = _unpack(_pack(rollout))
    assert all(
        (a.rgb == b.rgb).all() and (a.pose == b.pose).all() for a, b in zip(rollout.frames, back.frames)
    )
    cache = RolloutCache(tmp_path / "c", megabytes=0)
    cache.put("aa1", rollout)
    cache.put("bb2", rollout)
    assert len(cache._memory) == 1
    (tmp_path / "c" / "aa" / "aa1.npz").write_bytes(b"PK\x03\x04 rubbish")
    assert cache.get("aa1") is None and cache.get("bb2") is not None
