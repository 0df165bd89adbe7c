"""Bootstrap intervals: against scipy, on populations whose truth is known, and by their properties."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.stats
from hypothesis import given, settings
from hypothesis import strategies as st

from worldloop.core import InputError
from worldloop.stats import (
    STUDENT,
    fewest_clusters,
    mean_interval,
    nested_interval,
    paired_difference,
    utility,
)
from worldloop.stats.bootstrap import _newcombe, tail


def test_independent_values_agree_with_scipy() -> None:
    values = np.random.default_rng(1).exponential(size=40)
    got = mean_interval(values, resamples=20_000)
    level = 1 - 2 * tail(0.95, len(values))
    ref = scipy.stats.bootstrap(
        (values,), np.mean, n_resamples=20_000, confidence_level=level, method="percentile", rng=0
    ).confidence_interval
    width = ref.high - ref.low
    assert abs(got.low - ref.low) < 0.03 * width and abs(got.high - ref.high) < 0.03 * width
    assert got.value == pytest.approx(values.mean()) and got.clusters == got.n == 40


def test_the_interval_is_students_for_normal_scenes() -> None:
    rng = np.random.default_rng(2)
    for count in (6, 15, 60):
        values = rng.normal(size=count)
        got = mean_interval(values, resamples=20_000)
        half = scipy.stats.t.ppf(0.975, count - 1) * values.std(ddof=1) / np.sqrt(count)
        assert got.high - got.low == pytest.approx(2 * half, rel=0.12)


def population(rng: np.random.Generator, scenes: int, each: int, effect: float):
    """Paired 0/1 outcomes whose scenes share their difficulty; the true difference is `effect`."""
    base = rng.uniform(0.2, 0.6, scenes).repeat(each)
    gain = (effect + rng.choice([-0.2, 0.2], scenes)).repeat(each)
    luck = rng.random(scenes * each)
    none = luck < base
    model = np.where(rng.random(scenes * each) < 0.5, luck, rng.random(scenes * each)) < base + gain
    return model.astype(float), none.astype(float), np.arange(scenes).repeat(each)


@pytest.mark.parametrize(("scenes", "each"), [(6, 6), (12, 5), (40, 3)])
def test_the_paired_interval_covers_the_truth(scenes: int, each: int) -> None:
    rng = np.random.default_rng(3)
    hits, false_alarms, trials = 0, 0, 400
    for _ in range(trials):
        a, b, c = population(rng, scenes, each, 0.15)
        got = paired_difference(a, b, c, resamples=800)
        hits += got.low <= 0.15 <= got.high
        a, b, c = population(rng, scenes, each, 0.0)
        got = paired_difference(a, b, c, resamples=800)
        false_alarms += got.low > 0 or got.high < 0
    assert 0.92 <= hits / trials <= 0.99
    assert false_alarms / trials <= 0.08


@pytest.mark.parametrize("scenes", [2, 3, 5])
def test_few_scenes_are_not_taken_for_many(scenes: int) -> None:
    rng = np.random.default_rng(6)
    hits, trials, codes = dict.fromkeys(("mean", "paired", "nested"), 0), 400, np.arange(scenes).repeat(4)
    for _ in range(trials):
        x = rng.normal(size=scenes).repeat(4) + rng.normal(size=4 * scenes)
        a, b, c = population(rng, scenes, 4, 0.15)
        found = {
            "mean": mean_interval(x, codes),
            "paired": paired_difference(a, b, c),
            "nested": nested_interval(x, codes),
        }
        for name, truth in (("mean", 0.0), ("paired", 0.15), ("nested", 0.0)):
            hits[name] += found[name].low <= truth <= found[name].high
            assert found[name].method in (STUDENT, "newcombe") and found[name].note
    assert min(hits.values()) / trials >= 0.93, hits


def test_few_scenes_by_hand() -> None:
    values, codes = [1.0, 2.0, 4.0], ["a", "b", "c"]
    got = mean_interval(values, codes)
    half = scipy.stats.t.ppf(0.975, 2) * np.std(values, ddof=1) / np.sqrt(3)
    assert (got.low, got.high) == pytest.approx((7 / 3 - half, 7 / 3 + half))
    assert mean_interval(values, codes, within=(0.5, 3.0)).low == 0.5
    assert [fewest_clusters(c) for c in (0.5, 0.9, 0.95, 0.99)] == [2, 5, 6, 8]
    none, model, oracle = [0.0, 0, 0, 0, 0, 1] * 5, [0.0, 0, 0, 1, 1, 1] * 5, [1.0] * 30
    scenes = np.arange(30) // 6
    part = utility(model, none, oracle, np.where(np.arange(30) == 6, 0, scenes))
    assert (
        part.value == pytest.approx(0.4) and not part.defined and part.note.startswith("fewer than 6 scenes")
    )


def test_ignoring_scenes_would_undercover() -> None:
    rng = np.random.default_rng(4)
    hits = {"scenes": 0, "episodes": 0}
    for _ in range(200):
        scene = rng.normal(size=15).repeat(10)
        x = scene + 0.3 * rng.normal(size=150)
        for name, clusters in (("scenes", np.arange(15).repeat(10)), ("episodes", None)):
            got = mean_interval(x, clusters, resamples=500)
            hits[name] += got.low <= 0 <= got.high
    assert hits["scenes"] / 200 > 0.91 and hits["episodes"] / 200 < 0.65


def test_the_utility_interval_covers_the_truth() -> None:
    rng = np.random.default_rng(5)
    hits = defined = 0
    for _ in range(300):
        luck = rng.random(120)
        shift = rng.uniform(-0.1, 0.1, 20).repeat(6)
        none, model, oracle = ((luck < p + shift).astype(float) for p in (0.3, 0.5, 0.8))
        got = utility(model, none, oracle, np.arange(20).repeat(6), resamples=600)
        if got.defined:
            defined += 1
            hits += got.low <= 0.4 <= got.high
    assert defined > 290 and 0.92 <= hits / defined <= 0.99


def test_utility_by_hand() -> None:
    none = np.array([0.0] * 8 + [1.0] * 2)
    oracle = np.ones(10)
    model = np.array([1.0] * 2 + [0.0] * 6 + [1.0] * 2)
    got = utility(model, none, oracle)
    assert got.value == pytest.approx(0.25) and 0 <= got.low < 0.25 < got.high < 0.7
    assert utility(none, none, oracle).value == 0 and utility(oracle, none, oracle).value == 1


@pytest.mark.parametrize(
    ("none", "oracle", "clusters"),
    [
        ([0, 1] * 10, [1, 0] * 10, None),
        ([0, 1] * 10, [0, 1] * 10, None),
        ([1] * 20, [0] * 20, None),
        ([0] * 19 + [1], [0] * 18 + [1, 1], None),
        ([0, 0, 1, 0], [1, 1, 1, 0], ["a"] * 4),
    ],
)
def test_utility_is_undefined_where_the_oracle_is_not_shown_to_help(none, oracle, clusters) -> None:
    got = utility(none, none, oracle, clusters)
    assert (got.value, got.low, got.high) == (None, None, None)
    assert got.note.startswith("undefined: it is not shown that even the oracle helps")


def test_newcombe_reproduces_the_published_example() -> None:
    # Newcombe 1998, table II: a=36, b=12, c=2, d=0 -> 0.0569 to 0.3404
    x = np.repeat([1.0, 1.0, 0.0], [36, 12, 2])
    y = np.repeat([1.0, 0.0, 1.0], [36, 12, 2])
    assert _newcombe(x, y, 50, 0.95) == pytest.approx((0.0569, 0.3404), abs=5e-5)


def test_no_spread_is_not_certainty() -> None:
    ties = paired_difference([1, 0] * 10, [1, 0] * 10)
    assert ties.method == "newcombe" and ties.low < 0 < ties.high and (ties.wins, ties.losses) == (0, 0)
    sweep = paired_difference([1] * 20, [0] * 20)
    assert sweep.value == 1 and 0.6 < sweep.low < 1 and sweep.high == 1
    few = paired_difference([1] * 20, [0] * 20, list("abcd") * 5)
    assert few.low < sweep.low
    graded = paired_difference([0.5] * 5, [0.25] * 5)
    assert not graded.defined and "no spread" in graded.note
    assert not mean_interval([0.1] * 7, list("aabbbcc")).defined
    assert not mean_interval([1, 2, 3], ["a"] * 3).defined


outcomes = st.lists(
    st.tuples(st.sampled_from([0.0, 1.0]), st.sampled_from([0.0, 1.0]), st.integers(0, 4)),
    min_size=2,
    max_size=30,
)


@settings(deadline=None, max_examples=60)
@given(outcomes, st.randoms(use_true_random=False))
def test_paired_properties(rows: list[tuple[float, float, int]], random) -> None:
    a, b, c = (np.array(v) for v in zip(*rows))
    got = paired_difference(a, b, c, resamples=200)
    assert -1 <= got.low <= got.value + 1e-12 and got.value - 1e-12 <= got.high <= 1
    assert got == paired_difference(a, b, c, resamples=200)
    back = paired_difference(b, a, c, resamples=200)
    assert (back.value, back.low, back.high) == pytest.approx((-got.value, -got.high, -got.low), abs=1e-9)
    assert (back.wins, back.losses) == (got.losses, got.wins)
    order = list(range(len(rows)))
    random.shuffle(order)
    shuffled = paired_difference(a[order], b[order], c[order], resamples=200)
    assert (shuffled.low, shuffled.high) == pytest.approx((got.low, got.high), abs=1e-12)
    wider = paired_difference(a, b, c, confidence=0.99, resamples=200)
    assert wider.low <= got.low + 1e-12 and wider.high >= got.high - 1e-12


def test_blocks_of_resamples_draw_the_same_numbers(monkeypatch: pytest.MonkeyPatch) -> None:
    values = np.random.default_rng(0).normal(size=50)
    whole = mean_interval(values)
    monkeypatch.setattr("worldloop.stats.bootstrap._CELLS", 999)
    assert mean_interval(values) == whole
    assert mean_interval(values, seed=1) != whole


@pytest.mark.parametrize(
    "call",
    [
        lambda: mean_interval([]),
        lambda: mean_interval([1.0, float("nan")]),
        lambda: mean_interval([[1.0]]),
        lambda: mean_interval([1, 2], ["a"]),
        lambda: mean_interval([1, 2], resamples=10),
        lambda: mean_interval([1, 2], confidence=95),
        lambda: paired_difference([1, 0], [1]),
        lambda: utility([1, 0], [1], [1, 1]),
    ],
)
def test_nonsense_is_refused(call: object) -> None:
    with pytest.raises(InputError):
        call()
