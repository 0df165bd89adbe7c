"""Stand-ins for clones, each written once."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest


@pytest.fixture(scope="session")
def given(tmp_path_factory) -> Callable[[str], dict[str, Any]]:
    """The settings that a stand-in is loaded with, by its name; the files are not to be changed."""
    import tiny_clones

    made: dict[str, dict[str, Any]] = {}

    def of(name: str) -> dict[str, Any]:
        if name not in made:
            made[name] = getattr(tiny_clones, name)(tmp_path_factory.mktemp(name))
        return dict(made[name])

    return of


@pytest.fixture(scope="session")
def load(given) -> Callable[..., Any]:
    """A model as the command line would name it; None takes a setting away."""
    from worldloop.models import MODELS

    def of(name: str, **settings: Any) -> Any:
        wanted = {k: v for k, v in {**given(name), **settings}.items() if v is not None}
        spec = ",".join(f"{k}={str(v).lower() if isinstance(v, bool) else v}" for k, v in wanted.items())
        known = name.removesuffix("_csgo").removesuffix("_table").replace("_", "-")
        return MODELS.create(f"{known}:{spec}")

    return of
