"""What a model consumes: the translated form `I = C(A)` of a plan, and the interface of every translator."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from worldloop.core import Plan


@dataclass(frozen=True, eq=False)
class Control:
    """A plan in one model's control language."""

    kind: str
    """`text`, `camera`, `code`, `keys` or `vector`."""
    value: Any
    """text: str. camera: float64 [L+1,3] (x m, y m, yaw deg). code: tuple of L ints. keys: tuple of
    strings. vector: float64 [L,D]."""
    meta: Mapping[str, Any] = field(default_factory=dict)
    """What the translation could not express, such as `residual_m` left over by quantisation."""


class Translator(Protocol):
    """`C(A)`: a plan in, a control out. Bijective translators also go back."""

    @property
    def kind(self) -> str:
        """Of the controls it makes."""
        ...

    def encode(self, plan: Plan) -> Control:
        """The control for a plan; InputError when the plan's vocabulary cannot be expressed."""
        ...
