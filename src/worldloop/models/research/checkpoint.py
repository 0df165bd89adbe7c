"""Checkpoints of research code, which are pickles: read without running what may be hidden in them.

torch reads tensors and plain values from a pickle without calling anything. Beyond these, only classes are let in
that are harmless or run anyway: those of the clone itself, of torch's layers and optimisers and of a few libraries. A
file that names anything else, a function above all, is refused unless the user says that it can be trusted.
"""

from __future__ import annotations

import argparse
import hashlib
import importlib
import pickle
from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from worldloop.core import InputError
from worldloop.models.research.clone import Clone, muffled

HARMLESS: Mapping[str, type] = {
    "argparse.Namespace": argparse.Namespace,
    "builtins.dict": dict,
    "collections.defaultdict": defaultdict,
}
"""Plain values besides those that torch reads anyway."""
LIBRARIES = ("torch.nn.modules.", "torch.optim.", "einops.layers.torch.", "accelerate.optimizer.")
"""Modules whose classes a pickled network is made of."""


def read_checkpoint(path: str | Path, clone: Clone | None = None, trust: bool = False) -> Any:
    """What a checkpoint holds, on the CPU.

    trust: unpickle whatever there is, which runs code from the file. Raises InputError for what cannot be read, or
    only by trusting it.
    """
    path = Path(path).expanduser()
    if not path.is_file():
        raise InputError(f"there is no checkpoint {path}")
    try:
        if path.suffix == ".safetensors":
            return load_file(path)
        if trust and clone is not None:
            with clone.importing(), muffled():
                return torch.load(path, map_location="cpu", weights_only=False)
        if trust:
            return torch.load(path, map_location="cpu", weights_only=False)
        with torch.serialization.safe_globals(_known(path, clone)):
            return torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise InputError(
            f"{path} holds more than weights ({_reason(error)}), and reading it would run code from the file. Where you "
            "trust whoever made it, add trust=true; or save the weights alone, as state_dict() gives them"
        ) from None
    except (SafetensorError, RuntimeError, EOFError, OSError, ValueError, AttributeError) as error:
        raise InputError(f"{path} cannot be read as a checkpoint: {str(error).splitlines()[0]}") from None


def _known(path: Path, clone: Clone | None) -> list[Any]:
    """The classes that a checkpoint names and that may be made from it."""
    try:
        named = torch.serialization.get_unsafe_globals_in_checkpoint(path)
    except (RuntimeError, ValueError):
        return []  # not torch's present format; it is read without any further classes, or not at all
    found = (_class(name, clone) for name in named)
    return [(c, n) for c, n in zip(found, named) if c is not None]


def _class(name: str, clone: Clone | None) -> type | None:
    module, _, attribute = name.rpartition(".")
    if name in HARMLESS:
        return HARMLESS[name]
    if clone is not None and module and clone.owns(module):
        found = clone.find(module, attribute)
    elif name.startswith(LIBRARIES):
        try:
            found = getattr(importlib.import_module(module), attribute, None)
        except ImportError:
            return None
    else:
        return None
    return found if isinstance(found, type) else None


def _reason(error: Exception) -> str:
    """The sentence of torch's long message that says what is in the way."""
    lines = [s.strip() for s in str(error).splitlines()]
    named = [s for s in lines if "GLOBAL" in s or "Unsupported" in s]
    said = (named or lines or ["no reason given"])[0].removeprefix("WeightsUnpickler error: ")
    return said.split(" was not an allowed")[0][:200]


def weights_in(found: Any, path: str | Path, *keys: str) -> dict[str, Tensor]:
    """The weights by name in a checkpoint: under the first of the keys that it has, else all of it.

    What compiling and distributed training put before the names is taken off. InputError for anything else.
    """
    inside = next((found[k] for k in keys if isinstance(found, Mapping) and k in found), found)
    if (
        not isinstance(inside, Mapping)
        or not inside
        or not all(isinstance(v, Tensor) for v in inside.values())
    ):
        raise InputError(f"{path} holds no weights by name{f' under {keys[0]}' if keys else ''}")
    return {str(k).replace("_orig_mod.", "").removeprefix("module."): v for k, v in inside.items()}


def fill(network: nn.Module, weights: Mapping[str, Tensor], path: str | Path) -> None:
    """Load weights into a network, none missing and none left; InputError where they do not fit."""
    try:
        network.load_state_dict(weights, strict=True)
    except RuntimeError as error:
        reason = "; ".join(s.strip() for s in str(error).splitlines()[1:3])
        raise InputError(
            f"the weights in {path} do not belong to this {type(network).__name__}, check its settings ({reason[:300]})"
        ) from None


def hash_of(clone: Clone | None, *files: str | Path) -> str:
    """16 hex digits that identify some files and the code that was imported from a clone."""
    whole = hashlib.sha256(clone.digest() if clone is not None else b"")
    for file in files:
        place = Path(file).expanduser()
        for path in sorted(p for p in place.rglob("*") if p.is_file()) if place.is_dir() else [place]:
            with path.open("rb") as opened:
                whole.update(path.name.encode() + hashlib.file_digest(opened, "sha256").digest())
    return whole.hexdigest()[:16]
