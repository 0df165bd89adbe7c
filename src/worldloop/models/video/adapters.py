"""Low-rank adapters (LoRA) of a backbone, as plain tensors: read from injected peft layers, merged without peft."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from worldloop.core import InputError

TARGETS = ("q", "k", "v", "out")
"""Names of the attention projections, for peft's `target_modules`."""


def adapter_state(backbone: nn.Module) -> dict[str, Tensor]:
    """`NAME.down` [r,in] and `NAME.up` [out,r] for each adapted layer; the scale is part of `up`.

    Reads the active adapters of peft layers that were injected into the backbone. InputError when there are
    none.
    """
    out: dict[str, Tensor] = {}
    for name, layer in _adapted(backbone):
        if (parts := _parts(layer)) is not None:
            out[f"{name}.down"], out[f"{name}.up"] = parts
    if not out:
        raise InputError("no active adapter in this backbone; inject one with peft first")
    return out


def plain_state(backbone: nn.Module) -> dict[str, Tensor]:
    """The backbone's state as if all active adapters were merged; the backbone itself stays as it is."""
    layers = dict(_adapted(backbone))
    inside = tuple(f"{name}." for name in layers)
    state = {k: v.detach() for k, v in backbone.state_dict().items() if not k.startswith(inside)}
    for name, layer in layers.items():
        base = layer.base_layer
        parts, weight = _parts(layer), base.weight.detach()
        state[f"{name}.weight"] = weight if parts is None else weight + parts[1] @ parts[0]
        if base.bias is not None:
            state[f"{name}.bias"] = base.bias.detach()
    return state


@torch.no_grad()
def merge_adapter(backbone: nn.Module, state: Mapping[str, Tensor]) -> None:
    """Add an `adapter_state` to the weights of a plain backbone, in place; InputError if it does not fit."""
    names = sorted({k.rpartition(".")[0] for k in state})
    if set(state) != {f"{n}.{part}" for n in names for part in ("down", "up")}:
        raise InputError("an adapter has one `down` and one `up` matrix for each layer; this one has not")
    layers: dict[str, Any] = dict(backbone.named_modules())
    for name in names:
        layer: Any = layers.get(name)
        down, up = state[f"{name}.down"], state[f"{name}.up"]
        fits = isinstance(layer, nn.Linear) and down.ndim == up.ndim == 2 and len(down) == up.shape[1]
        if not fits or (up.shape[0], down.shape[1]) != layer.weight.shape:
            raise InputError(f"the adapter's layer {name!r} does not fit this backbone")
        layer.weight += (up @ down).to(layer.weight)


def _adapted(backbone: nn.Module) -> Iterator[tuple[str, Any]]:
    for name, module in backbone.named_modules():
        if hasattr(module, "lora_A") and hasattr(module, "base_layer"):
            if getattr(module, "use_dora", None) and any(module.use_dora.values()):
                raise InputError("DoRA layers are not supported; use plain LoRA")
            yield name, module


def _parts(layer: Any) -> tuple[Tensor, Tensor] | None:
    """down [r,in] and scaled up [out,r] of a layer's active adapters that are not in its weights already."""
    merged = getattr(layer, "merged_adapters", [])
    names = [n for n in layer.active_adapters if n in layer.lora_A and n not in merged]
    if not names or getattr(layer, "disable_adapters", False):
        return None
    down = [layer.lora_A[n].weight.detach() for n in names]
    up = [layer.lora_B[n].weight.detach() * layer.scaling[n] for n in names]
    return torch.cat(down, 0), torch.cat(up, 1)
