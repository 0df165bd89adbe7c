"""The two-stage bootstrap and the trend over arms: against what is known, and by their properties."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.stats
from hypothesis import given, settings
from hypothesis import strategies as st

from worldloop.core import InputError
from worldloop.stats import mean_interval, nested_interval, spearman_trend
from worldloop.stats.nested import nested_means


def drawn(rng: np.random.Generator, scenes: int, each: int) -> tuple[np.ndarray, np.ndarray]:
    """Trials with a spread between scenes and one within them; the truth is 0."""
    return rng.normal(size=scenes).repeat(each) + rng.normal(size=scenes * each), np.arange(scenes).repeat(
        each
    )


def test_the_two_stage_interval_covers_the_truth() -> None:
    rng = np.random.default_rng(0)
    hits = 0
    for _ in range(300):
        values, scenes = drawn(rng, 12, 4)
        got = nested_interval(values, scenes, resamples=600)
        hits += got.low <= 0 <= got.high
    assert 0.92 <= hits / 300 <= 1.0


def test_its_variance_is_that_of_both_stages() -> None:
    values, scenes = drawn(np.random.default_rng(1), 40, 5)
    table = values.reshape(40, 5)
    expected = table.mean(1).var() / 40 + table.var(1).mean() / 200
    means = nested_means(values[None], scenes, 40, 20_000, 0)[:, 0]
    assert means.var() == pytest.approx(expected, rel=0.05)
    one_stage = mean_interval(values, scenes)
    both = nested_interval(values, scenes)
    assert both.high - both.low > one_stage.high - one_stage.low


def test_unequal_scenes_are_drawn_within_themselves() -> None:
    values, scenes = np.array([0.0, 0.0, 0.0, 0.0, 7.0]), np.array([0, 0, 0, 0, 1])
    means = nested_means(values[None], scenes, 2, 4000, 0)[:, 0]
    # both scenes, or one of them twice: 7/5, 0 or 7
    assert {round(m, 6) for m in means} == {0.0, 1.4, 7.0}
    assert np.mean(means == 1.4) == pytest.approx(0.5, abs=0.04)


def test_no_interval_without_scenes_or_spread() -> None:
    assert not nested_interval([1.0, 2.0], ["a", "a"]).defined
    flat = nested_interval([0.5, 0.5, 0.5], ["a", "b", "b"])
    assert flat.value == 0.5 and not flat.defined and "agree" in flat.note


@settings(max_examples=40, deadline=None)
@given(st.lists(st.floats(0, 1), min_size=3, max_size=7, unique=True), st.integers(0, 5))
def test_spearman_is_scipys(means: list[float], seed: int) -> None:
    doses = np.random.default_rng(seed).permutation(len(means)).astype(float)
    outcomes = [[round(m, 6)] * 12 for m in means]
    if len({round(m, 6) for m in means}) < len(means):
        return
    got = spearman_trend(doses, outcomes, [*range(6)] * 2, resamples=100)
    assert got.value == pytest.approx(scipy.stats.spearmanr(doses, means).statistic)
    assert got.low == got.high == pytest.approx(got.value)


def test_equal_arms_have_no_order_and_noise_has_a_wide_interval() -> None:
    rng = np.random.default_rng(2)
    scenes = np.arange(20).repeat(3)
    same = spearman_trend([1, 2, 3], [np.ones(60)] * 3, scenes)
    assert (same.value, same.low, same.high) == (0.0, 0.0, 0.0)
    for nested in (False, True):
        noise = spearman_trend([1, 2, 3, 4], rng.random((4, 60)), scenes, nested=nested)
        assert noise.low < 0 < noise.high


@pytest.mark.parametrize(
    ("doses", "outcomes"), [([1], [[1, 0]]), ([1, 1], [[1, 0], [0, 1]]), ([1, 2], [[1, 0], [0]])]
)
def test_what_is_no_trend_is_refused(doses: list, outcomes: list) -> None:
    with pytest.raises(InputError):
        spearman_trend(doses, outcomes)
