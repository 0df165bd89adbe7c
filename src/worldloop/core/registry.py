"""String ids for components: `name` or `name:key=value,key=value`."""

from __future__ import annotations

import difflib
import importlib
import inspect
import json
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, Generic, TypeVar

from worldloop.core.errors import InputError, WorldloopError

T = TypeVar("T")
_URLS = ("http://", "https://")
_DOTTED = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)+")


def parse_spec(spec: str) -> tuple[str, dict[str, Any]]:
    """Split `name:key=value,key=value`; values are read as JSON where they parse, else as text.

    A URL (`http://...`) is a name of its own.
    """
    spec = spec.strip()
    if not spec:
        raise InputError("an empty component name; see `worldloop list`")
    if spec.startswith(_URLS):
        return spec, {}
    name, _, tail = spec.partition(":")
    settings: dict[str, Any] = {}
    for item in filter(None, tail.split(",")):
        key, eq, value = item.partition("=")
        if not eq or not key.strip():
            raise InputError(f"{spec!r}: write settings as {name}:key=value,key=value")
        if key.strip() in settings:
            raise InputError(f"{spec!r} sets {key.strip()!r} twice")
        try:
            settings[key.strip()] = json.loads(value)
        except (ValueError, RecursionError):
            settings[key.strip()] = value.strip()
    return name.strip(), settings


class Registry(Generic[T]):
    """Factories by name. A factory may be given as `"module:attribute"` and is then imported when used."""

    def __init__(self, kind: str, urls: str = "") -> None:
        """urls: the name of the component that a URL stands for, as its setting `url`; none by default."""
        self.kind, self.urls = kind, urls
        self._factories: dict[str, str | Callable[..., T]] = {}
        self._summaries: dict[str, str] = {}

    def register(self, name: str, factory: str | Callable[..., T], summary: str = "") -> None:
        """Add a factory under a new name; InputError if the name is taken."""
        if name in self._factories:
            raise InputError(f"there is a {self.kind} {name!r} already; choose another name")
        self._factories[name] = factory
        self._summaries[name] = summary

    def names(self) -> list[str]:
        """All names, in the order of registration."""
        return list(self._factories)

    def summary(self, name: str) -> str:
        """The one-line summary given at registration."""
        return self._summaries[name]

    def factory(self, name: str) -> Callable[..., T]:
        """The factory behind a name, imported if need be; InputError with a near match otherwise.

        A dotted name (`package.module.Class`) that is not registered is imported as it stands, from the
        working directory too: that is how a component of your own is named on the command line.
        """
        if name not in self._factories and _DOTTED.fullmatch(name):
            return self._import(name)
        if name not in self._factories:
            near = difflib.get_close_matches(name, self._factories, 1)
            hint = f"; did you mean {near[0]!r}?" if near else f"; known: {', '.join(self._factories)}"
            raise InputError(f"no {self.kind} {name!r}{hint}")
        factory = self._factories[name]
        if isinstance(factory, str):
            module, _, attribute = factory.partition(":")
            factory = getattr(importlib.import_module(module), attribute)
        return factory  # type: ignore[return-value]

    def _import(self, name: str) -> Callable[..., T]:
        module, _, attribute = name.rpartition(".")
        here = str(Path.cwd())
        if here not in sys.path:
            sys.path.append(here)
        try:
            return getattr(importlib.import_module(module), attribute)  # type: ignore[no-any-return]
        except ImportError as error:
            raise InputError(f"no {self.kind} {name!r}: {error}") from error
        except AttributeError:
            raise InputError(f"no {self.kind} {name!r}: module {module!r} has no {attribute!r}") from None

    def create(self, spec: str, **defaults: Any) -> T:
        """Build the component a spec names; settings in the spec win over `defaults`."""
        name, settings = parse_spec(spec)
        if self.urls and name.startswith(_URLS):
            name, settings = self.urls, {"url": name}
        factory = self.factory(name)
        if not callable(factory):
            raise InputError(f"no {self.kind} {spec!r}: it is a {type(factory).__name__}, not a class")
        signature = inspect.signature(factory)
        try:
            signature.bind(**{**defaults, **settings})
        except TypeError as error:
            known = [n for n in signature.parameters if n not in defaults]
            hint = f"its settings are {', '.join(known)}" if known else "it has no settings"
            raise InputError(f"{self.kind} {spec!r}: {error}; {hint}") from None
        try:
            return factory(**{**defaults, **settings})
        except WorldloopError:
            raise
        except (TypeError, ValueError) as error:
            raise InputError(f"{self.kind} {spec!r}: {error}") from error
