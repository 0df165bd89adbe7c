"""Keyboard controls: the WASD + LR vocabulary of WorldMark, and WorldPlay's `key-n` spelling.

W/S translate forward and backward, A/D left and right; L/R turn. Some models use A/D for turning: pass
another `keymap` rather than assume.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import groupby
from types import MappingProxyType

from worldloop.actions.control import Control
from worldloop.actions.navigation import NAVIGATION
from worldloop.core import Plan, Vocabulary
from worldloop.core.actions import Primitive
from worldloop.core.errors import InputError

MOTIONS = ("forward", "backward", "left", "right", "turn_left", "turn_right", "stay")
WASD: Mapping[str, str] = MappingProxyType(dict(zip(MOTIONS, "WSADLR-")))
WORLDPLAY: Mapping[str, str] = MappingProxyType(
    dict(zip(MOTIONS, ("w", "s", "a", "d", "left", "right", "-")))
)


def motion_of(primitive: Primitive) -> tuple[str, float]:
    """The one motion of a primitive and its amount (metres or degrees); InputError if it mixes several."""
    amounts = {
        ("forward", "backward"): primitive.forward,
        ("left", "right"): primitive.left,
        ("turn_left", "turn_right"): primitive.yaw_deg,
    }
    moving = [(names[value < 0], abs(value)) for names, value in amounts.items() if value]
    if len(moving) > 1:
        raise InputError(f"{primitive.name!r} moves and turns at once; one key cannot express it")
    return moving[0] if moving else ("stay", 0.0)


@dataclass(frozen=True)
class KeyboardTranslator:
    """Plans <-> one key for each primitive. Bijective while no two primitives share a key."""

    vocabulary: Vocabulary = NAVIGATION
    keymap: Mapping[str, str] = field(default_factory=lambda: WASD)
    kind: str = "keys"

    def __post_init__(self) -> None:
        keys = [self.keymap[motion_of(p)[0]] for p in self.vocabulary.primitives]
        if len(set(keys)) != len(keys):
            raise InputError(f"two actions of {self.vocabulary.name!r} share a key")

    def encode(self, plan: Plan) -> Control:
        """A tuple of L keys."""
        moves = (motion_of(self.vocabulary.primitive(a))[0] for a in plan.actions)
        return Control("keys", tuple(self.keymap[m] for m in moves))

    def decode(self, control: Control) -> Plan:
        """The plan behind the keys; InputError for an unknown key."""
        names = {self.keymap[motion_of(p)[0]]: p.name for p in self.vocabulary.primitives}
        unknown = [k for k in control.value if k not in names]
        if unknown:
            raise InputError(f"unknown keys {unknown}; known: {' '.join(names)}")
        return self.vocabulary.plan(names[k] for k in control.value)


@dataclass(frozen=True)
class WorldPlayTranslator:
    """Plans -> `key-n` steps, n counted in latents of 4 frames (the first latent has one frame more).

    One latent step translates `metres` or turns `degrees`. Amounts are accumulated over runs of the same
    key before rounding; what rounding loses is reported in `meta`, not hidden.
    """

    vocabulary: Vocabulary = NAVIGATION
    metres: float = 0.08
    degrees: float = 3.0
    kind: str = "keys"

    def encode(self, plan: Plan) -> Control:
        """A tuple of `key-n` strings; meta holds `frames`, `residual_m` and `residual_deg`."""
        moves = [motion_of(self.vocabulary.primitive(a)) for a in plan.actions]
        out, latents, lost_m, lost_deg = [], 0, 0.0, 0.0
        for motion, group in groupby(moves, key=lambda m: m[0]):
            amount = sum(a for _, a in group)
            unit = self.degrees if motion.startswith("turn") else self.metres
            n = round(amount / unit)
            if motion.startswith("turn"):
                lost_deg += amount - n * unit
            else:
                lost_m += amount - n * unit
            if n:
                out.append(f"{WORLDPLAY[motion]}-{n}")
                latents += n
        meta = {"frames": 4 * latents + 1, "residual_m": lost_m, "residual_deg": lost_deg}
        return Control("keys", tuple(out), meta)


def parse_key_script(script: str) -> tuple[str, ...]:
    """Read a WorldMark-like script such as `W`, `WS`, `W2 L3` or `W*2 L*3` into single keys; InputError otherwise."""
    text = script.strip().upper()
    if not re.fullmatch(r"(?:[WASDLR-](?:\*?\d{1,3})?\s*)+", text):
        raise InputError(
            f"{script!r} is not a key script; write keys W S A D L R, each with a count if need be"
        )
    keys: list[str] = []
    for key, count in re.findall(r"([WASDLR-])\*?(\d*)", text):
        keys += [key] * (int(count) if count else 1)
    if not keys:
        raise InputError(f"{script!r} presses no key")
    return tuple(keys)
