"""Imagined distances count as far as they came true."""

from __future__ import annotations

import asyncio
from collections import Counter

import numpy as np
import pytest

from worldloop.actions import NAVIGATION
from worldloop.agents.foresight import Foresight, ForesightConfig
from worldloop.agents.goal_seeking import GoalReviser, GoalViews, _View
from worldloop.core import Candidate, Observation, Rollout

from test_agents import situation

ACTIONS = NAVIGATION.plan(["move_forward", "move_forward", "turn_left", "turn_left"]).actions
CONFIG = ForesightConfig(
    first_slope=0.5,
    first_error=0.02,
    first_change=0.05,
    first_trials=1.0,
    first_growth=0.0,
    growth_metres=0.3,
)
NOW = 0.5


def checked(imagined: list[float], real: list[float], metres: tuple[float, ...] = (0.0,) * 4) -> Foresight:
    """After the first actions of a plan whose steps were imagined and then came."""
    foresight = Foresight(situation(), CONFIG)
    candidate = Candidate(NAVIGATION.plan([a.name for a in ACTIONS]))
    foresight.predict(0, [candidate], [{i: (d, m) for i, (d, m) in enumerate(zip(imagined, metres))}])
    foresight.check(ACTIONS[: len(real)], [NOW, *real])
    return foresight


def test_before_any_check_half_of_a_change_is_believed():
    foresight = checked([0.3], [])
    assert foresight.error == CONFIG.first_error and foresight.bias[0] == 0 and foresight.slope == 0.5
    assert foresight.believed(0.3, 0.5, 0.0) == foresight.believed(0.3, 0.5, 9.0) == pytest.approx(0.4)


def test_exact_imagination_is_believed_more_with_each_step():
    steps = [checked([0.4, 0.3, 0.2, 0.1], [0.4, 0.3, 0.2, 0.1][:n]) for n in range(5)]
    slopes = [f.slope for f in steps]
    assert slopes == sorted(slopes) and slopes[-1] > 0.99
    assert steps[-1].error < steps[0].error and all(f.bias[0] == pytest.approx(0) for f in steps)


def test_a_constant_shift_is_an_offset_and_noise_lowers_the_slope():
    real = [0.4, 0.3, 0.55, 0.3]
    exact = checked(real, real)
    shifted = checked([r + 0.1 for r in real], real)
    noisy = checked([r + e for r, e in zip(real, (0.2, -0.2, -0.2, 0.2))], real)
    assert shifted.bias[0] == pytest.approx(0.08) and abs(noisy.bias[0]) < 0.01
    assert noisy.slope < 0.6 * shifted.slope and shifted.slope > 0.9 * exact.slope
    assert noisy.error > 2 * shifted.error


def test_the_opposite_of_what_was_imagined_leaves_nothing_to_believe():
    foresight = checked([0.4, 0.6, 0.4, 0.6], [0.6, 0.4, 0.6, 0.4])
    assert foresight.slope == 0 and foresight.believed(0.1, NOW, 0.0) == NOW


def test_pictures_that_get_worse_with_the_way_are_seen_through():
    real, metres = [0.45, 0.4, 0.6, 0.35], (0.2, 0.4, 0.0, 0.6)
    exact, worse = checked(real, real), checked([r + 0.1 * m for r, m in zip(real, metres)], real, metres)
    offset, growth = worse.bias
    assert 0.03 < growth < 0.1 and abs(offset) < 0.03 and exact.bias == (0.0, 0.0)
    naive = checked([r + 0.1 * m for r, m in zip(real, metres)], real)
    ahead = 0.3 + 0.1 * 0.6
    assert abs(worse.believed(ahead, NOW, 0.6) - 0.3) < abs(naive.believed(ahead, NOW, 0.0) - 0.3)
    assert worse.error < naive.error


def test_only_what_was_carried_out_and_judged_is_checked():
    s = situation()
    other = NAVIGATION.plan(["turn_right"] * 4)
    done = NAVIGATION.plan([a.name for a in ACTIONS])
    foresight = Foresight(s, CONFIG)
    foresight.predict(
        0, [Candidate(other), Candidate(done)], [{1: (0.9, 0.0)}, {1: (0.3, 0.0), 3: (0.1, 0.0)}]
    )
    foresight.check(ACTIONS[:2], [0.5, 0.4, 0.3])
    assert foresight.bias[0] == 0 and 0.9 < foresight.slope < 1  # frame 1 alone, exact
    slope = foresight.slope
    foresight.check(ACTIONS[:2], [0.5, 0.4, 0.9])
    assert foresight.slope == slope, "a prediction is checked once"


@pytest.mark.parametrize(("doubt", "chosen"), [(0.0, 1), (0.4, 0)])
def test_a_doubted_advantage_is_not_taken(monkeypatch, doubt, chosen):
    s = situation(rollouts=2)
    s.memory["foresight_checks"] = [(0.2, 0.2 - doubt, 0.0), (-0.2, doubt - 0.2, 0.0)] * 10
    views = GoalViews(None)  # type: ignore[arg-type]

    async def distances(_, images):
        return [0.3 if image.max() else 0.4 for image in images]

    monkeypatch.setattr(views, "distances", distances)
    dark, light = (Observation(np.full((8, 8, 3), v, np.uint8)) for v in (0, 255))
    plans = [NAVIGATION.plan(["turn_left"] * 4), NAVIGATION.plan(["turn_right"] * 4)]
    futures = (dark,) * 4, (dark, light, dark, dark)
    candidates = [Candidate(p, rollout=Rollout(f)) for p, f in zip(plans, futures)]
    decision = asyncio.run(GoalReviser(views).revise(s, candidates))
    assert decision.chosen == chosen
    # The doubted plan is carried out as it was proposed, the other up to its best view.
    assert len(decision.actions) == (4 if doubt else 2)


@pytest.mark.parametrize(("doubt", "steps"), [(0.0, 1), (0.2, 3)])
def test_a_plan_is_cut_where_an_earlier_view_is_surely_better(doubt, steps):
    reviser = GoalReviser(GoalViews(None))  # type: ignore[arg-type]
    views = [_View(i, np.zeros((2, 2, 3), np.uint8), (0.2 * i, 0.0, 0.0)) for i in (4, 2, 0)]
    judged = reviser._judge((0.0, 0.0, 0.0), views, [0.6, 0.4, 0.3], Counter(), doubt)
    assert judged.best + 1 == steps and judged.score == -0.3
