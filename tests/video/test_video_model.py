"""`VideoModel`: the protocol, determinism whatever else is asked, and errors that say what to do."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from worldloop.actions import NAVIGATION
from worldloop.actions.gripper import gripper_vocabulary
from worldloop.core import InputError, Observation, Primitive, Query, Vocabulary
from worldloop.core.errors import ModelError
from worldloop.envs.tabletop.cameras import THIRD
from worldloop.envs.tabletop.commands import VOCABULARIES
from worldloop.models import MODELS
from worldloop.models.video import VideoModel, save_checkpoint
from worldloop.models.video import model as module
from worldloop.models.video.checkpoint import find_weights

from tiny_video import PIXELS, ask, checkpoint, look

PLANS = (
    ["move_forward"] * 4,
    ["turn_left", "move_forward", "turn_right", "move_forward", "turn_left"],
    ["turn_right"],
    ["turn_left"] * 9,
)


def pictures(rollout) -> np.ndarray:
    return np.stack([f.rgb for f in rollout.frames])


def answers(model: VideoModel, queries: list[Query]) -> list[np.ndarray]:
    return [pictures(r) for r in model.simulate(queries)]


@pytest.mark.parametrize("control", ["none", "text", "code", "camera"])
def test_rollouts_do_not_depend_on_the_batch(control):
    model = VideoModel(checkpoint(control, history=2))
    queries = [ask(p, seed=i, view=i % 2, past=["turn_left"]) for i, p in enumerate(PLANS)]
    together = answers(model, queries)
    for q, frames in zip(queries, together):
        assert frames.shape == (len(q.plan), PIXELS, PIXELS, 3) and frames.dtype == np.uint8
        np.testing.assert_array_equal(answers(model, [q])[0], frames)
    for frames, again in zip(together[::-1], answers(model, queries[::-1])):
        np.testing.assert_array_equal(frames, again)
    torch.manual_seed(7)
    np.random.seed(7)
    torch.set_num_threads(2)
    np.testing.assert_array_equal(answers(model, queries[:1])[0], together[0])


@pytest.mark.parametrize("control", ["text", "code", "camera"])
def test_plan_seed_and_view_matter(control):
    model = VideoModel(checkpoint(control))
    base = ask(PLANS[0], seed=1)
    others = [ask(PLANS[0], seed=2), ask(["turn_left"] * 4, seed=1), ask(PLANS[0], seed=1, view=3)]
    others.append(replace(base, history=(replace(look(0), panorama=look(9).panorama),)))
    first, *rest = answers(model, [base, *others])
    assert all((first != r).mean() > 0.02 for r in rest)


def test_without_control_the_plan_does_not_matter():
    a, b = answers(VideoModel(checkpoint("none")), [ask(PLANS[0], 1), ask(["turn_left"] * 4, 1)])
    np.testing.assert_array_equal(a, b)


def test_queries_on_one_history_share_its_context(monkeypatch):
    model, made = VideoModel(checkpoint()), []
    inner = model.backbone.context
    monkeypatch.setattr(model.backbone, "context", lambda *a, **b: made.append(1) or inner(*a, **b))
    model.simulate([ask(p, seed=i) for i, p in enumerate(PLANS)] + [ask(PLANS[0], view=4)])
    assert len(made) == 2


def test_one_batch_agrees_with_single_questions():
    """The path for GPUs, run on the CPU: equal up to rounding."""
    for control in ("code", "text", "none"):
        model = VideoModel(checkpoint(control))
        queries = [ask(p, seed=i, view=i % 2) for i, p in enumerate((*PLANS, PLANS[0]))]
        questions = [model._reader.read(q) for q in queries]
        for a, b in zip(model._together(questions), model._apart(questions)):
            assert np.abs(a.astype(int) - b).max() <= 1


def test_inputs_stay_as_they_are():
    model, q = VideoModel(checkpoint(history=2)), ask(PLANS[1], past=["move_forward"])
    before = [a.copy() for o in q.history for a in (o.rgb, o.panorama)]
    for o in q.history:
        o.rgb.setflags(write=False)
    weights = {k: v.clone() for k, v in model.backbone.state_dict().items()}
    model.simulate([q, q])
    after = [a for o in q.history for a in (o.rgb, o.panorama)]
    assert all(map(np.array_equal, before, after))
    assert all(torch.equal(v, weights[k]) for k, v in model.backbone.state_dict().items())


def test_history_counts_as_far_as_it_is_known():
    model = VideoModel(checkpoint(history=3))
    long = ask(PLANS[0], past=["turn_left", "move_forward", "turn_right"])
    short = replace(long, history=long.history[-3:], actions=long.actions[-2:])
    cut = replace(long, history=long.history[-3:], actions=())
    now = replace(long, history=long.history[-1:], actions=())
    a, b, c, d = answers(model, [long, short, cut, now])
    np.testing.assert_array_equal(a, b)
    np.testing.assert_array_equal(c, d)
    assert (a != c).any()
    other = replace(long, actions=NAVIGATION.plan(["turn_left", "turn_left", "turn_right"]).actions)
    assert (answers(model, [other])[0] != a).any()


def test_past_poses_lead_to_the_present():
    path = module.QueryReader(checkpoint("camera", history=3).spec, checkpoint("camera").backbone.config)
    q = ask(["move_forward"], past=["turn_left", "move_forward"])
    poses = path.read(q).history.condition.poses[0].numpy()
    # Turned left, then 0.2 m ahead: seen from the end both earlier frames lie 0.2 m behind.
    np.testing.assert_allclose(poses, [[-0.2, 0, -np.pi / 8], [-0.2, 0, 0], [0, 0, 0]], atol=1e-6)
    ahead = path.read(ask(["turn_right", "move_forward"])).conditions[0].poses[0].numpy()
    c, s = np.cos(np.pi / 8), np.sin(np.pi / 8)
    np.testing.assert_allclose(ahead, [[0, 0, -np.pi / 8], [0.2 * c, -0.2 * s, -np.pi / 8]], atol=1e-6)


def test_larger_panoramas_are_averaged():
    model, q = VideoModel(checkpoint()), ask(PLANS[0])
    now = q.history[0]
    big = replace(now, panorama=now.panorama.repeat(2, 0).repeat(2, 1))
    a, b = answers(model, [q, replace(q, history=(big,))])
    np.testing.assert_array_equal(a, b)


def test_card_says_what_it_is(tmp_path):
    weights_hash = save_checkpoint(tmp_path / "m.safetensors", checkpoint("camera", history=2))
    card = VideoModel(tmp_path / "m.safetensors").card
    assert (card.name, card.control, card.reads, card.history) == ("tiny", "camera", ("panorama",), 2)
    assert card.weights_hash == weights_hash and not card.privileges
    expected = {"steps": 2, "guidance": 1.0, "shift": 2.0, "levels": None, "training_scenes": ("a", "b")}
    assert dict(card.settings) == expected
    spec = f"video:weights={tmp_path / 'm.safetensors'},steps=3,guidance=2"
    named = MODELS.create(spec)
    assert named.card.settings["steps"] == 3 and named.card.settings["guidance"] == 2
    a, b = (
        answers(named, [ask(PLANS[0])])[0],
        answers(VideoModel(tmp_path / "m.safetensors"), [ask(PLANS[0])])[0],
    )
    assert (a != b).any()
    with pytest.raises(InputError, match="steps"):
        MODELS.create(f"video:weights={tmp_path / 'm.safetensors'},steps=0")
    assert VideoModel(checkpoint(panorama=False)).card.reads == ()


def test_questions_it_cannot_answer():
    model, q = VideoModel(checkpoint()), ask(PLANS[0])
    now = q.history[0]
    strange = Vocabulary("strides", (Primitive("move_forward", forward=0.5),))
    cases = [
        (replace(q, history=(now.without("panorama"),)), "needs an environment with a panorama"),
        (replace(q, history=(replace(now, panorama=now.panorama[:9]),)), "needs a panorama uint8"),
        (
            replace(q, plan=NAVIGATION.plan(["move_forward", "stop"])),
            "known: move_forward, turn_left, turn_right",
        ),
        (replace(q, plan=strange.plan(["move_forward"])), "was trained with"),
        (replace(q, plan=gripper_vocabulary().plan([(0.3, 0, 0.1, 0, 0, 0, 1)])), "named actions"),
        (replace(q, history=(replace(now, rgb=now.rgb[:-1]),)), "sees uint8"),
        (replace(q, history=(replace(now, rgb=now.rgb.astype(np.float32)),)), "sees uint8"),
        (replace(q, history=(replace(now, hfov_deg=60.0),)), "degrees of view"),
        (replace(q, history=()), "present observation"),
    ]
    for bad, message in cases:
        with pytest.raises(ModelError, match=message):
            model.simulate([q, bad])
    blind = VideoModel(checkpoint(panorama=False))
    assert len(blind.simulate([replace(q, history=(now.without("panorama"),))])[0].frames) == 4
    assert model.simulate([]) == []


def test_broken_weights_are_a_model_error():
    broken = checkpoint()
    broken.vae.decoder[0].bias.data.fill_(float("nan"))
    with pytest.raises(ModelError, match="not finite"):
        VideoModel(broken).simulate([ask(PLANS[0])])
    odd = VideoModel(checkpoint())
    odd.backbone.velocity = None  # type: ignore[assignment, method-assign]
    with pytest.raises(ModelError, match="TypeError"):
        odd.simulate([ask(PLANS[0])])


def test_devices():
    with pytest.raises(InputError, match="no such device"):
        VideoModel(checkpoint(), device="toaster")
    if not torch.cuda.is_available():
        with pytest.raises(InputError, match="no GPU"):
            VideoModel(checkpoint(), device="cuda")


@pytest.mark.parametrize("name", ["video-base", "video-lora"])
def test_packaged_models_answer_and_name_no_place_on_a_disk(name):
    rng = np.random.default_rng(0)
    rgb, around = (rng.integers(0, 256, (128, w, 3), dtype=np.uint8) for w in (128, 256))
    model = MODELS.create(f"{name}:steps=1")
    query = Query((Observation(rgb, panorama=around),), (), NAVIGATION.plan(PLANS[0][:2]), 1)
    first, again = answers(model, [query])[0], answers(model, [query])[0]
    assert first.shape == (2, 128, 128, 3) and (first == again).all()
    assert model.card.name.startswith(name) and not model.card.privileges and model.card.weights_hash
    assert {s.split("/")[1] for s in model.card.settings["training_scenes"]} == {"train"}
    header = find_weights(name).read_bytes()[:200_000]
    assert b"/tmp" not in header and b"/home" not in header


def test_the_packaged_model_of_the_table_follows_commands():
    rgb = np.random.default_rng(0).integers(0, 256, (128, 128, 3), dtype=np.uint8)
    model = MODELS.create("video-table")
    box = VOCABULARIES["waypoint"]
    plans = [box.plan([corner] * 4) for corner in (box.low, box.high)]
    now = Observation(rgb, hfov_deg=THIRD.hfov_deg, pose=THIRD.matrix, extra={"gripper": np.zeros(7)})
    here, there = answers(model, [Query((now,), (), plan, 1) for plan in plans])
    assert here.shape == (4, 128, 128, 3) and np.abs(here.astype(int) - there).mean() > 2
    assert model.refuses(NAVIGATION) and not model.refuses(box)
    assert {s.split("/")[1] for s in model.card.settings["training_scenes"]} == {"train"}
    assert not model.card.privileges and model.card.control == "vector"
    assert b"/tmp" not in find_weights("video-table").read_bytes()[:200_000]
