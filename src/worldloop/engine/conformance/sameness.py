"""A rollout depends on its query alone: not on the batch, the order, the thread, or when it is asked."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

from worldloop.core import Rollout
from worldloop.engine.conformance.report import Check, Note
from worldloop.engine.conformance.subject import Subject, difference, query_digest, same

MOST_LANES = 4
"""Calls at once that are tried."""


def _alike(wanted: list[Rollout], found: list[Rollout], when: str) -> None:
    assert len(found) == len(wanted), f"{len(found)} rollouts for {len(wanted)} queries {when}"
    for i, (a, b) in enumerate(zip(wanted, found)):
        assert same(a, b), f"rollout {i} differs {when}, {difference(a, b)}"


def _repeats(s: Subject) -> str:
    _alike(s.answers, list(s.model.simulate(s.queries)), "when asked again with the same seed")
    return ""


def _alone(s: Subject) -> str:
    start = time.perf_counter()
    found = [s.one(q) for q in s.queries]
    s.seconds_alone = (time.perf_counter() - start) / len(s.queries)
    _alike(s.answers, found, "when asked alone")
    return ""


def _reversed(s: Subject) -> str:
    _alike(s.answers, list(s.model.simulate(s.queries[::-1]))[::-1], "in another order")
    return ""


def _twice(s: Subject) -> str:
    first, second = s.model.simulate([s.queries[0]] * 2)
    assert same(first, second), (
        f"one query, twice in a batch, has two answers that differ {difference(first, second)}"
    )
    return ""


def _threads(s: Subject) -> str:
    lanes = max(1, min(s.lanes, MOST_LANES))
    asked = s.queries[: max(2, lanes)] if lanes > 1 else s.queries[:1]
    alone = [s.one(q) for q in asked]
    with ThreadPoolExecutor(lanes) as pool:
        found = list(pool.map(s.one, asked))
    _alike(alone, found, f"when {lanes} threads ask at once" if lanes > 1 else "when another thread asks")
    return f"{lanes} calls at once" if lanes > 1 else "one call at a time, from any thread"


def _untouched(s: Subject) -> str:
    now = [query_digest(q) for q in s.queries]
    assert now == s.digests, "an observation that was passed in has changed"
    return ""


def _seeds(s: Subject) -> str:
    q = s.queries[0]
    changed = not same(s.one(q), s.one(replace(q, seed=q.seed + 1)))
    return Note("another seed, another rollout" if changed else "deterministic: the seed changes nothing")


CHECKS = (
    Check(
        "seed.repeat",
        "same seed, same rollout",
        "draw every random number from query.seed: a generator of its own for each query, no global one",
        _repeats,
    ),
    Check(
        "batch.single",
        "batch equals single",
        "let no query's answer depend on what else is in the batch: no shared noise, no statistics over the batch",
        _alone,
    ),
    Check(
        "batch.order",
        "order does not matter",
        "derive nothing from a query's place in the list, and return answers in the order of the queries",
        _reversed,
    ),
    Check(
        "batch.twice",
        "the same query twice",
        "answer every query, equal ones equally; where they are answered once, copy the answer",
        _twice,
    ),
    Check(
        "threads",
        "asked from other threads",
        "keep no state of a call in the object or the thread; `lanes` (default 1) is how many calls at once it takes",
        _threads,
    ),
    Check("inputs.untouched", "inputs are not changed", "copy an array before you write into it", _untouched),
    Check("seeds", "seeds", "", _seeds),
)
