"""A Gymnasium environment behind worldloop's own interface, and the simulator of what would happen."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field

import numpy as np

from worldloop.core import Action, Episode, InputError, Observation, Plan, Rollout, Vocabulary
from worldloop.envs.gym.instance import Instance, Moment
from worldloop.envs.gym.probe import Interface, follow
from worldloop.envs.stage import on_stage


class Instances:
    """Environments of one kind, kept for later episodes where a reset forgets everything. For the stage only."""

    def __init__(self, interface: Interface) -> None:
        self.interface = interface
        self._idle: list[Instance] = []

    def take(self) -> Instance:
        """An environment that must be reset before use."""
        return self._idle.pop() if self._idle else Instance(self.interface.config)

    def give(self, instance: Instance) -> None:
        """Take back what nobody needs any more."""
        if self.interface.reusable:
            self._idle.append(instance)
        else:
            instance.close()

    def close(self) -> None:
        """Close what is idle."""
        while self._idle:
            self._idle.pop().close()


@dataclass
class Played:
    """An episode so far."""

    seed: int
    first: Moment
    actions: list[Action] = field(default_factory=list)
    total: float = 0.0
    """Sum of the rewards."""
    last: Moment = field(init=False)
    success: bool | None = None
    """Whether `info` has ever said so; None when it has said nothing."""

    def __post_init__(self) -> None:
        self.last, self.success = self.first, self.first.success

    def add(self, action: Action, moment: Moment) -> None:
        """One more step."""
        self.actions.append(action)
        self.total += moment.reward
        self.last = moment
        if moment.success is not None:
            self.success = bool(self.success) or moment.success


class GymSimulator:
    """A frozen state of a `GymWorld`, as the seed and the actions that lead there; usable from any thread."""

    def __init__(self, world: GymWorld, instances: Instances, seed: int, actions: tuple[Action, ...]) -> None:
        self._world, self._instances = world, instances
        self.seed, self.actions = seed, actions
        self._snapshot: Instance | None = None

    @property
    def key(self) -> str:
        """Content key: environment, seed and actions."""
        config = self._instances.interface.config
        made = sorted(config.make.items())
        told = f"{config.env}/{made}/{config.size}/{config.steps}/{self.seed}/{self.actions}"
        return f"gym:{hashlib.blake2b(told.encode(), digest_size=16).hexdigest()}"

    def rollout(self, plan: Plan) -> tuple[Observation, ...]:
        """The L true observations of a plan; after the end of the episode the last one is repeated."""
        return self.rewarded(plan).frames

    def rewarded(self, plan: Plan) -> Rollout:
        """The same with the true rewards, 0 after the end, and 1 for `done` from the step that ends the episode."""
        return on_stage(self._play, plan)

    def _play(self, plan: Plan) -> Rollout:
        instance = self._restored()
        moments = follow(instance, plan.actions)
        if self._instances.interface.restore != "copy":
            self._instances.give(instance)
        rest = len(plan) - len(moments)
        frames = [Observation(m.rgb) for m in moments]
        reward = [m.reward for m in moments] + [0.0] * rest
        done = [float(m.over) for m in moments] + [1.0] * rest
        frames += [frames[-1]] * rest
        return Rollout(tuple(frames), np.array(reward, np.float32), np.array(done, np.float32))

    def _restored(self) -> Instance:
        """An environment in this state, to be used up."""
        interface = self._instances.interface
        if interface.restore != "copy":
            return self._replayed()
        if self._snapshot is None:
            present = self._world.instance_at(self.seed, self.actions)
            # The world may have moved on since; then the state is found again from the start.
            self._snapshot = self._replayed() if present is None else present.copied(interface.shared)
        return self._snapshot.copied(interface.shared)

    def _replayed(self) -> Instance:
        instance = self._instances.take()
        instance.reset(self.seed)
        for action in self.actions:
            instance.step(action, draw=False)
        return instance


class GymWorld:
    """The `Environment` made of a Gymnasium environment. Every call is carried out on the stage."""

    def __init__(self, interface: Interface, instances: Instances | None = None) -> None:
        """interface: what `probe.explore` found. instances: where environments come from and go back to."""
        self.interface = interface
        self.vocabulary: Vocabulary = interface.vocabulary
        self._instances = instances or Instances(interface)
        self._instance: Instance | None = None
        self._played: Played | None = None

    @property
    def played(self) -> Played:
        """The episode so far (privileged); InputError before the first reset."""
        if self._played is None:
            raise InputError("reset the world before using it")
        return self._played

    def reset(self, episode: Episode) -> Observation:
        """Begin the episode of a seed."""
        return on_stage(self._reset, episode.seed)

    def step(self, action: Action) -> Observation:
        """Carry out one action; InputError when it is unknown or the episode is over."""
        return on_stage(self._step, action)

    def simulator(self) -> GymSimulator:
        """A detached copy of the present state (privilege `simulator`).

        InputError when the same seed and actions do not lead to the same state.
        """
        if not self.interface.restore:
            raise InputError(
                f"{self.interface.config.env} is not deterministic: no copy of it can be trusted"
            )
        played = self.played
        return GymSimulator(self, self._instances, played.seed, tuple(played.actions))

    def instance_at(self, seed: int, actions: tuple[Action, ...]) -> Instance | None:
        """The environment itself while it is in this state, else None. For the stage only."""
        played = self._played
        here = played is not None and played.seed == seed and tuple(played.actions) == actions
        return self._instance if here else None

    def close(self) -> None:
        """Give the environment back; safe to call twice."""
        on_stage(self._close)

    def _reset(self, seed: int) -> Observation:
        if self._instance is not None and not self.interface.reusable:
            self._close()
        if self._instance is None:
            self._instance = self._instances.take()
        self._played = None  # a reset that fails leaves no episode behind
        self._played = Played(seed, self._instance.reset(seed))
        return Observation(self._played.first.rgb)

    def _step(self, action: Action) -> Observation:
        played = self.played
        if self._instance is None or played.last.over:
            raise InputError("the episode is over: reset the world before the next step")
        played.add(action, self._instance.step(action))
        return Observation(played.last.rgb)

    def _close(self) -> None:
        if self._instance is not None:
            self._instances.give(self._instance)
        self._instance = None
