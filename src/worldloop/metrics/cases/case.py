"""Cases: what models are asked and scored on, known in full because a simulator made it."""

from __future__ import annotations

import difflib
import importlib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np

from worldloop.core import InputError, Observation, Plan, Query
from worldloop.metrics.clip import TRUE, Clip

DOMAINS = ("indoor", "gaming", "robotics")
"""Walking through furnished houses by camera motions; the same by held keys; an arm or bodies on a table."""


@dataclass(frozen=True, slots=True, order=True)
class CaseSpec:
    """Names a case. The same spec always builds the same case."""

    domain: str
    """One of `DOMAINS`."""
    kind: str
    """Which builder makes it, one of `KINDS`."""
    script: str
    """What is done in it, such as a key script, a loop or a physical test."""
    scene: str
    seed: int

    @property
    def id(self) -> str:
        """Unique, readable, and good as a file name."""
        return f"{self.domain}.{self.kind}.{self.script}.{self.scene.replace('/', '-')}.{self.seed}"

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready."""
        return asdict(self)


@dataclass(frozen=True, eq=False)
class Case:
    """One question to a model, with the truth."""

    spec: CaseSpec
    query: Query
    """With all privileges; `prepare` reduces it to what a model may read."""
    truth: Clip
    """The clip of a model that imagines what really comes: its frames are the truth."""
    twin: Plan | None = None
    """The plan of doing nothing for as long; None where the vocabulary has no such action."""
    prompt: str = ""
    """The plan in words, for those who make videos by hand."""
    other: Callable[[str, float], Sequence[Observation]] | None = None
    """What would be seen if the world or the plan were changed in a named way and strength: how planted defects that no change of
    pictures can make are made. InputError for a change that this case does not know."""

    def clip(self, frames: np.ndarray, twin: np.ndarray | None = None) -> Clip:
        """The clip of a model's frames uint8 [T,H,W,3], and of those it imagined for doing nothing."""
        return replace(self.truth, frames=frames, twin=twin, kept={TRUE: self.truth})


Builder = Callable[[CaseSpec], Case]
Lister = Callable[[int, int], Iterable[CaseSpec]]

KINDS: dict[str, str] = {
    "walk": "worldloop.metrics.cases.house",
    "loop": "worldloop.metrics.cases.house",
    "long": "worldloop.metrics.cases.house",
    "keys": "worldloop.metrics.cases.house",
    "compose": "worldloop.metrics.cases.house",
    "table": "worldloop.metrics.cases.table",
    "physics": "worldloop.metrics.cases.physics",
}
"""Module of each kind of case: `list_KIND(count, seed)` gives that many specs, `build_KIND(spec)` a case."""

VERSIONS = {"walk": 1, "loop": 1, "long": 1, "keys": 1, "compose": 2, "table": 1, "physics": 1}
"""Of each kind of case. Raised by hand whenever the same spec builds another case than before, be it the question or the truth, so
that no folder of scores and no table mixes both."""


def list_cases(kinds: Sequence[str], count: int, seed: int = 0) -> list[CaseSpec]:
    """`count` cases of each kind; depends on the arguments alone, and a larger count begins with those of a smaller one."""
    if count < 1:
        raise InputError(f"at least 1 case of each kind, got {count}")
    found: list[CaseSpec] = []
    for kind in kinds:
        lister: Lister = _of(kind, "list")
        found += lister(count, seed)
    return found


def build_case(spec: CaseSpec) -> Case:
    """The case that a spec names; InputError for a kind, a script or a scene that does not exist."""
    builder: Builder = _of(spec.kind, "build")
    return builder(spec)


def _of(kind: str, verb: str) -> Any:
    if kind not in KINDS:
        near = difflib.get_close_matches(kind, KINDS, 1)
        hint = f"; did you mean {near[0]!r}?" if near else f"; there are {', '.join(KINDS)}"
        raise InputError(f"no kind of case {kind!r}{hint}")
    return getattr(importlib.import_module(KINDS[kind]), f"{verb}_{kind}")
