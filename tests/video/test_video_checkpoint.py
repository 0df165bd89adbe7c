"""Files: what is written comes back; what is damaged or foreign is refused."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file, save_file

from worldloop.core import InputError
from worldloop.models.video import ConditioningConfig, VideoSpec, load_checkpoint, save_checkpoint
from worldloop.models.video.checkpoint import find_weights

from tiny_video import ACTIONS, backbone, checkpoint, latents


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    path = tmp_path_factory.mktemp("weights") / "model.safetensors"
    save_checkpoint(path, checkpoint("code", history=2))
    return path


def test_round_trip(saved):
    before, after = checkpoint("code", history=2), load_checkpoint(saved)
    assert after.spec == before.spec and after.backbone.config == before.backbone.config
    assert after.vae.config == before.vae.config and not after.backbone.training
    for name in ("vae", "backbone"):
        states = [getattr(c, name).state_dict() for c in (before, after)]
        assert states[0].keys() == states[1].keys()
        assert all(torch.equal(states[0][k], states[1][k]) for k in states[0])
    assert load_checkpoint(saved).weights_hash == after.weights_hash != ""
    assert not list(saved.parent.glob("*.part"))


def test_the_same_model_is_the_same_file(saved, tmp_path):
    contents = set()
    for i in range(12):
        save_checkpoint(tmp_path / f"{i}.safetensors", checkpoint("code", history=2))
        contents.add((tmp_path / f"{i}.safetensors").read_bytes())
    assert contents == {saved.read_bytes()}


def test_half_precision_on_disk(saved, tmp_path):
    full, half = load_checkpoint(saved), tmp_path / "half.safetensors"
    assert save_checkpoint(half, full, half=True) != full.weights_hash
    assert half.stat().st_size < 0.6 * saved.stat().st_size
    loaded = load_checkpoint(half)
    assert all(p.dtype == torch.float32 for p in loaded.backbone.parameters())
    x, t = latents(1, 2), torch.full((1, 2), 0.5)
    torch.testing.assert_close(
        loaded.backbone.velocity(x, t), full.backbone.velocity(x, t), atol=2e-2, rtol=2e-2
    )
    full.vae.latent_std.fill_(1e6)
    with pytest.raises(InputError, match="not finite in float16"):
        save_checkpoint(tmp_path / "no.safetensors", full, half=True)
    assert not (tmp_path / "no.safetensors").exists()


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_damaged_files_are_refused_or_intact(saved, tmp_path, data):
    content = bytearray(saved.read_bytes())
    head = 8 + int.from_bytes(content[:8], "little")
    if data.draw(st.booleans()):
        content = content[: data.draw(st.integers(0, len(content) - 1))]
    else:
        at = data.draw(st.integers(0, head - 1))
        content[at] = data.draw(st.integers(0, 255))
    path = tmp_path / "bad.safetensors"
    path.write_bytes(content)
    try:
        load_checkpoint(path)
    except InputError as error:
        assert (
            str(path) in str(error)
            or "video" in str(error)
            or "backbone" in str(error)
            or "vae" in str(error)
        )


def test_foreign_files_are_refused(saved, tmp_path):
    path = tmp_path / "x.safetensors"
    save_file({"a": torch.zeros(1)}, path)
    with pytest.raises(InputError, match="is not a worldloop-video-1 file"):
        load_checkpoint(path)
    path.write_text("hello")
    with pytest.raises(InputError, match="not a readable weight file"):
        load_checkpoint(path)
    with pytest.raises(InputError, match="no weights at"):
        load_checkpoint(tmp_path / "missing.safetensors")
    with pytest.raises(InputError, match="no weights at nothing"):
        find_weights("nothing")


def test_descriptions_that_do_not_fit(saved, tmp_path):
    tensors = load_file(saved)
    c = load_checkpoint(saved)
    from dataclasses import asdict

    good = {"vae": asdict(c.vae.config), "backbone": asdict(c.backbone.config), "spec": asdict(c.spec)}
    path = tmp_path / "x.safetensors"

    def write(config: object, tensors=tensors) -> None:
        save_file(tensors, path, {"format": "worldloop-video-1", "config": json.dumps(config)})

    write(good)
    load_checkpoint(path)
    for part, change in (
        ("backbone", {"width": 48}),
        ("backbone", {"colour": 3}),
        ("backbone", {"width": "wide"}),
        ("vae", {"widths": [8]}),
        ("spec", {"control": "mind"}),
        ("spec", {"sampler": {"steps": 0}}),
        ("spec", {"actions": {}}),
    ):
        write({**good, part: {**good[part], **change}})
        with pytest.raises(InputError):
            load_checkpoint(path)
    for config in ([], {}, {**good, "vae": None}):
        write(config)
        with pytest.raises(InputError):
            load_checkpoint(path)
    write(good, {k: v for k, v in tensors.items() if k != "backbone.low.bias"})
    with pytest.raises(InputError, match=r"low\.bias"):
        load_checkpoint(path)
    write(good, {**tensors, "backbone.low.bias": torch.full((64,), float("inf"))})
    with pytest.raises(InputError, match="not finite"):
        load_checkpoint(path)


def test_control_needs_its_head():
    base = checkpoint()
    bare = replace(base, backbone=backbone(ConditioningConfig(codes=3)))
    assert bare.spec.control == "code"
    for control in ("text", "camera"):
        with pytest.raises(InputError, match="head"):
            replace(bare, spec=VideoSpec("m", control, ACTIONS))
    with pytest.raises(InputError, match="head"):
        replace(base, backbone=backbone(ConditioningConfig(codes=5)))
    with pytest.raises(InputError, match="latent channels"):
        replace(base, backbone=backbone(ConditioningConfig(codes=3), latent_channels=5))
