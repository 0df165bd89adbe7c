"""Tiny pipelines of diffusers, each built once."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest


@pytest.fixture(scope="session")
def folder(tmp_path_factory) -> Callable[[str], Path]:
    """The folder of a pipeline by its kind; not to be changed."""
    for name in ("diffusers", "transformers", "peft"):
        pytest.importorskip(name)
    from tiny_pipelines import save_any

    root, made = tmp_path_factory.mktemp("tiny"), {}

    def of(kind: str) -> Path:
        if kind not in made:
            made[kind] = save_any(kind, root / kind)
        return made[kind]

    return of


@pytest.fixture(scope="session")
def load(folder) -> Callable[..., Any]:
    """A world model of a kind, with small videos and few steps unless told otherwise."""
    from worldloop.models import MODELS

    def of(kind: str, place: Path | None = None, **settings: Any) -> Any:
        size = {} if kind == "hunyuan" else {"size": 256 if kind == "cosmos3" else 64}
        usual = {"steps": 1 if kind in ("svd", "cosmos3") else 2, "device": "cpu", **size}
        if kind != "svd" and "frames" not in settings and "lora" not in settings:
            usual["frames_per_action"] = 1 if kind == "cosmos3" else 2
        if kind.startswith("cosmos"):
            usual["safety"] = "false"
        wanted = {k: v for k, v in {**usual, **settings}.items() if v is not None}
        spec = ",".join(f"{k}={v}" for k, v in wanted.items())
        return MODELS.create(f"diffusers:folder={place or folder(kind)},{spec}")

    return of
