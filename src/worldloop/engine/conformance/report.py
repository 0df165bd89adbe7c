"""What the suite found, item by item."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from worldloop.engine.conformance.subject import Subject


class Skipped(Exception):  # noqa: N818 - it is an outcome, not an error
    """Raised by a check that does not apply; its text says why."""


class Note(str):
    """Returned by a check that found something worth saying and nothing to fault."""


@dataclass(frozen=True)
class Check:
    """One thing that is looked at."""

    id: str
    """Stable: other programs may rely on it."""
    name: str
    """In words."""
    advice: str
    """What to do when it fails."""
    test: Callable[[Subject], str]
    """Returns what it found, or a `Note`; raises AssertionError for a fault and Skipped where it does not apply."""
    gate: bool = False
    """Nothing after it can be judged when it fails."""


@dataclass(frozen=True)
class CheckItem:
    """The outcome of one check."""

    id: str
    """The check's."""
    name: str
    result: str
    """`pass`, `fail`, `note` or `skip`."""
    detail: str = ""
    """What was found."""
    advice: str = ""
    """What to do about it; empty unless it failed."""


@dataclass
class CheckReport:
    """All checks of one model."""

    model: str
    weights_hash: str = ""
    items: list[CheckItem] = field(default_factory=list)
    seconds_per_rollout: float | None = None
    """In a batch."""

    @property
    def passed(self) -> bool:
        """True when nothing failed."""
        return all(i.result != "fail" for i in self.items)

    def count(self, result: str) -> int:
        """How many items came out so."""
        return sum(i.result == result for i in self.items)

    @property
    def badge(self) -> str:
        """One line to put beside a model's name."""
        return f"worldloop check: {self.model}: {self.count('pass')} passed, {self.count('fail')} failed"

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready."""
        return {**asdict(self), "passed": self.passed, "badge": self.badge}
