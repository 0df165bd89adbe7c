"""Low-rank adapters in files: those that `worldloop train sft` wrote, and any other that diffusers can read."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load_file

from worldloop.core import InputError
from worldloop.models.diffusers.folder import FAULTS, PICKLED, PipelineFolder, hash_of_weights, read_json
from worldloop.models.diffusers.prompt_control import CONTROL_FILE, PromptControl, load_control

WEIGHTS = "adapter_model.safetensors"
"""Name of the adapter's weights in the folder of a training."""
CARD = "card.json"
_TERMS = ("family", "control", "base", "frames", "size", "actions", "training_scenes")
"""What a card of worldloop's training says, of all that it says."""
_NAME = "worldloop"


@dataclass(frozen=True, eq=False)
class Adapter:
    """An adapter on this machine."""

    weights: Path
    """A safetensors file."""
    card: Mapping[str, Any] | None = None
    """What worldloop's training says of it; None for an adapter from elsewhere."""
    control: PromptControl | None = None
    """For adapters that were trained on codes or poses."""
    control_file: Path | None = None

    @property
    def files(self) -> list[Path]:
        """What its behaviour depends on."""
        return [f for f in (self.weights, self.control_file) if f is not None]


def open_adapter(path: str | Path) -> Adapter:
    """The adapter in a file or folder; InputError where there is none, more than one, or a pickled one."""
    place = Path(path)
    if place.suffix in PICKLED:
        raise InputError(f"{place} is pickled, which can run code when it is read; convert it to safetensors")
    if place.is_file():
        return Adapter(place)
    found = sorted(place.glob("*.safetensors")) if place.is_dir() else []
    card = read_json(place / CARD)
    if card is not None and (place / WEIGHTS).is_file() and "family" in card:
        if missing := [t for t in _TERMS if t not in card]:
            raise InputError(f"{place / CARD} does not say {', '.join(missing)}; train the adapter again")
        file = place / CONTROL_FILE
        if card.get("control") == "text":
            return Adapter(place / WEIGHTS, card)
        return Adapter(place / WEIGHTS, card, load_control(file), file)
    if len(found) != 1:
        raise InputError(
            f"{place} is no adapter: give a safetensors file, a folder with exactly one, or what `worldloop train sft "
            "--base FOLDER` wrote"
        )
    return Adapter(found[0])


def check_base(adapter: Adapter, folder: PipelineFolder, part: str) -> None:
    """InputError when an adapter of worldloop's was trained on other weights than the part it is meant for."""
    if adapter.card is None:
        return
    here = hash_of_weights((folder.root / part, folder.root / "vae"))
    if adapter.card.get("base") != here:
        raise InputError(
            f"{adapter.weights.parent} was trained on weights {adapter.card.get('base')}, but {part} and vae of "
            f"{folder.root} are {here}; give the folder that --base named"
        )


def attach(pipe: Any, part: str, adapter: Adapter) -> None:
    """Load an adapter onto a part of a pipeline, in place; InputError when it does not belong there."""
    module = getattr(pipe, part)
    if not hasattr(module, "load_lora_adapter"):
        raise InputError(f"a {type(module).__name__} takes no adapters")
    try:
        state = load_file(adapter.weights)
        # The pipelines' own loaders know the spellings of other trainers; not every pipeline has one.
        if hasattr(pipe, "load_lora_weights"):
            other = {"load_into_transformer_2": True} if part == "transformer_2" else {}
            pipe.load_lora_weights(state, adapter_name=_NAME, **other)
        else:
            prefixed = any(name.startswith("transformer.") for name in state)
            module.load_lora_adapter(state, prefix="transformer" if prefixed else None, adapter_name=_NAME)
    except (*FAULTS, SafetensorError) as error:
        raise InputError(f"{adapter.weights} cannot be loaded onto {part}: {error}") from None
    if _NAME not in getattr(module, "peft_config", {}):
        raise InputError(f"{adapter.weights} holds no adapter for the {part} of {type(pipe).__name__}")
