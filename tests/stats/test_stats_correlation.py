"""Correlation over models: the value is scipy's, the interval covers, and what cannot be said is not said."""

import numpy as np
import pytest
from scipy.stats import pearsonr, spearmanr

from worldloop.core import InputError
from worldloop.stats import Outcomes, correlation_gap, model_correlation


def models(means, cases, scenes, random, spread=0.3):
    return [
        Outcomes(m + spread * random.normal(size=cases), tuple(i % scenes for i in range(cases)))
        for m in means
    ]


@pytest.mark.parametrize(("kind", "scipy"), [("pearson", pearsonr), ("spearman", spearmanr)])
def test_the_value_is_that_of_the_means(kind, scipy):
    random = np.random.default_rng(0)
    x, y = (models(random.normal(size=11), 24, 6, random) for _ in range(2))
    found = model_correlation(x, y, kind)
    means = [[float(o.values.mean()) for o in part] for part in (x, y)]
    assert found.value == pytest.approx(scipy(*means).statistic, abs=1e-9)
    assert found.low < found.value < found.high and found.low >= -1 and found.high <= 1
    assert found.clusters == 11
    assert found == model_correlation(x, y, kind)


def test_the_interval_covers_the_truth_of_the_models_behind_the_sample():
    random, hits, trials = np.random.default_rng(1), 0, 80
    for _ in range(trials):
        a = random.normal(size=12)
        b = 0.6 * a + 0.8 * random.normal(size=12)
        found = model_correlation(
            models(a, 20, 5, random, 0.05), models(b, 20, 5, random, 0.05), resamples=300, seed=3
        )
        hits += found.low <= 0.6 <= found.high
    # 95 % nominal; 80 trials have a standard error of 2 points.
    assert hits / trials >= 0.88


def test_few_models_leave_a_wide_interval():
    random, widths = np.random.default_rng(2), []
    for count in (5, 40):
        truth = random.normal(size=count)
        x = models(truth, 20, 5, random, 0.1)
        y = models(truth + 0.8 * random.normal(size=count), 20, 5, random, 0.1)
        found = model_correlation(x, y, resamples=1000)
        widths.append(found.high - found.low)
    assert widths[0] > 1.5 * widths[1]


def test_models_without_any_difference_have_no_correlation():
    same = [Outcomes(np.ones(6), (0, 0, 1, 1, 2, 2)) for _ in range(9)]
    other = models(np.arange(9.0), 6, 3, np.random.default_rng(0))
    found = model_correlation(same, other)
    assert found.value is None and "do not differ" in found.note


def test_one_odd_model_is_told_as_what_it_is():
    values = [0.0] * 8 + [1.0]
    lists = [Outcomes(np.full(6, v), (0, 0, 1, 1, 2, 2)) for v in values]
    found = model_correlation(lists, lists)
    assert found.value == pytest.approx(1.0) and "no order" in found.note


def test_models_may_have_been_scored_in_different_numbers_of_cases():
    random = np.random.default_rng(4)
    x = [Outcomes(random.normal(size=n) + n, tuple(range(n))) for n in range(3, 12)]
    y = models(np.arange(9.0), 10, 5, random)
    assert model_correlation(x, y).value > 0.9


def test_lists_that_do_not_match_are_refused():
    random = np.random.default_rng(0)
    x = models([1.0, 2.0, 3.0], 4, 2, random)
    with pytest.raises(InputError, match="three models"):
        model_correlation(x[:2], x[:2])
    with pytest.raises(InputError, match="3 and 2"):
        model_correlation(x, x[:2])
    with pytest.raises(InputError, match="finite"):
        model_correlation([Outcomes(np.array([np.nan]), (0,)), *x[:2]], x)


def test_the_gap_between_two_correlations_is_told_with_its_own_interval():
    random = np.random.default_rng(6)
    truth = random.normal(size=14)
    y = models(truth, 20, 5, random, 0.1)
    close, far = models(truth, 20, 5, random, 0.1), models(random.normal(size=14), 20, 5, random, 0.1)
    gap = correlation_gap(close, far, y, resamples=1000)
    assert gap.value == pytest.approx(model_correlation(close, y).value - model_correlation(far, y).value)
    assert gap.low > 0
    same = correlation_gap(close, close, y, resamples=1000)
    assert same.value == 0 and same.low <= 0 <= same.high
    with pytest.raises(InputError, match="three models"):
        correlation_gap(close[:5], far, y)


def test_what_a_scene_does_to_both_metrics_cancels():
    random = np.random.default_rng(7)
    truth = random.normal(size=12)
    y, close = models(truth, 20, 5, random, 0.3), models(truth, 20, 5, random, 0.5)
    same = correlation_gap(close, close, y, resamples=300)
    assert (same.low, same.value, same.high) == (0, 0, 0)
    # Measured in other scenes, they are drawn apart.
    other = [Outcomes(o.values, tuple(c + 5 for c in o.clusters)) for o in close]
    apart = correlation_gap(close, other, y, resamples=300)
    assert apart.value == 0 and apart.low < 0 < apart.high


def test_metrics_that_go_equally_well_are_told_apart_in_few_samples():
    random, wrong, trials = np.random.default_rng(8), 0, 150
    for trial in range(trials):
        z, a, b = random.normal(size=(3, 12))
        # Both go with z by .6, and what a scene does to a model both of them see.
        scenes = np.tile(random.normal(size=(12, 5)), 4)
        first, second = (
            [Outcomes(m + s, tuple(range(5)) * 4) for m, s in zip(0.6 * z + 0.8 * own, scenes)]
            for own in (a, b)
        )
        gap = correlation_gap(first, second, models(z, 20, 5, random, 0.2), resamples=200, seed=trial)
        wrong += not gap.low <= 0 <= gap.high
    # 5 % nominal; 500 trials gave 1.8 %, and 0.6 % with intervals a fifth wider where scenes were drawn apart.
    assert wrong / trials <= 0.09
