"""Conversations: a session goes on from what it imagined, a fork goes its own way, and a connection takes its sessions along."""

from __future__ import annotations

from contextlib import contextmanager
from itertools import count

import numpy as np
import pytest
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import connect

from worldloop.core import InputError, Query, derive_seed
from worldloop.models.remote import messages
from worldloop.models.remote.wire import pack, unpack

from served import Shift, queries, serving


@contextmanager
def talking(url, **options):
    with connect(url.replace("http", "ws") + "/v1/sessions", **options) as socket:
        numbers = count()

        def say(op, **fields):
            number = next(numbers)
            socket.send(pack({"id": number, "op": op, **fields}))
            reply = unpack(socket.recv())
            assert reply.pop("id") == number
            return reply

        say.socket = socket
        yield say


@pytest.fixture(scope="module")
def url():
    with serving(Shift(), max_sessions=3) as address:
        yield address


QUERY = queries(1)[0]
CONTEXT = messages.context(QUERY.plan.vocabulary, QUERY.history, QUERY.actions)


def frames(reply):
    return np.stack([f.rgb for f in messages.read_rollout(reply["rollout"]).frames])


def test_steps_go_on_from_what_was_imagined(url):
    model = Shift()
    with talking(url) as say:
        name = say("reset", context=CONTEXT, seed=7)["session"]
        first = frames(say("step", session=name, actions=["move_forward", "turn_left"]))
        second = frames(say("step", session=name, actions=["turn_right"]))
    box = QUERY.plan.vocabulary
    plan = box.plan(["move_forward", "turn_left"])
    (one,) = model.simulate([Query(QUERY.history, QUERY.actions, plan, derive_seed(7, "step", 0))])
    assert np.array_equal(first, np.stack([f.rgb for f in one.frames]))
    then = Query(one.frames, plan.actions[-1:], box.plan(["turn_right"]), derive_seed(7, "step", 2))
    (two,) = model.simulate([then])
    assert np.array_equal(second, np.stack([f.rgb for f in two.frames]))


def test_forks_go_their_own_way(url):
    with talking(url) as say:
        name = say("reset", context=CONTEXT, seed=1)["session"]
        say("step", session=name, actions=["move_forward"])
        twin, other = say("fork", session=name)["session"], say("fork", session=name, seed=2)["session"]
        same, again, different = (
            frames(say("step", session=s, actions=["turn_left"])) for s in (name, twin, other)
        )
        assert np.array_equal(same, again) and not np.array_equal(same, different)
        assert say("close", session=twin) == {}
        assert "no session" in say("step", session=twin, actions=["turn_left"])["error"]["message"]


def test_sessions_are_limited_and_end_with_their_connection(url):
    for _ in range(3):
        with talking(url) as say:
            made = [say("reset", context=CONTEXT, seed=i) for i in range(4)]
            assert ["session" in m for m in made] == [True, True, True, False]
            assert made[3]["error"]["kind"] == "busy"
            assert say("fork", session="0")["error"]["kind"] == "busy"
            say("close", session="0")
            assert "session" in say("reset", context=CONTEXT, seed=9)


@pytest.mark.parametrize(
    "message",
    [
        {"op": "reset", "context": {}, "seed": 1},
        {"op": "reset", "context": CONTEXT},
        {"op": "dance", "session": "0"},
        {"op": "step", "session": "0", "actions": []},
        {"op": "step", "session": "0", "actions": ["fly"]},
        {"op": "step", "session": 0, "actions": ["turn_left"]},
        {},
    ],
)
def test_messages_that_are_refused_harm_nothing(url, message):
    with talking(url) as say:
        say("reset", context=CONTEXT, seed=1)
        fields = {k: v for k, v in message.items() if k != "op"}
        assert say(message.get("op"), **fields)["error"]["kind"] == "message"
        assert "rollout" in say("step", session="0", actions=["turn_left"])
        say.socket.send(b"\xc1")
        assert unpack(say.socket.recv())["error"]["kind"] == "message"


def test_text_ends_the_conversation(url):
    with talking(url) as say:
        say.socket.send("hello")
        with pytest.raises(ConnectionClosed):
            say.socket.recv()


def test_strangers_get_no_conversation():
    with serving(Shift(), token="open-sesame") as address:
        with pytest.raises((InvalidStatus, ConnectionClosed)), talking(address) as say:
            say("reset", context=CONTEXT, seed=1)
        with talking(address, additional_headers={"Authorization": "Bearer open-sesame"}) as say:
            assert "session" in say("reset", context=CONTEXT, seed=1)


def test_a_model_that_refuses_ends_no_conversation():
    with serving(Shift(fails=InputError("it knows no doors"))) as address, talking(address) as say:
        say("reset", context=CONTEXT, seed=1)
        for _ in range(2):
            error = say("step", session="0", actions=["turn_left"])["error"]
            assert error["kind"] == "model" and "doors" in error["message"]
