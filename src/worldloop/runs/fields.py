"""One source of truth for a record's types: its annotations check values and give the Arrow columns."""

from __future__ import annotations

import functools
import json
import math
import types
from collections.abc import Callable, Mapping
from dataclasses import fields
from typing import Any, get_args, get_origin, get_type_hints

import numpy as np
import pyarrow as pa

from worldloop.core import InputError

_INT64 = 2**63
_FIELD_TYPES: dict[type, dict[str, Any]] = {}


def field_types(record: type) -> dict[str, Any]:
    """Name -> annotation of every field of a record class, in order."""
    if record not in _FIELD_TYPES:
        hints = get_type_hints(record)
        _FIELD_TYPES[record] = {f.name: hints[f.name] for f in fields(record)}
    return _FIELD_TYPES[record]


@functools.cache
def optional(hint: Any) -> bool:
    """Whether an annotation allows None."""
    return get_origin(hint) is types.UnionType and type(None) in get_args(hint)


@functools.cache
def required(hint: Any) -> Any:
    """The annotation without its None."""
    return next(a for a in get_args(hint) if a is not type(None)) if optional(hint) else hint


def arrow_type(hint: Any) -> pa.DataType:
    """The Arrow type of one (not flattened) field."""
    hint = required(hint)
    scalar = {str: pa.string(), bool: pa.bool_(), int: pa.int64(), float: pa.float64()}
    if hint in scalar:
        return scalar[hint]
    return pa.list_(scalar[get_args(hint)[0]])


_PLAIN: dict[Any, Callable[[Any], bool]] = {
    bool: lambda v: type(v) is bool,
    float: lambda v: type(v) is float,
    int: lambda v: type(v) is int and -_INT64 <= v < _INT64,
    str: lambda v: type(v) is str and v.isascii(),
}
_PLAIN_ITEMS: dict[Any, Callable[[Any], bool]] = {
    bool: lambda v: set(map(type, v)) <= {bool},
    float: lambda v: set(map(type, v)) <= {float},
    str: lambda v: set(map(type, v)) <= {str} and all(map(str.isascii, v)),
}


@functools.cache
def as_it_is(hint: Any) -> Callable[[Any], bool]:
    """Whether a value can be stored without a closer look: what most values of a run are, told fast."""
    if optional(hint):
        fits = as_it_is(required(hint))
        return lambda v: v is None or fits(v)
    inner = get_args(hint)
    if get_origin(hint) is tuple and len(inner) == 2 and inner[1] is Ellipsis and inner[0] in _PLAIN_ITEMS:
        items = _PLAIN_ITEMS[inner[0]]
        return lambda v: type(v) is tuple and items(v)
    return _PLAIN.get(hint, lambda v: False)


def check(value: Any, hint: Any, where: str) -> Any:
    """`value` in the exact type that `hint` asks for.

    numpy scalars become Python numbers and lists become tuples; anything else that does not fit is an
    InputError that names `where`.
    """
    fits = as_it_is(hint)
    if fits(value):
        return value
    if type(value) is list and fits(items := tuple(value)):
        return items
    hint = required(hint)
    if hint is str and isinstance(value, str):
        # A path or a traceback may hold lone surrogates, which neither JSON nor Parquet can store.
        return value.encode("utf-8", "replace").decode("utf-8")
    if hint is bool and isinstance(value, bool | np.bool_):
        return bool(value)
    number = isinstance(value, int | float | np.integer | np.floating) and not isinstance(value, bool)
    if hint is int and number and not isinstance(value, float | np.floating):
        if not -_INT64 <= int(value) < _INT64:
            raise InputError(f"{where} does not fit in 64 bits: {str(value)[:40]}")
        return int(value)
    if hint is float and number:
        try:
            return float(value)
        except OverflowError:
            raise InputError(f"{where} is too large for a float") from None
    origin, inner = get_origin(hint), get_args(hint)
    if origin is tuple and isinstance(value, list | tuple | np.ndarray):
        items = tuple(check(v, inner[0], f"{where}[{i}]") for i, v in enumerate(value))
        if inner[-1] is not Ellipsis and len(items) != len(inner):
            raise InputError(f"{where} needs {len(inner)} values, got {len(items)}")
        return items
    if origin is dict and isinstance(value, Mapping):
        if inner[1] is Any:
            return plain_json(value, where)
        return {
            check(k, str, f"a key of {where}"): check(v, inner[1], f"{where}.{k}") for k, v in value.items()
        }
    name = getattr(hint, "__name__", str(hint)) if origin is None else str(hint)
    raise InputError(f"{where} should be {name}, got {type(value).__name__}")


def check_finite(value: Any, where: str) -> None:
    """InputError when a number, or a number inside a tuple or dict, is NaN or infinite."""
    values = value.values() if isinstance(value, dict) else value if isinstance(value, tuple) else (value,)
    for v in values:
        if v is not None and not math.isfinite(v):
            raise InputError(f"{where} is {v}; leave an undefined number out instead")


def canonical(value: Any) -> str:
    """JSON text that is equal for equal content: sorted keys, no spaces."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"))


def plain_json(value: Any, where: str) -> Any:
    """A copy made only of what JSON has; numpy numbers and arrays, tuples and paths are converted."""
    try:
        text = json.dumps(value, default=_convert)
        # Surrogates survive JSON escapes and would fail later, when the text is written as UTF-8.
        return json.loads(text.encode("utf-8", "replace").decode("utf-8"))
    except (TypeError, ValueError, RecursionError) as error:
        raise InputError(f"{where} cannot be written as JSON: {error}") from None


def _convert(value: Any) -> Any:
    if isinstance(value, np.generic | np.ndarray):
        return value.tolist()
    if isinstance(value, Mapping):
        return dict(value)
    if hasattr(value, "__fspath__"):
        return str(value)
    raise TypeError(f"{type(value).__name__} has no JSON form")
