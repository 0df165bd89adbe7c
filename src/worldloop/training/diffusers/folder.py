"""A local folder with a model of diffusers: which family it is, its parts, its hash and its licence.

Only safetensors are read, nothing is downloaded, and no code that lies in the folder is run.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from worldloop.core import InputError
from worldloop.core.errors import MissingExtraError
from worldloop.models.diffusers.folder import FAULTS, hash_of_weights, licence_of, read_json
from worldloop.training.diffusers.cogvideox import CogVideoX
from worldloop.training.diffusers.cosmos import Cosmos
from worldloop.training.diffusers.families import Family
from worldloop.training.diffusers.ltx import LTX
from worldloop.training.diffusers.wan import Wan

FAMILIES: tuple[type[Family], ...] = (Wan, LTX, CogVideoX, Cosmos)


@dataclass(frozen=True)
class ModelFolder:
    """Where the parts of a model lie."""

    root: Path
    transformer: Path
    vae: Path
    family: type[Family]
    index: Mapping[str, Any]
    """`model_index.json`, where there is one, and as `_adapted` the name of the transformer's folder."""
    scheduler: Mapping[str, Any]
    """The scheduler's settings; empty without them."""

    def part(self, name: str) -> Path | None:
        """The folder of a further part, such as `text_encoder`, where there is one."""
        return self.root / name if (self.root / name).is_dir() else None


@dataclass(eq=False)
class LoadedModel:
    """The parts that training works with."""

    folder: ModelFolder
    family: Family
    transformer: Any
    vae: Any


def open_folder(base: str | Path, vae: str | Path | None = None) -> ModelFolder:
    """Find the parts of a pipeline's folder, or of a transformer's own; InputError for what is missing or unknown.

    vae: folder of the autoencoder, where it does not lie beside the transformer.
    """
    base = Path(base)
    if not base.is_dir():
        raise InputError(f"{base} is not a folder with a model of diffusers")
    transformer = base / "transformer" if (base / "transformer").is_dir() else base
    config = read_json(transformer / "config.json")
    if config is None:
        raise InputError(
            f"{base} holds no transformer of diffusers: neither transformer/config.json nor config.json"
        )
    known = {f.transformer_class: f for f in FAMILIES}
    kind = str(config.get("_class_name"))
    if kind not in known:
        raise InputError(f"{kind} in {base} cannot be adapted; known are {', '.join(known)}")
    inside_pipeline = transformer == base and (base.parent / "model_index.json").is_file()
    root = base.parent if inside_pipeline else base
    found = Path(vae) if vae is not None else root / "vae"
    if not (found / "config.json").is_file():
        raise InputError(f"{found} holds no autoencoder; give its folder with --vae DIR")
    return ModelFolder(
        root,
        transformer,
        found,
        known[kind],
        {**(read_json(root / "model_index.json") or {}), "_adapted": transformer.name},
        read_json(root / "scheduler" / "scheduler_config.json") or {},
    )


def load_model(folder: ModelFolder, dtype: torch.dtype = torch.float32) -> LoadedModel:
    """Load transformer, in the given type, and autoencoder, in float32; both in evaluation mode and frozen.

    Raises InputError for files that cannot be read, MissingExtraError without diffusers.
    """
    try:
        import diffusers
    except ModuleNotFoundError as error:
        raise MissingExtraError("adapting a model of diffusers", "diffusers") from error
    config = read_json(folder.vae / "config.json") or {}
    kind = str(config.get("_class_name"))
    if kind not in folder.family.vae_classes:
        known = " or ".join(folder.family.vae_classes)
        raise InputError(f"the autoencoder in {folder.vae} is a {kind}, a {folder.family.name} has {known}")

    def load(name: str, place: Path, kind_of: torch.dtype) -> Any:
        try:
            model = getattr(diffusers, name).from_pretrained(
                str(place), torch_dtype=kind_of, use_safetensors=True, local_files_only=True
            )
        except FAULTS as error:
            raise InputError(f"{place} cannot be loaded as {name}: {error}") from None
        return model.eval().requires_grad_(False)

    transformer = load(folder.family.transformer_class, folder.transformer, dtype)
    vae = load(kind, folder.vae, torch.float32)
    family = folder.family(transformer, vae, folder.scheduler, folder.index)
    return LoadedModel(folder, family, family.prepare(transformer), vae)


def weights_hash(folder: ModelFolder) -> str:
    """16 hex digits that identify the weights of transformer and autoencoder."""
    return hash_of_weights((folder.transformer, folder.vae))


def licence(folder: ModelFolder) -> str | None:
    """The licence that the folder names, in its settings or in the head of its README; None where it names none."""
    return licence_of(folder.root, folder.index, read_json(folder.transformer / "config.json") or {})
