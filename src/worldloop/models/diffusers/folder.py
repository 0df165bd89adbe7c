"""A local folder in the format of diffusers: what is in it, its hash and its licence.

Only safetensors are read, nothing is downloaded, and no code that lies in the folder is run.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from worldloop.core import InputError

FAULTS = (OSError, ValueError, TypeError, KeyError, RuntimeError, ImportError)
"""What diffusers and transformers raise for folders that they cannot load."""
LIBRARIES = ("diffusers", "transformers")
"""Where the classes of a pipeline's parts may come from."""
PICKLED = (".bin", ".pt", ".pth", ".ckpt", ".pkl", ".pickle")
GUARD = "safety_checker"
"""The one part that may come from elsewhere; it is never loaded from the folder."""


@dataclass(frozen=True)
class PipelineFolder:
    """A pipeline on this machine."""

    root: Path
    kind: str
    """Name of the pipeline's class, from `model_index.json`."""
    index: Mapping[str, Any]
    """`model_index.json`."""
    parts: tuple[str, ...]
    """Folders of its parts: `transformer`, `vae` and so on."""

    def config(self, part: str) -> dict[str, Any]:
        """The settings of a part; empty where it has none."""
        return read_json(self.root / part / "config.json") or {}

    def weights(self) -> list[Path]:
        """The folders that hold weights, in alphabetical order."""
        return [self.root / p for p in sorted(self.parts) if any((self.root / p).glob("*.safetensors"))]


def open_pipeline(folder: str | Path) -> PipelineFolder:
    """Look into a pipeline's folder without loading anything.

    InputError for what is no such folder, misses parts, holds pickled weights or would need code of its own.
    """
    root = Path(folder)
    index = read_json(root / "model_index.json")
    if index is None:
        raise InputError(f"{root} holds no pipeline of diffusers: there is no model_index.json in it")
    kind = index.get("_class_name")
    if not isinstance(kind, str):
        raise InputError(f"{root} asks for a pipeline of its own ({kind!r}); code in a folder is never run")
    parts = []
    for name, entry in index.items():
        if not isinstance(entry, list) or len(entry) != 2 or entry[0] is None or name == GUARD:
            continue
        if entry[0] not in LIBRARIES:
            raise InputError(
                f"{root}: its {name} comes from {entry[0]!r}; only classes of {' and '.join(LIBRARIES)} are loaded"
            )
        if not (root / name).is_dir():
            raise InputError(
                f"{root} lacks the folder {name!r} that its model_index.json names; copy all of it"
            )
        _refuse_pickles(root / name)
        parts.append(name)
    return PipelineFolder(root, kind, index, tuple(parts))


def _refuse_pickles(place: Path) -> None:
    pickled = sorted(p.name for p in place.iterdir() if p.suffix in PICKLED)
    if pickled and not any(place.glob("*.safetensors")):
        raise InputError(
            f"{place} holds pickled weights only ({pickled[0]}), which can run code when they are read; write them "
            "as safetensors with save_pretrained(..., safe_serialization=True) where you trust them"
        )


def hash_of_weights(places: Sequence[Path]) -> str:
    """16 hex digits that identify the safetensors files in some folders, or some such files, in this order."""
    whole = hashlib.sha256()
    for place in places:
        for path in [place] if place.is_file() else sorted(place.glob("*.safetensors")):
            facts = path.stat()
            whole.update(path.name.encode() + _digest(path.resolve(), facts.st_size, facts.st_mtime_ns))
    return whole.hexdigest()[:16]


@lru_cache(maxsize=1024)
def _digest(path: Path, size: int, changed: int) -> bytes:
    """SHA-256 of a file. Size and time of change are there so that a file is read again once it has changed."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").digest()


def licence_of(root: Path, *settings: Mapping[str, Any]) -> str | None:
    """The licence that settings name, or else the head of the folder's README; None where neither does."""
    for known in settings:
        for key in ("license", "licence"):
            if isinstance(known.get(key), str):
                return str(known[key])
    readme = root / "README.md"
    if readme.is_file():
        head = re.match(r"---\n(.*?)\n---", readme.read_text(errors="replace"), re.DOTALL)
        if head and (named := re.search(r"^licen[sc]e:\s*(\S+)", head[1], re.MULTILINE)):
            return named[1]
    return None


def read_json(path: Path) -> dict[str, Any] | None:
    """The settings in a file, None where there is no such file; InputError for anything else."""
    if not path.is_file():
        return None
    try:
        found = json.loads(path.read_text())
    except (ValueError, OSError) as error:
        raise InputError(f"{path} cannot be read: {error}") from None
    if not isinstance(found, dict):
        raise InputError(f"{path} does not hold the settings of a model")
    return found
