"""Verdicts that may be looked for at any time: error rates by simulation, order, and what cannot be told."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from worldloop.core import InputError
from worldloop.stats import PairedBets, scene_order, sequential_verdict


def worlds(runs: int, scenes: int, seed: int) -> tuple[np.random.Generator, np.ndarray]:
    """A generator, and how easy each scene of each run is: scenes differ, so that their episodes go together."""
    random = np.random.default_rng(seed)
    return random, random.beta(0.7, 0.7, (runs, scenes))


@pytest.mark.parametrize("runs", [250, pytest.param(2000, marks=pytest.mark.slow)])
@pytest.mark.parametrize("unit", ["scene", "episode"])
def test_two_equal_models_are_told_apart_in_fewer_than_5_percent_of_runs(unit: str, runs: int) -> None:
    scenes, each = 16, 3
    random, ease = worlds(runs, scenes, 1)
    a, b = (random.random((runs, scenes, each)) < ease[..., None] for _ in range(2))
    d = (a.astype(float) - b).reshape(
        runs, -1 if unit == "episode" else scenes, 1 if unit == "episode" else each
    )
    wrong = 0
    for run in d:
        bets = PairedBets(run.shape[1])
        for differences in run:  # a look after each of them
            bets.add(differences)
            if bets.state.verdict != "undecided":
                wrong += 1
                break
    assert wrong / runs <= 0.05


def test_a_better_model_is_found_sooner_than_at_the_end() -> None:
    random, ease = worlds(60, 48, 2)
    b = random.random((60, 48, 3)) < ease[..., None] * 0.6
    a = b | (random.random(b.shape) < 0.45)
    labels = np.repeat(np.arange(48), 3)
    found = [sequential_verdict(x.ravel(), y.ravel(), labels, seed=i) for i, (x, y) in enumerate(zip(a, b))]
    assert np.mean([f.verdict == "better" for f in found]) > 0.95
    assert np.mean([f.episodes for f in found]) < 0.6 * 144
    turned = sequential_verdict(b[0].ravel(), a[0].ravel(), labels)
    assert turned.verdict == "worse" and turned.difference < 0


def test_the_interval_holds_at_every_look() -> None:
    random, ease = worlds(120, 40, 3)
    missed = 0
    for run in range(120):
        bets, gain = PairedBets(2), 0.15
        for scene in ease[run]:
            b = random.random(2) < scene * (1 - gain)
            a = random.random(2) < scene * (1 - gain) + gain
            bets.add(a.astype(float) - b)
            state = bets.state
            if not state.low <= gain <= state.high:
                missed += 1
                break
    assert missed / 120 <= 0.05


def test_alike_needs_a_margin() -> None:
    same = np.tile([1.0, 0.0], 300)
    assert sequential_verdict(same, same).verdict == "undecided"
    found = sequential_verdict(same, same, margin=0.2)
    assert found.verdict == "alike" and found.episodes < 100
    assert -0.2 <= found.low <= 0.0 <= found.high <= 0.2


@given(st.integers(0, 50), st.permutations(range(12)))
@settings(max_examples=20, deadline=None)
def test_neither_the_order_given_nor_later_outcomes_matter(seed: int, order: list[int]) -> None:
    scenes = np.array([f"s{i % 6}" for i in range(12)])
    a, b = np.array([1, 1, 1, 1, 1, 0, 1, 1, 1, 1, 1, 1.0]), np.zeros(12)
    straight = sequential_verdict(a, b, scenes, 0.8, seed=seed)
    mixed = sequential_verdict(a[order], b[order], scenes[order], 0.8, seed=seed)
    assert straight == mixed
    # Not done are the scenes from the third on: the first two are all that is looked at.
    late = np.isin(scenes, scene_order(scenes, seed)[2:])
    early = sequential_verdict(np.where(late, 0.5, a), b, scenes, 0.8, seed=seed, done=~late)
    assert early.scenes == 2
    assert early == sequential_verdict(a, b, scenes, 0.8, seed=seed, done=~late)


def test_bad_input_is_refused() -> None:
    with pytest.raises(InputError, match="same episodes"):
        sequential_verdict([1.0], [1.0, 0.0])
    with pytest.raises(InputError, match="scene labels"):
        sequential_verdict([1.0, 0.0], [1.0, 0.0], ["a"])
    with pytest.raises(InputError, match="between -1 and 1"):
        sequential_verdict([3.0], [1.0])
    with pytest.raises(InputError, match="margin"):
        PairedBets(1, margin=1.5)
    with pytest.raises(InputError, match="at least one episode"):
        PairedBets(0)
    with pytest.raises(InputError, match="more than the 1"):
        PairedBets(1).add([0.0, 1.0])


@pytest.mark.parametrize("difference", [0.305, 0.7951, -0.3049])
def test_the_interval_holds_between_the_points_of_the_grid(difference: float) -> None:
    bets = PairedBets(1)
    for _ in range(800):
        bets.add([difference])
        assert bets.state.low <= difference <= bets.state.high
    assert bets.state.high - bets.state.low < 0.04
