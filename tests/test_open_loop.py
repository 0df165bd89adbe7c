"""Open-loop metrics know the controls: the oracle is perfect, the wrong and the frozen are not."""

from __future__ import annotations

import numpy as np
import pytest

from worldloop.agents.perception import Perception
from worldloop.core import InputError
from worldloop.metrics import draw_trials, score_model
from worldloop.models import MODELS


@pytest.fixture(scope="module")
def trials():
    return draw_trials(10, horizon=3, styles=("A",), scenes=2, panorama_height=None)


@pytest.fixture(scope="module")
def scores(trials):
    perception = Perception()
    names = ("oracle", "oracle-blur", "oracle-wrong", "frozen")
    return {n: score_model(MODELS.create(n), trials, perception) for n in names}


def test_the_oracle_is_perfectly_controllable(scores):
    oracle = scores["oracle"]
    assert np.nanmin(oracle.controllability) == pytest.approx(1.0, abs=1e-6)
    assert oracle.recovered[oracle.counted].all() and (oracle.psnr > 60).all()


def test_blurred_frames_tell_the_action_and_wrong_ones_do_not(scores):
    accuracy = {n: float(np.nanmean(s.accuracy)) for n, s in scores.items()}
    assert accuracy["oracle-blur"] > accuracy["oracle-wrong"] + 0.3
    assert accuracy["oracle-blur"] > accuracy["frozen"] + 0.1
    assert np.nanmean(scores["oracle-blur"].controllability) < 1 - 0.05


def test_trials_depend_on_their_arguments_alone(trials):
    again = draw_trials(10, horizon=3, styles=("A",), scenes=2, panorama_height=None)
    for a, b in zip(trials, again):
        assert a.query.plan == b.query.plan and a.scene == b.scene
        np.testing.assert_array_equal(a.query.history[-1].rgb, b.query.history[-1].rgb)
    assert len({t.scene for t in trials}) == 2


def test_blocked_steps_do_not_count(scores, trials):
    blocked = np.array([t.blocked for t in trials])
    np.testing.assert_array_equal(scores["oracle"].counted, ~blocked)


def test_history_is_filled(trials):
    (trial,) = draw_trials(1, horizon=2, styles=("B",), scenes=1, history=3, panorama_height=128, seed=4)
    assert len(trial.query.history) == 3 and len(trial.query.actions) == 2
    assert trial.query.history[-1].panorama.shape == (128, 256, 3)
    with pytest.raises(InputError):
        draw_trials(0)
