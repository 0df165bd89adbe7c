"""Code controls: a named bijection from primitives to a model's integers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

from worldloop.actions.control import Control
from worldloop.actions.navigation import NAVIGATION
from worldloop.core import Plan, Vocabulary
from worldloop.core.errors import InputError

NAVIGATION_CODES: Mapping[str, int] = MappingProxyType(
    {"move_forward": 0, "turn_right": 2, "turn_left": 3, "stop": 4}
)


@dataclass(frozen=True)
class CodeTranslator:
    """Plans of named primitives <-> integers. The table is given by name, never by position."""

    vocabulary: Vocabulary = NAVIGATION
    codes: Mapping[str, int] = field(default_factory=lambda: NAVIGATION_CODES)
    kind: str = "code"

    def __post_init__(self) -> None:
        missing = {p.name for p in self.vocabulary.primitives} ^ set(self.codes)
        if missing or not self.vocabulary.discrete:
            raise InputError(f"codes and {self.vocabulary.name!r} disagree on {sorted(missing)}")
        if len(set(self.codes.values())) != len(self.codes):
            raise InputError("two actions share a code; the table must be a bijection")

    def encode(self, plan: Plan) -> Control:
        """A tuple of L codes."""
        return Control("code", tuple(self.codes[self.vocabulary.primitive(a).name] for a in plan.actions))

    def decode(self, control: Control) -> Plan:
        """The plan behind the codes; InputError for a code outside the table."""
        names = {code: name for name, code in self.codes.items()}
        try:
            return self.vocabulary.plan(names[code] for code in control.value)
        except (KeyError, TypeError):
            raise InputError(f"codes are taken from {sorted(names)}, got {control.value!r}") from None
