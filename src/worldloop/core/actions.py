"""Actions: named primitives with a physical meaning, or points of a continuous box."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from worldloop.core.errors import InputError


@dataclass(frozen=True, slots=True)
class Primitive:
    """One named action of a discrete vocabulary, in the agent's body frame."""

    name: str
    forward: float = 0.0
    """Metres along the viewing direction."""
    left: float = 0.0
    """Metres to the left."""
    yaw_deg: float = 0.0
    """Degrees, positive turns left (counter-clockwise seen from above)."""
    stops: bool = False
    """Ends the episode."""


@dataclass(frozen=True, slots=True)
class Action:
    """One action: the name of a primitive, or the values of a continuous command."""

    name: str
    values: tuple[float, ...] = ()

    def __str__(self) -> str:
        return self.name if not self.values else f"{self.name}({', '.join(f'{v:g}' for v in self.values)})"


@dataclass(frozen=True)
class Vocabulary:
    """A set of actions an environment understands: primitives, or a box of continuous commands.

    A vocabulary has primitives or a box, never both. The box is given by `low` and `high`, with one
    name in `fields` per dimension.
    """

    name: str
    primitives: tuple[Primitive, ...] = ()
    fields: tuple[str, ...] = ()
    low: tuple[float, ...] = ()
    high: tuple[float, ...] = ()
    _index: dict[str, int] = field(init=False, repr=False, compare=False, hash=False, default_factory=dict)

    def __post_init__(self) -> None:
        if bool(self.primitives) == bool(self.fields):
            raise InputError(f"vocabulary {self.name!r} needs primitives or a box, and not both")
        if not len(self.fields) == len(self.low) == len(self.high):
            raise InputError(f"vocabulary {self.name!r}: fields, low and high differ in length")
        names = [p.name for p in self.primitives]
        if len(set(names)) != len(names):
            raise InputError(f"vocabulary {self.name!r} repeats a primitive")
        self._index.update({name: i for i, name in enumerate(names)})

    @property
    def discrete(self) -> bool:
        """True for named primitives, False for a continuous box."""
        return bool(self.primitives)

    def primitive(self, action: Action | str) -> Primitive:
        """The primitive behind an action; InputError when this vocabulary has none of that name."""
        return self.primitives[self.index(action)]

    def index(self, action: Action | str) -> int:
        """Position of a primitive in this vocabulary."""
        name = action if isinstance(action, str) else action.name
        try:
            return self._index[name]
        except KeyError:
            known = ", ".join(self._index) or "(a continuous box)"
            raise InputError(f"{self.name!r} has no action {name!r}; it has: {known}") from None

    def validate(self, action: Action) -> Action:
        """The action itself if it belongs to this vocabulary, else InputError."""
        if self.discrete:
            self.index(action)
            if action.values:
                raise InputError(f"{action.name!r} is a named primitive and takes no values")
            return action
        if len(action.values) != len(self.fields):
            raise InputError(f"{self.name!r} takes {len(self.fields)} values, got {len(action.values)}")
        for name, value, low, high in zip(self.fields, action.values, self.low, self.high):
            if not low <= value <= high:
                raise InputError(f"{self.name!r}: {name} = {value!r} is outside [{low:g}, {high:g}]")
        return action

    def plan(self, actions: Iterable[Action | str | Sequence[float]]) -> Plan:
        """A plan from actions, primitive names or value sequences, each validated."""
        out = []
        for a in actions:
            if isinstance(a, str):
                a = Action(a)
            elif not isinstance(a, Action):
                a = Action(self.name, tuple(float(v) for v in a))
            out.append(self.validate(a))
        return Plan(self, tuple(out))


@dataclass(frozen=True)
class Plan:
    """L actions of one vocabulary."""

    vocabulary: Vocabulary
    actions: tuple[Action, ...]

    def __post_init__(self) -> None:
        if not self.actions:
            raise InputError("a plan needs at least one action")

    def __len__(self) -> int:
        return len(self.actions)

    def __str__(self) -> str:
        return " ".join(map(str, self.actions))

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the actions, in order."""
        return tuple(a.name for a in self.actions)
