"""Low-rank adapters on the attention of a diffusers transformer, and their files."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from safetensors.torch import save
from torch import Tensor

from worldloop.core import InputError
from worldloop.core.errors import MissingExtraError
from worldloop.models.diffusers.adapters import WEIGHTS
from worldloop.training.diffusers.families import Family

SETTINGS = "adapter_config.json"
_NAME = "default"


def add_adapters(transformer: Any, family: Family, rank: int) -> None:
    """Put adapters of a rank, with scale 2, on a transformer and freeze the rest, in place.

    They start at zero and are float32 whatever the base is. MissingExtraError without peft.
    """
    try:
        from peft import LoraConfig
    except ModuleNotFoundError as error:
        raise MissingExtraError("low-rank adaptation", "train") from error
    transformer.requires_grad_(False)
    transformer.add_adapter(
        LoraConfig(r=rank, lora_alpha=2 * rank, target_modules=list(family.targets), bias="none"), _NAME
    )
    trained = [p for p in transformer.parameters() if p.requires_grad]
    if not trained:
        raise InputError(f"this {family.name} transformer has no layers called {', '.join(family.targets)}")
    for parameter in trained:
        parameter.data = parameter.data.float()


def adapter_state(transformer: Any) -> dict[str, Tensor]:
    """The adapters as diffusers names them in files, with their scale multiplied into the second matrix.

    Readers differ in where they look for the scale, and without one all of them take 1.
    """
    from peft import get_peft_model_state_dict

    scale = float(transformer.peft_config[_NAME].lora_alpha) / transformer.peft_config[_NAME].r
    state = get_peft_model_state_dict(transformer, adapter_name=_NAME)
    return {
        f"transformer.{name}": (value.detach().cpu() * (scale if ".lora_B." in name else 1)).contiguous()
        for name, value in state.items()
    }


def save_adapter(folder: Path, transformer: Any) -> None:
    """Write the adapters where `transformer.load_lora_adapter(folder)` and `pipeline.load_lora_weights(folder)`, with
    `weight_name="adapter_model.safetensors"`, find them."""
    from peft import LoraConfig

    used = transformer.peft_config[_NAME]
    names = sorted(used.target_modules)
    settings = LoraConfig(r=used.r, lora_alpha=used.r, target_modules=names, bias="none").to_dict()
    folder.mkdir(parents=True, exist_ok=True)
    plain = {k: sorted(v) if isinstance(v, set) else v for k, v in settings.items()}
    (folder / SETTINGS).write_text(json.dumps(plain, indent=2, sort_keys=True, default=str) + "\n")
    temporary = folder / "adapter_model.tmp"
    temporary.write_bytes(save(adapter_state(transformer), {"format": "pt"}))
    temporary.replace(folder / WEIGHTS)
