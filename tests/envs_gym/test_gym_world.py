"""Gymnasium environments as worlds: actions, pictures, and simulators that are as faithful as they claim to be."""

from __future__ import annotations

import threading

import gymnasium as gym
import numpy as np
import pytest

from worldloop.core import Action, Episode, InputError, RewardingSimulator, generator
from worldloop.envs.gym.actions import action_names, codec_of
from worldloop.envs.gym.instance import GymConfig
from worldloop.envs.gym.pictures import as_picture, goal_of, reduced
from worldloop.envs.gym.probe import explore
from worldloop.envs.gym.world import GymWorld
from worldloop.envs.stage import on_stage

import toy_env

TOY = "toys/Toy-v0"


def world_of(env=TOY, seed=3, steps=None, **make):
    world = GymWorld(on_stage(explore, GymConfig(env, steps, make=make)))
    world.reset(episode(seed))
    return world


def episode(seed):
    return Episode("e", "gym", "s", seed, {}, {}, 40)


def draws(world, count, purpose="test"):
    rng = generator(purpose)
    return [world.interface.codec.draw(rng) for _ in range(count)]


@pytest.mark.parametrize(
    ("make", "restore"),
    [({}, "copy"), ({"box": True}, "copy"), ({"fault": "leaky"}, "copy"), ({"fault": "random"}, "")],
)
def test_what_is_found_out(make, restore):
    found = on_stage(explore, GymConfig(TOY, make=make))
    assert found.restore == restore and found.limit == 40 and found.threshold is None
    assert found.reusable == (not make.get("fault"))
    assert not restore or found.shared == ("canvas",)


class Stubborn(toy_env.Toy):
    """No copy of its state can be made."""

    def reset(self, **given):
        seen = super().reset(**given)
        self.state = toy_env.Canvas()
        return seen

    def step(self, action):
        self.state.pixels[0, 0, 0] += 1
        self.x += int(self.state.pixels[0, 0, 0]) / 4
        return super().step(action)


gym.register("toys/Stubborn-v0", entry_point=Stubborn, max_episode_steps=40)


@pytest.mark.parametrize("env", [TOY, "toys/Stubborn-v0", "toys/ToySeen-v0"])
@pytest.mark.parametrize("fault", ["", "leaky"])
def test_what_is_simulated_comes_true_and_nothing_moves(env, fault):
    world = world_of(env, fault=fault)
    assert world.interface.restore == ("replay" if "Stubborn" in env else "copy")
    for action in draws(world, 2):
        world.step(action)
    simulator = world.simulator()
    assert isinstance(simulator, RewardingSimulator)
    plan = world.vocabulary.plan(["action_1", "action_0", "action_1"])
    other = world.vocabulary.plan(["action_0"] * 3)
    first, _, again = simulator.rewarded(plan), simulator.rewarded(other), simulator.rewarded(plan)
    true, rewards = [], []
    for action in plan.actions:
        true.append(world.step(action).rgb)
        rewards.append(world.played.last.reward)
    late = simulator.rewarded(plan)  # the world has moved on
    for rollout in (first, again, late):
        assert all(np.array_equal(a, f.rgb) for a, f in zip(true, rollout.frames))
        assert rollout.reward.tolist() == rewards and not rollout.done.any()
    assert len(simulator.rollout(plan)) == 3


def test_after_the_end_the_last_frame_is_repeated():
    world = world_of(paid=0.5)
    rollout = world.simulator().rewarded(world.vocabulary.plan(["action_1"] * 12))
    end = int(np.argmax(rollout.done))
    assert rollout.reward[end] == 1.5 and set(rollout.reward[:end].tolist()) == {0.5}
    assert not rollout.reward[end + 1 :].any() and rollout.done[end:].all()
    assert all(f is rollout.frames[end] for f in rollout.frames[end:])


def test_the_limit_of_steps_is_kept_in_imagination_too():
    world = world_of(steps=4)
    world.step(Action("action_0"))
    plan = world.vocabulary.plan(["action_1", "action_0"] * 3)
    assert world.simulator().rewarded(plan).done.tolist() == [0, 0, 1, 1, 1, 1]
    for action in plan.actions[:3]:
        world.step(action)
    assert world.played.last.over and not world.played.last.terminated
    with pytest.raises(InputError, match="over"):
        world.step(Action("action_0"))


def test_keys_tell_states_apart():
    world, other = world_of(), world_of()
    keys = {world.simulator().key}
    assert other.simulator().key in keys
    world.step(Action("action_0"))
    keys.add(world.simulator().key)
    other.reset(episode(4))
    keys.add(other.simulator().key)
    assert len(keys) == 3


def test_worlds_share_nothing_and_any_thread_may_ask():
    one, two = world_of(seed=1), world_of(seed=2)
    plan = one.vocabulary.plan(["action_1", "action_1", "action_0"])
    expected = [[f.rgb for f in w.simulator().rollout(plan)] for w in (one, two)]
    got: list = [None, None]

    def ask(i):
        got[i] = [f.rgb for f in (one, two)[i].simulator().rollout(plan)]

    threads = [threading.Thread(target=ask, args=(i,)) for i in (0, 1)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert all(np.array_equal(a, b) for e, g in zip(expected, got) for a, b in zip(e, g))
    one.close()
    one.close()
    with pytest.raises(InputError, match="reset"):
        GymWorld(one.interface).step(Action("action_0"))


def test_what_is_not_deterministic_is_not_simulated():
    world = world_of(fault="random")
    with pytest.raises(InputError, match="not deterministic"):
        world.simulator()


@pytest.mark.parametrize(
    ("config", "words"),
    [
        ({"env": "toys/Nothing-v0"}, "no environment"),
        ({"env": "no_such_module_here:Toy-v0"}, "cannot be imported"),
        ({"env": TOY, "make": {"horizn": 3}}, "horizn"),
        ({"env": TOY, "make": {"fault": "unbounded"}}, "finite bounds"),
        ({"env": TOY, "make": {"fault": "tuple"}}, "Discrete space"),
        ({"env": TOY, "make": {"fault": "raises"}}, "the motor is broken"),
        ({"env": "toys/ToyUnseen-v0"}, "cannot be seen"),
        ({"env": TOY, "steps": 0}, "steps"),
        ({"env": TOY, "size": 3}, "size"),
        ({"env": ""}, "gym:env="),
    ],
)
def test_what_cannot_be_used_is_refused(config, words):
    with pytest.raises(InputError, match=words):
        on_stage(explore, GymConfig(**config))


def test_names_of_actions():
    env = gym.make(TOY, names=("LEFT", "to the right"), disable_env_checker=True)
    assert action_names(env, 2) == ("left", "to_the_right")
    for names in (("LEFT",), ("a", "A"), ("", "b")):
        env = gym.make(TOY, names=names, disable_env_checker=True)
        assert action_names(env, 2) == ("action_0", "action_1")


def test_actions_arrive_as_they_are_meant():
    env = gym.make(TOY, disable_env_checker=True)
    env.unwrapped.action_space = gym.spaces.Discrete(3, start=-1)
    codec = codec_of(env, "toy")
    assert [int(codec.encode(a)) for a in codec.vocabulary.plan(["action_0", "action_2"]).actions] == [-1, 1]
    env.unwrapped.action_space = gym.spaces.Box(
        np.float32([[-0.1, 0]]), np.float32([[0.1, 5]]), dtype=np.float32
    )
    codec = codec_of(env, "toy")
    box = codec.vocabulary
    assert box.fields == ("action_0", "action_1") and box.high == (float(np.float32(0.1)), 5.0)
    for values in (box.low, box.high, codec.draw(np.random.default_rng(0)).values):
        sent = codec.encode(Action(box.name, values))
        assert sent.shape == (1, 2) and env.unwrapped.action_space.contains(sent)
    with pytest.raises(InputError):
        codec.encode(Action(box.name, (9.0, 0.0)))


def test_pictures():
    picture = np.random.default_rng(0).integers(0, 256, (40, 60, 3), np.uint8)
    assert as_picture(picture.transpose(2, 0, 1)).shape == (40, 60, 3)
    assert np.array_equal(as_picture(picture[:, :, 0])[:, :, 2], picture[:, :, 0])
    assert as_picture(picture.astype(np.float32)) is None and as_picture(picture[:, :, :2]) is None
    assert reduced(picture, 30).shape == (20, 30, 3) and reduced(picture, 0) is picture
    assert reduced(picture, 64) is picture
    assert goal_of({"mission": "x", "goal_image": picture}, {"goal": [1, 2]})[0] == "x"
    assert goal_of(picture, {}) == (None, None)


def test_a_picture_of_the_goal_and_its_words():
    world = world_of("toys/ToySeen-v0")
    first = world.played.first
    assert first.words == "Look like the picture." and first.goal.shape == first.rgb.shape
    assert world.interface.limit == 12
