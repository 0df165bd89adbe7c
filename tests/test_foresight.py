"""Imagined distances count as far as they came true."""

from __future__ import annotations

import asyncio

import numpy as np
import pytest

from worldloop.actions import NAVIGATION
from worldloop.agents.foresight import Foresight, ForesightConfig
from worldloop.agents.goal_seeking import GoalReviser, GoalViews
from worldloop.core import Candidate, Observation, Rollout

from test_agents import situation

ACTIONS = NAVIGATION.plan(["move_forward", "move_forward", "turn_left", "turn_left"]).actions
CONFIG = ForesightConfig(first_error=0.02, first_trials=1.0)


def checked(imagined: list[float], real: list[float]) -> Foresight:
    """After the first actions of a plan whose steps were imagined and then came."""
    foresight = Foresight(situation(), CONFIG)
    candidate = Candidate(NAVIGATION.plan([a.name for a in ACTIONS]))
    foresight.predict(0, [candidate], [dict(enumerate(imagined))])
    foresight.check(ACTIONS[: len(real)], [0.5, *real])
    return foresight


def test_before_any_check_the_first_error_counts():
    foresight = checked([0.3], [])
    assert foresight.error == CONFIG.first_error and foresight.offset == 0


def test_exact_imagination_is_doubted_less_with_each_step():
    errors = [checked([0.4, 0.3, 0.2], [0.4, 0.3, 0.2][:n]).error for n in range(4)]
    assert errors == pytest.approx([0.02, 0.01, 0.02 / 3, 0.005])


def test_a_constant_shift_is_an_offset_and_changing_errors_are_not():
    real = [0.4, 0.3, 0.2, 0.3]
    shifted = checked([r + 0.1 for r in real], real)
    noisy = checked([r + e for r, e in zip(real, (0.1, -0.1, 0.1, -0.1))], real)
    assert shifted.offset == pytest.approx(0.08) and abs(noisy.offset) < 0.01
    assert noisy.error > 2 * shifted.error


def test_only_what_was_carried_out_and_judged_is_checked():
    s = situation()
    other = NAVIGATION.plan(["turn_right"] * 4)
    done = NAVIGATION.plan([a.name for a in ACTIONS])
    foresight = Foresight(s, CONFIG)
    foresight.predict(0, [Candidate(other), Candidate(done)], [{1: 0.9}, {1: 0.3, 3: 0.1}])
    foresight.check(ACTIONS[:2], [0.5, 0.4, 0.3])
    assert foresight.offset == 0 and foresight.error == pytest.approx(0.01)  # frame 1 alone, exact
    foresight.check(ACTIONS[:2], [0.5, 0.4, 0.9])
    assert foresight.error == pytest.approx(0.01), "a prediction is checked once"


@pytest.mark.parametrize(("doubt", "chosen"), [(0.0, 1), (0.2, 0)])
def test_a_doubted_advantage_is_not_taken(monkeypatch, doubt, chosen):
    s = situation(rollouts=2)
    s.memory["foresight_errors"] = [doubt, -doubt] * 10
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
