"""What a metric reads: the frames that a model imagined, and whatever is known of what should have been seen."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields, replace
from typing import Any, TypeVar

import numpy as np

from worldloop.core import InputError

Array = np.ndarray
T = TypeVar("T")
TRUE = ("true clip",)
"""Under which `Clip.true` is kept; a case puts its own true clip there, so that what is computed of the truth serves all models."""


@dataclass(frozen=True, eq=False, kw_only=True)
class Clip:
    """T imagined frames and what is known beside them. What is not known is None, and metrics that need it do not apply.

    Arrays over the T steps are indexed by action: entry t is what is seen after action t. Arrays of T + 1 entries begin with the
    moment before the first action. Nothing in a clip is changed in place.
    """

    frames: Array
    """uint8 [T,H,W,3], sRGB: what the model imagined."""
    start: Array | None = None
    """uint8 [H,W,3], what was really seen before the first action."""
    truth: Array | None = None
    """uint8 [T,H,W,3], what is really seen after each action."""
    hfov_deg: float | None = None
    """Horizontal field of view of all frames, degrees; pixels are square and the optical axis meets the middle."""
    depth: Array | None = None
    """float32 [T+1,H,W], true metres along the optical axis; 0 where nothing was hit."""
    poses: Array | None = None
    """float64 [T+1,4,4], true camera-to-world."""
    segmentation: Array | None = None
    """int32 [T+1,H,W], true instance ids; 0 is nothing."""
    motion: Array | None = None
    """float64 [T,3], how each action asks the camera to move: metres forward, metres left, degrees of turn to the left. Known where
    the camera alone moves, in a world that stands still."""
    moved: Array | None = None
    """bool [T], False where the world did not let the action happen (an obstacle), so that the model is not to be blamed."""
    outcomes: Array | None = None
    """uint8 [T,A,H,W,3], what each of the A possible actions would really have shown after the true steps before t."""
    asked: Array | None = None
    """int [T], which of the A actions the plan has at step t."""
    composite: Array | None = None
    """bool [T], True where the asked action moves and turns at once."""
    twin: Array | None = None
    """uint8 [T,H,W,3], what the model imagined for doing nothing, from the same start and seed."""
    twin_truth: Array | None = None
    """uint8 [T,H,W,3], what is really seen when nothing is done."""
    revisits: Array | None = None
    """int [K,2], pairs (i, j), i < j, of entries of `poses` at which the camera truly stands and looks alike; 0 is the start."""
    replicas: Array | None = None
    """uint8 [R,T,H,W,3], the truth again under the disturbance that cannot be known (of the state or of the constants)."""
    law: Mapping[str, Any] = field(default_factory=dict)
    """What a physics test knows: its `name`, the constants and the true tracks; empty for other clips."""
    fps: float = 1.0
    """Frames for each second of what is shown."""
    kept: dict[Any, Any] = field(default_factory=dict, repr=False)
    """What `once` has computed."""

    def __post_init__(self) -> None:
        shape = self.frames.shape
        if self.frames.dtype != np.uint8 or len(shape) != 4 or shape[3] != 3 or not all(shape):
            raise InputError(f"a clip's frames are uint8 [T,H,W,3], not {self.frames.dtype} {list(shape)}")
        steps, picture = shape[:1], shape[1:]
        for name, expected in {
            "start": picture,
            "truth": shape,
            "depth": (steps[0] + 1, *picture[:2]),
            "poses": (steps[0] + 1, 4, 4),
            "segmentation": (steps[0] + 1, *picture[:2]),
            "motion": (*steps, 3),
            "moved": steps,
            "asked": steps,
            "composite": steps,
            "twin": shape,
            "twin_truth": shape,
        }.items():
            value = getattr(self, name)
            if value is not None and value.shape != expected:
                raise InputError(
                    f"a clip's {name} is {list(expected)} beside its frames, not {list(value.shape)}"
                )

    @property
    def knows(self) -> frozenset[str]:
        """Names of the fields that are filled; a law fills `law` and `law:NAME`."""
        filled = {
            f.name
            for f in fields(self)
            if f.name not in ("law", "kept") and getattr(self, f.name) is not None
        }
        return frozenset(filled | ({"law", f"law:{self.law['name']}"} if self.law else set()))

    def once(self, key: Any, compute: Callable[[], T]) -> T:
        """The result of `compute`, which several metrics share, computed the first time only."""
        if key not in self.kept:
            self.kept[key] = compute()
        found: T = self.kept[key]
        return found

    def keeper(self, name: str = "truth") -> Clip:
        """The clip whose `once` keeps what is computed of the field `name` and the truth alone.

        Itself for what a model imagined (`frames`, `twin`); else one that all clips of a case share, whoever imagined them.
        """
        return self if name in ("frames", "twin") or self.truth is None else self.true

    @property
    def true(self) -> Clip:
        """The clip of a model that imagines what really comes, to which the clips of one case come for the same object."""
        assert self.truth is not None
        truth = self.truth
        if self.frames is truth or self.once(("true",), lambda: np.array_equal(self.frames, truth)):
            return self
        return self.once(TRUE, lambda: replace(self, frames=truth, kept={}))

    @property
    def counted(self) -> Array:
        """bool [T]: the steps that the world let happen; all of them where that is not known."""
        return np.ones(len(self.frames), bool) if self.moved is None else self.moved
