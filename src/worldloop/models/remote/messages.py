"""Questions and answers as plain messages of the protocol, and back; every field is checked on the way in."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, fields
from typing import Any

import numpy as np

from worldloop.core import (
    PRIVILEGES,
    Action,
    InputError,
    ModelCard,
    Observation,
    Plan,
    Primitive,
    Query,
    Rollout,
    Vocabulary,
)
from worldloop.core.numbers import finite
from worldloop.models.remote.checks import (
    entries,
    mapping,
    numbers,
    optional_text,
    text,
    version,
    whole,
)
from worldloop.models.remote.wire import VERSION, Stack, WireError

ARRAYS = ("rgb", "panorama", "depth", "segmentation", "pose")
HEADS = ("reward", "done", "latent")


# --- questions ---------------------------------------------------------------------------------------------------


def question(queries: Sequence[Query]) -> dict[str, Any]:
    """The body of `POST /v1/rollouts`. Candidates with one history share it. InputError for a query with a simulator."""
    contexts: list[dict[str, Any]] = []
    places: dict[tuple[Any, ...], int] = {}
    candidates = []
    for query in queries:
        if query.simulator is not None:
            raise InputError("a simulator cannot be sent to another machine")
        key = tuple(map(id, query.history)), query.actions, query.plan.vocabulary.name
        if key not in places:
            places[key] = len(contexts)
            contexts.append(context(query.plan.vocabulary, query.history, query.actions))
        candidate = {"context": places[key], "actions": actions(query.plan.actions), "seed": query.seed}
        if query.alternatives:
            candidate["alternatives"] = [actions(p.actions) for p in query.alternatives]
        candidates.append(candidate)
    return {"version": VERSION, "contexts": contexts, "candidates": candidates}


def context(vocabulary: Vocabulary, history: Sequence[Observation], past: Sequence[Action]) -> dict[str, Any]:
    """What candidates share: observations, oldest first, the actions between them, and what actions mean."""
    seen = [observation(o) for o in history]
    return {"vocabulary": words(vocabulary), "observations": seen, "actions": actions(past)}


def observation(value: Observation) -> dict[str, Any]:
    """An observation; what it lacks is left out."""
    out: dict[str, Any] = {n: a for n in ARRAYS if (a := getattr(value, n)) is not None}
    if value.text is not None:
        out["text"] = value.text
    if value.extra:
        out["extra"] = {k: np.asarray(v) for k, v in value.extra.items()}
    return {**out, "hfov_deg": value.hfov_deg}


def actions(given: Iterable[Action]) -> list[Any]:
    """Names of primitives, or lists of numbers."""
    return [list(a.values) if a.values else a.name for a in given]


def words(vocabulary: Vocabulary) -> dict[str, Any]:
    """A vocabulary: `primitives` (what each means in metres and degrees), or a box: `fields`, `low` and `high`."""
    if vocabulary.discrete:
        return {"name": vocabulary.name, "primitives": [asdict(p) for p in vocabulary.primitives]}
    box = {n: list(getattr(vocabulary, n)) for n in ("fields", "low", "high")}
    return {"name": vocabulary.name, **box}


def read_question(message: Any) -> list[Query]:
    """The queries of a question, in order. WireError for what is none."""
    top = mapping(message, "a question")
    version(top)
    contexts = [read_context(c) for c in entries(top, "contexts", 1)]
    out = []
    for item in entries(top, "candidates", 1):
        asked = mapping(item, "a candidate")
        at = whole(asked, "context")
        if not 0 <= at < len(contexts):
            raise WireError(f"a candidate asks for context {at}; there are {len(contexts)}")
        box, history, past = contexts[at]
        others = tuple(read_plan(box, p) for p in entries(asked, "alternatives", 0))
        plan = read_plan(box, asked.get("actions"))
        out.append(Query(history, past, plan, whole(asked, "seed"), None, others))
    return out


def read_context(message: Any) -> tuple[Vocabulary, tuple[Observation, ...], tuple[Action, ...]]:
    """Vocabulary, observations and past actions."""
    item = mapping(message, "a context")
    box = read_words(item.get("vocabulary"))
    history = tuple(read_observation(o) for o in entries(item, "observations", 1))
    past = entries(item, "actions", 0)
    if len(past) not in (0, len(history) - 1):
        raise WireError(
            f"between {len(history)} observations there are {len(history) - 1} actions, not {len(past)}"
        )
    return box, history, read_plan(box, past).actions if past else ()


def read_words(message: Any) -> Vocabulary:
    """A vocabulary."""
    item = mapping(message, "a vocabulary")
    name = text(item, "name")
    try:
        if "primitives" in item:
            known = {f.name for f in fields(Primitive)}
            given = [mapping(p, "a primitive") for p in entries(item, "primitives", 1)]
            return Vocabulary(
                name, tuple(_primitive({k: v for k, v in p.items() if k in known}) for p in given)
            )
        names = tuple(map(str, entries(item, "fields", 1)))
        return Vocabulary(name, (), names, numbers(item, "low"), numbers(item, "high"))
    except InputError as error:
        raise WireError(str(error)) from None


def _primitive(item: Mapping[str, Any]) -> Primitive:
    text(item, "name")
    for key, value in item.items():
        if key not in ("name", "stops") and not finite(value):
            raise WireError(f"{key!r} of a primitive is a number")
    return Primitive(**item)


def read_plan(box: Vocabulary, given: Any) -> Plan:
    """A plan of a vocabulary."""
    if not isinstance(given, list) or not given:
        raise WireError("a plan is a list of at least one action")
    if not all(isinstance(a, str) or (isinstance(a, list) and all(map(finite, a))) for a in given):
        raise WireError("an action is the name of a primitive, or a list of finite numbers")
    try:
        return box.plan(given)
    except InputError as error:
        raise WireError(str(error)) from None


def read_observation(message: Any) -> Observation:
    """An observation."""
    item = mapping(message, "an observation")
    arrays = {n: item[n] for n in ARRAYS if item.get(n) is not None}
    extra = mapping(item.get("extra", {}), "extra")
    for name, array in (*arrays.items(), *extra.items()):
        if not isinstance(array, np.ndarray):
            raise WireError(f"{name!r} of an observation is an array")
    rgb = arrays.get("rgb")
    if rgb is None or rgb.dtype != np.uint8 or rgb.ndim != 3 or rgb.shape[2] != 3 or rgb.size == 0:
        raise WireError("an observation has rgb, uint8 [H,W,3]")
    view = item.get("hfov_deg", 90.0)
    if not finite(view) or not 0 < view < 360:
        raise WireError(f"hfov_deg is an angle in degrees, not {view!r}")
    return Observation(**arrays, text=optional_text(item), hfov_deg=float(view), extra=dict(extra))


# --- answers -----------------------------------------------------------------------------------------------------


def answer(rollouts: Sequence[Rollout], timing: Mapping[str, float]) -> dict[str, Any]:
    """The body that answers a question."""
    return {"version": VERSION, "rollouts": [rollout(r) for r in rollouts], "timing": dict(timing)}


def rollout(value: Rollout) -> dict[str, Any]:
    """A rollout: what all its frames have is stacked [L,...], what some lack is a list with None."""
    frames: dict[str, Any] = {n: _column([getattr(f, n) for f in value.frames]) for n in ARRAYS}
    frames = {n: column for n, column in frames.items() if column is not None}
    if names := sorted({n for f in value.frames for n in f.extra}):
        frames["extra"] = {n: _column([f.extra.get(n) for f in value.frames]) for n in names}
    if any(f.text is not None for f in value.frames):
        frames["text"] = [f.text for f in value.frames]
    frames["hfov_deg"] = [f.hfov_deg for f in value.frames]
    heads = {n: np.asarray(h) for n in HEADS if (h := getattr(value, n)) is not None}
    return {"frames": frames, **heads, "seconds": value.seconds}


def _column(values: list[Any]) -> Any:
    arrays = [None if v is None else np.asarray(v) for v in values]
    if all(a is None for a in arrays):
        return None
    if len({(a.dtype, a.shape) if a is not None else None for a in arrays}) == 1:
        return Stack(arrays)  # type: ignore[arg-type]
    return arrays


def read_answer(message: Any, count: int) -> list[Rollout]:
    """The `count` rollouts of an answer. WireError for anything else."""
    top = mapping(message, "an answer")
    version(top)
    given = entries(top, "rollouts", 0)
    if len(given) != count:
        raise WireError(f"{len(given)} rollouts came for {count} candidates")
    return [read_rollout(r) for r in given]


def read_rollout(message: Any) -> Rollout:
    """A rollout. Only `frames` with `rgb` [L,H,W,3] is needed; `hfov_deg` may be one number."""
    item = mapping(message, "a rollout")
    given = mapping(item.get("frames"), "frames")
    rgb = given.get("rgb")
    length = len(rgb) if isinstance(rgb, list) or (isinstance(rgb, np.ndarray) and rgb.ndim) else 0
    if not length:
        raise WireError("frames have rgb, uint8 [L,H,W,3]")
    columns = {n: _spread(given[n], length, n) for n in (*ARRAYS, "text") if given.get(n) is not None}
    extra = {n: _spread(v, length, n) for n, v in mapping(given.get("extra", {}), "extra").items()}
    views = given.get("hfov_deg", 90.0)
    views = _spread([views] * length if finite(views) else views, length, "hfov_deg")
    frames = []
    for i in range(length):
        one: dict[str, Any] = {n: c[i] for n, c in columns.items()}
        one["extra"] = {n: c[i] for n, c in extra.items() if c[i] is not None}
        frames.append(read_observation({**one, "hfov_deg": views[i]}))
    heads = {n: item[n] for n in HEADS if item.get(n) is not None}
    if not all(isinstance(h, np.ndarray) for h in heads.values()):
        raise WireError(f"{', '.join(HEADS)} of a rollout are arrays")
    seconds = item.get("seconds", 0.0)
    if not finite(seconds):
        raise WireError("seconds of a rollout are a number")
    return Rollout(tuple(frames), **heads, seconds=float(seconds))


def _spread(column: Any, length: int, name: str) -> list[Any]:
    if isinstance(column, np.ndarray) and column.ndim:
        column = [column[i, ...] for i in range(len(column))]
    if not isinstance(column, list) or len(column) != length:
        raise WireError(f"{name!r} has one entry for each of {length} frames")
    return column


# --- the card ----------------------------------------------------------------------------------------------------


def card_message(card: ModelCard) -> dict[str, Any]:
    """A card as JSON has it."""
    return {f.name: _plain(getattr(card, f.name)) for f in fields(ModelCard)}


def read_card(message: Any) -> ModelCard:
    """A card; fields that are not known are left alone. WireError for what is none."""
    item = mapping(message, "a card")
    known = {f.name for f in fields(ModelCard)}
    given: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in item.items() if k in known}
    for name in ("name", "summary", "control"):
        text(item, name)
    for name in ("weights_hash", "licence", "notes"):
        if not isinstance(given.get(name, ""), str):
            raise WireError(f"{name!r} of a card is a text")
    for name in ("privileges", "reads"):
        if not all(isinstance(v, str) for v in entries(item, name, 0)):
            raise WireError(f"{name!r} of a card is a list of names")
    history = given.get("history", 1)
    if isinstance(history, bool) or not isinstance(history, int) or history < 1:
        raise WireError("history of a card is a number of observations")
    if not isinstance(given.get("imagines", True), bool) or not isinstance(given.get("settings", {}), dict):
        raise WireError("imagines of a card is a truth value, and settings are an object")
    if "simulator" in given.get("privileges", ()) or set(given.get("privileges", ())) - set(PRIVILEGES):
        raise WireError("a remote model has no simulator, and no privilege that is unknown")
    return ModelCard(**given)


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(k): _plain(v) for k, v in value.items()}
    if isinstance(value, tuple | list):
        return [_plain(v) for v in value]
    return value if isinstance(value, str | int | float | bool | None) else str(value)
