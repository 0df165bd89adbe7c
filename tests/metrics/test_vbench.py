"""VBench's consistency on small networks of its architectures: its definition, and other networks refused."""

import dataclasses

import numpy as np
import pytest
import torch

from worldloop.core import InputError
from worldloop.engine.measure.weights import check_weights
from worldloop.metrics.clip import Clip
from worldloop.metrics.metric import load_metrics
from worldloop.metrics.quality import vbench

transformers = pytest.importorskip("transformers")
SMALL = {"hidden_size": 32, "num_hidden_layers": 2}
REST = {"num_attention_heads": 2, "intermediate_size": 64, "image_size": 224}
NAMES = ("vbench_subject_consistency", "vbench_background_consistency")


@pytest.fixture
def networks(monkeypatch, tmp_path):
    """Both networks, small and with random weights, where the variables say."""
    torch.manual_seed(0)
    dino = transformers.ViTModel(
        transformers.ViTConfig(**SMALL, **REST, patch_size=16), add_pooling_layer=False
    )
    clip = transformers.CLIPVisionModelWithProjection(
        transformers.CLIPVisionConfig(**SMALL, **REST, patch_size=32, projection_dim=8)
    )
    for name, network in {"DINO": dino, "CLIP": clip}.items():
        network.save_pretrained(tmp_path / name)
        known = getattr(vbench, name)
        shape = {k: getattr(network.config, k) for k in known.shape}
        monkeypatch.setattr(vbench, name, dataclasses.replace(known, shape=shape))
        monkeypatch.setenv(f"WORLDLOOP_VBENCH_{name}", str(tmp_path / name))
    return {"DINO": dino.eval(), "CLIP": clip.eval()}


def moving(count=5, size=224):
    return np.random.default_rng(0).integers(0, 256, (count, size, size, 3), dtype=np.uint8)


def test_consistency_is_half_to_the_first_and_half_to_the_one_before(networks):
    metrics, frames = load_metrics(), moving()
    for name, key in zip(NAMES, networks):
        known = getattr(vbench, key)
        pixels = torch.from_numpy(frames).permute(0, 3, 1, 2) / 255
        pixels = (pixels - torch.tensor(known.mean)[:, None, None]) / torch.tensor(known.spread)[
            :, None, None
        ]
        with torch.inference_mode():
            found = networks[key](pixel_values=pixels)
        rows = found.image_embeds if key == "CLIP" else found.last_hidden_state[:, 0]
        rows = torch.nn.functional.normalize(rows, dim=-1).numpy()
        pairs = [(max(0, a @ rows[0]) + max(0, a @ b)) / 2 for a, b in zip(rows[1:], rows)]
        assert metrics[name].score(Clip(frames=frames)) == pytest.approx(np.mean(pairs), abs=1e-5)
        assert metrics[name].score(Clip(frames=frames[:1].repeat(4, axis=0))) == pytest.approx(1)
        assert np.isnan(metrics[name].score(Clip(frames=frames[:1])))


@pytest.mark.parametrize("size", [(128, 128), (96, 160), (160, 96)])
def test_pictures_of_any_shape_are_seen_as_vbench_does(networks, size):
    frame = moving(1, 160)[0, : size[0], : size[1]]
    whole, middle = vbench.DINO.seen(frame), vbench.CLIP.seen(frame)
    assert min(whole.shape[2:]) == 224 and max(whole.shape[2:]) == int(224 * max(size) / min(size))
    assert middle.shape == (1, 3, 224, 224)
    for name in NAMES:
        assert 0 <= load_metrics()[name].score(Clip(frames=np.stack([frame, frame[::-1]]))) <= 1


def test_other_networks_are_refused(networks, monkeypatch, tmp_path):
    metrics = [load_metrics()[n] for n in NAMES]
    digests = check_weights(metrics)
    assert len(set(digests.values())) == 2 and all(len(d) == 32 for d in digests.values())
    other = tmp_path / "other"
    transformers.ViTModel(transformers.ViTConfig(**{**SMALL, "hidden_size": 16}, **REST)).save_pretrained(
        other
    )
    for wrong in (other, tmp_path / "CLIP", tmp_path / "nothing"):
        monkeypatch.setenv("WORLDLOOP_VBENCH_DINO", str(wrong))
        with pytest.raises(InputError, match="set WORLDLOOP_VBENCH_DINO to a folder"):
            metrics[0].score(Clip(frames=moving(2)))
    monkeypatch.delenv("WORLDLOOP_VBENCH_CLIP")
    with pytest.raises(InputError, match="cannot be measured: there are no weights"):
        check_weights(metrics[1:])
