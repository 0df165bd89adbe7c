"""Metrics: small functions of a clip, each registered with all that a reader of its score must know."""

from __future__ import annotations

import difflib
import importlib
import math
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from worldloop.core import InputError
from worldloop.metrics.clip import Clip

GROUPS = ("quality", "controllability", "geometry", "physics", "interaction", "long")
"""What `--suite` chooses from, each the name of the module or package here that holds its metrics."""
SUITES = ("full", *GROUPS)


@dataclass(frozen=True)
class Metric:
    """A score of a clip, or of many clips together."""

    name: str
    group: str
    """One of `GROUPS`."""
    compute: Callable[..., float]
    """Clip -> float, or Sequence[Clip] -> float for `over="set"`. NaN: there is nothing to score in this clip (no step that
    counts, say), which lowers the coverage. An exception is a failure and counts as `worst`."""
    summary: str
    """One line, without the unit."""
    unit: str
    """Such as `dB`, `m`, `degrees`, `pixels`; empty for shares and scores without one."""
    low: float
    """Smallest possible score; `worst` where higher is better."""
    high: float
    """Largest possible score; `worst` where lower is better. The better end may be infinite."""
    better: Literal["higher", "lower"]
    worst: float
    """What a rollout scores that failed: finite, and the end of the range. `score` cuts what is worse still, so that to fail
    never pays."""
    source: str
    """Paper or definition; says so where this is a substitute for what others call by another name."""
    needs: tuple[str, ...]
    """Fields of the clip beside `frames`; the metric applies to no clip that lacks one."""
    over: Literal["clip", "set"] = "clip"
    weights: str = ""
    """Name of the weights it needs, which are shipped unless `optional`; empty for none."""
    optional: str = ""
    """How to get what it needs when that does not come with the package; empty when it does."""
    reacts: tuple[str, ...] = ()
    """Planted defects that make it monotonically worse."""
    ignores: tuple[str, ...] = ()
    """Planted defects that leave it alone, because they are none of its business."""
    tolerance: float = 0.0
    """By how much a defect it ignores may move it, in its own unit."""
    unclaimed: tuple[str, ...] = ()
    """Kinds of case of which `reacts` and `ignores` claim nothing."""
    version: int = 1
    """Raised whenever the same clip may score differently than before."""

    def applies(self, clip: Clip) -> bool:
        """Whether the clip knows all that the metric needs."""
        return set(self.needs) <= clip.knows

    def score(self, clip: Clip | Sequence[Clip]) -> float:
        """The value, cut at `worst`; InputError for a clip that lacks something, ArithmeticError for a value out of range."""
        for one in [clip] if isinstance(clip, Clip) else clip:
            if missing := sorted(set(self.needs) - one.knows):
                raise InputError(
                    f"metric {self.name!r} needs {', '.join(missing)}, which this clip does not have"
                )
        value = float(self.compute(clip))
        if math.isfinite(value):
            value = max(value, self.worst) if self.better == "higher" else min(value, self.worst)
        slack = 1e-6 * max(1.0, abs(value)) if math.isfinite(value) else 0.0
        if not math.isnan(value) and not self.low - slack <= value <= self.high + slack:
            raise ArithmeticError(f"metric {self.name!r} gave {value:g}, outside {self.low:g}..{self.high:g}")
        return value


METRICS: dict[str, Metric] = {}
"""By name, in the order of `GROUPS`; filled by `load_metrics`."""


def metric(name: str, **about: Any) -> Callable[[Callable[..., float]], Callable[..., float]]:
    """Register a function as a metric; the first line of its docstring is the summary. Fields as in `Metric`."""

    def register(function: Callable[..., float]) -> Callable[..., float]:
        if name in METRICS:
            raise InputError(f"there is a metric {name!r} already; choose another name")
        summary = (function.__doc__ or "").strip().splitlines()[0].rstrip(".")
        METRICS[name] = Metric(name=name, compute=function, summary=summary, **about)
        return function

    return register


def load_metrics() -> dict[str, Metric]:
    """All metrics by name; imports the modules that register them."""
    for group in GROUPS:
        importlib.import_module(f"worldloop.metrics.{group}")
    order = sorted(METRICS.values(), key=lambda m: GROUPS.index(m.group))
    return {m.name: m for m in order}


def choose_metrics(suite: str = "full", names: Collection[str] = ()) -> list[Metric]:
    """The metrics of a suite, or those named; InputError with a near match for a name that is none."""
    known = load_metrics()
    if suite not in SUITES:
        raise InputError(f"no suite {suite!r}; choose {', '.join(SUITES)}")
    for name in names:
        if name not in known:
            near = difflib.get_close_matches(name, known, 1)
            hint = f"; did you mean {near[0]!r}?" if near else f"; there are {', '.join(known)}"
            raise InputError(f"no metric {name!r}{hint}")
    return [m for m in known.values() if (m.name in names if names else suite in ("full", m.group))]
