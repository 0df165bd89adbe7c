"""The adapter for Navigation World Models, against a stand-in clone."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
import torch

from worldloop.actions import NAVIGATION
from worldloop.core import InputError, Vocabulary
from worldloop.core.errors import ModelError
from worldloop.engine.check import check_model
from worldloop.models.research.nwm import NwmUnits

from tiny_clones import BOX, picture, query, same

pytestmark = pytest.mark.usefixtures("one_thread")
pytest.importorskip("diffusers")
PLAN = NAVIGATION.plan(["move_forward", "turn_left", "move_forward", "turn_right", "stop"])
REST = (-1 / 3, 0.0)
"""Where not moving lies between -2.5 and 5 forward, and -4 and 4 to the left."""


def units(jumps: bool, **changes) -> NwmUnits:
    return NwmUnits(
        **{**dict(spacing=0.25, low=(-2.5, -4.0), high=(5.0, 4.0), ticks=1.0, jumps=jumps), **changes}
    )


def test_each_action_is_told_in_the_frame_before_it():
    moves, times = units(False).controls(PLAN)
    ahead = 2 * (0.2 / 0.25 + 2.5) / 7.5 - 1
    turn = math.radians(22.5)
    wanted = [(ahead, 0, 0), (*REST, turn), (ahead, 0, 0), (*REST, -turn), (*REST, 0)]
    np.testing.assert_allclose(moves, wanted, atol=1e-6)
    np.testing.assert_allclose(times, [1 / 128] * 5)
    assert moves.dtype == times.dtype == np.float32


def test_jumps_are_told_from_the_present():
    moves, times = units(True, ticks=2.0).controls(PLAN)
    c, s = 0.2 * math.cos(math.radians(22.5)), 0.2 * math.sin(math.radians(22.5))
    ends = [(0.2, 0, 0), (0.2, 0, 22.5), (0.2 + c, s, 22.5), (0.2 + c, s, 0), (0.2 + c, s, 0)]
    wanted = [(2 * (x / 0.25 + 2.5) / 7.5 - 1, y / 0.25 / 4, math.radians(yaw)) for x, y, yaw in ends]
    np.testing.assert_allclose(moves, wanted, atol=1e-6)
    np.testing.assert_allclose(times, 2 * np.arange(1, 6) / 128)
    around, _ = units(True).controls(NAVIGATION.plan(["turn_left"] * 9))
    assert around[-1, 2] == pytest.approx(math.radians(9 * 22.5 - 360), abs=1e-6)
    with pytest.raises(ModelError, match="at most 4 frames ahead, not 5"):
        units(True, farthest=4.0).controls(PLAN)


def watch(model) -> list[dict]:
    """What the network is told, call by call."""
    told, forward = [], model._network.forward
    model._network.forward = lambda *a, **k: told.append(k) or forward(*a, **k)
    return told


def test_the_network_is_told_what_was_worked_out(load):
    model = load("nwm", dataset="scand", ticks=4)
    told = watch(model)
    rollout = model.simulate([query(PLAN)])[0]
    moves, times = units(False, spacing=0.38, ticks=4.0).controls(PLAN)
    assert len(rollout.frames) == 5 and len(told) == 10  # two denoising steps for each frame
    for k in range(5):
        np.testing.assert_allclose(told[2 * k]["y"][0], moves[k])
        np.testing.assert_allclose(told[2 * k]["rel_t"], times[k : k + 1])
        assert told[2 * k]["x_cond"].shape == (1, 4, 4, 4, 4)
    # In steps the last frames become the past, in jumps the past stays.
    assert not torch.equal(told[0]["x_cond"][:, 1:], told[2]["x_cond"][:, :-1])  # encoded with new noise
    jumping = load("nwm", rollout="jumps")
    told = watch(jumping)
    jumping.simulate([query(PLAN)])
    np.testing.assert_allclose(told[-1]["y"][0], units(True).controls(PLAN)[0][-1], atol=1e-6)
    assert told[-1]["rel_t"][0] == pytest.approx(5 / 128)


def test_a_short_history_is_filled_up_with_its_oldest_picture(load):
    model, seen = load("nwm"), []
    encode = model._vae.encode
    model._vae.encode = lambda x: seen.append(x) or encode(x)
    plan = NAVIGATION.plan(["turn_left"] * 2)
    model.simulate([query(plan, past=2), query(plan, past=6)])
    short, long = seen[0], seen[2]
    assert short.shape == (4, 3, 32, 32) and model.card.history == 4
    assert (
        torch.equal(short[0], short[1])
        and torch.equal(short[1], short[2])
        and not torch.equal(short[2], short[3])
    )
    expected = [model.view.put(picture(i)) for i in range(2, 6)]
    np.testing.assert_allclose((long.permute(0, 2, 3, 1) + 1) * 127.5, np.stack(expected), atol=1e-3)
    # The predicted frame comes last in the past of the next.
    assert torch.equal(seen[1][:3], seen[0][1:])


def test_noise_belongs_to_the_seed_alone(load):
    one, many = load("nwm"), load("nwm", batch=3)
    plans = [PLAN, NAVIGATION.plan(["turn_right"] * 5), PLAN]
    queries = [query(p, seed, past=1 + i) for i, (p, seed) in enumerate(zip(plans, (1, 2, 1)))]
    apart = [one.simulate([q])[0] for q in queries]
    assert all(same(a, b) for a, b in zip(apart, one.simulate(queries)))
    for a, b in zip(apart, many.simulate(queries[::-1])[::-1]):
        gaps = [np.abs(x.rgb.astype(int) - y.rgb).max() for x, y in zip(a.frames, b.frames)]
        assert max(gaps) <= 1  # sums in another order
    assert not same(apart[0], one.simulate([query(PLAN, 9)])[0])
    torch.manual_seed(3)
    before = torch.random.get_rng_state()
    assert same(apart[0], one.simulate([queries[0]])[0])
    assert torch.equal(torch.random.get_rng_state(), before)


def test_it_passes_the_check(load):
    report = check_model(load("nwm"), horizon=2, count=3)
    assert report.passed, report.items
    details = {i.name: i.detail for i in report.items}
    assert "different" in details["controls"] and "another" in details["seeds"]


def test_the_card_tells_what_results_depend_on(load):
    card = load("nwm", ticks=2, spacing=0.5).card
    assert card.name == "nwm-0100000" and card.licence == "CC-BY-NC-4.0" and card.control == "vector"
    assert card.settings["spacing"] == 0.5 and card.settings["range"] == [-2.5, -4.0, 5.0, 4.0]
    assert "0.5 s for each action" in card.notes and "non-commercial" in card.notes
    assert len(card.weights_hash) == 16 and json.dumps(dict(card.settings))


def test_pictures_keep_their_view_or_are_cropped_as_in_training(load):
    model = load("nwm", fit="crop")
    frame = model.simulate([query(PLAN)])[0].frames[0]
    assert frame.rgb.shape == (40, 40, 3) and model.view.box((40, 40)) == (0, 5, 40, 35)
    assert not frame.rgb[:5].any() and not frame.rgb[35:].any() and frame.rgb[5:35].any()
    assert load("nwm").simulate([query(PLAN)])[0].frames[0].rgb[:5].any()


def test_plans_without_motion_are_refused(load):
    model = load("nwm")
    assert model.refuses(NAVIGATION) is None and "how a camera moves" in model.refuses(BOX)
    with pytest.raises(ModelError, match="nwm-0100000"):
        model.simulate([query(BOX.plan([(0.0, 0.0)]))])
    assert model.refuses(Vocabulary("other", NAVIGATION.primitives[:2])) is None


@pytest.mark.parametrize(
    ("settings", "reason"),
    [
        ({"dataset": "mars"}, "known: recon, scand; or give spacing="),
        ({"rollout": "leap"}, "steps or jumps"),
        ({"steps": 0}, "steps is a positive"),
        ({"steps": 2000}, "at most 1000"),
        ({"spacing": -1}, "spacing is a positive number"),
        ({"fit": "pad"}, "fit is whole or crop"),
        ({"trust": "maybe"}, "trust is true or false"),
        ({"device": "tpu"}, "no such device"),
        ({"vae": "/nowhere"}, "cannot be loaded as an autoencoder"),
        ({"vae": None}, "missing a required argument: 'vae'"),
        ({"config": "nothing.yaml"}, "cannot be read"),
        ({"checkpoint": "/nowhere.pth"}, "no checkpoint"),
    ],
)
def test_settings_that_cannot_be_used_are_refused(settings, reason, load):
    with pytest.raises(InputError, match=reason):
        load("nwm", **settings)


def test_weights_of_another_model_are_refused(load, tmp_path):
    torch.save({"ema": {"past.weight": torch.zeros(1)}}, tmp_path / "other.pth.tar")
    with pytest.raises(InputError, match="do not belong to this CDiT"):
        load("nwm", checkpoint=tmp_path / "other.pth.tar")


def test_values_that_are_not_finite_are_an_error(load):
    model = load("nwm")
    model._diffusion.p_sample_loop = lambda *a, **k: torch.full((1, 4, 4, 4), torch.nan)
    with pytest.raises(ModelError, match="not finite"):
        model.simulate([query(PLAN)])
