"""Training the policy: numbers there and back, colours and shifts that keep the labels true, and a resumable loop."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from worldloop.agents.policy import DiffusionPolicy, PolicyConfig, load_policy
from worldloop.agents.policy.network import STRIDE, as_tensor, colour_masks
from worldloop.agents.policy.waypoints import MIDDLE, SPAN, goal_numbers, to_commands, to_numbers
from worldloop.agents.table_sight import HUES, mask_of, read_goal
from worldloop.cli.main import main
from worldloop.core import Goal, InputError
from worldloop.envs.tabletop.cameras import THIRD
from worldloop.envs.tabletop.layout import HALF
from worldloop.training.collect import CollectConfig, collect
from worldloop.training.loop import LoopConfig
from worldloop.training.policy import (
    SHIFT,
    PolicyTraining,
    changed,
    colour_changes,
    load_moments,
    train_policy,
)

TINY = PolicyConfig(size=32, width=16, blocks=1, hidden=32, depth=1, steps=2)


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    out = tmp_path_factory.mktemp("table") / "data"
    collect(CollectConfig(out, 24, env="tabletop", size=32, episode_frames=3, jobs=1, wrist=False))
    return str(out)


def training(data, out, steps=6, **changes):
    return PolicyTraining((data,), out, LoopConfig(steps, 4, precision="fp32", average=0.9), TINY, **changes)


@settings(max_examples=100, deadline=None)
@given(
    place=st.tuples(st.floats(0.3, 0.7), st.floats(-0.35, 0.35), st.floats(0, 0.45)),
    yaw=st.floats(-89, 89), grip=st.sampled_from([0.0, 1.0]), before=st.floats(-90, 90),
)  # fmt: skip
def test_waypoints_come_back(place, yaw, grip, before):
    command = np.array([[*place, 0, 0, yaw, grip]])
    back = to_commands(to_numbers(command), before)
    np.testing.assert_allclose(back[0, [0, 1, 2, 6]], command[0, [0, 1, 2, 6]], atol=1e-4)
    turned = (back[0, 5] - yaw + 90) % 180 - 90
    assert abs(back[0, 5]) <= 90 and (abs(turned) < 0.1 or abs(back[0, 5]) == 90)


def test_equal_yaws_do_not_turn_the_hand_around():
    numbers = to_numbers(np.array([[0.5, 0, 0.1, 0, 0, yaw, 0] for yaw in (88, -89, 88)]))
    assert to_commands(numbers, 90)[:, 5].min() > 80 and to_commands(numbers, -90)[:, 5].max() < -80


def test_goals_are_told_apart():
    words = ("Push the red block onto the blue circle.", "Push the blue block onto the red circle.",
             "Stack the red block on the blue block.", "Press the red button, then the blue button.")  # fmt: skip
    found = {tuple(goal_numbers(read_goal(Goal(w)))) for w in words}
    assert len(found) == 4 and all(sum(f) == 3 for f in found)


def test_cells_lie_where_the_camera_sees_them():
    policy = DiffusionPolicy(TINY)
    places = policy._places(8, 8, torch.tensor([[0.0, 0.0], [3.0, -2.0]])).numpy() * SPAN + MIDDLE[:2]
    for shift, found in zip(((0, 0), (3, -2)), places.reshape(2, 8, 8, 2)):
        pixel = np.array([5.5, 2.5]) * STRIDE + shift  # column 5, row 2
        np.testing.assert_allclose(found[2, 5], THIRD.on_plane(pixel, HALF, (32, 32))[:2], atol=1e-5)


def test_colours_are_those_of_the_agent():
    rgb = np.random.default_rng(0).integers(0, 256, (24, 24, 3), dtype=np.uint8)
    masks = colour_masks(as_tensor(torch.from_numpy(rgb)[None]))[0].numpy() > 0
    wanted = np.array([mask_of(rgb, name) for name in HUES])
    assert (masks != wanted).sum() <= 2 and wanted.sum() > 50  # rounding at the edges of the rule


def test_moved_pictures_show_what_was_there():
    rng = np.random.default_rng(0)
    pictures = torch.from_numpy(rng.uniform(-1, 1, (3, 3, 16, 16)).astype(np.float32))
    shifts = np.array([[0, 0], [2, 0], [-3, SHIFT]])
    same = torch.eye(3).expand(3, 3, 3)
    out = changed(pictures, same, torch.zeros(3, 3), shifts)
    torch.testing.assert_close(out[0], pictures[0], atol=1e-6, rtol=0)
    torch.testing.assert_close(out[1][:, :, :14], pictures[1][:, :, 2:], atol=1e-6, rtol=0)
    torch.testing.assert_close(out[2][:, : 16 - SHIFT, 3:], pictures[2][:, SHIFT:, :13], atol=1e-6, rtol=0)


def test_colours_change_a_little_and_grey_stays_grey():
    paint, bias = colour_changes(np.random.default_rng(1), 200)
    assert paint.shape == (200, 3, 3) and np.abs(bias).max() <= 0.06
    grey = paint @ np.full(3, 0.5)
    assert (np.ptp(grey, axis=1) < 0.1).all() and grey.min() > 0.35 and grey.max() < 0.7
    red = paint @ np.array([0.8, 0.1, 0.1])
    assert (red.argmax(axis=1) == 0).all()


def test_moments_leave_out_what_comes_after_the_end(data):
    moments = load_moments([data], 0.2, 0)
    assert len(moments.pictures) == len(moments.states) == len(moments.experts) <= 24
    assert moments.held_out.any() and not moments.held_out.all()
    assert np.allclose(moments.goals.sum(axis=1), 3) and np.isfinite(moments.experts).all()


def test_training_goes_on_where_it_was_and_is_the_same(data, tmp_path):
    class CutError(Exception):
        pass

    def cut(step, value):
        if step == 4:
            raise CutError

    whole = train_policy(training(data, tmp_path / "a"))
    held = LoopConfig(6, 4, precision="fp32", average=0.9, checkpoint_seconds=0.0)
    broken = PolicyTraining((data,), tmp_path / "b", held, TINY)
    with pytest.raises(CutError):
        train_policy(broken, cut)
    assert (tmp_path / "b/training.safetensors").exists() and not (tmp_path / "b/policy.safetensors").exists()
    train_policy(broken)
    first, second = (load_policy(tmp_path / n / "policy.safetensors")[0].state_dict() for n in "ab")
    assert all(torch.equal(first[k], second[k]) for k in first)
    assert whole["steps"] == 6 and whole["held_out"]["frames"] > 0 and whole["frames"] > 0
    assert set(whole["held_out"]["by_family"]) <= {"push", "stack", "press", "pick-place"}


def test_it_learns(data, tmp_path):
    settings = PolicyTraining((data,), tmp_path, LoopConfig(80, 8, 3e-3, warmup=5, precision="fp32"), TINY)
    losses = [value for _, value in train_policy(settings)["losses"]]
    assert np.mean(losses[-5:]) < 0.5 * np.mean(losses[:3])


def test_a_policy_can_be_trained_further(data, tmp_path):
    first = train_policy(training(data, tmp_path / "a", steps=2))
    start = tmp_path / "a/policy.safetensors"
    card = train_policy(training(data, tmp_path / "b", steps=1, start=start))
    assert card["start"]["weights_hash"] == first["weights_hash"] and card["start"]["steps"] == 2
    old, new = (load_policy(p)[0].state_dict() for p in (start, tmp_path / "b/policy.safetensors"))
    assert not torch.equal(old["direct.weight"], new["direct.weight"])
    assert (old["direct.weight"] - new["direct.weight"]).abs().max() < 1e-3  # one step from there


def test_wrong_data_and_sizes_are_refused(data, small_data, tmp_path):
    with pytest.raises(InputError, match="demonstrations"):
        train_policy(PolicyTraining((small_data,), tmp_path, LoopConfig(1, 1), TINY))
    with pytest.raises(InputError, match="no training data"):
        train_policy(PolicyTraining((), tmp_path, LoopConfig(1, 1), TINY))
    with pytest.raises(InputError, match="32 pixels"):
        train_policy(PolicyTraining((data,), tmp_path, LoopConfig(1, 1)))
    with pytest.raises(InputError, match="divisible"):
        PolicyConfig(size=33)


def test_command_line(data, tmp_path, capsys):
    options = [
        "train",
        "policy",
        "--data",
        data,
        "--size",
        "32",
        "--width",
        "16",
        "--steps",
        "2",
        "--batch",
        "2",
    ]
    assert main([*options, "--out", str(tmp_path), "--json"]) == 0
    policy, card = load_policy(tmp_path / "policy.safetensors")
    assert card["steps"] == 2 and policy.config.size == 32 and (tmp_path / "card.json").is_file()
