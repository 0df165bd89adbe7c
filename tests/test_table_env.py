"""The table as a Gymnasium environment: it passes the checker, and rewards what the task calls a success."""

from __future__ import annotations

import warnings

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env

from worldloop.core import InputError
from worldloop.envs import register
from worldloop.envs.tabletop.commands import VOCABULARIES
from worldloop.envs.tabletop.experts import PHASES, phase
from worldloop.envs.tabletop.gym_env import TableEnv


def test_the_checker_finds_nothing():
    register()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warnings.filterwarnings("ignore", message=".*infinity.*")
        env = gym.make(
            "worldloop/Table-v0", size=16, depth=True, segmentation=True, wrist=True, render_mode="rgb_array"
        )
        check_env(env.unwrapped)
    by_module = gym.make("worldloop.envs.tabletop.gym_env:worldloop/Table-v0", size=16)
    assert by_module.unwrapped.world.mode == "delta"


def test_the_expert_is_rewarded():
    env, box = TableEnv("tabletop/train/push/0001", "waypoint", size=16), VOCABULARIES["waypoint"]
    seen, info = env.reset(seed=0)
    assert set(seen) == {"rgb", "gripper"} and info["scene"] == "tabletop/train/push/0001"
    assert info["goal"].startswith("Push the ") and not info["success"] and info["distance"] > 0.05
    physics, rewards = env.world.physics, []
    for step in PHASES["push"]:
        layout = physics.layout
        places = {t.name: np.array([*physics.place(t.name)[:3, 3], t.yaw_deg]) for t in layout.things}
        for row in np.clip(phase("push", step, layout.goal, places), box.low, box.high):
            low, high = np.array(box.low), np.array(box.high)
            action = (2 * (row - low) / (high - low) - 1).astype(np.float32)
            seen, reward, terminated, truncated, info = env.step(action)
            rewards.append(reward)
            assert not truncated and terminated == bool(reward) == info["success"]
            assert np.abs(seen["gripper"][:2] - row[:2]).max() < 0.02, "actions are the ends of the command"
            if terminated:
                break
        if terminated:
            break
    assert rewards[-1] == 1.0 and not any(rewards[:-1]) and env.render() is None
    env.close()


def test_a_family_has_another_layout_at_every_reset():
    env = TableEnv("tabletop/train/stack", size=16)
    scenes = [env.reset(seed=5)[1]["scene"], env.reset()[1]["scene"], env.reset(seed=5)[1]["scene"]]
    assert scenes[0] == scenes[2] != scenes[1] and scenes[0].startswith("tabletop/train/stack/")


def test_what_it_does_not_take():
    for wrong in (
        {"scene": "tabletop/train/juggle"},
        {"commands": "keys"},
        {"render_mode": "human"},
        {"scene": "house/train/A/0000"},
    ):
        with pytest.raises(InputError):
            TableEnv(**wrong)
    env = TableEnv(size=16)
    env.reset(seed=0)
    with pytest.raises(InputError, match="7 numbers"):
        env.step(np.full(7, 2.0, np.float32))
    with pytest.raises(InputError, match="no options"):
        env.reset(options={"position": (0, 0)})
