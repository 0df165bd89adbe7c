"""On Ray: the same tables as in one process, whatever dies."""

from __future__ import annotations

import logging

import pytest

from worldloop.core import ExecutorError
from worldloop.engine import LocalExecutor, RayConfig, RayExecutor, RunSettings, run
from worldloop.models.controls import Frozen, NoModel, Oracle, Shuffled
from worldloop.runs import read_run, table_digest

from fakes import FakeTask, fake_agent
from ray_toys import Deadly, DeadlyTask, Faulty, Stillborn
from toy_models import Flown


def go(folder, model, task=None, executor=None, **settings):
    settings = {"task": "fake", "model": "toy", "concurrency": 6, **settings}
    return run(
        task or FakeTask(count=8),
        model,
        fake_agent(),
        RunSettings(**settings),
        folder,
        executor=executor or LocalExecutor(),
    )


def on_ray(**config):
    return RayExecutor(RayConfig(**{"workers": 2, "replicas": 1, **config}))


def same(a, b):
    assert table_digest(a) == table_digest(b)
    stored = [sorted(p.name for p in (f / "frames").rglob("*.png")) for f in (a, b)]
    assert stored[0] == stored[1]


@pytest.mark.slow
@pytest.mark.parametrize("model", [NoModel(), Oracle(), Shuffled(), Frozen(), Flown()])
@pytest.mark.parametrize("config", [{"workers": 1}, {"workers": 3, "replicas": 3}])
def test_tables_are_those_of_one_process(tmp_path, small_ray, model, config):
    go(tmp_path / "local", model, concurrency=1)
    go(tmp_path / "ray", model, executor=on_ray(**config), concurrency=9)
    same(tmp_path / "local", tmp_path / "ray")


def test_a_worker_and_a_replica_die_and_nothing_changes(tmp_path, small_ray):
    """Tables and stored images are those of one process."""
    go(tmp_path / "local", Flown())
    task = DeadlyTask(count=8, once=("fake-003",), marks=str(tmp_path))
    go(tmp_path / "ray", Deadly(marks=str(tmp_path)), task, on_ray())
    assert (tmp_path / "fake-003").exists() and (tmp_path / "replica").exists()
    same(tmp_path / "local", tmp_path / "ray")


def test_an_episode_that_kills_its_worker_is_found_and_the_others_are_played(tmp_path, small_ray, caplog):
    """The simulator works inside the worker, so here nothing but the worker is needed."""
    go(tmp_path / "local", Shuffled())
    with caplog.at_level(logging.CRITICAL):
        header = go(
            tmp_path / "ray", Shuffled(), DeadlyTask(count=8, always=("fake-005",)), on_ray(workers=1)
        )
    assert header.status == "complete"
    for a, b in zip(read_run(tmp_path / "local").records(), read_run(tmp_path / "ray").records()):
        if b.episode.episode_id == "fake-005":
            assert b.episode.status == "crashed" and "its worker died 2 times" in b.episode.error
        else:
            assert _untimed(a) == _untimed(b)


def _untimed(entry):
    rows = (entry.episode, *entry.decisions, *entry.candidates)
    return [{k: v for k, v in row.to_dict().items() if k != "seconds"} for row in rows]


@pytest.mark.slow
def test_a_question_that_kills_its_replica_is_found(tmp_path, small_ray, caplog):
    with caplog.at_level(logging.CRITICAL):
        header = go(tmp_path, Deadly(every=149), executor=on_ray(deaths=6))
    assert header.status == "complete"
    crashed = [e.episode.error for e in read_run(tmp_path).records() if e.episode.status == "crashed"]
    assert 0 < len(crashed) < 8 and all("2 replicas died of this question" in told for told in crashed)


def test_what_cannot_start_stops_the_run_and_says_why(tmp_path, small_ray):
    with pytest.raises(ExecutorError, match=r"2 processes died in a row.*replica 0"):
        go(tmp_path / "run", Stillborn(), executor=on_ray(deaths=2, workers=1))
    assert read_run(tmp_path / "run").header.status == "running"
    header = go(tmp_path / "run", Flown())  # the same run, elsewhere
    assert header.status == "complete" and len(header.resumed) == 1


@pytest.mark.slow
def test_a_model_that_fails_fails_alike(tmp_path, small_ray, caplog):
    """What fails for good is told in the same words; what fails now and then is asked again."""
    with caplog.at_level(logging.CRITICAL):
        go(tmp_path / "local", Faulty(), concurrency=1)
        go(tmp_path / "ray", Faulty(), executor=on_ray(replicas=2))
    errors = {e.episode.error for e in read_run(tmp_path / "local").records()}
    assert errors == {None, "model 'flown' failed: ValueError: no such place"}
    local, ray = (read_run(tmp_path / n).records() for n in ("local", "ray"))
    assert [e.episode.error for e in local] == [e.episode.error for e in ray]


@pytest.mark.slow
def test_rollouts_are_kept_for_later_runs(tmp_path, small_ray):
    cache = {"cache": str(tmp_path / "cache")}
    go(tmp_path / "cold", Flown(), executor=on_ray(), **cache)
    # Every replica would die of the first question.
    go(tmp_path / "warm", Deadly(every=1), executor=on_ray(), **cache)
    go(tmp_path / "local", Deadly(every=1), **cache)
    same(tmp_path / "cold", tmp_path / "warm")
    same(tmp_path / "cold", tmp_path / "local")


@pytest.mark.slow
def test_time_limits_hold_in_workers(tmp_path, small_ray, caplog):
    from worldloop.engine import Limits

    with caplog.at_level(logging.CRITICAL):
        task = FakeTask(count=2, delay=0.05)
        go(tmp_path, Flown(), task, on_ray(), limits=Limits(seconds=0.1), concurrency=2)
    assert {e.episode.status for e in read_run(tmp_path).records()} == {"timed_out"}
