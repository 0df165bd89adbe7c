"""Interaction: planted defects, and effects of known size."""

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from walk_defects import SPECS, case, check_ignores, check_reacts, frozen, promises

from worldloop.metrics import interaction  # noqa: F401  (registers its metrics)
from worldloop.metrics.clip import Clip
from worldloop.metrics.metric import METRICS

REACTS, IGNORES = promises("interaction")


@pytest.mark.parametrize(("name", "defect"), REACTS)
def test_reacts_to_its_defects(name, defect):
    check_reacts(name, defect, slack=0.1)


@pytest.mark.parametrize(("name", "defect"), IGNORES)
def test_ignores_what_is_none_of_its_business(name, defect):
    check_ignores(name, defect)


def brightening(values, true=(0, 10, 20, 30)):
    """Grey pictures over a black twin."""
    shape = (len(values), 16, 16, 3)
    fill = lambda v: np.broadcast_to(np.array(v, np.uint8)[:, None, None, None], shape).copy()  # noqa: E731
    return Clip(frames=fill(values), truth=fill(true), twin=fill([0] * 4), twin_truth=fill([0] * 4))


@settings(max_examples=40, deadline=None)
@given(st.lists(st.integers(0, 255), min_size=4, max_size=4))
def test_effect_is_one_for_the_truth_alone(values):
    score = METRICS["counterfactual_effect"].score(brightening(values))
    assert 0 <= score <= 1
    assert (score == 1) == (values == [0, 10, 20, 30])


def test_effects_of_known_size():
    effect = METRICS["counterfactual_effect"].score
    assert effect(brightening((0, 5, 10, 15))) == pytest.approx(2 / 3)
    assert effect(brightening((0, 20, 40, 60))) == pytest.approx(2 / 3)
    assert effect(brightening((0, 0, 0, 0))) == 0
    assert math.isnan(effect(brightening((0, 5, 10, 15), true=(0, 0, 0, 0))))


def test_latency_of_known_length():
    late = METRICS["response_latency"].score
    assert late(brightening((0, 10, 20, 30))) == 0
    assert late(brightening((0, 0, 10, 20))) == 1
    assert late(brightening((0, 0, 0, 0))) == METRICS["response_latency"].worst == 16
    assert math.isnan(late(brightening((0, 10, 20, 30), true=(0, 1, 1, 1))))


def test_a_frozen_video_never_answers_though_the_truth_comes_back_to_its_start():
    late = METRICS["response_latency"].score
    assert late(brightening((0, 0, 0, 0), true=(10, 20, 0, 10))) == 16
    assert late(brightening((0, 0, 0, 10), true=(10, 20, 0, 10))) == 3
    for spec in SPECS["loop"]:
        assert late(frozen(spec)) == 16
        assert late(case(spec).truth) == 0


def test_what_does_not_count_is_left_out():
    clip = brightening((0, 10, 20, 255))
    assert METRICS["counterfactual_effect"].score(clip) < 0.5
    blocked = replace(clip, moved=np.array([True, True, True, False]))
    assert METRICS["counterfactual_effect"].score(blocked) == 1


def test_frozen_and_truth_are_told_apart():
    for spec in SPECS["walk"]:
        assert METRICS["counterfactual_effect"].score(frozen(spec)) == 0
        assert METRICS["counterfactual_effect"].score(case(spec).truth) == 1
        assert METRICS["response_latency"].score(frozen(spec)) == 16
