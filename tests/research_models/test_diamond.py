"""The adapter for DIAMOND, against stand-in clones of its two branches."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
import torch

from worldloop.actions import NAVIGATION
from worldloop.core import Action, InputError, Primitive, Vocabulary
from worldloop.core.errors import ModelError
from worldloop.engine.check import check_model

from tiny_clones import BOX, picture, query, same

pytestmark = pytest.mark.usefixtures("one_thread")
GAME = Vocabulary("gym:Breakout", tuple(Primitive(n) for n in ("NOOP", "FIRE", "RIGHT", "LEFT")))
PLAN = GAME.plan(["RIGHT", "LEFT", "FIRE"])


def watch(model) -> list[tuple[torch.Tensor, torch.Tensor]]:
    """What the sampler is given, frame by frame."""
    given, sample = [], model._sampler.sample
    model._sampler.sample = lambda obs, act: given.append((obs, act)) or sample(obs, act)
    return given


def test_actions_go_by_name_and_stand_beside_the_frame_they_follow(load):
    model = load("diamond")
    given = watch(model)
    past = (Action("FIRE"), Action("LEFT"))
    rollout = model.simulate([query(PLAN, past=3, actions=past)])[0]
    assert len(rollout.frames) == 3 and rollout.frames[0].rgb.shape == (40, 40, 3)
    # NOOP+FIRE+LEFT+RIGHT are 0 to 3, whatever the order of the vocabulary.
    assert [a[0].tolist() for _, a in given] == [[0, 1, 2, 3], [1, 2, 3, 2], [2, 3, 2, 1]]
    frames = given[0][0][0]
    assert frames.shape == (4, 3, 64, 64) and frames.min() >= -1 and frames.max() <= 1
    assert torch.equal(frames[0], frames[1]) and not torch.equal(frames[1], frames[2])
    np.testing.assert_allclose(
        (frames[3].permute(1, 2, 0) + 1) * 127.5, model.view.put(picture(2)), atol=1e-3
    )
    assert torch.equal(given[1][0][0, :3], frames[1:])


def test_actions_before_the_frames_that_are_kept_do_not_count(load):
    model = load("diamond")
    given = watch(model)
    model.simulate([query(PLAN, past=1, actions=(Action("FIRE"),) * 5)])
    assert given[0][1][0].tolist() == [0, 0, 0, 3]
    model.simulate(
        [query(PLAN, past=6, actions=[Action(n) for n in ("RIGHT", "RIGHT", "FIRE", "LEFT", "FIRE")])]
    )
    assert given[3][1][0].tolist() == [1, 2, 1, 3]


def test_noise_belongs_to_the_seed_alone(load):
    one, many = load("diamond"), load("diamond", batch=4)
    queries = [query(PLAN, s) for s in (1, 2)] + [
        query(GAME.plan(["FIRE"] * 3), 1),
        query(GAME.plan(["FIRE"]), 1),
    ]
    apart = [one.simulate([q])[0] for q in queries]
    assert all(same(a, b) for a, b in zip(apart, one.simulate(queries)))
    for a, b in zip(apart, many.simulate(queries)):
        assert max(np.abs(x.rgb.astype(int) - y.rgb).max() for x, y in zip(a.frames, b.frames)) <= 2
    assert not same(apart[0], apart[1]) and not same(apart[0], apart[2])
    assert np.array_equal(apart[2].frames[0].rgb, apart[3].frames[0].rgb)


def test_keys_pressed_at_once_and_frames_that_are_enlarged(load):
    model = load("diamond_csgo")
    given = watch(model)
    assert model.refuses(NAVIGATION) is None and model.card.control == "keys"
    made = model.simulate(
        [
            query(
                NAVIGATION.plan(["turn_left", "move_forward", "stop"]), past=2, actions=[Action("turn_right")]
            )
        ]
    )
    assert made[0].frames[2].rgb.shape == (40, 40, 3)
    keys = given[0][1][0]
    assert keys.shape == (4, 9) and given[0][0].shape == (1, 4, 3, 6, 8)
    assert [k.nonzero().flatten().tolist() for k in keys] == [[8], [8], [7, 8], [6, 8]]
    assert given[2][1][0, -1].nonzero().flatten().tolist() == [8]  # stop is what `none` is
    assert model._large.size == (18, 24) and model.card.settings["enlarged"] == 3
    again = load("diamond_csgo", batch=2)
    queries = [query(NAVIGATION.plan(["turn_left"]), s) for s in (1, 2)]
    for a, b in zip(model.simulate(queries), again.simulate(queries)):
        assert np.abs(a.frames[0].rgb.astype(int) - b.frames[0].rgb).max() <= 2


def test_it_passes_the_check(load):
    report = check_model(load("diamond_csgo"), horizon=2, count=3)
    assert report.passed, report.items
    assert any(i.name == "controls" and "different" in i.detail for i in report.items)


def test_other_vocabularies_are_refused(load):
    model = load("diamond")
    assert model.refuses(GAME) is None
    assert "does not say what move_forward, turn_left, turn_right of 'navigation'" in model.refuses(
        NAVIGATION
    )
    assert "not commands of 'push'" in model.refuses(BOX)
    with pytest.raises(ModelError, match="move_forward"):
        model.simulate([query(NAVIGATION.plan(["move_forward"]))])


def test_names_and_codes_may_lie_in_a_file(load, tmp_path):
    file = tmp_path / "codes.json"
    file.write_text(json.dumps({"LEFT": 2, "RIGHT": 3, "FIRE": 1, "NOOP": 0}))
    assert same(*(m.simulate([query(PLAN)])[0] for m in (load("diamond"), load("diamond", actions=file))))
    for wrong in ("[1]", "{}", '{"A": -1}', '{"A": 1, "B": [1]}', '{"A": 1.5}'):
        file.write_text(wrong)
        with pytest.raises(InputError, match="should hold an object such as"):
            load("diamond", actions=file)


@pytest.mark.parametrize(
    ("settings", "reason"),
    [
        ({"actions": None}, "missing a required argument: 'actions'"),
        ({"actions": "A+A"}, "different names joined by"),
        ({"actions": "A+B+C+D+E"}, r"knows 4 codes, 0 to 3, but actions= names 4"),
        ({"size": "wide"}, "size is rows x columns"),
        ({"steps": 0}, "steps is a positive"),
        ({"clone": "/nowhere"}, r"no clone of DIAMOND.*eloialonso/diamond"),
        ({"config": "config/trainer.yaml"}, "tell of no denoiser"),
    ],
)
def test_settings_that_cannot_be_used_are_refused(settings, reason, load):
    with pytest.raises(InputError, match=reason):
        load("diamond", **settings)


def test_settings_of_another_branch_are_refused(load, given, tmp_path):
    agent = tmp_path / "agent.yaml"
    inner = "{img_channels: 3, num_steps_conditioning: 4, cond_channels: 16, depths: [1], channels: [8], attn_depths: [0]}"
    text = "denoiser: {sigma_data: 0.5, sigma_offset_noise: 0.1, noise_previous_obs: true, inner_model: %s}"
    agent.write_text(text % inner)
    with pytest.raises(InputError, match=r"do not fit .*noise_previous_obs"):
        load("diamond", config=agent)
    agent.write_text((text % inner.replace("[8]", "[4]")).replace("noise_previous_obs: true, ", ""))
    with pytest.raises(InputError, match="do not belong to this Denoiser"):
        load("diamond", config=agent)


def test_the_card_tells_what_results_depend_on(load):
    card = load("diamond", steps=5).card
    assert card.name == "diamond-Breakout" and card.licence == "MIT" and card.control == "code"
    assert card.settings["steps"] == 5 and card.settings["actions"]["RIGHT"] == 3 and card.history == 4
    assert load("diamond").card.settings["steps"] == 3 and json.dumps(dict(card.settings))


def test_pictures_that_are_none_are_refused(load):
    q = query(PLAN)
    wrong = replace(q, history=(replace(q.history[0], rgb=q.history[0].rgb.astype(np.float32)),))
    with pytest.raises(ModelError, match=r"diamond-Breakout.*sees uint8"):
        load("diamond").simulate([wrong])


def test_draws_that_candidates_would_share_are_refused(load):
    model, alone = load("diamond", batch=2), load("diamond")
    for m in (model, alone):
        sample = m._sampler.sample
        m._sampler.sample = lambda o, a, s=sample: s(o + 0 * torch.rand(o.shape), a)
    with pytest.raises(ModelError, match="draws with rand, which candidates would share: give batch=1"):
        model.simulate([query(PLAN, 1), query(PLAN, 2)])
    assert same(alone.simulate([query(PLAN)])[0], alone.simulate([query(PLAN)])[0])
