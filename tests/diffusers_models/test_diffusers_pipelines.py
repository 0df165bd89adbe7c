"""Every pipeline class of diffusers that can be a world model, with tiny random weights, by its public name."""

from __future__ import annotations

import numpy as np
import pytest

from worldloop.actions import NAVIGATION
from worldloop.core import Observation, Query
from worldloop.engine.check import check_model

from tiny_diffusers import pictures

pytestmark = pytest.mark.usefixtures("one_thread")
TOLD = ("wan-i2v", "wan-5b", "wan-a14b", "ltx", "cogvideox-i2v", "cosmos")
SINGLE = ("svd", "hunyuan", "cosmos2.5", "cosmos3")


def query(names=("turn_left", "move_forward"), seed: int = 1, picture: int = 0, side: int = 64) -> Query:
    rgb = pictures(picture, 1, side)[0]
    return Query((Observation(rgb, hfov_deg=77.0),), (), NAVIGATION.plan(names), seed)


def apart(a, b) -> int:
    """Greatest difference of two rollouts, in levels of 255."""
    return max(int(np.abs(x.rgb.astype(int) - y.rgb).max()) for x, y in zip(a.frames, b.frames, strict=True))


@pytest.mark.parametrize("kind", [*TOLD, *SINGLE])
def test_rollouts_have_the_plans_length_and_depend_on_what_they_should(kind, load):
    model = load(kind)
    assert model.card.control == {"svd": "none", "cosmos3": "camera"}.get(kind, "text")
    asked = [query(), query(("turn_right", "turn_right")), query(seed=2)]
    first, turned, seeded = model.simulate(asked)
    again = model.simulate(asked[:1])[0]
    for rollout in (first, turned, seeded):
        assert [f.rgb.shape for f in rollout.frames] == [(64, 64, 3)] * 2
        assert all(f.rgb.dtype == np.uint8 and f.hfov_deg == 77.0 for f in rollout.frames)
        assert rollout.seconds > 0
    assert apart(first, again) == 0
    assert apart(first, seeded) > 0
    assert (apart(first, turned) > 0) == (kind != "svd")


@pytest.mark.parametrize("kind", TOLD)
def test_a_candidate_in_a_batch_equals_the_same_candidate_alone(kind, load):
    model = load(kind, batch=3)
    # Two observations: where candidates of a call share a picture, they must be kept apart.
    asked = [query(), query(("turn_right",) * 2), query(seed=2), query(picture=3)]
    alone = [model.simulate([q])[0] for q in asked]
    calls, call = [], model.pipeline.call
    model.pipeline.call = lambda asks, *rest: calls.append(len(asks)) or call(asks, *rest)
    for a, b in zip(alone, model.simulate(asked)):
        assert apart(a, b) <= 1
    assert calls == [3, 1]
    assert apart(alone[0], alone[3]) > 0


@pytest.mark.parametrize("kind", SINGLE)
def test_pipelines_that_take_one_candidate_are_asked_one_by_one(kind, load):
    from worldloop.core import InputError

    with pytest.raises(InputError, match="one candidate at a time"):
        load(kind, batch=2)


@pytest.mark.parametrize("kind", ["wan-i2v", "ltx"])
def test_the_contract_of_world_models_is_kept(kind, load):
    report = check_model(load(kind, frames_per_action=1), horizon=2, count=2)
    assert report.passed, report.to_dict()
    notes = {i.name: i.detail for i in report.items}
    assert "different" in notes["controls"] and "another seed" in notes["seeds"]


def test_stable_video_diffusion_makes_videos_of_its_own_length(load):
    model = load("svd")
    assert model.pipeline.usual_frames == 5
    assert model._timing(2).taken == (2, 4) and model._timing(2).frames == 5
    assert model._timing(9).taken == tuple(range(1, 10))
    assert "Videos of 5 frames" in model.card.notes and "does not know the plan" in model.card.notes


def test_ltx_with_a_decoder_that_denoises_is_asked_one_by_one(load, folder, tmp_path):
    import diffusers as d

    from tiny_diffusers import save_pipeline, write_index

    place = save_pipeline("ltx", tmp_path / "ltx")
    vae = d.AutoencoderKLLTXVideo(
        latent_channels=8, block_out_channels=(8,) * 4, decoder_block_out_channels=(8,) * 4,
        layers_per_block=(1,) * 5, decoder_layers_per_block=(1,) * 5, timestep_conditioning=True,
    )  # fmt: skip
    vae.save_pretrained(place / "vae")
    write_index(place, "LTXConditionPipeline")
    model = load("ltx", place)
    assert not model.pipeline.batches
    a, b, c = model.simulate([query(), query(seed=2), query()])
    assert apart(a, b) > 0 and apart(a, c) == 0
