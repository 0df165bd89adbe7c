"""Moving pictures and latents alike."""

from __future__ import annotations

import pytest
import torch

from worldloop.training.video.warps import equivariance_error, random_warps, warped

STILL = torch.tensor([[[1.0, 0, 0], [0, 1, 0]]])


def test_standing_still_changes_nothing_and_a_shift_moves_by_pixels():
    image = torch.rand(1, 3, 16, 32)
    torch.testing.assert_close(warped(image, STILL), image, atol=1e-5, rtol=0)
    shift = STILL.clone()
    shift[0, 0, 2] = 2 * 4 / 32  # half of the width is one unit
    torch.testing.assert_close(warped(image, shift)[..., :20], image[..., 4:24], atol=1e-5, rtol=0)


def test_pictures_and_latents_are_moved_alike():
    """A picture whose latents are its block means: moving before or after taking them is nearly the same."""
    smooth = torch.nn.functional.interpolate(
        torch.rand(8, 3, 4, 4, generator=torch.Generator().manual_seed(0)), size=128, mode="bicubic"
    )
    maps = random_warps(8, torch.Generator().manual_seed(1))
    pool = torch.nn.AvgPool2d(8)
    moved, encoded = warped(pool(smooth), maps), pool(warped(smooth, maps))
    assert equivariance_error(moved, encoded) < 0.02
    assert equivariance_error(moved.flip(3), encoded) > 0.5
    assert equivariance_error(10 * moved, 10 * encoded) == pytest.approx(
        float(equivariance_error(moved, encoded)), rel=1e-4
    )


def test_warps_are_drawn_from_the_generator_alone():
    a, b = (random_warps(64, torch.Generator().manual_seed(3)) for _ in range(2))
    assert torch.equal(a, b) and not torch.equal(a, random_warps(64, torch.Generator().manual_seed(4)))
    scale = a[:, :, :2].square().sum((1, 2)).div(2).sqrt()
    assert 0.5 <= scale.min() < 0.6 and 1.1 < scale.max() <= 1.2
