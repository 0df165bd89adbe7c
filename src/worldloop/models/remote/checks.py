"""Checks of what came in; each raises WireError saying what should stand there."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from worldloop.core.numbers import finite
from worldloop.models.remote.wire import VERSION, WireError

MOST_ENTRIES = 4096


def version(top: Mapping[str, Any]) -> None:
    if top.get("version") != VERSION:
        raise WireError(f"this is version {VERSION} of the protocol, not {top.get('version')!r}")


def mapping(value: Any, what: str) -> Mapping[str, Any]:
    if not isinstance(value, dict) or not all(isinstance(k, str) for k in value):
        raise WireError(f"{what} is an object")
    return value


def entries(item: Mapping[str, Any], name: str, least: int) -> list[Any]:
    value = item.get(name, [])
    if not isinstance(value, list) or not least <= len(value) <= MOST_ENTRIES:
        raise WireError(f"{name!r} is a list of {least} to {MOST_ENTRIES} entries")
    return value


def whole(item: Mapping[str, Any], name: str) -> int:
    value = item.get(name)
    if isinstance(value, bool) or not isinstance(value, int):
        raise WireError(f"{name!r} is a whole number")
    return value


def text(item: Mapping[str, Any], name: str) -> str:
    value = item.get(name)
    if not isinstance(value, str) or not value:
        raise WireError(f"{name!r} is a text")
    return value


def optional_text(item: Mapping[str, Any]) -> str | None:
    value = item.get("text")
    if value is not None and not isinstance(value, str):
        raise WireError("'text' of an observation is a text")
    return value


def numbers(item: Mapping[str, Any], name: str) -> tuple[float, ...]:
    values = entries(item, name, 1)
    if not all(map(finite, values)):
        raise WireError(f"{name!r} is a list of numbers")
    return tuple(float(v) for v in values)
