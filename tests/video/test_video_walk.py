"""Going on from where a walk stopped: from what was kept come the frames of the whole plan, and forks stay apart."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from worldloop.actions import NAVIGATION
from worldloop.actions.gripper import gripper_vocabulary
from worldloop.core import ModelError, Observation, Query, SteppedModel
from worldloop.models import MODELS
from worldloop.models.video import (
    ConditioningConfig,
    SamplerConfig,
    VideoCheckpoint,
    VideoModel,
    VideoSpec,
)
from worldloop.models.video import model as module

from tiny_video import PIXELS, ask, backbone, checkpoint

BOX = gripper_vocabulary((0.3, -0.35, 0.0), (0.7, 0.35, 0.45), name="gripper-waypoint")

CLIP = 4
NAMES = ["turn_left", "move_forward", "turn_right", "move_forward"] * 3


def shown(rollout) -> np.ndarray:
    return np.stack([f.rgb for f in rollout.frames])


def begun(model, query):
    return model.begin(query.plan.vocabulary, query.history, query.actions)


def walked(model, walk, names, seeds, size):
    out = []
    for start, seed in zip(range(0, len(names), size), seeds):
        ((rollout, walk),) = model.advance([(walk, NAVIGATION.plan(names[start : start + size]), seed)])
        out.append(shown(rollout))
    return np.concatenate(out), walk


@pytest.fixture
def one_noise(monkeypatch):
    """Noise of a frame depends on how many frames were drawn before it, and not on the seed."""
    drawn = [0]

    def draw(generators, shape):
        frames = [
            torch.randn(shape[1:], generator=torch.Generator().manual_seed(drawn[0] + i))
            for i in range(shape[0])
        ]
        drawn[0] += shape[0]
        return torch.stack([torch.stack(frames)] * len(generators))

    monkeypatch.setattr(module, "draw_noise", draw)
    return drawn


@pytest.mark.parametrize("control", ["none", "text", "code", "camera"])
@pytest.mark.parametrize("window", [4, 6, 64])
def test_a_walk_in_clips_is_the_whole_plan_to_the_bit(control, window, one_noise):
    model = VideoModel(checkpoint(control, history=2, window=window, clip_frames=CLIP))
    query = ask(NAMES, past=["turn_left"])
    (whole,) = model.simulate([query])
    one_noise[0] = 0
    walked_frames, _ = walked(model, begun(model, query), NAMES, [0, 1, 2], CLIP)
    np.testing.assert_array_equal(walked_frames, shown(whole))


def test_a_walk_of_commands_is_the_whole_plan_to_the_bit(one_noise):
    plain = checkpoint()
    spec = VideoSpec("arm", "vector", {}, sampler=SamplerConfig(2), vocabulary=BOX)
    body = backbone(ConditioningConfig(vectors=7), panorama=False, clip_frames=CLIP)
    model = VideoModel(VideoCheckpoint(plain.vae, body, spec))
    rng = np.random.default_rng(1)
    rgb = rng.integers(0, 256, (PIXELS, PIXELS, 3), dtype=np.uint8)
    now = Observation(rgb, extra={"gripper": np.array([0.5, 0, 0.2, 0, 0, 0, 1.0])})
    rows = rng.uniform(BOX.low, BOX.high, (3 * CLIP, 7))
    (whole,) = model.simulate([Query((now,), (), BOX.plan(rows), 0)])
    one_noise[0], frames, walk = 0, [], model.begin(BOX, (now,), ())
    for start in range(0, 3 * CLIP, CLIP):
        ((rollout, walk),) = model.advance([(walk, BOX.plan(rows[start : start + CLIP]), 0)])
        frames.append(shown(rollout))
    np.testing.assert_array_equal(np.concatenate(frames), shown(whole))


def test_blocked_steps_count_in_the_next_clip(one_noise):
    motions = ((0.2, 0.0, 0.0), (0.0, 0.0, np.pi / 8), (0.0, 0.0, -np.pi / 8))
    heads = ConditioningConfig(text_buckets=128, codes=3, camera=True, motions=motions, passage=True)
    made = checkpoint("code", clip_frames=CLIP)
    made.backbone.attach(heads)
    model, query = VideoModel(made), ask(NAMES)
    (whole,) = model.simulate([query])
    one_noise[0] = 0
    frames, walk = walked(model, begun(model, query), NAMES, [0, 1, 2], CLIP)
    np.testing.assert_array_equal(frames, shown(whole))
    assert walk.place is not None and walk.place.shape == (1, 3)


def test_a_fork_goes_on_as_if_it_had_walked_itself():
    model, query = VideoModel(checkpoint()), ask(NAMES)
    _, walk = walked(model, begun(model, query), NAMES[:5], [1, 2, 3], 2)
    before = [k.clone() for k in walk.context.keys]
    plans = [NAVIGATION.plan([n] * 3) for n in ("turn_left", "move_forward", "turn_left")]
    together = model.advance([(walk, p, s) for p, s in zip(plans, (7, 7, 8))])
    assert all(torch.equal(a, b) for a, b in zip(before, walk.context.keys))
    _, again = walked(model, begun(model, query), NAMES[:5], [1, 2, 3], 2)
    for plan, seed, (rollout, _) in zip(plans, (7, 7, 8), together):
        ((alone, _),) = model.advance([(again, plan, seed)])
        np.testing.assert_array_equal(shown(alone), shown(rollout))
    pictures = [shown(r) for r, _ in together]
    assert (pictures[0] != pictures[1]).any() and (pictures[0] != pictures[2]).any()


def test_one_batch_of_walks_agrees_with_single_ones():
    """The path for GPUs, run on the CPU: equal up to rounding."""
    model = VideoModel(checkpoint("code"))
    walks = [begun(model, ask(NAMES, view=v)) for v in range(3)]
    steps = [(w, NAVIGATION.plan(NAMES[:6]), s) for s, w in enumerate(walks)]
    read = [model._reader.clips(p, w.at) for w, p, _ in steps]
    clips, reached = zip(*read)
    with torch.inference_mode():
        together = model._advanced(walks, clips, reached, [0, 1, 2], 6)
    for (frames, walk), (alone, after) in zip(together, model.advance(steps)):
        assert np.abs(frames.astype(int) - shown(alone)).max() <= 1
        assert walk.context.next_time == after.context.next_time
        torch.testing.assert_close(walk.context.keys[0], after.context.keys[0], atol=1e-4, rtol=1e-3)


def test_the_memory_of_a_walk_is_bounded_by_the_window():
    model = VideoModel(checkpoint(window=4, clip_frames=CLIP))
    walk, sizes = begun(model, ask(NAMES)), []
    for seed in range(4):
        ((_, walk),) = model.advance([(walk, NAVIGATION.plan(NAMES[:4]), seed)])
        sizes.append(walk.nbytes)
    assert sizes[1:] == sizes[:-1] and walk.nbytes > 1000


def test_what_a_walk_refuses():
    model = VideoModel(checkpoint())
    query = ask(NAMES)
    with pytest.raises(ModelError, match="panorama"):
        model.begin(NAVIGATION, (replace(query.history[0], panorama=None),), ())
    walk = begun(model, query)
    with pytest.raises(ModelError, match="not trained on 'stop'"):
        model.advance([(walk, NAVIGATION.plan(["stop"]), 0)])


def test_the_packaged_model_can_be_gone_on_from():
    assert isinstance(VideoModel(checkpoint()), SteppedModel)
    assert not isinstance(MODELS.create("frozen"), SteppedModel)
