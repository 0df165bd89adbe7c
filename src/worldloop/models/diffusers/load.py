"""From a folder to a pipeline in memory: weights, adapters, device, and what makes it faster or smaller."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from typing import Any

import torch

from worldloop.core import InputError
from worldloop.core.errors import MissingExtraError
from worldloop.models.diffusers.adapters import Adapter, attach, check_base
from worldloop.models.diffusers.config import DiffusersConfig
from worldloop.models.diffusers.folder import FAULTS, PipelineFolder
from worldloop.models.diffusers.pipelines import VideoPipeline

TESTED = "0.42"
"""Version of diffusers that has all of these pipelines."""


def load_pipeline(
    kind: type[VideoPipeline],
    folder: PipelineFolder,
    config: DiffusersConfig,
    device: torch.device,
    adapters: Mapping[str, Adapter],
) -> VideoPipeline:
    """The pipeline on its device, ready to be asked.

    adapters: by the part they belong to. Raises InputError for what cannot be loaded or set, MissingExtraError without
    diffusers.
    """
    try:
        import diffusers
    except ModuleNotFoundError as error:
        raise MissingExtraError("a pipeline of diffusers", "diffusers") from error
    if not hasattr(diffusers, kind.loads):
        raise InputError(
            f"diffusers {diffusers.__version__} has no {kind.loads}, {TESTED} has: pip install -U diffusers"
        )
    adapted = any(a.card is not None for a in adapters.values())
    dtype = config.torch_dtype(device)
    arguments = kind.arguments_to_load(folder, config, adapted)
    absent = {n: None for n, e in folder.index.items() if isinstance(e, list) and e and e[0] is None}
    try:
        with warnings.catch_warnings():
            # The name that every version knows; later ones would rather have it called dtype.
            warnings.filterwarnings("ignore", message=".*torch_dtype.*", category=FutureWarning)
            pipe = getattr(diffusers, kind.loads).from_pretrained(
                str(folder.root),
                torch_dtype={"default": dtype, "vae": torch.float32} if kind.wide_vae else dtype,
                use_safetensors=True,
                local_files_only=True,
                **{**absent, **arguments},
            )
    except FAULTS as error:
        raise InputError(f"{folder.root} cannot be loaded as a {kind.loads}: {error}") from None
    pipe.set_progress_bar_config(disable=True)
    made = kind(pipe, folder, config)
    denoisers = {name: getattr(pipe, name) for name in kind.denoisers(folder)}
    for part, adapter in adapters.items():
        check_base(adapter, folder, part)
        attach(pipe, part, adapter)
    if config.fp8:
        for module in denoisers.values():
            # Adapters are small, and would lose what they have learnt.
            module.enable_layerwise_casting(
                storage_dtype=torch.float8_e4m3fn, compute_dtype=dtype, skip_modules_pattern=("lora_",)
            )
    if config.offload:
        pipe.enable_model_cpu_offload(device=device)
    else:
        pipe.to(device)
    for module in denoisers.values():
        _speed_up(module, made, config)
    return made


def _speed_up(module: Any, made: VideoPipeline, config: DiffusersConfig) -> None:
    try:
        if config.attention is not None:
            module.set_attention_backend(config.attention)
        if config.cache is not None:
            from diffusers import FirstBlockCacheConfig

            if not made.caches:
                raise InputError(f"{made.loads} works with no first-block cache; leave cache out")
            module.enable_cache(FirstBlockCacheConfig(threshold=config.cache))
        if config.compile:
            module.compile_repeated_blocks()
    except FAULTS as error:
        raise InputError(f"{type(module).__name__} cannot be set up as asked: {error}") from None
