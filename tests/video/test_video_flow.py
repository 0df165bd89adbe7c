"""Flow matching and sampling: the algebra, and analytic fields whose answers are known."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from worldloop.core import InputError
from worldloop.models.video import (
    FlowConfig,
    SamplerConfig,
    draw_times,
    flow_loss,
    log_likelihood,
    noised,
    sample,
    shifted,
    squared_error,
    transition,
)
from worldloop.models.video.flow import clean_of, noise_of
from worldloop.models.video.sampler import draw_noise, noise_levels
from worldloop.training.video.clip_loss import change_weights

from tiny_video import latents

MEAN, SPREAD = 0.7, 0.4


def gaussian_velocity(x: torch.Tensor, t: torch.Tensor) -> torch.Tensor:
    """Exact velocity when every latent is N(MEAN, SPREAD^2): E[eps | x_t] - E[x_0 | x_t]."""
    t = t[..., None, None, None]
    away = (x - (1 - t) * MEAN) / ((1 - t) ** 2 * SPREAD**2 + t**2)
    return t * away - (MEAN + (1 - t) * SPREAD**2 * away)


def test_line_between_data_and_noise():
    x0, noise, t = latents(2, 3), latents(2, 3, seed=1), torch.rand(2, 3)
    x_t, v = noised(x0, noise, t), noise - x0
    torch.testing.assert_close(clean_of(x_t, v, t), x0)
    torch.testing.assert_close(noise_of(x_t, v, t), noise)
    assert torch.equal(noised(x0, noise, torch.zeros(2, 3)), x0)
    with pytest.raises(InputError, match=r"\[2, 3\]"):
        noised(x0, noise, torch.zeros(2))


@given(st.floats(0, 1), st.floats(0.1, 10))
def test_shift_keeps_ends_and_order(t, shift):
    assert shifted(0.0, shift) == 0 and shifted(1.0, shift) == pytest.approx(1)
    assert (shifted(t, shift) - t) * (shift - 1) >= -1e-12
    assert shifted(shifted(t, shift), 1 / shift) == pytest.approx(t, abs=1e-9)


@pytest.mark.parametrize("times", ["uniform", "logit-normal"])
def test_drawn_times_are_shared_within_groups(times):
    def draw(group: int) -> torch.Tensor:
        return draw_times(FlowConfig(times, group=group), 500, 5, torch.Generator().manual_seed(1))

    clip, pairs, frame = draw(0), draw(2), draw(1)
    assert clip.shape == pairs.shape == frame.shape == (500, 5)
    assert (clip == clip[:, :1]).all()
    assert (pairs[:, 0] == pairs[:, 1]).all() and (pairs[:, 1] != pairs[:, 2]).all()
    assert (frame[:, 0] != frame[:, 1]).all()
    assert frame.min() > 0 and frame.max() < 1 and frame.mean() == pytest.approx(0.5, abs=0.05)
    assert torch.equal(frame, draw(1))
    noisier = draw_times(FlowConfig(times, shift=3.0), 500, 5, torch.Generator().manual_seed(1))
    assert torch.allclose(noisier, shifted(clip, 3.0))


def test_loss_ignores_masked_frames():
    x0, noise = latents(2, 3), latents(2, 3, seed=1)
    v = noise - x0
    v[:, 0] += 100
    mask = torch.tensor([[False, True, True]] * 2)
    assert squared_error(v, x0, noise, mask).max() == 0 and squared_error(v, x0, noise).min() > 1000
    seen = {}

    def spy(x: torch.Tensor, t: torch.Tensor) -> torch.Tensor:
        seen.update(x=x, t=t)
        return torch.zeros_like(x)

    loss = flow_loss(spy, x0, FlowConfig(), torch.Generator().manual_seed(0), mask)
    assert loss.shape == (2,) and (seen["t"][:, 0] == 0).all() and torch.equal(seen["x"][:, 0], x0[:, 0])
    assert (seen["t"][:, 1:] > 0).all()


def test_true_velocity_minimises_the_loss():
    generator = torch.Generator().manual_seed(0)
    x0 = MEAN + SPREAD * torch.randn(400, 2, 4, 4, 4, generator=generator)
    losses = [
        flow_loss(lambda x, t, e=e: gaussian_velocity(x, t) + e, x0, FlowConfig(), generator).mean()
        for e in (-0.3, 0.0, 0.3)
    ]
    assert losses[1] < losses[0] and losses[1] < losses[2]


def test_euler_reaches_a_point_in_one_step():
    target = latents(3, 2, seed=4)
    noise = latents(3, 2)

    def velocity(x: torch.Tensor, t: torch.Tensor) -> torch.Tensor:
        return (x - target) / t[..., None, None, None]

    for steps in (1, 4):
        torch.testing.assert_close(sample(velocity, noise, SamplerConfig(steps, shift=3.0)), target)


def test_euler_converges_to_the_distribution():
    noise = latents(200, 1, seed=3)
    exact = MEAN + SPREAD * noise  # this flow maps quantile to quantile
    errors = [
        float((sample(gaussian_velocity, noise, SamplerConfig(n)) - exact).abs().max()) for n in (4, 16, 64)
    ]
    assert errors[2] < 0.05 and errors[0] > 2.5 * errors[1] > 6 * errors[2]


def test_drawn_steps_keep_the_distribution():
    noise = latents(400, 1, seed=3)
    generators = [np.random.default_rng(i) for i in range(400)]
    x = sample(gaussian_velocity, noise, SamplerConfig(64, eta=0.5), generators)
    assert x.mean() == pytest.approx(MEAN, abs=0.02) and x.std() == pytest.approx(SPREAD, abs=0.03)
    plain = sample(gaussian_velocity, noise, SamplerConfig(64))
    assert (x - plain).abs().mean() > 0.1
    with pytest.raises(InputError, match="400 generators"):
        sample(gaussian_velocity, noise, SamplerConfig(2, eta=0.5))


def test_steps_tell_their_likelihood():
    steps = []
    noise = latents(3, 2)
    generators = [np.random.default_rng(i) for i in range(3)]
    out = sample(gaussian_velocity, noise, SamplerConfig(4, eta=0.4), generators, steps.append)
    assert len(steps) == 4 and torch.equal(steps[0].x, noise) and torch.equal(steps[-1].x_next, out)
    for step in steps[:-1]:
        v = gaussian_velocity(step.x, torch.full((3, 2), step.level))
        mean, std = transition(step.x, v, step.level, step.next_level, 0.4)
        assert torch.equal(mean, step.mean) and std == step.std > 0
        expected = torch.distributions.Normal(mean, std).log_prob(step.x_next).flatten(1).mean(1)
        torch.testing.assert_close(log_likelihood(step.x_next, mean, std), expected)
    assert steps[-1].std == 0
    with pytest.raises(InputError, match="no density"):
        log_likelihood(out, out, 0.0)


def test_eta_splits_the_variance():
    x, v = latents(2, 2), latents(2, 2, seed=1)
    euler, zero = transition(x, v, 0.8, 0.5, 0.0)
    near, _ = transition(x, v, 0.8, 0.5, 1e-6)
    torch.testing.assert_close(near, euler)
    mean, std = transition(x, v, 0.8, 0.5, 1.0)
    torch.testing.assert_close(mean, 0.5 * (x - 0.8 * v))
    assert (zero, std) == (0.0, 0.5)


@settings(max_examples=30)
@given(st.integers(1, 50), st.floats(0.2, 8))
def test_levels_fall(steps, shift):
    levels = noise_levels(SamplerConfig(steps, shift))
    assert len(levels) == steps + 1 and levels[0] == 1 and levels[-1] == 0
    assert all(a > b for a, b in pairwise(levels))


@pytest.mark.parametrize(
    "bad",
    [
        {"steps": 0},
        {"steps": 1.5},
        {"shift": 0},
        {"guidance": -1},
        {"eta": 2},
        {"levels": (1, 0.5)},
        {"levels": ()},
        {"levels": (1, 0.5, 0.5, 0)},
        {"guidance": float("nan")},
    ],
)
def test_bad_sampler_settings(bad):
    with pytest.raises(InputError):
        SamplerConfig(**bad)


def test_few_given_levels():
    target = latents(1, 1, seed=4)
    asked = []

    def velocity(x: torch.Tensor, t: torch.Tensor) -> torch.Tensor:
        asked.append(float(t[0, 0]))
        return (x - target) / t[..., None, None, None]

    out = sample(velocity, latents(1, 1), SamplerConfig(levels=(1.0, 0.7, 0.0)))
    assert asked == pytest.approx([1.0, 0.7])
    torch.testing.assert_close(out, target)


def test_noise_of_a_longer_plan_begins_alike():
    short = draw_noise([np.random.default_rng(3)], (2, 4, 4, 4))
    long = draw_noise([np.random.default_rng(3), np.random.default_rng(4)], (5, 4, 4, 4))
    assert torch.equal(short[0], long[0, :2]) and not torch.equal(long[0], long[1])
    state = torch.random.get_rng_state()
    draw_noise([np.random.default_rng(3)], (2, 4, 4, 4))
    assert torch.equal(state, torch.random.get_rng_state())


@pytest.mark.parametrize("bad", [{"times": "beta"}, {"spread": 0}, {"shift": -1}, {"group": -1}])
def test_bad_flow_settings(bad):
    with pytest.raises(InputError):
        FlowConfig(**bad)


def test_what_changes_counts_more():
    present, target = torch.zeros(2, 1, 3, 4, 4), torch.zeros(2, 2, 3, 4, 4)
    target[0, :, :, 1, 2] = 5.0
    weight = change_weights(present, target, 3.0)
    assert weight.shape == (2, 2, 1, 4, 4)
    torch.testing.assert_close(weight.mean((1, 2, 3, 4)), torch.ones(2))
    torch.testing.assert_close(weight[0, :, 0, 1, 2] / weight[0, :, 0, 0, 0], torch.full((2,), 1 + 3 * 16.0))
    assert (weight[1] == 1).all()  # nothing moves: all places count the same
    noise = torch.randn(2, 2, 3, 4, 4)
    off = torch.zeros_like(noise)
    off[:, :, :, 1, 2] = 1.0
    plain = squared_error(noise - target + off, target, noise)
    weighted = squared_error(noise - target + off, target, noise, weight=weight)
    assert weighted[0] > 10 * plain[0] and weighted[1] == plain[1]
