"""The transformer: shapes, what sees what, the cache, and heads that start at nothing."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn
from torch.nn import functional as F

from worldloop.core import InputError
from worldloop.models.video import (
    BackboneConfig,
    Condition,
    ConditioningConfig,
    VideoBackbone,
    caption_batch,
    caption_ids,
    rollout,
)
from worldloop.models.video import SamplerConfig as Sampler
from worldloop.models.video.conditioning import stack
from worldloop.models.video.dit import attended
from worldloop.models.video.sampler import guided

from tiny_video import ALL, NONE, backbone, latents, panorama, shaken


def part(c: Condition, start: int, stop: int) -> Condition:
    """The controls of some frames; the text stays."""
    return replace(c, codes=c.codes[:, start:stop], poses=c.poses[:, start:stop])


def controls(batch: int, frames: int, seed: int = 0) -> Condition:
    g = torch.Generator().manual_seed(seed)
    return Condition(
        caption_batch([f"forward {i}. turn {seed}" for i in range(batch)], 128),
        torch.randint(0, 4, (batch, frames), generator=g),
        torch.randn(batch, frames, 3, generator=g),
    )


@pytest.mark.parametrize("frames", [1, 2, 3, 4, 5, 7])
def test_any_number_of_frames(frames):
    model = backbone(ALL)
    x, t = latents(2, frames), torch.rand(2, frames)
    context = model.context(latents(2, 2, seed=1), panorama(2))
    v = model.velocity(x, t, controls(2, frames), context)
    assert v.shape == x.shape and v.isfinite().all() and v.abs().max() > 0
    assert model.velocity(x, t).shape == x.shape


def test_patches_come_back():
    model = backbone(latent_size=6, patch=3)
    x = torch.randn(2, 3, 4, 6, 6)
    assert torch.equal(model.tokens.pictures(model.tokens.patches(x)), x)


@pytest.mark.parametrize("history", [1, 3])
@pytest.mark.parametrize("chunk", [0, 1, 2])
def test_cache_changes_nothing(history, chunk):
    model = backbone(ALL, chunk=chunk)
    x, t, c = latents(2, 4), torch.rand(2, 4), controls(2, 4)
    past, past_c, around = latents(2, history, seed=1), controls(2, history, 1), panorama(2)
    context = model.context(past, around, past_c)
    whole = model.velocity_in_one_pass(x, t, past, around, c, past_c)
    torch.testing.assert_close(model.velocity(x, t, c, context), whole, atol=1e-4, rtol=1e-4)


def test_extending_a_context_is_computing_it_at_once():
    model = backbone(ALL)
    past, around, c = latents(2, 4, seed=1), panorama(2), controls(2, 4)
    at_once = model.context(past, around, c)
    first = model.context(past[:, :1], around, part(c, 0, 1))
    grown = model.extend(first, past[:, 1:], part(c, 1, 4))
    # Rotary times differ by a constant (the present is 0 in one and -3 in the other), so outputs must not
    # be compared through the panorama, whose time is fixed: compare without it.
    assert grown.frames == 4 and grown.next_time == 4 and grown.tokens == at_once.tokens
    plain = backbone(ALL, panorama=False)
    c = Condition(codes=c.codes, poses=c.poses)  # a caption counts frames from the start of its clip
    x, t = latents(2, 2, seed=3), torch.rand(2, 2)
    at_once = plain.context(past, None, c)
    first = plain.context(past[:, :1], None, part(c, 0, 1))
    grown = plain.extend(plain.extend(first, past[:, 1:2], part(c, 1, 2)), past[:, 2:], part(c, 2, 4))
    torch.testing.assert_close(
        plain.velocity(x, t, None, at_once), plain.velocity(x, t, None, grown), atol=1e-5, rtol=1e-4
    )


def test_one_context_serves_a_batch():
    model = backbone(ALL)
    x, t, c = latents(3, 2), torch.rand(3, 2), controls(3, 2)
    context = model.context(latents(1, 1, seed=1), panorama(1))
    alone = torch.cat([model.velocity(x[i : i + 1], t[i : i + 1], row(c, i), context) for i in range(3)])
    torch.testing.assert_close(model.velocity(x, t, c, context), alone, atol=1e-5, rtol=1e-4)
    many = model.context(latents(1, 1, seed=1).repeat(3, 1, 1, 1, 1), panorama(1).repeat(3, 1, 1, 1))
    torch.testing.assert_close(model.velocity(x, t, c, many), alone, atol=1e-5, rtol=1e-4)
    assert context.select(torch.tensor([0, 0])).batch == 2
    with pytest.raises(InputError, match="does not serve"):
        model.velocity(latents(2, 2), t[:2], None, many)


def row(c: Condition, i: int) -> Condition:
    return Condition(c.text[i : i + 1], c.codes[i : i + 1], c.poses[i : i + 1])


def test_later_chunks_are_invisible():
    model = backbone(chunk=2)
    x, t, context = latents(1, 4), torch.full((1, 4), 0.5), None
    context = model.context(latents(1, 2, seed=1), panorama())
    changed = x.clone()
    changed[:, 2] += 1
    a, b = model.velocity(x, t, None, context), model.velocity(changed, t, None, context)
    assert torch.equal(a[:, :2], b[:, :2]) and not torch.allclose(a[:, 3], b[:, 3])
    whole = backbone(chunk=0)
    assert not torch.allclose(
        whole.velocity(x, t, None, context)[:, :2], whole.velocity(changed, t, None, context)[:, :2]
    )


def test_context_and_panorama_matter_and_context_is_causal():
    model = backbone()
    x, t, past, around = latents(1, 2), torch.full((1, 2), 0.5), latents(1, 2, seed=1), panorama()
    base = model.context(past, around)
    other = past.clone()
    other[:, 1] += 1
    newer = model.context(other, around)
    n = base.tokens_per_frame
    assert torch.equal(base.keys[1][:, :, : 3 * n], newer.keys[1][:, :, : 3 * n])  # panorama is 2 n
    assert not torch.allclose(base.keys[1][:, :, 3 * n :], newer.keys[1][:, :, 3 * n :])
    turned = model.context(past, around.flip(3))
    outputs = [model.velocity(x, t, None, c) for c in (base, newer, turned, None)]
    for i, a in enumerate(outputs):
        assert all(not torch.allclose(a, b, atol=1e-4) for b in outputs[i + 1 :])
    noisy = model.context(past, around, t=torch.tensor([[0.3, 0.0]]))
    assert not torch.allclose(noisy.keys[1], base.keys[1])


def test_each_frame_has_its_own_noise_level():
    model = backbone(chunk=1)
    x, t = latents(1, 3), torch.tensor([[0.2, 0.5, 0.9]])
    later = torch.tensor([[0.2, 0.5, 0.4]])
    a, b = model.velocity(x, t), model.velocity(x, later)
    assert torch.equal(a[:, :2], b[:, :2]) and not torch.allclose(a[:, 2], b[:, 2])


def test_order_in_time_matters():
    model = backbone()
    x, t = latents(1, 3), torch.full((1, 3), 0.5)
    assert not torch.allclose(model.velocity(x.flip(1), t).flip(1), model.velocity(x, t), atol=1e-4)


@pytest.mark.parametrize(
    "heads",
    [ALL, ConditioningConfig(text_buckets=128), ConditioningConfig(codes=3), ConditioningConfig(camera=True)],
)
def test_fresh_heads_change_nothing(heads):
    model = backbone(NONE)
    x, t, past, around = latents(2, 4), torch.rand(2, 4), latents(2, 2, seed=1), panorama(2)
    before = model.velocity(x, t, None, model.context(past, around))
    model.attach(heads)
    full, own = controls(2, 4), controls(2, 2, 1)
    kinds = {"text": heads.text_buckets, "codes": heads.codes, "poses": heads.camera}
    c, past_c = (Condition(**{k: getattr(f, k) for k, on in kinds.items() if on}) for f in (full, own))
    for context in (model.context(past, around), model.context(past, around, past_c)):
        torch.testing.assert_close(model.velocity(x, t, None, context), before, atol=1e-6, rtol=1e-5)
        # Rays join the attention's scores, with weight 0 but in a sum of another order.
        torch.testing.assert_close(model.velocity(x, t, c, context), before, atol=1e-6, rtol=1e-5)
        torch.testing.assert_close(model.velocity(x, t, c.dropped(), context), before, atol=1e-6, rtol=1e-5)
    shaken(model.conditioner)
    assert not torch.allclose(model.velocity(x, t, c, context), before)


def test_each_control_reaches_its_frame():
    model = backbone(ALL, chunk=1)
    x, t, c = latents(1, 3), torch.full((1, 3), 0.5), controls(1, 3)
    base = model.velocity(x, t, c)
    codes, poses = c.codes.clone(), c.poses.clone()
    codes[0, 2] = (codes[0, 2] + 1) % 4
    poses[0, 2, 0] += 0.2
    for other in (Condition(c.text, codes, c.poses), Condition(c.text, c.codes, poses)):
        v = model.velocity(x, t, other)
        assert torch.equal(v[:, :2], base[:, :2]) and not torch.allclose(v[:, 2], base[:, 2])
    text = caption_batch(["turn 0. forward 0"], 128)
    assert not torch.allclose(model.velocity(x, t, Condition(text, c.codes, c.poses)), base, atol=1e-5)


def test_camera_branch_reads_the_context_where_rays_agree():
    """With the branch alone steering, a turned camera looks elsewhere in the panorama."""
    model = backbone(ConditioningConfig(camera=True))
    nn.init.zeros_(model.conditioner.camera.embed[2].weight)
    nn.init.zeros_(model.conditioner.camera.embed[2].bias)
    x, t, context = latents(1, 1), torch.ones(1, 1), model.context(latents(1, 1, seed=1), panorama())
    ahead, left = (Condition(poses=torch.tensor([[[0.0, 0.0, yaw]]])) for yaw in (0.0, 1.5))
    assert not torch.allclose(
        model.velocity(x, t, ahead, context), model.velocity(x, t, left, context), atol=1e-5
    )
    with pytest.raises(InputError, match="before the camera head"):
        model.velocity(x, t, ahead, backbone().context(latents(1, 1, seed=1), panorama()))


def test_dropped_clips_ignore_their_controls():
    model = backbone(ALL)
    x, t, c = latents(2, 3), torch.rand(2, 3), controls(2, 3)
    half = c.dropped(torch.tensor([True, False]))
    a, b, none = (model.velocity(x, t, k) for k in (half, c, controls(2, 3, 7).dropped()))
    torch.testing.assert_close(a[0], none[0])
    torch.testing.assert_close(a[1], b[1])
    assert not torch.allclose(a[0], b[0])
    plain, full = model.velocity(x, t, c.dropped()), model.velocity(x, t, c)
    torch.testing.assert_close(guided(model, c, None, 2.5)(x, t), plain + 2.5 * (full - plain))
    assert torch.equal(guided(model, c, None)(x, t), full)


def test_captions_are_stable_and_keep_the_order_of_phrases():
    ids = caption_ids("The camera moves forward by 0.2m. The camera rotates left by 22.5°.", 4096)
    turned = caption_ids("The camera rotates left by 22.5°. The camera moves forward by 0.2m.", 4096)
    assert min(ids) >= 1 and max(ids) < 4096 and set(ids) != set(turned)
    assert caption_ids("go", 4096) == [2949, 2462]
    batch = caption_batch(["", "go now"], 4096)
    assert batch[0].eq(0).all() and batch[1].gt(0).all()
    assert len(caption_ids("word " * 9000, 4096)) <= 512
    model = backbone(ALL)
    empty = Condition(text=caption_batch([""], 128))
    assert model.velocity(latents(1, 1), torch.ones(1, 1), empty).isfinite().all()
    one, two = Condition(text=caption_batch(["go"], 128)), Condition(text=caption_batch(["go far away"], 128))
    both = model.velocity(latents(2, 1), torch.ones(2, 1), stack([one, two]))
    first = model.velocity(latents(2, 1)[:1], torch.ones(1, 1), one)
    torch.testing.assert_close(both[:1], first, atol=1e-5, rtol=1e-4)


def test_an_enlarged_panorama_is_more_for_the_sweep_alone():
    fine = torch.randn(2, 4, 16, 32, generator=torch.Generator().manual_seed(5))
    coarse = torch.nn.functional.avg_pool2d(fine, 2)
    past, x, t, c = latents(2, 1, seed=1), latents(2, 2, seed=2), torch.rand(2, 2), controls(2, 2)
    model = backbone(ALL)
    with_fine, with_coarse = model.context(past, fine), model.context(past, coarse)
    torch.testing.assert_close(with_fine.keys[-1], with_coarse.keys[-1])
    torch.testing.assert_close(model.velocity(x, t, None, with_fine), model.velocity(x, t, None, with_coarse))
    posed = model.velocity(x, t, c, with_fine)
    assert not torch.allclose(posed, model.velocity(x, t, c, with_coarse), atol=1e-3)
    torch.testing.assert_close(posed, model.velocity_in_one_pass(x, t, past, fine, c), atol=1e-4, rtol=1e-4)
    with pytest.raises(InputError, match="multiple"):
        model.context(past, torch.randn(2, 4, 9, 18))


def test_window_keeps_the_panorama_and_the_newest():
    model = backbone()
    context = model.context(latents(1, 4, seed=1), panorama())
    kept, n = context.last(2), context.tokens_per_frame
    assert kept.frames == 2 and kept.tokens == 4 * n and context.last(9) is context
    assert torch.equal(kept.keys[0][:, :, : 2 * n], context.keys[0][:, :, : 2 * n])
    assert torch.equal(kept.keys[0][:, :, 2 * n :], context.keys[0][:, :, 4 * n :])
    with pytest.raises(InputError, match="at least one"):
        context.last(0)


def test_rollout_goes_clip_by_clip():
    model = backbone(ALL, clip_frames=2, window=2)
    context, noise, c = model.context(latents(1, 1, seed=1), panorama()), latents(2, 5), controls(2, 5)
    clips = [part(c, 0, 2), part(c, 2, 4), part(c, 4, 5)]
    before = [x.clone() for x in (noise, *context.keys, c.codes)]
    whole = rollout(model, context, clips, noise, Sampler(2))
    assert whole.shape == noise.shape
    first = rollout(model, context, clips[:1], noise[:, :2], Sampler(2))
    assert torch.equal(first, whole[:, :2])
    second = model.extend(context, first, clips[0]).last(2)
    torch.testing.assert_close(rollout(model, second, clips[1:2], noise[:, 2:4], Sampler(2)), whole[:, 2:4])
    assert all(map(torch.equal, before, (noise, *context.keys, c.codes)))
    with pytest.raises(InputError, match="3 clips"):
        rollout(model, context, clips[:2], noise, Sampler(2))
    with pytest.raises(InputError, match="needs a context"):
        rollout(model, None, clips, noise, Sampler(2))


def test_wrong_inputs_say_what_is_wrong():
    model = backbone(ConditioningConfig(codes=3))
    x, t = latents(1, 2), torch.ones(1, 2)
    with pytest.raises(InputError, match="noise levels"):
        model.velocity(x, torch.ones(1))
    with pytest.raises(InputError, match="latent frames"):
        model.velocity(torch.zeros(1, 2, 4, 5, 5), t)
    with pytest.raises(InputError, match="T >= 1"):
        model.velocity(x[:, :0], t[:, :0])
    with pytest.raises(InputError, match="no head that reads poses"):
        model.velocity(x, t, Condition(poses=torch.zeros(1, 2, 3)))
    with pytest.raises(InputError, match="codes is"):
        model.velocity(x, t, Condition(codes=torch.zeros(1, 3, dtype=torch.int64)))
    with pytest.raises(InputError, match="between 0"):
        model.velocity(x, t, Condition(codes=torch.full((1, 2), 4)))
    with pytest.raises(InputError, match="panorama of the present"):
        model.context(x)
    with pytest.raises(InputError, match="reads no panorama"):
        backbone(panorama=False).context(x, panorama())
    with pytest.raises(InputError, match="panorama latents"):
        model.context(x, panorama()[..., :4])
    for bad in ({"width": 25}, {"latent_size": 5}, {"depth": 0}, {"hfov_deg": 180.0}):
        with pytest.raises(InputError):
            BackboneConfig(**bad)


def test_default_size_is_within_limits():
    with torch.device("meta"):
        from worldloop.models.video import VideoVAE

        full = VideoBackbone(BackboneConfig(conditioning=ConditioningConfig(4096, 3, True)))
        vae = VideoVAE()
    assert 8e6 < sum(p.numel() for p in full.parameters()) <= 12e6
    assert sum(p.numel() for p in vae.parameters()) <= 3e6


@given(st.integers(0, 99), st.booleans(), st.sampled_from([4, 6, 12]))
def test_attention_by_hand_is_that_of_torch(seed, masked, width):
    random = torch.Generator().manual_seed(seed)
    q, keys, values = (
        torch.randn(s, generator=random) for s in ((2, 3, 5, 6), (2, 3, 9, 6), (2, 3, 9, width))
    )
    mask = None
    if masked:
        mask = torch.rand((5, 9), generator=random) < 0.5
        mask[:, 0] = True
    with torch.inference_mode():
        found = attended(q, keys, values, mask, 0.4)
    wanted = F.scaled_dot_product_attention(q, keys, values, attn_mask=mask, scale=0.4)
    torch.testing.assert_close(found, wanted)
    # With gradients it is torch's own.
    assert torch.equal(attended(q, keys, values, mask, 0.4), wanted)
