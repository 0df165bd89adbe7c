"""The scores of one case: every metric has one, whatever happened."""

from __future__ import annotations

import hashlib
import logging
import math
from collections.abc import Collection, Sequence
from dataclasses import fields, replace
from typing import Any

import numpy as np

from worldloop.core import MissingExtraError
from worldloop.engine.measure.subject import Answer, said
from worldloop.metrics.cases import Case
from worldloop.metrics.clip import Clip
from worldloop.metrics.metric import Metric

log = logging.getLogger(__name__)
_traced: set[str] = set()
"""Names of metrics whose failure has been logged with its traceback."""
Score = list[Any]
"""[version, status, value, error], as the journal has it."""


def score_case(case: Case, answer: Answer, metrics: Sequence[Metric]) -> dict[str, Score]:
    """Metric -> score. MissingExtraError when a metric needs what is not installed: that is no fault of what is measured."""
    if answer.frames is None:
        plan, twin = (answer.status, answer.reason), ("unfit", answer.twin_reason)
        unaskable = answer.twin_status == "unfit"  # whatever became of the plan
        return {
            m.name: _without(m, case.truth.knows, *(twin if unaskable and "twin" in m.needs else plan))
            for m in metrics
        }
    clip, found = case.clip(answer.frames, answer.twin), {}
    for metric in metrics:
        if metric.applies(clip):
            found[metric.name] = score_clip(metric, clip)
        else:
            status = "unfit" if answer.twin_status == "unfit" else "failed"
            reason = answer.reason or "there is no answer to doing nothing"
            found[metric.name] = _without(metric, case.truth.knows, status, reason)
    return found


def score_clip(metric: Metric, clip: Clip | Sequence[Clip]) -> Score:
    """The score of a clip, or of a set of clips, for which the metric applies."""
    try:
        value = metric.score(clip)
    except MissingExtraError:
        raise
    except Exception as error:
        # One traceback says it all, however many clips there are.
        log.warning("metric %s failed: %s", metric.name, error, exc_info=metric.name not in _traced)
        _traced.add(metric.name)
        return [metric.version, "failed", None, said(error)]
    if math.isnan(value):
        return [metric.version, "nothing", None, ""]
    if math.isinf(value):
        return [metric.version, "failed", None, f"metric {metric.name!r} gave an infinite value"]
    return [metric.version, "scored", value, ""]


def _without(metric: Metric, known: Collection[str], status: str, reason: str) -> Score:
    """The score where there are no frames, or not what it needs beside them."""
    if not set(metric.needs) <= set(known):
        return [metric.version, "lacking", None, ""]
    return [metric.version, status, None, reason]


def reduced(clip: Clip, metrics: Sequence[Metric]) -> Clip:
    """The clip with what these metrics need and nothing else, because whole sets of clips are held in memory."""
    needed = {"frames", "fps", "law", "hfov_deg", *(n for m in metrics for n in m.needs)}
    gone: dict[str, Any] = {f.name: None for f in fields(clip) if f.name not in (*needed, "kept")}
    return replace(clip, **gone, kept={})


def clip_key(case: Case, answer: Answer) -> str:
    """32 hex digits over everything that a metric may read of the case, and over the frames that answer it, but for the twin."""
    digest = hashlib.blake2b(case.spec.id.encode(), digest_size=16)
    digest.update(case.truth.once(("digest",), lambda: _digest(case.truth)))
    _add(digest, "imagined", answer.frames)
    return digest.hexdigest()


def _digest(clip: Clip) -> bytes:
    digest = hashlib.blake2b(digest_size=16)
    for f in fields(clip):
        if f.name != "kept":
            _add(digest, f.name, getattr(clip, f.name))
    return digest.digest()


def twin_key(answer: Answer) -> str:
    """32 hex digits over the frames that answer to doing nothing; empty where there are none."""
    if answer.twin is None:
        return ""
    digest = hashlib.blake2b(digest_size=16)
    _add(digest, "twin", answer.twin)
    return digest.hexdigest()


def _add(digest: Any, name: str, value: Any) -> None:
    if isinstance(value, np.ndarray):
        digest.update(f"{name}{value.dtype.str}{value.shape}".encode())
        digest.update(
            np.ascontiguousarray(value).tobytes()
            if value.dtype.hasobject
            else np.ascontiguousarray(value).data
        )
    elif isinstance(value, dict):
        for key in sorted(value):
            _add(digest, f"{name}.{key}", value[key])
    else:
        digest.update(f"{name}{value!r}".encode())
