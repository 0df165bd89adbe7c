"""Perception gives each image one answer, whatever the company, order, threads or memory."""

import os
import subprocess
import sys
import threading

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from worldloop.agents.perception import Perception, PerceptionConfig, efficientnet, stlpips
from worldloop.agents.perception.service import Memo
from worldloop.core import InputError
from worldloop.core.threads import each

SIZE = 64
IMAGES = np.random.default_rng(7).integers(0, 256, (6, SIZE, SIZE, 3), dtype=np.uint8)


@pytest.fixture(scope="module")
def alone():
    """The answers to each image when nothing else is asked."""
    return (
        np.concatenate([efficientnet.features(image[None], SIZE) for image in IMAGES]),
        np.concatenate([stlpips.distance(image[None], IMAGES[:1]) for image in IMAGES]),
    )


@settings(max_examples=12, deadline=None)
@given(batch=st.lists(st.integers(0, len(IMAGES) - 1), min_size=1, max_size=20), threads=st.integers(1, 3))
def test_answers_do_not_depend_on_the_batch_or_the_thread_count(alone, batch, threads):
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        perception = Perception(PerceptionConfig(feature_size=SIZE))
        np.testing.assert_array_equal(perception.features(IMAGES[batch]), alone[0][batch])
        np.testing.assert_array_equal(perception.stlpips(IMAGES[batch], IMAGES[0]), alone[1][batch])
        np.testing.assert_array_equal(efficientnet.features(IMAGES[batch], SIZE), alone[0][batch])
    finally:
        torch.set_num_threads(before)


def test_answers_do_not_depend_on_concurrent_callers(alone):
    perception = Perception(PerceptionConfig(feature_size=SIZE, memo_bytes=20_000))
    wrong = []

    def ask(seed):
        order = np.random.default_rng(seed).permutation(len(IMAGES))
        if not np.array_equal(perception.features(IMAGES[order]), alone[0][order]):
            wrong.append(seed)
        if not np.array_equal(perception.stlpips(IMAGES[order], IMAGES[0]), alone[1][order]):
            wrong.append(seed)

    threads = [threading.Thread(target=ask, args=(seed,)) for seed in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


PROGRAM = """
import hashlib, numpy as np
from worldloop.agents.perception import efficientnet, stlpips
images = np.random.default_rng(7).integers(0, 256, (5, 128, 128, 3), dtype=np.uint8)
answers = efficientnet.features(images).tobytes() + b"".join(e.tobytes() for e in stlpips.embed(images[:2]))
print(hashlib.blake2b(answers).hexdigest())
"""


def test_answers_do_not_depend_on_the_machines_thread_settings():
    answers = {
        subprocess.run(
            [sys.executable, "-c", PROGRAM],
            env={**os.environ, "OMP_NUM_THREADS": threads, "MKL_NUM_THREADS": threads},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for threads in ("1", "2")
    }
    assert len(answers) == 1


def test_each_keeps_the_callers_thread_count():
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        assert each(lambda _: torch.get_num_threads(), range(5)) == [1] * 5
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)


def test_each_keeps_order_and_passes_errors_on():
    assert each(lambda i: i * i, range(9)) == [i * i for i in range(9)]

    def fail(_):
        raise InputError("no")

    with pytest.raises(InputError, match="no"):
        each(fail, [1])


def test_identical_images_are_computed_once(monkeypatch):
    asked = []
    compute = efficientnet.features
    monkeypatch.setattr(
        efficientnet, "features", lambda images, size: asked.append(len(images)) or compute(images, size)
    )
    perception = Perception(PerceptionConfig(feature_size=SIZE))
    first = perception.features(IMAGES[[0, 1, 0, 0]])
    second = perception.features(IMAGES[[1, 0, 2]])
    assert asked == [2, 1]
    np.testing.assert_array_equal(first[[1, 0]], second[:2])


def test_distances_to_a_known_goal_are_remembered(monkeypatch):
    asked = []
    compute = stlpips.embed
    monkeypatch.setattr(stlpips, "embed", lambda images: asked.append(len(images)) or compute(images))
    perception = Perception()
    first = perception.stlpips(IMAGES[:2], IMAGES[3])
    second = perception.stlpips(IMAGES[:3], IMAGES[3])
    assert sum(asked) == 4
    np.testing.assert_array_equal(first, second[:2])
    with pytest.raises(InputError, match="references"):
        perception.stlpips(IMAGES[:3], IMAGES[:2])


def test_the_answers_belong_to_the_caller():
    perception = Perception(PerceptionConfig(feature_size=SIZE))
    first = perception.features(IMAGES[:1])
    first += 1
    assert not np.array_equal(perception.features(IMAGES[:1]), first)


def test_empty_requests():
    perception = Perception()
    assert perception.features([]).shape == (0, 1280)
    assert perception.stlpips([], IMAGES[0]).shape == (0,)


def test_memo_forgets_the_least_recently_used():
    memo = Memo(max_bytes=16)
    for name in "ab":
        memo.put(name, np.zeros(1))
    assert memo.get("a") is not None
    memo.put("c", np.zeros(1))
    assert memo.get("b") is None and memo.get("a") is not None and len(memo) == 2
    memo.put("huge", np.zeros(9))
    assert memo.get("huge") is None and len(memo) == 2
    memo.put("a", np.zeros(2))
    assert len(memo) == 1
