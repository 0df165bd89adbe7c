"""The protocol's messages: what goes in comes out, and what is no message is refused."""

from __future__ import annotations

import msgpack
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from worldloop.core import InputError, Observation, Plan, Query, Rollout
from worldloop.envs.tabletop.commands import VOCABULARIES
from worldloop.models import MODELS
from worldloop.models.remote import messages
from worldloop.models.remote.wire import WireError, pack, unpack

from served import Shift, queries, same

ARRAYS = hnp.arrays(
    st.sampled_from([np.uint8, np.int32, np.int64, np.float32, np.float64, np.bool_, np.float16]),
    hnp.array_shapes(min_dims=0, max_dims=4, min_side=0, max_side=5),
)
VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats(allow_nan=False)
    | st.text()
    | st.binary(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=4),
    max_leaves=12,
)


@settings(deadline=None)
@given(ARRAYS)
def test_arrays_come_back_to_the_bit(array):
    back = unpack(pack({"a": array}))["a"]
    assert back.dtype == array.dtype and back.shape == array.shape and back.tobytes() == array.tobytes()


def test_pictures_come_back_to_the_bit_as_png():
    rgb = np.random.default_rng(0).integers(0, 255, (2, 3, 9, 7, 3), dtype=np.uint8)
    data = pack({"rgb": rgb, "pose": np.eye(4)}, encoding="png")
    assert b"PNG" in data
    back = unpack(data)
    assert np.array_equal(back["rgb"], rgb) and np.array_equal(back["pose"], np.eye(4))


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=200))
def test_any_bytes_are_a_message_or_refused(data):
    try:
        message = unpack(data)
    except WireError:
        return
    for read in (messages.read_question, messages.read_context, messages.read_card, messages.read_rollout):
        with pytest.raises(WireError):
            read(message)


@settings(max_examples=300, deadline=None)
@given(VALUES, st.sampled_from(["contexts", "candidates", "version"]), st.data())
def test_questions_with_anything_in_them_are_read_or_refused(value, name, data):
    message = messages.question(queries(2, 4))
    where = data.draw(st.sampled_from(["top", "context", "observation", "candidate"]))
    inner = {
        "top": message,
        "context": message["contexts"][0],
        "observation": message["contexts"][0]["observations"][0],
        "candidate": message["candidates"][0],
    }[where]
    inner[data.draw(st.sampled_from(sorted(inner)))] = value
    try:
        for query in messages.read_question(unpack(pack(message))):
            assert isinstance(query, Query)
    except WireError:
        pass


@pytest.mark.parametrize(
    "array",
    [
        {"dtype": "|O", "shape": [1], "data": b"12345678"},
        {"dtype": "<M8", "shape": [1], "data": b"12345678"},
        {"dtype": "|u1", "shape": [3], "data": b"12"},
        {"dtype": "|u1", "shape": [-1], "data": b""},
        {"dtype": "|u1", "shape": [2**40, 2**40], "data": b""},
        {"dtype": "|u1", "shape": 3, "data": b"123"},
        {"dtype": ">u2", "shape": [1], "data": b"12"},
        {"dtype": 3, "shape": [1], "data": b"1"},
        {"dtype": "|u1", "shape": [True], "data": b"1"},
        {"shape": [1, 1, 3], "png": [b"not a picture"]},
        {"shape": [1, 1, 3], "png": []},
        {"shape": [2**20, 2**20, 3], "png": [b""]},
    ],
)
def test_arrays_that_are_none(array):
    with pytest.raises(WireError):
        unpack(msgpack.packb({"a": array}))


def test_what_has_no_place_in_a_message():
    for value in (object(), np.array(["text"]), np.array([None])):
        with pytest.raises(TypeError):
            pack({"a": value})


def test_questions_come_back():
    asked = queries(3, histories=2)
    message = messages.question(asked)
    assert len(message["contexts"]) == 2 and len(message["candidates"]) == 6
    for a, b in zip(asked, messages.read_question(unpack(pack(message)))):
        assert (a.plan, a.seed, a.actions) == (b.plan, b.seed, b.actions)
        assert same(Rollout(a.history), Rollout(b.history))


def test_commands_of_an_arm_come_back():
    box = VOCABULARIES["waypoint"]
    rng = np.random.default_rng(1)
    plan = box.plan(rng.uniform(box.low, box.high, (3, 7)))
    now = Observation(np.zeros((4, 4, 3), np.uint8), extra={"gripper": np.arange(7.0)})
    asked = Query((now,), (), plan, 5, None, (plan, box.plan([box.low])))
    (back,) = messages.read_question(unpack(pack(messages.question([asked]))))
    assert isinstance(back.plan, Plan) and back.plan == plan and back.alternatives == asked.alternatives
    assert np.array_equal(back.history[0].extra["gripper"], np.arange(7.0))


def test_answers_come_back():
    asked = queries(2)
    found = Shift().simulate(asked)
    back = messages.read_answer(unpack(pack(messages.answer(found, {"model": 0.1}))), 2)
    assert all(map(same, found, back))
    with pytest.raises(WireError, match="2 rollouts came for 3"):
        messages.read_answer(unpack(pack(messages.answer(found, {}))), 3)


def test_the_least_answer_is_pictures():
    rgb = np.zeros((4, 5, 6, 3), np.uint8)
    read = messages.read_rollout({"frames": {"rgb": rgb, "hfov_deg": 60}})
    assert len(read.frames) == 4 and read.frames[0].hfov_deg == 60.0


@pytest.mark.parametrize("name", ["frozen", "pointcloud", "rotate-only", "video-lora"])
def test_cards_come_back(name):
    card = MODELS.create(name).card
    back = messages.read_card(unpack(pack(messages.card_message(card))))
    assert (back.name, back.reads, back.privileges, back.weights_hash) == (
        card.name,
        card.reads,
        card.privileges,
        card.weights_hash,
    )


def test_a_simulator_stays_where_it_is():
    (query,) = queries(1)
    with pytest.raises(InputError, match="simulator"):
        messages.question([Query(query.history, query.actions, query.plan, 1, simulator=object())])
    with pytest.raises(WireError, match="simulator"):
        messages.read_card(messages.card_message(MODELS.create("oracle").card))
