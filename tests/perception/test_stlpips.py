"""ST-LPIPS against reference values on one photograph."""

import io
import sys

import numpy as np
import pytest
import torch
from PIL import Image
from scipy.ndimage import gaussian_filter

from worldloop.agents.perception import stlpips
from worldloop.core import InputError

skimage_data = pytest.importorskip("skimage.data")


@pytest.fixture(scope="module")
def astronaut():
    return np.asarray(Image.fromarray(skimage_data.astronaut()).resize((256, 256), Image.Resampling.BICUBIC))


def noisy(image, sigma):
    noise = np.random.default_rng(0).normal(0, sigma, image.shape)
    return np.clip(image + noise, 0, 255).round().astype(np.uint8)


def blurred(image, sigma):
    return gaussian_filter(image.astype(float), (sigma, sigma, 0)).round().astype(np.uint8)


def jpeg(image, quality):
    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, "JPEG", quality=quality)
    return np.asarray(Image.open(buffer))


def test_reference_values(astronaut):
    """Values of the published implementation, rounded to two or three digits."""
    cases = [
        (astronaut, 0.0, 0.0),
        (np.roll(astronaut, 2, axis=1), 0.014, 0.001),
        (noisy(astronaut, 5), 0.02, 0.005),
        (noisy(astronaut, 20), 0.31, 0.01),
        (noisy(astronaut, 60), 0.71, 0.01),
        (blurred(astronaut, 1), 0.17, 0.01),
        (blurred(astronaut, 2), 0.49, 0.01),
        (blurred(astronaut, 5), 0.78, 0.015),
        (jpeg(astronaut, 50), 0.01, 0.005),
        (jpeg(astronaut, 10), 0.05, 0.01),
    ]
    goal = stlpips.embed([astronaut])
    images = [image for image, _, _ in cases]
    got = stlpips.distance_from_embeddings(stlpips.embed(images), goal * len(images))
    assert got.dtype == np.float32 and got[0] == 0
    for value, (_, expected, tolerance) in zip(got, cases):
        assert value == pytest.approx(expected, abs=tolerance)


def test_embedding_form_equals_the_published_formula(astronaut):
    """Unit features, squared difference, linear head, mean over positions, sum over stages."""
    a, b = astronaut[:64, :64], noisy(astronaut, 20)[:64, :64]
    network = stlpips.shared_stlpips()
    to_input = lambda x: torch.from_numpy(x.copy()).permute(2, 0, 1)[None].float() / 127.5 - 1  # noqa: E731
    expected = 0.0
    with torch.inference_mode():
        for x, y, head in zip(network.stages(to_input(a)), network.stages(to_input(b)), network.heads):
            x, y = (v / (v.norm(dim=1, keepdim=True) + 1e-10) for v in (x, y))
            expected += float((head * (x - y) ** 2).sum(1).mean())
    assert stlpips.distance(a[None], b[None])[0] == pytest.approx(expected, rel=1e-4)


def test_is_symmetric_and_takes_the_smallest_size(astronaut):
    a, b = astronaut[None, :32, :32], astronaut[None, 40:72, 40:72]
    assert stlpips.distance(a, b)[0] == stlpips.distance(b, a)[0] > 0
    flat = np.zeros((1, 32, 40, 3), np.uint8)
    assert np.isfinite(stlpips.distance(flat, flat + 255)).all()


def test_the_publishers_package_is_not_imported(astronaut):
    stlpips.load_stlpips()
    assert "stlpips_pytorch" not in sys.modules


def test_refusals(astronaut, tmp_path):
    with pytest.raises(InputError, match=">= 32"):
        stlpips.embed(np.zeros((1, 31, 64, 3), np.uint8))
    small, large = stlpips.embed([astronaut[:32, :32]]), stlpips.embed([astronaut[:48, :48]])
    with pytest.raises(InputError, match="one size"):
        stlpips.distance_from_embeddings(small, large)
    with pytest.raises(InputError, match="pairs"):
        stlpips.distance_from_embeddings(small, small * 2)
    path = tmp_path / "other.pth"
    torch.save({"weight": torch.ones(1)}, path)
    with pytest.raises(InputError, match="ST-LPIPS"):
        stlpips.load_stlpips(path)
