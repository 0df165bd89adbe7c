"""`ResearchModel`: what the adapters share. Each reads queries and answers batches; the rest is here."""

from __future__ import annotations

import logging
import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from worldloop.core import (
    ModelCard,
    Observation,
    Query,
    Rollout,
    Vocabulary,
    WorldloopError,
    derive_seed,
)
from worldloop.core.errors import ModelError
from worldloop.models.research.config import ResearchConfig
from worldloop.models.research.noise import drawing
from worldloop.models.research.view import View

log = logging.getLogger(__name__)
TOGETHER = 8
"""Candidates at once on a GPU, unless asked otherwise."""


@dataclass(frozen=True, eq=False)
class Asked:
    """A query, translated for the model."""

    key: tuple[Any, ...]
    """Those of equal keys may share a batch."""
    seed: int
    frames: tuple[np.ndarray, ...]
    """What was seen, uint8 [H,W,3] each, oldest first."""
    control: tuple[np.ndarray, ...]
    """The plan and what else drives the model, as the adapter needs them."""


@dataclass(frozen=True, eq=False)
class Answer:
    """What the model predicts for one query."""

    frames: np.ndarray | None
    """uint8 [L,h,w,3]; None for a model that predicts latents only."""
    latent: np.ndarray | None = None
    """float32 [L,...]"""


class ResearchModel(ABC):
    """A world model of a research repository."""

    card: ModelCard

    def __init__(self, config: ResearchConfig, view: View) -> None:
        self.device = config.torch_device()
        self.view = view
        self._batch = config.batch or (1 if self.device.type == "cpu" else TOGETHER)
        self._lock = threading.Lock()

    @abstractmethod
    def _refusal(self, vocabulary: Vocabulary) -> str | None:
        """Why plans of this vocabulary cannot be answered; None if they can."""

    @abstractmethod
    def _read(self, query: Query) -> tuple[tuple[Any, ...], tuple[np.ndarray, ...]]:
        """Of a query, what must be equal within a batch, and the control; ModelError for what cannot be answered."""

    @abstractmethod
    def _answer(self, asked: Sequence[Asked]) -> list[Answer]:
        """Predictions for queries of equal keys."""

    def refuses(self, vocabulary: Vocabulary) -> str | None:
        """Why it cannot answer plans of this vocabulary, as a sentence; None if it can."""
        reason = self._refusal(vocabulary)
        return None if reason is None else f"model {self.card.name!r}: {reason}"

    def simulate(self, queries: Sequence[Query]) -> list[Rollout]:
        """One rollout per query, in order.

        Noise comes from a query's seed alone. On the CPU, where candidates are answered one at a time unless `batch` says
        otherwise, so does each rollout, bit for bit. ModelError for queries that the model cannot answer.
        """
        try:
            with self._lock:
                return self._simulated([self._asked(q) for q in queries], queries)
        except WorldloopError as error:
            if isinstance(error, ModelError) and self.card.name in str(error):
                raise
            raise ModelError(f"model {self.card.name!r}: {error}") from error
        except Exception as error:
            raise ModelError(f"model {self.card.name!r} failed: {type(error).__name__}: {error}") from error

    def _asked(self, query: Query) -> Asked:
        if not query.history:
            raise ModelError("it needs at least the present observation")
        if (reason := self._refusal(query.plan.vocabulary)) is not None:
            raise ModelError(reason)
        seen = tuple(np.asarray(o.rgb) for o in query.history[-self.card.history :])
        for rgb in seen:
            if rgb.dtype != np.uint8 or rgb.ndim != 3 or rgb.shape[2] != 3:
                raise ModelError(f"it sees uint8 [H,W,3], got {rgb.dtype}{list(rgb.shape)}")
        key, control = self._read(query)
        return Asked((len(query.plan), *key), derive_seed(query.seed, "research noise"), seen, control)

    def _simulated(self, asked: Sequence[Asked], queries: Sequence[Query]) -> list[Rollout]:
        groups: dict[tuple[Any, ...], list[int]] = {}
        for i, a in enumerate(asked):
            groups.setdefault(a.key, []).append(i)
        out: dict[int, Rollout] = {}
        for places in groups.values():
            for at in range(0, len(places), self._batch):
                some, start = places[at : at + self._batch], time.perf_counter()
                members = [asked[i] for i in some]
                with torch.no_grad(), drawing([a.seed for a in members]):
                    answers = self._answer(members)
                seconds = (time.perf_counter() - start) / len(some)
                for i, answer in zip(some, answers, strict=True):
                    out[i] = self._rollout(queries[i], answer, seconds)
        return [out[i] for i in range(len(asked))]

    def _rollout(self, query: Query, answer: Answer, seconds: float) -> Rollout:
        now = query.history[-1]
        shape, count = (now.rgb.shape[0], now.rgb.shape[1]), len(query.plan)
        if answer.latent is not None and not np.isfinite(answer.latent).all():
            raise ModelError("it produced values that are not finite")
        if answer.frames is None:
            pictures = [now.rgb.copy() for _ in range(count)]
        else:
            pictures = [self.view.back(f, shape) for f in answer.frames]
        frames = tuple(Observation(p, hfov_deg=now.hfov_deg) for p in pictures)
        return Rollout(frames, latent=answer.latent, seconds=seconds)


def finite(values: torch.Tensor) -> torch.Tensor:
    """The values themselves; ModelError where one is not finite."""
    if not values.isfinite().all():
        raise ModelError("it produced values that are not finite")
    return values
