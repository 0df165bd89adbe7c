"""Vector control: where commands lead in the picture, heads that start at nothing, and questions made of commands."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from worldloop.actions import NAVIGATION
from worldloop.actions.gripper import gripper_delta_vocabulary, gripper_vocabulary
from worldloop.core import InputError, Observation, Query
from worldloop.core.errors import ModelError
from worldloop.models.video import (
    Condition,
    ConditioningConfig,
    SamplerConfig,
    VideoCheckpoint,
    VideoModel,
    VideoSpec,
    load_checkpoint,
    save_checkpoint,
)
from worldloop.models.video.conditioning import stack
from worldloop.models.video.questions import QueryReader, normalised
from worldloop.models.video.sampler import guided
from worldloop.models.video.vectors import projected, spot_features

from tiny_video import ACTIONS, PIXELS, ask, backbone, checkpoint, latents, shaken

BOX = gripper_vocabulary(
    (0.3, -0.35, 0.0), (0.7, 0.35, 0.45), tilt_deg=30.0, yaw_deg=90.0, name="gripper-waypoint"
)
LOOKING_DOWN = ((0.4, 0.0, 0.05, 0.5), (0.0, 0.4, 0.05, 0.5), (0.0, 0.0, 0.1, 1.0))
HEADS = ConditioningConfig(vectors=7, projection=LOOKING_DOWN)


def table(control: str = "vector", history: int = 1, seed: int = 0, **changes: object) -> VideoCheckpoint:
    made = checkpoint(seed=seed)
    spec = VideoSpec("arm", control, {}, history=history, sampler=SamplerConfig(2), vocabulary=BOX)
    body = backbone(HEADS, seed, panorama=False, hfov_deg=42.0, **changes)
    return VideoCheckpoint(made.vae, body, spec)


def question(seed: int = 0, view: int = 0, length: int = 4, hand: float = 0.5) -> Query:
    rng = np.random.default_rng(view)
    rgb = rng.integers(0, 256, (PIXELS, PIXELS, 3), dtype=np.uint8)
    now = Observation(rgb, hfov_deg=42.0, extra={"gripper": np.array([hand, 0, 0.2, 0, 0, 0, 1.0])})
    rows = np.random.default_rng(seed + 100).uniform(BOX.low, BOX.high, (length, 7))
    return Query((now,), (), BOX.plan(rows), seed)


def answers(model: VideoModel, queries: list[Query]) -> list[np.ndarray]:
    return [np.stack([f.rgb for f in r.frames]) for r in model.simulate(queries)]


def controls(batch: int = 2, frames: int = 3, seed: int = 0) -> Condition:
    g = torch.Generator().manual_seed(seed)
    return Condition(
        vectors=torch.rand(batch, frames, 7, generator=g) * 2 - 1, before=torch.rand(batch, 7, generator=g)
    )


def test_a_fresh_head_changes_nothing_bit_for_bit():
    model = backbone(panorama=False)
    x, t, past, view = latents(2, 3), torch.rand(2, 3), latents(2, 1, seed=1), torch.rand(2, 3, 32, 32)
    plain = model.velocity(x, t, None, model.context(past))
    frames = torch.rand(2, 3, 3, 32, 32)
    model.attach(HEADS)
    hand = Condition(vectors=torch.zeros(2, 1, 7))
    context = model.context(past, condition=hand, pictures=(view, None))
    for condition in (controls(), controls().dropped(), None):
        assert torch.equal(model.velocity(x, t, condition, context), plain)
    assert torch.equal(model.sharpened(frames, None, context), frames)


def test_every_part_of_a_trained_head_matters_and_is_dropped():
    model = backbone(HEADS, panorama=False)
    x, t, context = latents(2, 3), torch.rand(2, 3), model.context(latents(2, 1, seed=1))
    c = controls()
    whole = model.velocity(x, t, c, context)
    unknown = model.velocity(x, t, replace(c, before=None), context)
    assert not torch.allclose(whole[:, 0], unknown[:, 0], atol=1e-4)
    for part in (
        model.conditioner.vector.embed[2],
        model.conditioner.vector.place[1],
        model.conditioner.vector.copy,
    ):
        kept = {k: v.clone() for k, v in part.state_dict().items()}
        with torch.no_grad():
            for p in part.parameters():
                p.zero_()
        assert not torch.allclose(model.velocity(x, t, c, context), whole, atol=1e-4)
        part.load_state_dict(kept)
    half = model.velocity(x, t, c.dropped(torch.tensor([True, False])), context)
    none = model.velocity(x, t, controls(seed=7).dropped(), context)
    torch.testing.assert_close(half[0], none[0])
    torch.testing.assert_close(half[1], whole[1])
    free = model.velocity(x, t, c.dropped(), context)
    torch.testing.assert_close(guided(model, c, context, 2.0)(x, t), free + 2.0 * (whole - free))


def test_a_cache_changes_nothing_and_later_clips_know_what_came_before():
    model = backbone(HEADS, panorama=False)
    x, t, past, c = latents(2, 3), torch.rand(2, 3), latents(2, 2, seed=1), controls()
    hands = Condition(vectors=torch.rand(2, 2, 7))
    whole = model.velocity_in_one_pass(x, t, past, None, c, hands)
    torch.testing.assert_close(
        model.velocity(x, t, c, model.context(past, condition=hands)), whole, atol=1e-4, rtol=1e-4
    )
    other = replace(c, before=-c.before)
    context = model.context(past, condition=hands)
    assert not torch.allclose(model.velocity(x, t, other, context), whole, atol=1e-4)


def test_tokens_are_told_where_the_hand_goes():
    """The spot moves with the command, and bumps are largest in the token that the spot lies in."""
    model = backbone(HEADS, panorama=False, latent_size=16)
    head = model.conditioner.vector
    place = torch.tensor([[[0.4, -0.6, -1.0, 0, 0, 0, 1.0]]])
    spots = projected(place, head.projection)
    wanted = (0.16 - 0.05 + 0.5) / 0.9, (-0.24 - 0.05 + 0.5) / 0.9
    torch.testing.assert_close(spots[0, 0, 0], torch.tensor(wanted))
    torch.testing.assert_close(spots[0, 0, 1], spots[0, 0, 0])  # it is on the ground already
    bumps = spot_features(spots, head.grid, 8)[0, 0].unflatten(-1, (2, -1))[:, 0, -1]
    assert divmod(int(bumps.argmax()), 8) == (int(wanted[1] * 8), int(wanted[0] * 8))
    raised = projected(place + torch.tensor([0, 0, 1.0, 0, 0, 0, 0]), head.projection)
    torch.testing.assert_close(raised[0, 0, 1], spots[0, 0, 1])
    assert not torch.allclose(raised[0, 0, 0], spots[0, 0, 0])


def test_heads_without_places():
    model = backbone(ConditioningConfig(vectors=2), panorama=False)
    c = Condition(vectors=torch.rand(1, 2, 2))
    v = model.velocity(latents(1, 2), torch.rand(1, 2), c)
    assert v.isfinite().all() and model.conditioner.vector.spots is None


def test_wrong_vectors_say_what_is_wrong():
    model = backbone(HEADS, panorama=False)
    x, t = latents(1, 2), torch.ones(1, 2)
    with pytest.raises(InputError, match="vectors is"):
        model.velocity(x, t, Condition(vectors=torch.zeros(1, 2, 6)))
    with pytest.raises(InputError, match="before is"):
        model.velocity(x, t, Condition(vectors=torch.zeros(1, 2, 7), before=torch.zeros(1, 6)))
    with pytest.raises(InputError, match="no head that reads vectors"):
        backbone(panorama=False).velocity(x, t, Condition(vectors=torch.zeros(1, 2, 7)))
    for bad in (
        {"vectors": -1},
        {"vectors": 2, "projection": LOOKING_DOWN},
        {"vectors": 7, "projection": ((1.0,),)},
    ):
        with pytest.raises(InputError):
            ConditioningConfig(**bad)
    with pytest.raises(InputError, match="some conditions have before"):
        stack([controls(1), replace(controls(1), before=None)])


def test_round_trip(tmp_path):
    path, made = tmp_path / "arm.safetensors", table(history=2)
    weights_hash = save_checkpoint(path, made)
    back = load_checkpoint(path)
    assert back.spec == made.spec and back.spec.vocabulary == BOX and back.weights_hash == weights_hash
    assert back.backbone.config == made.backbone.config
    a, b = (answers(VideoModel(c), [question()])[0] for c in (made, back))
    np.testing.assert_array_equal(a, b)
    save_checkpoint(tmp_path / "house.safetensors", checkpoint())
    head = (tmp_path / "house.safetensors").read_bytes()[:20_000]
    assert b"vocabulary" not in head


def test_descriptions_that_do_not_fit():
    with pytest.raises(InputError, match="named actions or a box"):
        VideoSpec("m", "vector", {})
    with pytest.raises(InputError, match="named actions or a box"):
        VideoSpec("m", "vector", ACTIONS, vocabulary=BOX)
    with pytest.raises(InputError, match="needs the box"):
        VideoSpec("m", "vector", ACTIONS)
    with pytest.raises(InputError, match="box of commands"):
        VideoSpec("m", "none", {}, vocabulary=NAVIGATION)
    with pytest.raises(InputError, match="commands of 7 numbers needs a head"):
        replace(table(), backbone=backbone(ConditioningConfig(vectors=6)))


def test_rollouts_do_not_depend_on_the_batch():
    model = VideoModel(table(history=2, clip_frames=3))
    queries = [question(seed=i, view=i % 2, length=n) for i, n in enumerate((4, 1, 7))]
    together = answers(model, queries)
    for q, frames in zip(queries, together):
        assert frames.shape == (len(q.plan), PIXELS, PIXELS, 3)
        np.testing.assert_array_equal(answers(model, [q])[0], frames)
    for frames, again in zip(together[::-1], answers(model, queries[::-1])):
        np.testing.assert_array_equal(frames, again)
    questions = [model._reader.read(q) for q in queries]
    for a, b in zip(model._together(questions), model._apart(questions)):
        assert np.abs(a.astype(int) - b).max() <= 1


def test_plan_seed_view_and_hand_matter():
    model = VideoModel(table())
    base = question(seed=1)
    others = [replace(base, plan=question(seed=2).plan), replace(base, seed=9)]
    others += [
        replace(base, history=question(view=3).history),
        replace(base, history=question(hand=0.6).history),
    ]
    first, *rest = answers(model, [base, *others])
    assert all((first != r).mean() > 0.02 for r in rest)
    # On one picture with the hand elsewhere, the context must not be shared.
    np.testing.assert_array_equal(answers(model, [others[-1]])[0], rest[-1])


def test_a_passive_model_of_commands_needs_no_hand():
    model = VideoModel(table("none"))
    a, b = (replace(question(seed=s), seed=0) for s in (1, 2))
    a, b = (replace(q, history=(q.history[0].without("gripper"),)) for q in (a, b))
    np.testing.assert_array_equal(*answers(model, [a, b]))
    assert model.card.reads == () and VideoModel(table()).card.reads == ("gripper",)


def test_commands_become_numbers_from_low_to_high():
    reader = QueryReader(table().spec, table(clip_frames=3).backbone.config)
    q = question(length=4)
    read = reader.read(replace(q, plan=BOX.plan([BOX.low, BOX.high, BOX.low, BOX.high])))
    first, second = read.conditions
    assert first.vectors[0].tolist() == [[-1] * 7, [1] * 7, [-1] * 7] and second.vectors[0].tolist() == [
        [1] * 7
    ]
    torch.testing.assert_close(
        first.before, torch.from_numpy(normalised(q.history[0].extra["gripper"][None], BOX))
    )
    assert torch.equal(second.before, first.vectors[:, -1])
    torch.testing.assert_close(read.history.condition.vectors[:, 0], first.before)


def test_questions_it_cannot_answer():
    model, q = VideoModel(table()), question()
    now = q.history[0]
    wide = gripper_vocabulary(name="gripper-waypoint")
    delta = gripper_delta_vocabulary()
    cases = [
        (
            replace(q, plan=NAVIGATION.plan(["move_forward"])),
            r"'gripper-waypoint' \(x 0.3..0.7, .*not of 'navigation'",
        ),
        (replace(q, plan=wide.plan([wide.low])), r"x 0.3..0.7.*not of 'gripper-waypoint' \(x 0.2..0.8"),
        (replace(q, plan=delta.plan([delta.low])), "not of 'gripper-delta'"),
        (replace(q, history=(now.without("gripper"),)), "says where the hand is"),
        (
            replace(q, history=(replace(now, extra={"gripper": np.zeros(6)}),)),
            "one finite number for each of x, y",
        ),
        (replace(q, history=(replace(now, extra={"gripper": np.full(7, np.nan)}),)), "one finite number"),
        (replace(q, history=(replace(now, hfov_deg=90.0),)), "trained on 42 degrees of view, got 90"),
    ]
    for bad, message in cases:
        with pytest.raises(ModelError, match=message):
            model.simulate([q, bad])
    assert model.refuses(BOX) is None and "trained on commands" in model.refuses(NAVIGATION)
    house = VideoModel(checkpoint())
    assert house.refuses(NAVIGATION) is None and "takes named actions" in house.refuses(BOX)
    with pytest.raises(ModelError, match=r"named actions .*not commands of 'gripper-waypoint'"):
        house.simulate([replace(ask(["turn_left"]), plan=q.plan)])


def test_pixels_of_the_present_are_taken_over():
    model = shaken(backbone(HEADS, panorama=False), 1)
    view, frames = torch.rand(1, 3, 32, 32), torch.rand(1, 2, 3, 32, 32)
    context = model.context(latents(1, 1), pictures=(view, None))
    assert not torch.allclose(model.sharpened(frames, None, context), frames, atol=1e-3)
    same = view[:, None].expand(1, 2, -1, -1, -1)
    torch.testing.assert_close(model.sharpened(same, None, context), same)
