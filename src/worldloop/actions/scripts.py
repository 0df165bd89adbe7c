"""Key scripts: the same drive for every model, whatever language its controls are in.

WorldMark (arXiv 2604.21686) drives models by fifteen scripts over the keys W S A D L R, each key of which is held for 20 s:
W and S walk forward and backward, A and D step to the left and to the right, L and R turn.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

from worldloop.actions.keyboard import WASD, motion_of
from worldloop.actions.navigation import NAVIGATION
from worldloop.core import Plan, Primitive, Vocabulary
from worldloop.core.errors import InputError

HELD = 20.0
"""Seconds for which WorldMark holds each key."""
WALKING = Vocabulary(
    "walking",
    (
        *(p for p in NAVIGATION.primitives if not p.stops),
        Primitive("move_backward", forward=-0.2),
        Primitive("move_left", left=0.2),
        Primitive("move_right", left=-0.2),
        *(p for p in NAVIGATION.primitives if p.stops),
    ),
)
"""`NAVIGATION` and steps of the same length backward and sideways, for S, A and D."""


@dataclass(frozen=True)
class KeyScript:
    """Keys that are held one after another, all for the same time."""

    name: str
    tier: str
    """`easy`, `medium` or `hard`."""
    keys: tuple[str, ...]
    """Of `WASD`."""
    seconds: float
    """Of the whole script."""


def _script(tier: str, name: str) -> KeyScript:
    return KeyScript(name, tier, tuple(name), HELD * len(name))


# The list and its order are those of the action protocol that WorldMark publishes with its inputs (actions 1 to 15). The
# easy tier has no L: turning alone is asked for to the right only.
WORLDMARK: Mapping[str, KeyScript] = MappingProxyType(
    {
        name: _script(tier, name)
        for tier, names in (
            ("easy", ("W", "S", "A", "D", "R")),
            ("medium", ("WS", "LR", "AD", "WR", "SL")),
            ("hard", ("WSW", "LRL", "WRW", "ADA", "WRS")),
        )
        for name in names
    }
)
"""The fifteen scripts by name."""


def key_script(name: str) -> KeyScript:
    """A script of `WORLDMARK` by its name, in capitals or not; InputError for any other."""
    try:
        return WORLDMARK[name.strip().upper()]
    except KeyError:
        raise InputError(
            f"no key script {name!r}; there are {', '.join(WORLDMARK)}, and --keys takes any others"
        ) from None


def vocabulary_for(keys: Sequence[str]) -> Vocabulary:
    """`NAVIGATION` where it has moves for all the keys, else `WALKING`."""
    return NAVIGATION if set(keys) <= set(_moves(NAVIGATION)) else WALKING


def keys_plan(keys: Sequence[str], vocabulary: Vocabulary = WALKING) -> Plan:
    """One action for each key of `WASD`; InputError for keys that the vocabulary has no single move for.

    Nothing is substituted: a step to the left is no turn with a walk.
    """
    if not vocabulary.discrete:
        raise InputError(
            f"keys press named moves, and {vocabulary.name!r} has none; keys drive models that walk"
        )
    moves = _moves(vocabulary)
    if missing := [k for k in dict.fromkeys(keys) if k not in moves]:
        known = ", ".join(p.name for p in vocabulary.primitives)
        raise InputError(
            f"{vocabulary.name!r} has no move for the key {' or '.join(missing)} (it has {known}); "
            f"take the vocabulary {WALKING.name!r} or other keys"
        )
    return vocabulary.plan(moves[k] for k in keys)


def script_plan(script: KeyScript, vocabulary: Vocabulary = WALKING, step_seconds: float = 1.0) -> Plan:
    """The plan of a script, each action of which takes `step_seconds`.

    WorldMark leaves the pace to the model; here it follows from the length of a step, so with a second for each action, a
    key is 20 actions. InputError when a key is not held for a whole number of actions, or has no move.
    """
    if not 0 < step_seconds <= script.seconds:
        raise InputError(f"an action takes more than 0 and at most {script.seconds:g} s, not {step_seconds}")
    held = script.seconds / len(script.keys) / step_seconds
    count = round(held)
    if count < 1 or abs(held - count) > 1e-6:
        raise InputError(
            f"a key of {script.name} is held for {script.seconds / len(script.keys):g} s, which is no whole number of "
            f"actions of {step_seconds:g} s; choose seconds that divide it"
        )
    return keys_plan([key for key in script.keys for _ in range(count)], vocabulary)


def _moves(vocabulary: Vocabulary) -> dict[str, str]:
    """Key -> name of the move that does what the key does and nothing else."""
    moves: dict[str, str] = {}
    for primitive in vocabulary.primitives:
        try:
            key = WASD[motion_of(primitive)[0]]
        except InputError:  # it does several things at once, which no key does
            continue
        if moves.setdefault(key, primitive.name) != primitive.name:
            raise InputError(
                f"{vocabulary.name!r} has two moves for the key {key}: {moves[key]} and {primitive.name}"
            )
    return moves
