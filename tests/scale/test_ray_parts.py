"""What the Ray executor is made of, without Ray; and what is refused before anything starts."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, replace

import numpy as np
import pytest

from worldloop.actions import NAVIGATION
from worldloop.cli.main import main
from worldloop.core import ExecutorError, InputError, ModelError, Query, Rollout
from worldloop.engine import Clock, RayConfig, RayExecutor, RunSettings, Workers, run
from worldloop.engine.batching import Batcher
from worldloop.engine.executors.ray_worker import Elsewhere, Fault, Held
from worldloop.engine.executors.todo import Deaths, Todo

from fakes import FakeModel, FakeTask, fake_agent, look
from toy_models import Flown


@dataclass(frozen=True)
class Answer:
    text: str
    seconds: float = 1.0


class Slow:
    """Answers when it is told to, and remembers the batches."""

    name, max_batch = "slow", 4

    def __init__(self, lanes: int = 1) -> None:
        self.lanes, self.batches, self.go = lanes, [], asyncio.Event()

    async def answer(self, questions):
        self.batches.append([key for _, key in questions])
        await self.go.wait()
        if any(key == "bad" for _, key in questions):
            raise ModelError("no")
        return [Answer(key) for _, key in questions]


class Memory(dict):
    def put(self, key, answer):
        self[key] = answer


def asked(*keys):
    return [(None, key) for key in keys]


def test_what_waits_goes_in_together_and_a_bad_question_goes_alone():
    async def play():
        slow = Slow()
        batcher = Batcher(slow, Memory(), retries=0)
        tasks = [asyncio.ensure_future(batcher.ask(asked(*keys))) for keys in ("a", "bc", "ad")]
        bad = asyncio.ensure_future(batcher.ask(asked("bad", "e", "f")))
        await asyncio.sleep(0.01)
        slow.go.set()
        found = await asyncio.gather(*tasks)
        with pytest.raises(ModelError):
            await bad
        await asyncio.sleep(0.01)
        # "a" was asked once for two; after "bad" failed nobody wanted what was asked with it.
        assert slow.batches == [["a"], ["b", "c", "d", "bad"], ["b"], ["c"], ["d"], ["bad"]]
        assert [[a.seconds for a in answers] for answers in found] == [[1.0], [1.0, 1.0], [0.0, 1.0]]

    asyncio.run(play())


def test_more_lanes_are_used_as_they_come():
    async def play():
        slow = Slow(lanes=0)
        batcher = Batcher(slow, Memory())
        task = asyncio.ensure_future(batcher.ask(asked(*"abcdef")))
        await asyncio.sleep(0.01)
        assert slow.batches == []
        slow.lanes = 2
        slow.go.set()
        batcher.wake()
        assert [a.text for a in await task] == list("abcdef")
        assert slow.batches == [["a", "b", "c"], ["d", "e", "f"]]

    asyncio.run(play())


def test_a_worker_stays_in_its_scenes_and_suspects_go_alone():
    todo = Todo(list(enumerate(FakeTask(count=8).episodes("mini"))))
    ours, theirs = set(), set()
    first, second, third = todo.take(ours, True), todo.take(theirs, True), todo.take(ours, False)
    assert first.episode.scene == third.episode.scene != second.episode.scene
    todo.give_back(third)
    assert todo.take(ours, False).episode.scene != third.episode.scene
    assert todo.take(theirs, True) is third and third.strikes == 1


def test_deaths_in_a_row():
    deaths = Deaths(2)
    deaths.note("worker 0", "killed", useless=True)
    deaths.note("worker 1", "killed", useless=False)
    deaths.progress()
    deaths.note("worker 0", "killed", useless=True)
    with pytest.raises(ExecutorError, match="worker 1: out of memory"):
        deaths.note("worker 1", "out of memory", useless=True)


def test_rollouts_that_are_lost_on_their_way_are_asked_again():
    errors = pytest.importorskip("ray.exceptions")

    async def ref(value):
        if isinstance(value, Exception):
            raise value
        return value

    async def play(lost):
        elsewhere = Elsewhere(Flown.card, Workers(1))
        plan = NAVIGATION.plan(["move_forward"])
        task = asyncio.ensure_future(elsewhere.ask(Clock(), [Query((look(0, 0, 0),), (), plan, 1)]))
        frame = replace(look(1, 0, 0), extra={"collided": np.array(True)})
        for i in range(lost + 1):
            (ask,) = await elsewhere.take()
            assert ask.again == (i > 0)
            value = errors.ObjectLostError("00" * 28, None, "") if i < lost else Rollout((frame,))
            elsewhere.answered(ask.number, [Held(ref(value), 0.5, 1)])
        (rollout,) = await task
        assert rollout.seconds == 0.5 and rollout.frames[0].rgb.flags.writeable

    asyncio.run(play(0))
    asyncio.run(play(2))


def test_an_episode_that_ends_takes_its_questions_back():
    async def play():
        elsewhere = Elsewhere(Flown.card, Workers(1))
        queries = [Query((look(0, 0, 0),), (), NAVIGATION.plan(["move_forward"]), 1)]
        task = asyncio.ensure_future(elsewhere.ask(Clock(), queries))
        (ask,) = await elsewhere.take()
        task.cancel()
        (back,) = await elsewhere.take()
        assert (back.number, back.questions) == (ask.number, None)
        elsewhere.answered(ask.number, Fault("too late"))

    asyncio.run(play())


def test_refusals_come_before_anything_starts(tmp_path):
    pytest.importorskip("ray")

    class Transcript:
        async def open(self, folder, spec, keep_frame): ...

        async def close(self): ...

    settings = RunSettings("fake", "fake", concurrency=2)
    task = FakeTask(resources=(Transcript(),))
    with pytest.raises(InputError, match="--executor local"):
        run(task, FakeModel(), fake_agent(), settings, tmp_path / "a", executor=RayExecutor())
    with pytest.raises(InputError, match="leaves 1 of 3 workers"):
        executor = RayExecutor(RayConfig(workers=3))
        run(FakeTask(), FakeModel(), fake_agent(), settings, tmp_path / "a", executor=executor)
    assert not (tmp_path / "a").exists()
    for bad in ({"workers": 0}, {"replicas": -1}, {"gpus_per_replica": 1.5}, {"gpus_per_replica": -1.0}):
        with pytest.raises(InputError):
            RayConfig(**bad)


def test_options_of_ray_belong_to_ray(capsys, monkeypatch):
    assert main(["run", "--workers", "2"]) == 2
    assert "--executor ray" in capsys.readouterr().err
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    assert main(["run", "--executor", "ray"]) == 2
    assert 'pip install "worldloop[ray]"' in capsys.readouterr().err


@pytest.mark.parametrize("address", ["127.0.0.1:1", "ray://127.0.0.1:10001", "somewhere", "127.0.0.1:99999"])
def test_a_cluster_that_is_not_there_is_told_at_once(tmp_path, address):
    pytest.importorskip("ray")
    with pytest.raises(InputError, match="--ray-address"):
        executor = RayExecutor(RayConfig(address=address))
        run(FakeTask(), FakeModel(), fake_agent(), RunSettings("a", "b"), tmp_path / "a", executor=executor)
