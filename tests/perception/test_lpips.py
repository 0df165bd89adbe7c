"""LPIPS refuses every set of weights that does not reproduce the published value."""

import numpy as np
import pytest
import torch

from worldloop.agents.perception import lpips
from worldloop.core import InputError


@pytest.fixture
def files(tmp_path):
    """Weight files of the right layout with random content."""
    torch.manual_seed(0)
    network = lpips.Lpips()
    state = {k: v for k, v in network.state_dict().items() if k.startswith("features.")}
    torch.save({**state, "classifier.1.weight": torch.zeros(1)}, tmp_path / "backbone.pth")
    heads = {f"lin{i}.model.1.weight": torch.rand(1, c, 1, 1) for i, c in enumerate(lpips.COMPARED.values())}
    torch.save(heads, tmp_path / "heads.pth")
    return tmp_path / "backbone.pth", tmp_path / "heads.pth"


def test_random_weights_are_refused(files):
    with pytest.raises(InputError, match="not LPIPS"):
        lpips.load_lpips(*files)


def test_absent_or_foreign_weights_are_refused(files, monkeypatch):
    monkeypatch.delenv(lpips.BACKBONE_VARIABLE, raising=False)
    monkeypatch.delenv(lpips.HEADS_VARIABLE, raising=False)
    with pytest.raises(InputError, match=lpips.BACKBONE_VARIABLE):
        lpips.load_lpips()
    with pytest.raises(InputError, match="do not hold LPIPS"):
        lpips.load_lpips(files[0], files[0])


def test_environment_variables_are_read(files, monkeypatch):
    monkeypatch.setenv(lpips.BACKBONE_VARIABLE, str(files[0]))
    monkeypatch.setenv(lpips.HEADS_VARIABLE, str(files[1]))
    with pytest.raises(InputError, match="not LPIPS"):
        lpips.load_lpips()


def test_verified_weights_are_accepted(files, monkeypatch):
    """With the published value replaced by what these weights give, loading succeeds."""
    with pytest.raises(InputError) as refusal:
        lpips.load_lpips(*files)
    got = str(refusal.value).rsplit("(", 1)[1].rstrip(")").split(",")
    monkeypatch.setattr(lpips, "PUBLISHED", tuple(map(float, got)))
    network = lpips.load_lpips(*files)
    rgb = np.random.default_rng(0).integers(0, 256, (2, 40, 40, 3), dtype=np.uint8)
    value = network.distance(rgb, rgb[::-1])
    assert value.dtype == np.float32 and value[0] == pytest.approx(value[1]) and value[0] > 0
    assert (network.distance(rgb, rgb) == 0).all()
    with pytest.raises(InputError, match="one size"):
        network.distance(rgb[:1], rgb[:1, :36])
