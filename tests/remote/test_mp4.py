"""Frames as mp4: as many as there were and of their size, close to what they were, and never more than was announced."""

from __future__ import annotations

import sys
from concurrent.futures import ThreadPoolExecutor

import msgpack
import numpy as np
import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from worldloop.core import InputError, MissingExtraError
from worldloop.models import mp4
from worldloop.models.remote import wire
from worldloop.models.remote.client import RemoteModel
from worldloop.models.remote.wire import Stack, WireError, pack, unpack

from served import Shift, Stepped, queries, serving


def smooth(length: int, height: int, width: int, seed: int = 0) -> np.ndarray:
    """Pictures uint8 [L,H,W,3] of colours that change slowly, as codecs like them."""
    rng = np.random.default_rng(seed)
    base, slope = rng.uniform(60, 180, 3), rng.uniform(-40, 40, (3, 3))
    t, y, x = (np.linspace(0, 1, n) for n in (length, height, width))
    ramps = t[:, None, None, None] * slope[0] + y[:, None, None] * slope[1] + x[:, None] * slope[2]
    return np.clip(base + ramps, 0, 255).astype(np.uint8)


SHAPES = st.tuples(st.integers(1, 6), st.integers(1, 40), st.integers(1, 40))


@settings(max_examples=20, deadline=None, phases=[Phase.generate])
@given(SHAPES, st.integers(0, 99))
def test_pictures_come_back_in_number_and_size_and_nearly_in_colour(shape, seed):
    frames = smooth(*shape, seed)
    data = pack({"rgb": Stack(list(frames)), "pose": np.eye(4)}, encoding="mp4")
    back = unpack(data)
    assert back["rgb"].shape == frames.shape and back["rgb"].dtype == np.uint8
    # Colour has half the resolution: pictures of a few pixels have next to none.
    assert min(shape[1:]) < 8 or np.abs(back["rgb"].astype(int) - frames).mean() < 6
    assert np.array_equal(back["pose"], np.eye(4))
    assert pack({"rgb": frames}, encoding="mp4") == pack({"rgb": Stack(list(frames))}, encoding="mp4")


def test_single_pictures_and_other_arrays_stay_as_they_are():
    one, depth = smooth(1, 8, 8)[0], np.ones((3, 8, 8, 1), np.uint8)
    back = unpack(pack({"rgb": one, "depth": depth}, encoding="mp4"))
    assert np.array_equal(back["rgb"], one) and np.array_equal(back["depth"], depth)


GOOD = mp4.encode(list(smooth(3, 17, 32)))


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_damaged_videos_are_refused_or_have_the_announced_size(data):
    good = bytearray(GOOD)
    for _ in range(data.draw(st.integers(1, 20))):
        good[data.draw(st.integers(0, len(good) - 1))] = data.draw(st.integers(0, 255))
    good = good[: data.draw(st.integers(0, len(good)))] if data.draw(st.booleans()) else good
    try:
        back = unpack(msgpack.packb({"a": {"shape": [3, 17, 32, 3], "mp4": bytes(good)}}))["a"]
    except WireError:
        return
    assert back.shape == (3, 17, 32, 3)


@pytest.mark.parametrize(
    ("shape", "said"),
    [
        ([2, 17, 32, 3], "more than 2"),
        ([4, 17, 32, 3], "3 pictures, not 4"),
        ([3, 15, 32, 3], "18 x 32, not 16 x 32"),
        ([3, 17, 32], "a shape"),
        ([17, 32, 3], "a shape"),
        ([3, 17, 32, 4], "a shape"),
        ([0, 17, 32, 3], "a shape"),
        ([3, 2**15, 2**15, 3], "too large"),
    ],
)
def test_videos_that_are_not_what_they_say(shape, said):
    file = mp4.encode(list(smooth(3, 17, 32)))
    with pytest.raises(WireError, match=said):
        unpack(msgpack.packb({"a": {"shape": shape, "mp4": file}}))
    with pytest.raises(WireError):
        unpack(msgpack.packb({"a": {"shape": shape, "mp4": "text"}}))


def test_many_small_files_may_not_unpack_to_more_than_a_message_may(monkeypatch):
    monkeypatch.setattr(wire, "LARGEST_PICTURES", 1000)
    one = {"shape": [3, 10, 10, 3], "mp4": mp4.encode(list(smooth(3, 10, 10)))}
    assert len(unpack(msgpack.packb([one] * 3))) == 3
    with pytest.raises(WireError, match="too many"):
        unpack(msgpack.packb([one] * 4))


def test_a_large_picture_is_refused_before_it_is_decoded(monkeypatch):
    file = mp4.encode(list(smooth(2, 64, 64)))
    monkeypatch.setattr(mp4, "LARGEST_FRAME", 1000)
    with pytest.raises(mp4.VideoError, match="64 x 64"):
        mp4.count(file, 10)


def test_a_remote_model_with_mp4_says_that_it_is_lossy():
    model = Shift(history=1)
    asked = queries(2, size=24)
    with serving(model) as url:
        lossy, exact = RemoteModel(url, encoding="mp4"), RemoteModel(url)
        frames = [np.stack([f.rgb for f in r.frames]) for r in lossy.simulate(asked)]
        true = [np.stack([f.rgb for f in r.frames]) for r in exact.simulate(asked)]
    assert exact.card == model.card
    assert lossy.card.settings["frames"] == "mp4, lossy" and "lossy" in lossy.card.notes
    assert all(a.shape == b.shape and (a != b).any() for a, b in zip(frames, true))
    # The question went without loss: the model gave the same answer to both.
    assert sum(model.batches) == 2


def test_sessions_can_be_lossy_too():
    asked = queries(1, size=24)[0]
    with serving(Stepped()) as url:
        remote = RemoteModel(url, encoding="mp4")
        with remote.session(asked.plan.vocabulary, asked.history, asked.actions) as walk:
            assert [f.rgb.shape for f in walk.step(["turn_left"] * 3).frames] == [(24, 24, 3)] * 3


def test_without_the_extra_nothing_is_offered_and_the_error_names_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "av", None)
    with pytest.raises(MissingExtraError, match=r"worldloop\[video\]"):
        RemoteModel("http://127.0.0.1:9", encoding="mp4")
    with serving(Shift()) as url:
        monkeypatch.undo()
        with pytest.raises(InputError, match="offers: raw, png"):
            RemoteModel(url, encoding="mp4")


def test_the_same_pictures_give_the_same_bytes_on_many_threads_at_once():
    frames = list(smooth(5, 31, 17, 27))
    with ThreadPoolExecutor(4) as pool:
        assert len(set(pool.map(lambda _: mp4.encode(frames), range(400)))) == 1
