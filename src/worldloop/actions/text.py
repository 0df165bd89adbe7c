"""Text controls: one phrase for each primitive, filled into a template of the model's choice."""

from __future__ import annotations

import re
from dataclasses import dataclass

from worldloop.actions.control import Control
from worldloop.actions.navigation import NAVIGATION
from worldloop.core import Plan, Vocabulary
from worldloop.core.actions import Primitive
from worldloop.core.errors import InputError


def _number(value: float) -> str:
    return f"{round(value, 6):g}"


def describe(primitive: Primitive) -> str:
    """World-In-World's phrase for a primitive, such as `The camera moves forward by 0.2m`."""
    if primitive.stops:
        return "The camera stays still"
    parts = []
    for value, plus, minus in ((primitive.forward, "forward", "backward"), (primitive.left, "left", "right")):
        if value:
            parts.append(f"moves {plus if value > 0 else minus} by {_number(abs(value))}m")
    if primitive.yaw_deg:
        side = "left" if primitive.yaw_deg > 0 else "right"
        parts.append(f"rotates {side} by {_number(abs(primitive.yaw_deg))}°")
    return "The camera " + (" and ".join(parts) if parts else "stays still")


def describe_short(primitive: Primitive) -> str:
    """The list form, such as `forward 0.2m` or `turn_left 22.5°`."""
    if primitive.stops:
        return "stop"
    parts = []
    for value, plus, minus in ((primitive.forward, "forward", "backward"), (primitive.left, "left", "right")):
        if value:
            parts.append(f"{plus if value > 0 else minus} {_number(abs(value))}m")
    if primitive.yaw_deg:
        parts.append(
            f"turn_{'left' if primitive.yaw_deg > 0 else 'right'} {_number(abs(primitive.yaw_deg))}°"
        )
    return " + ".join(parts) or "stay"


@dataclass(frozen=True)
class TextTranslator:
    """Plans of named primitives <-> sentences.

    `style` is `sentences` (phrases joined by ". " and closed by ".") or `sequence` (one instruction that
    lists the motions). Both are bijective as long as no two primitives of the vocabulary share a phrase.
    """

    vocabulary: Vocabulary = NAVIGATION
    style: str = "sentences"
    kind: str = "text"

    def __post_init__(self) -> None:
        if self.style not in ("sentences", "sequence"):
            raise InputError(f"text style {self.style!r} is unknown; choose sentences or sequence")
        if len(set(self._phrases())) != len(self.vocabulary.primitives):
            raise InputError(f"two primitives of {self.vocabulary.name!r} read the same in text")

    def _phrases(self) -> list[str]:
        phrase = describe if self.style == "sentences" else describe_short
        return [phrase(p) for p in self.vocabulary.primitives]

    def encode(self, plan: Plan) -> Control:
        """The prompt for a plan."""
        phrases = self._phrases()
        said = [phrases[self.vocabulary.index(a)] for a in plan.actions]
        if self.style == "sentences":
            return Control("text", ". ".join(said) + ".")
        listed = ", ".join(f"'{s}'" for s in said)
        return Control("text", f"Follow this sequence of camera motions: [{listed}].")

    def decode(self, control: Control | str) -> Plan:
        """The plan behind a prompt that `encode` could have written; InputError for any other text."""
        text = control if isinstance(control, str) else str(control.value)
        names = {p: q.name for p, q in zip(self._phrases(), self.vocabulary.primitives)}
        if self.style == "sentences":
            said = re.split(r"\.\s+", text.strip().removesuffix("."))
        else:
            match = re.fullmatch(r"Follow this sequence of camera motions: \[(.*)\]\.", text.strip())
            if not match:
                raise InputError(f"not a camera-motion instruction: {text!r}")
            said = re.findall(r"'([^']*)'", match[1])
        unknown = [s for s in said if s not in names]
        if unknown or not said:
            raise InputError(f"no action of {self.vocabulary.name!r} is described by {unknown or text!r}")
        return self.vocabulary.plan(names[s] for s in said)
