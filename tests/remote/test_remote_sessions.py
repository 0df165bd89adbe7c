"""Sessions of a client: forks, many at once, limits, and a walk that survives the loss of its connection."""

from __future__ import annotations

import asyncio
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import httpx2
import numpy as np
import pytest

from worldloop.core import InputError, ModelError, ServerError
from worldloop.models import retrying
from worldloop.models.remote.client import RemoteModel
from worldloop.serving.stepping import Stepper, Turns

from served import Shift, Stepped, queries, serving, walked

QUERY = queries(1)[0]
WALKS = [["move_forward", "turn_left"], ["turn_right"], ["turn_left", "turn_left", "move_forward"]]


def shown(rollout) -> np.ndarray:
    return np.stack([f.rgb for f in rollout.frames])


def opened(remote, seed=0, query=QUERY):
    return remote.session(query.plan.vocabulary, query.history, query.actions, seed)


def metric(url, name) -> int:
    lines = httpx2.get(url + "/v1/metrics").text.splitlines()
    return next((int(v) for n, v in (line.split() for line in lines) if n == f"worldloop_{name}"), 0)


@pytest.fixture(autouse=True)
def hurry(monkeypatch):
    monkeypatch.setattr(retrying, "FIRST_PAUSE", 0.01)


@pytest.mark.parametrize("model", [Shift, Stepped])
def test_a_fork_is_the_walk_that_led_to_it(model):
    with serving(model()) as url:
        remote = RemoteModel(url)
        with opened(remote, 5) as walk:
            for names in WALKS:
                walk.step(names)
            twin, other = walk.fork(), walk.fork(seed=9)
            ahead = {n: shown(walk.fork().step([n])) for n in ("turn_left", "move_forward")}
            again = opened(remote, 5)
            for names in WALKS:
                again.step(names)
            for name, frames in ahead.items():
                np.testing.assert_array_equal(shown(twin.fork().step([name])), frames)
                np.testing.assert_array_equal(shown(again.fork().step([name])), frames)
                assert (shown(other.fork().step([name])) != frames).any()
        remote.close()


def test_a_model_that_keeps_a_state_is_not_told_what_came_before():
    model = Stepped()
    with serving(model) as url, opened(RemoteModel(url), 3) as walk:
        assert httpx2.get(url + "/v1/spec").json()["sessions"]["keeps_state"] is True
        found = [shown(walk.step(names)) for names in WALKS]
    for a, b in zip(found, walked(QUERY, 3, WALKS)):
        np.testing.assert_array_equal(a, b)
    assert model.begun == 1 and model.advanced == [1, 1, 1] and not model.batches


def test_two_hundred_sessions_at_once():
    model = Stepped(seconds=0.002)
    asked = queries(1, size=8, histories=200)
    with serving(model, max_sessions=250, sessions_per_client=50) as url, ThreadPoolExecutor(16) as pool:
        remotes = [RemoteModel(url) for _ in range(4)]
        walks = list(pool.map(lambda i: opened(remotes[i % 4], i, asked[i]), range(200)))
        assert metric(url, "sessions") == 200 and metric(url, "session_bytes") > 200 * 192
        found = list(pool.map(lambda w: [shown(w.step(names)) for names in WALKS], walks))
        with pytest.raises(ServerError, match="50 sessions in this connection"):
            remotes[0].retries = 0
            opened(remotes[0])
        for remote in remotes:
            remote.close()
        while metric(url, "sessions"):
            time.sleep(0.02)
        assert metric(url, "session_bytes") == 0 and metric(url, "connections") == 0
    for i, frames in enumerate(found):
        for a, b in zip(frames, walked(asked[i], i, WALKS)):
            np.testing.assert_array_equal(a, b)
    assert sum(model.advanced) == 600 and max(model.advanced) > 4


def test_a_step_that_comes_as_the_last_one_ends_is_not_forgotten():
    async def walk():
        turns = Turns(1)
        stepper = Stepper(Stepped(), "stepped", turns, 64)
        plan = QUERY.plan.vocabulary.plan(["turn_left"])
        state = await stepper.begin(plan.vocabulary, QUERY.history, QUERY.actions)
        for _ in range(5):  # each comes in the very moment in which the one before it is told
            _, state = await stepper.advance(state, plan, 0, QUERY.history[-1])
        turns.close()

    asyncio.run(asyncio.wait_for(walk(), 30))


def test_a_lost_connection_is_walked_again():
    model = Stepped()
    with serving(model) as url:
        port = int(url.rpartition(":")[2])
        walk = opened(RemoteModel(url, retries=30), 5)
        found = [shown(walk.step(WALKS[0]))]
        fork = walk.fork(seed=8)
        ahead = shown(fork.step(["turn_left"]))
    with serving(Stepped(), port=port):
        found += [shown(walk.step(names)) for names in WALKS[1:]]
        second = shown(fork.step(["turn_left"]))
    for a, b in zip(found, walked(QUERY, 5, WALKS)):
        np.testing.assert_array_equal(a, b)
    with serving(Stepped()) as url:
        other = opened(RemoteModel(url), 5)
        other.step(WALKS[0])
        other = other.fork(seed=8)
        np.testing.assert_array_equal(shown(other.step(["turn_left"])), ahead)
        np.testing.assert_array_equal(shown(other.step(["turn_left"])), second)


def test_idle_sessions_end_and_are_walked_again():
    model = Stepped()
    with serving(model, session_idle=0.2) as url, opened(RemoteModel(url), 5) as walk:
        walk.step(WALKS[0])
        while metric(url, "sessions"):
            time.sleep(0.02)
        assert metric(url, "session_bytes") == 0
        np.testing.assert_array_equal(shown(walk.step(WALKS[1])), walked(QUERY, 5, WALKS[:2])[1])
    assert model.begun == 2


def test_a_session_at_work_is_not_idle():
    model = Stepped(seconds=0.5)
    with serving(model, session_idle=0.1) as url, opened(RemoteModel(url), 5) as walk:
        walk.step(WALKS[0])
        assert model.begun == 1


def test_memory_is_bounded():
    query = queries(1, size=400)[0]
    with serving(Stepped(), session_megabytes=2) as url:
        remote = RemoteModel(url, retries=0)
        first = opened(remote, query=query)
        second = first.fork()
        with pytest.raises(ServerError, match="sessions hold 2 of 2 MiB"):
            first.fork()
        second.close()
        assert len(first.fork().step(["turn_left"]).frames) == 1


def test_steps_of_several_sessions_share_batches_and_those_of_one_keep_their_order():
    model = Stepped(gate=True)
    with serving(model) as url, ThreadPoolExecutor(8) as pool:
        remote = RemoteModel(url)
        walks = [opened(remote, i) for i in range(6)]
        steps = [pool.submit(w.step, WALKS[0]) for w in walks]
        assert model.entered.wait(60)
        while metric(url, "waiting") < 6:
            time.sleep(0.01)
        model.gate.set()
        for i, step in enumerate(steps):
            np.testing.assert_array_equal(shown(step.result()), walked(QUERY, i, WALKS[:1])[0])
    assert sum(model.advanced) == 6 and max(model.advanced) >= 4


def test_what_a_session_refuses():
    model = Stepped()
    with serving(model) as url:
        remote = RemoteModel(url)
        walk = opened(remote)
        with pytest.raises(InputError, match="fly"):
            walk.step(["fly"])
        model.fails = InputError("it knows no doors")
        with pytest.raises(ModelError, match="doors"):
            walk.step(["turn_left"])
        model.fails = ZeroDivisionError("by nothing")
        with pytest.raises(ModelError, match="ZeroDivisionError"):
            walk.step(["turn_left"])
        model.fails = None
        np.testing.assert_array_equal(shown(walk.step(WALKS[0])), walked(QUERY, 0, WALKS[:1])[0])
        walk.close()
        with pytest.raises(InputError, match="closed"):
            walk.step(["turn_left"])


def test_sessions_need_the_token(monkeypatch):
    with serving(Stepped(), token="open-sesame") as url:
        monkeypatch.setenv("WORLDLOOP_TOKEN", "open-sesame")
        remote = RemoteModel(url)
        assert len(opened(remote).step(["turn_left"]).frames) == 1
        remote._line._headers.pop("Authorization")
        remote.close()
        with pytest.raises(ServerError):
            opened(remote)


def test_too_many_connections():
    with serving(Stepped(), max_sessions=2) as url:
        walks = [opened(RemoteModel(url)) for _ in range(2)]
        with pytest.raises(ServerError):
            opened(RemoteModel(url, retries=0))
        assert all(len(w.step(["turn_left"]).frames) == 1 for w in walks)


def test_a_bad_step_takes_no_other_one_down():
    class Picky(Stepped):
        def advance(self, steps):
            found = super().advance(steps)
            if any(p.actions[0].name == "move_forward" for _, p, _ in steps):
                raise InputError("no way ahead")
            return found

    model = Picky(gate=True)
    with serving(model) as url, ThreadPoolExecutor(4) as pool:
        remote = RemoteModel(url)
        names = ["turn_left", "move_forward", "turn_right"]
        walks = [opened(remote, i) for i in range(3)]
        steps = [pool.submit(w.step, [n]) for w, n in zip(walks, names)]
        while metric(url, "waiting") < 3:
            time.sleep(0.01)
        model.gate.set()
        assert len(steps[0].result().frames) == len(steps[2].result().frames) == 1
        with pytest.raises(ModelError, match="no way ahead"):
            steps[1].result()


@pytest.mark.slow
def test_two_hundred_sessions_for_a_minute():
    asked, ends = queries(1, size=32, histories=200), time.monotonic() + 60
    with serving(Stepped(), sessions_per_client=50) as url:
        remotes, wrong, steps = [RemoteModel(url) for _ in range(4)], [], [0] * 200

        def walk(i: int) -> None:
            with opened(remotes[i % 4], i, asked[i]) as session:
                taken = []
                while time.monotonic() < ends:
                    taken.append(WALKS[len(taken) % 3])
                    last = shown(session.step(taken[-1]))
                    steps[i] += 1
                if not np.array_equal(last, walked(asked[i], i, taken)[-1]):
                    wrong.append(i)

        threads = [threading.Thread(target=walk, args=(i,)) for i in range(200)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(120)
        assert not wrong and min(steps) > 3 and not any(t.is_alive() for t in threads)
