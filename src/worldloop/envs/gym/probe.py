"""What an environment can do, found out by trying: are its episodes repeatable, and how is a state put back?"""

from __future__ import annotations

import gc
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from worldloop.core import Action, InputError, Vocabulary, WorldloopError, generator
from worldloop.envs.gym.actions import ActionCodec
from worldloop.envs.gym.instance import GymConfig, Instance, Moment, gl_hint

TRIED_STEPS = 12
"""Random actions on which an environment is tried."""
SEED, OTHER_SEED = 20_251_018, 7


@dataclass(frozen=True)
class Interface:
    """What was found out about an environment."""

    config: GymConfig
    codec: ActionCodec
    limit: int
    """Steps of the longest episode."""
    shortened: bool
    """Whether that is fewer than the environment's own."""
    threshold: float | None
    """The return at which the environment's authors call it solved."""
    restore: str
    """How a state is put back: `copy` (a deep copy), `replay` (all actions anew, from the seed), or empty: the same seed
    and actions do not lead to the same pictures and rewards."""
    shared: tuple[str, ...]
    """Attributes that a copy shares with the original: canvases that are drawn anew for every picture."""
    reusable: bool
    """Whether a reset forgets all that was before."""

    @property
    def vocabulary(self) -> Vocabulary:
        """The actions."""
        return self.codec.vocabulary


def explore(config: GymConfig) -> Interface:
    """Try an environment on a short random sequence of actions. To be called on the stage.

    Raises InputError when it cannot be made, be seen or be stepped.
    """
    first = Instance(config)
    rng = generator("gym", config.env, "probe")
    actions = [first.codec.draw(rng) for _ in range(TRIED_STEPS)]
    shared: tuple[str, ...] = ()
    restore = ""
    try:
        told = trace(first, SEED, actions)
        if len({m.rgb.shape for m in told}) > 1:
            raise InputError(f"{config.env}: its pictures change their size")
        trace(first, OTHER_SEED, actions)
        reusable = alike(told, trace(first, SEED, actions))
        if replays(config, told, actions):
            second = Instance(config)
            with _quiet_destructors():
                found = copies(second, told, actions)
                second.close()
            restore, shared = ("replay", ()) if found is None else ("copy", found)
            # What became of a failed copy (a freed context, say) must not harm the environments made after it.
            if not replays(config, told, actions):
                restore = ""
    except WorldloopError:
        raise
    except Exception as error:  # a foreign environment may raise anything
        raise InputError(
            f"{config.env} fails when it is tried: {type(error).__name__}: {error}{gl_hint()}"
        ) from error
    finally:
        first.close()
    return Interface(
        config, first.codec, first.limit, first.shortened, first.threshold, restore, shared, reusable
    )


def trace(instance: Instance, seed: int, actions: Sequence[Action]) -> list[Moment]:
    """What actions bring from the start of a seed, up to the end of the episode."""
    return [instance.reset(seed), *follow(instance, actions)]


def follow(instance: Instance, actions: Sequence[Action]) -> list[Moment]:
    """What actions bring from here, up to the end of the episode."""
    moments: list[Moment] = []
    for action in actions:
        moments.append(instance.step(action))
        if moments[-1].over:
            break
    return moments


def alike(a: Sequence[Moment], b: Sequence[Moment]) -> bool:
    """Whether two traces are equal in pictures, rewards and ends."""
    return len(a) == len(b) and all(x.same(y) for x, y in zip(a, b))


def replays(config: GymConfig, told: Sequence[Moment], actions: Sequence[Action]) -> bool:
    """Whether new environments do what was told of a first one, two at a time, and drawn from the middle on only."""
    half = (len(told) - 1) // 2
    one, other = Instance(config), Instance(config)
    try:
        begun = [one.reset(SEED), *follow(one, actions[:half])]
        other.reset(SEED)
        for action in actions[:half]:
            other.step(action, draw=False)
        alone = alike(told[half + 1 :], follow(other, actions[half:]))
    finally:
        other.close()
    try:
        return alone and alike(told, [*begun, *follow(one, actions[half:])])
    finally:
        one.close()


def copies(instance: Instance, told: Sequence[Moment], actions: Sequence[Action]) -> tuple[str, ...] | None:
    """What copies of a new environment must share, where they go on as was told and neither disturbs another.

    None where deep copies are of no use.
    """
    half = (len(told) - 1) // 2
    rest = told[half + 1 :]
    try:
        instance.reset(SEED)
        follow(instance, actions[:half])
        shared = instance.uncopyable()
        kept = instance.copied(shared)
        tried = kept.copied(shared)
        if not alike(rest, follow(tried, actions[half:])):
            return None
        del tried
        gc.collect()  # a copy that frees what it shares is found out here
        same = alike(rest, follow(instance, actions[half:])) and alike(rest, follow(kept, actions[half:]))
        return shared if same else None
    except Exception:  # noqa: BLE001 - whatever a foreign class raises, its copies are of no use
        return None


@contextmanager
def _quiet_destructors() -> Iterator[None]:
    """Half-made copies, of a GL context say, complain when they are thrown away; that is expected here."""
    before = sys.unraisablehook
    sys.unraisablehook = lambda _: None
    try:
        yield
    finally:
        gc.collect()
        sys.unraisablehook = before
