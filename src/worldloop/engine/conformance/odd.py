"""Questions that come up in every run and that a model may not have thought of."""

from __future__ import annotations

from dataclasses import replace

from worldloop.core import Observation
from worldloop.engine.conformance.questions import make_queries, prepare
from worldloop.engine.conformance.report import Check, Skipped
from worldloop.engine.conformance.subject import (
    Subject,
    counted,
    difference,
    past_cut,
    same,
    shaped,
)

EXTRA = 2
"""Observations beyond those that the card asks for."""


def _short(s: Subject) -> str:
    q = past_cut(s.queries[0], 1)
    counted(q, s.one(q))
    return f"one observation, where the card says {s.card.history}"


def _long(s: Subject) -> str:
    query = prepare(s.model, make_queries(s.model, s.scene, s.horizon, 1, EXTRA)[0])
    declared = past_cut(query, s.card.history)
    a, b = counted(query, s.one(query)), s.one(declared)
    assert same(a, b), (
        f"with {len(query.history)} observations the answer differs from that with the last {s.card.history}, "
        f"{difference(a, b)}"
    )
    return f"{len(query.history)} observations, of which the last {s.card.history} count"


def _oblong(s: Subject) -> str:
    if "simulator" in s.card.privileges:
        raise Skipped("its pictures are the simulator's, whose camera is fixed")
    q = s.queries[0]
    rows = 3 * q.history[-1].rgb.shape[0] // 4
    query = replace(q, history=tuple(_cropped(o, rows) for o in q.history))
    shaped(query, counted(query, s.if_it_can(query)))
    return "x".join(map(str, query.history[-1].rgb.shape))


def _cropped(seen: Observation, rows: int) -> Observation:
    """The middle rows of what a camera sees; its field of view from left to right stays."""
    top = (seen.rgb.shape[0] - rows) // 2
    cut = slice(top, top + rows)
    return replace(
        seen,
        rgb=seen.rgb[cut],
        depth=None if seen.depth is None else seen.depth[cut],
        segmentation=None if seen.segmentation is None else seen.segmentation[cut],
    )


CHECKS = (
    Check(
        "history.short",
        "a history of one observation",
        "answer with fewer observations than card.history, as at the first decision of every episode",
        _short,
    ),
    Check(
        "history.long",
        "a history that is longer",
        "read no more than the last card.history observations, or declare more",
        _long,
    ),
    Check(
        "picture.oblong",
        "a picture that is not square",
        "return pictures of the observation's height and width, or refuse others with a ModelError",
        _oblong,
    ),
)
