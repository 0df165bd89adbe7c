"""What is measured: something that answers cases with frames. Here a world model; videos are in `videos`."""

from __future__ import annotations

import json
import logging
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, Protocol

import numpy as np

from worldloop.core import (
    InputError,
    MissingExtraError,
    Plan,
    Query,
    SplitError,
    UnaskableError,
    WorldloopError,
    WorldModel,
    derive_seed,
)
from worldloop.engine.onward import Imagined, imagine, unread
from worldloop.metrics.cases import Case

log = logging.getLogger(__name__)


@dataclass(frozen=True, eq=False)
class Answer:
    """What became of one case."""

    status: str
    """`asked`, `unfit` or `failed`, as in a line of the journal."""
    frames: np.ndarray | None = None
    """uint8 [T,H,W,3]."""
    twin: np.ndarray | None = None
    """uint8 [T,H,W,3], imagined for doing nothing; None where the case has no such plan or it could not be had."""
    reason: str = ""
    """Why there are no frames, or no twin."""
    seconds: float = 0.0
    """Model time."""
    twin_status: str = ""
    """What became of doing nothing, as `status`; empty where the case has no such plan or it was not asked for."""
    twin_reason: str = ""
    """Why there is no twin, where `reason` says why there are no frames."""


class Subject(Protocol):
    """Something to be measured."""

    @property
    def name(self) -> str:
        """What tables call it."""
        ...

    def identity(self) -> dict[str, Any]:
        """JSON-ready: all that its answers depend on beside the cases, `model` being its name."""
        ...

    def about(self) -> dict[str, Any]:
        """For the header: `model_card`, `weights_hash` and `privileges`."""
        ...

    def check_scenes(self, scenes: set[str]) -> None:
        """SplitError when it was made from some of these."""
        ...

    def source(self, case: str) -> str:
        """Hash of what the answer to the case of this id is read from; empty where answers depend on `identity` alone."""
        ...

    def ask(self, cases: Sequence[Case], twins: bool = True) -> list[Answer]:
        """An answer for each case, in order, which depends on that case alone; with `twins`, also to doing nothing."""
        ...


class ModelSubject:
    """A world model, asked as when it is played: long plans in chunks from its own frames."""

    def __init__(self, model: WorldModel, chunk: int = 8, retries: int = 1) -> None:
        """retries: further attempts after a call of a single question failed for a reason that may pass."""
        if not model.card.imagines:
            raise InputError(
                f"model {model.card.name!r} imagines nothing, so there is nothing to measure; name another"
            )
        self.model, self.chunk, self.retries = model, chunk, retries
        self.name = model.card.name

    def identity(self) -> dict[str, Any]:
        """The model's name and settings, and how long its chunks are."""
        settings = {k: v for k, v in self.model.card.settings.items() if k != "training_scenes"}
        return json.loads(json.dumps({"model": self.name, "model_settings": settings, "chunk": self.chunk}))  # type: ignore[no-any-return]

    def about(self) -> dict[str, Any]:
        """Its card."""
        card = self.model.card
        return {
            "model_card": json.loads(json.dumps(asdict(card))),
            "weights_hash": card.weights_hash,
            "privileges": tuple(sorted(card.privileges)),
        }

    def check_scenes(self, scenes: set[str]) -> None:
        """SplitError when the model was trained on some of these."""
        if overlap := sorted(scenes & set(self.model.card.settings.get("training_scenes", ()))):
            raise SplitError(
                f"model {self.name!r} was trained on {len(overlap)} of these scenes, such as {overlap[0]!r}"
            )

    def source(self, case: str) -> str:
        """A model is known by its identity."""
        return ""

    def ask(self, cases: Sequence[Case], twins: bool = True) -> list[Answer]:
        """Plans go in together, then twins; where a call fails, its questions are asked one by one, so that only the guilty fail."""
        reasons = [self._unfit(case) for case in cases]
        fit = [c for c, reason in zip(cases, reasons) if reason is None]
        paired = [c for c in fit if twins and c.twin is not None]
        plans = self._all([_query(c, c.query.plan) for c in fit])
        still = self._all([_query(c, c.twin) for c in paired if c.twin is not None])
        of_plan, of_twin = dict(zip(map(id, fit), plans)), dict(zip(map(id, paired), still))
        return [
            Answer("unfit", reason=reason)
            if reason is not None
            else _answer(of_plan[id(c)], of_twin.get(id(c)))
            for c, reason in zip(cases, reasons)
        ]

    def _unfit(self, case: Case) -> str | None:
        """Why a case cannot be asked at all; None if it can."""
        card, query = self.model.card, case.query
        if (refuses := getattr(self.model, "refuses", None)) is not None:
            reason: str | None = refuses(query.plan.vocabulary)
            if reason is not None:
                return reason
        if missing := unread(card, query.history[-1]):
            return f"it reads {', '.join(missing)}, which the case does not show"
        if "simulator" in card.privileges and query.simulator is None:
            return "it runs the simulator, which the case does not lend"
        return None

    def _all(self, queries: Sequence[Query]) -> list[Imagined | Exception]:
        size = max(1, int(getattr(self.model, "max_batch", 64)))
        return [x for i in range(0, len(queries), size) for x in self._some(queries[i : i + size])]

    def _some(self, queries: Sequence[Query]) -> list[Imagined | Exception]:
        attempts = 1 + (self.retries if len(queries) == 1 else 0)
        problem: Exception | None = None
        for _ in range(attempts):
            try:
                return list(imagine(self.model, queries, self.chunk, "measure"))
            except MissingExtraError:
                raise  # what is not installed is no fault of the model
            except Exception as error:
                log.warning("model %s: %s", self.name, error, exc_info=not isinstance(error, WorldloopError))
                problem = error
                if isinstance(error, UnaskableError):
                    break
        if len(queries) == 1 and problem is not None:
            return [problem]
        return [x for q in queries for x in self._some([q])]


def _query(case: Case, plan: Plan) -> Query:
    """The same seed for the plan and for its twin, and another one for each case."""
    return replace(case.query, plan=plan, seed=derive_seed("case", case.spec.id))


def _answer(plan: Imagined | Exception, twin: Imagined | Exception | None) -> Answer:
    if isinstance(plan, Exception):
        # A model that cannot be asked to do nothing is unfit for what compares with it, also where it fails otherwise.
        if isinstance(twin, UnaskableError):
            return Answer(_blamed(plan), reason=said(plan), twin_status="unfit", twin_reason=said(twin))
        return Answer(_blamed(plan), reason=said(plan))
    frames, seconds = np.stack([f.rgb for f in plan.frames]), plan.seconds
    if isinstance(twin, Imagined):
        still = np.stack([f.rgb for f in twin.frames])
        return Answer("asked", frames, still, seconds=seconds + twin.seconds, twin_status="asked")
    if twin is None:
        return Answer("asked", frames, seconds=seconds)
    return Answer("asked", frames, None, said(twin), seconds, _blamed(twin))


def _blamed(error: Exception) -> str:
    """`unfit` for what the model says it cannot be asked, and nothing else."""
    return "unfit" if isinstance(error, UnaskableError) else "failed"


def said(error: Exception) -> str:
    """An error in words, of a length that fits a journal."""
    text = str(error) if isinstance(error, WorldloopError) else f"{type(error).__name__}: {error}"
    return text[:1000]
