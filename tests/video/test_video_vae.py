"""The autoencoder: shapes, scaling, and that it can learn a picture."""

from __future__ import annotations

import pytest
import torch

from worldloop.core import InputError
from worldloop.models.video import VAEConfig, VideoVAE
from worldloop.models.video.vae import divergence, noisy

from tiny_video import shaken

TINY = VAEConfig(4, (8, 8, 16), (1, 0, 1), (1, 0, 1))


def test_shapes_and_scaling():
    vae = shaken(VideoVAE(TINY))
    frames = torch.rand(3, 3, 32, 64) * 2 - 1
    mean, logvar = vae.moments(frames)
    assert mean.shape == logvar.shape == (3, 4, 4, 8)
    before = vae.decode(vae.encode(frames))
    vae.set_statistics(mean)
    scaled = vae.encode(frames)
    torch.testing.assert_close(scaled.mean((0, 2, 3)), torch.zeros(4), atol=1e-5, rtol=0)
    torch.testing.assert_close(scaled.std((0, 2, 3)), torch.ones(4), atol=1e-4, rtol=0)
    assert before.shape == frames.shape
    torch.testing.assert_close(vae.decode(scaled), before, atol=1e-4, rtol=1e-4)


def test_learns_a_picture():
    torch.manual_seed(0)
    vae = VideoVAE(TINY)
    frames = torch.nn.functional.interpolate(torch.rand(2, 3, 4, 4) * 2 - 1, size=32, mode="bilinear")
    generator = torch.Generator().manual_seed(0)
    optimiser = torch.optim.Adam(vae.parameters(), 5e-3)
    losses = []
    for _ in range(60):
        mean, logvar = vae.moments(frames)
        seen = vae.decoder(noisy(mean, logvar, generator))
        loss = (seen - frames).abs().mean() + 1e-6 * divergence(mean, logvar)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses.append(float(loss.detach()))
    assert losses[-1] < losses[0] / 3 and seen.shape == frames.shape
    zero = torch.zeros(2, 4, 4, 4)
    assert divergence(zero, zero) == 0 < divergence(zero + 0.1, zero) < divergence(zero + 0.2, zero)


def test_wrong_inputs_say_what_is_wrong():
    vae = VideoVAE(TINY)
    for bad in (torch.zeros(3, 32, 32), torch.zeros(1, 1, 32, 32), torch.zeros(1, 3, 30, 32)):
        with pytest.raises(InputError, match="divisible by 8"):
            vae.encode(bad)
    with pytest.raises(InputError, match="latents are"):
        vae.decode(torch.zeros(1, 3, 4, 4))
    for config in (
        {"widths": (4, 8, 8)},
        {"widths": (8, 8)},
        {"encoder_blocks": (1,)},
        {"latent_channels": 0},
    ):
        with pytest.raises(InputError):
            VAEConfig(**config)
