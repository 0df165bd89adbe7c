"""Rates and exact tests, against statsmodels and by their properties."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binom
from statsmodels.stats.contingency_tables import mcnemar
from statsmodels.stats.multitest import multipletests
from statsmodels.stats.proportion import proportion_confint

from worldloop.core import InputError
from worldloop.stats import holm, mcnemar_exact, spl, wilson

counts = st.integers(1, 500).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n)))
levels = st.floats(0.5, 0.999)
quick = settings(deadline=None, max_examples=50)


@quick
@given(counts, levels)
def test_wilson_is_that_of_statsmodels(kn: tuple[int, int], level: float) -> None:
    got = wilson(*kn, level)
    assert (got.low, got.high) == pytest.approx(proportion_confint(*kn, 1 - level, "wilson"), abs=1e-9)
    assert 0 <= got.low <= got.value <= got.high <= 1 and got.low < got.high


@quick
@given(counts, levels)
def test_wilson_is_symmetric_and_monotone(kn: tuple[int, int], level: float) -> None:
    k, n = kn
    got, mirror = wilson(k, n, level), wilson(n - k, n, level)
    assert (got.low, got.high) == pytest.approx((1 - mirror.high, 1 - mirror.low))
    if k < n:
        more = wilson(k + 1, n, level)
        assert more.low > got.low and more.high > got.high
    wide = wilson(k, n, level + (1 - level) / 2)
    assert wide.low <= got.low and wide.high >= got.high


@pytest.mark.parametrize("rate", [0.05, 0.3, 0.5, 0.9])
def test_wilson_covers(rate: float) -> None:
    n = 60
    bounds = [wilson(k, n) for k in range(n + 1)]
    inside = np.array([b.low <= rate <= b.high for b in bounds])
    assert 0.93 <= binom.pmf(np.arange(n + 1), n, rate) @ inside <= 0.98


@quick
@given(st.integers(0, 200), st.integers(0, 200))
def test_mcnemar_is_that_of_statsmodels(b: int, c: int) -> None:
    p = mcnemar_exact(b, c)
    assert p == mcnemar_exact(c, b) and 0 < p <= 1
    assert p == pytest.approx(mcnemar([[5, b], [c, 5]], exact=True).pvalue, rel=1e-9)
    if b > c:
        assert mcnemar_exact(b + 1, c) < p


def test_mcnemar_keeps_its_level() -> None:
    for n in (1, 5, 20, 61):
        rejected = [mcnemar_exact(b, n - b) <= 0.05 for b in range(n + 1)]
        assert binom.pmf(np.arange(n + 1), n, 0.5) @ rejected <= 0.05


@quick
@given(st.lists(st.floats(0, 1), min_size=1, max_size=12))
def test_holm_is_that_of_statsmodels(p: list[float]) -> None:
    adjusted = holm(p)
    assert adjusted == pytest.approx(multipletests(p, method="holm")[1].tolist())
    assert all(a >= v for a, v in zip(adjusted, p))


def test_holm_by_hand() -> None:
    assert holm([0.04, 0.01, 0.03]) == pytest.approx([0.06, 0.03, 0.06])
    assert holm([]) == []


@quick
@given(st.lists(st.tuples(st.booleans(), st.floats(0, 50), st.floats(0, 50)), min_size=1, max_size=20))
def test_spl_is_between_zero_and_success(rows: list[tuple[bool, float, float]]) -> None:
    success, shortest, taken = (np.array(c, float) for c in zip(*rows))
    got = spl(success, shortest, taken)
    assert ((got >= 0) & (got <= success)).all()
    assert (spl(success, shortest, taken + 1) <= got).all()


@quick
@given(
    st.lists(st.tuples(st.floats(-3, 3), st.floats(-3, 3)), min_size=2, max_size=20),
    st.floats(0.01, 20),
    st.booleans(),
)
def test_spl_is_that_of_habitat_lab(way: list[tuple[float, float]], shortest: float, success: bool) -> None:
    """As its measure counts: the agent's distance grows step by step, success times start distance over the longer."""
    travelled = 0.0
    for before, after in itertools.pairwise(way):
        travelled += float(np.linalg.norm(np.subtract(after, before), ord=2))
    theirs = float(success) * (shortest / max(shortest, travelled))
    steps = np.linalg.norm(np.diff(np.array(way), axis=0), axis=1)
    assert spl([success], [shortest], [steps.sum()])[0] == pytest.approx(theirs, abs=1e-12)


def test_spl_by_hand() -> None:
    got = spl([1, 1, 1, 0, 1], [2, 2, 4, 2, 0], [4, 1, 4, 2, 0])
    assert got.tolist() == [0.5, 1.0, 1.0, 0.0, 1.0]


@pytest.mark.parametrize(
    "call",
    [
        lambda: wilson(3, 2),
        lambda: wilson(0, 0),
        lambda: wilson(1, 2, 1.0),
        lambda: wilson(1, 2, float("nan")),
        lambda: mcnemar_exact(-1, 2),
        lambda: holm([0.1, 1.2]),
        lambda: holm([float("nan")]),
        lambda: spl([1], [1, 2], [1]),
        lambda: spl([0.5], [1], [1]),
        lambda: spl([1], [-1], [1]),
        lambda: spl([], [], []),
        lambda: spl(["x"], [1], [1]),
    ],
)
def test_nonsense_is_refused(call: object) -> None:
    with pytest.raises(InputError):
        call()
