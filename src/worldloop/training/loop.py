"""The training loop: steps that can be stopped anywhere and go on as if nothing had happened.

A step's batch depends on the seed and the number of the step alone, so there is no state of a data loader to keep;
weights, optimiser and averages lie in one safetensors file that is replaced as a whole.
"""

from __future__ import annotations

import json
import logging
import math
import os
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor, nn

from worldloop.core import InputError, derive_seed, generator
from worldloop.core.errors import MissingExtraError

log = logging.getLogger(__name__)
CHECKPOINT = "training.safetensors"
MOMENTS = ("step", "exp_avg", "exp_avg_sq", "momentum_buffer")
"""What the optimisers remember of a parameter."""


@dataclass(frozen=True)
class LoopConfig:
    """Settings of `train`."""

    steps: int
    batch: int
    """Examples per step over all processes."""
    learning_rate: float = 3e-4
    weight_decay: float = 0.01
    warmup: int = 50
    """Steps over which the learning rate rises from 0."""
    decay: str = "cosine"
    """After the warm-up: `cosine` down to a tenth, or `constant`."""
    clip_norm: float = 1.0
    average: float = 0.0
    """Decay per step of the averaged weights that are kept in the end; 0 keeps the last ones."""
    checkpoint_seconds: float = 60.0
    precision: str = "auto"
    """`fp32`, `bf16`, or `auto`: bf16 where the device multiplies matrices faster in it."""
    seed: int = 0

    def __post_init__(self) -> None:
        if self.steps < 1 or self.batch < 1 or not self.learning_rate > 0 or not 0 <= self.average < 1:
            raise InputError(
                "training needs steps and batch of at least 1, a learning rate above 0 and an average in [0,1)"
            )
        if self.decay not in ("cosine", "constant") or self.precision not in ("auto", "fp32", "bf16"):
            raise InputError("decay is cosine or constant; precision is auto, fp32 or bf16")

    def rate(self, step: int) -> float:
        """The learning rate of a step, from 0."""
        if step < self.warmup:
            return self.learning_rate * (step + 1) / self.warmup
        if self.decay == "constant":
            return self.learning_rate
        share = (step - self.warmup) / max(1, self.steps - self.warmup)
        return self.learning_rate * (0.1 + 0.9 * 0.5 * (1 + math.cos(math.pi * min(share, 1.0))))


@dataclass(frozen=True)
class StepInput:
    """What the loss of one step on one process may draw on."""

    step: int
    random: np.random.Generator
    """The same on every process: draw the whole batch, then take the rows of this process."""
    rows: slice
    """The rows of the batch that this process works on."""
    device: torch.device


def local_device() -> torch.device:
    """Where this process trains: its own GPU, or the CPU."""
    if not torch.cuda.is_available():
        return torch.device("cpu")
    return torch.device("cuda", int(os.environ.get("LOCAL_RANK", "0")))


def start_accelerator(precision: str) -> Any:
    """An accelerate.Accelerator: one CPU, one GPU, or many by accelerate's launcher. MissingExtraError without."""
    try:
        from accelerate import Accelerator
        from accelerate.state import AcceleratorState
    except ModuleNotFoundError as error:
        raise MissingExtraError("training", "train") from error
    if precision == "auto":
        precision = "bf16" if _fast_bf16() else "fp32"
    # The precision is kept for the whole process; a second training may want another one.
    AcceleratorState._reset_state()
    return Accelerator(mixed_precision="bf16" if precision == "bf16" else "no")


def _fast_bf16() -> bool:
    if torch.cuda.is_available():
        return torch.cuda.is_bf16_supported()
    # Neither function is public in every torch from 2.6 on.
    known = (getattr(torch.cpu, f"_is_{n}_supported", None) for n in ("avx512_bf16", "amx_tile"))
    return any(supported() for supported in known if supported is not None)


def _optimisers(
    weights: Mapping[str, nn.Parameter], muon: Collection[str], config: LoopConfig
) -> list[torch.optim.Optimizer]:
    """Muon for the named matrices, AdamW for all else; both understand the same learning rate."""
    rest = {n: p for n, p in weights.items() if n not in muon}
    groups = [
        {"params": [p for p in rest.values() if p.ndim > 1], "weight_decay": config.weight_decay},
        {"params": [p for p in rest.values() if p.ndim <= 1], "weight_decay": 0.0},
    ]
    made: list[torch.optim.Optimizer] = []
    if rest:
        groups = [g for g in groups if g["params"]]
        made.append(torch.optim.AdamW(groups, lr=config.learning_rate, betas=(0.9, 0.99)))
    if muon:
        if not hasattr(torch.optim, "Muon"):
            raise InputError(f"the Muon optimiser comes with torch 2.9, this is {torch.__version__}")
        hidden = [p for n, p in weights.items() if n in muon]
        made.append(
            torch.optim.Muon(
                hidden,
                lr=config.learning_rate,
                weight_decay=config.weight_decay,
                adjust_lr_fn="match_rms_adamw",
            )
        )
    return made


def train(
    model: nn.Module,
    loss: Callable[[nn.Module, StepInput], Tensor],
    config: LoopConfig,
    out: str | Path,
    progress: Callable[[int, float], None] | None = None,
    muon: Collection[str] = (),
    about: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """Train the parameters of `model` that require gradients, in place; returns facts for the card.

    `loss(model, input)` is a scalar. `muon` names the matrices that the Muon optimiser takes (Jordan 2024);
    AdamW takes the rest. Progress is kept in `out`: the same call goes on where it was
    killed and ends with the same weights (on a CPU bit for bit). `about` tells this training from others of the
    same settings and shapes, JSON-serialisable. Raises InputError when `out` holds the
    training of something else, and when the loss stops being a number.
    """
    accelerator = start_accelerator(config.precision)
    out = Path(out)
    out.mkdir(parents=True, exist_ok=True)
    names = [n for n, p in model.named_parameters() if p.requires_grad]
    if not names:
        raise InputError("nothing to train: no parameter requires a gradient")
    model.to(accelerator.device)
    weights = {n: p for n, p in model.named_parameters() if p.requires_grad}
    optimisers = _optimisers(weights, muon, config)
    average = {n: p.detach().clone() for n, p in weights.items()} if config.average else {}
    state = _State(out / CHECKPOINT, config, weights, optimisers, average, about)
    step, seconds, losses = state.load()
    prepared = accelerator.prepare_model(model) if accelerator.num_processes > 1 else model
    share = config.batch // accelerator.num_processes
    if share * accelerator.num_processes != config.batch:
        raise InputError(
            f"a batch of {config.batch} cannot be split over {accelerator.num_processes} processes"
        )
    rows = slice(accelerator.process_index * share, (accelerator.process_index + 1) * share)
    model.train()
    begun = saved = time.perf_counter()
    while step < config.steps:
        for group in (g for optimiser in optimisers for g in optimiser.param_groups):
            group["lr"] = config.rate(step)
        random = generator(config.seed, "training step", step)
        # Dropout inside the model draws from torch's own generator.
        torch.manual_seed(derive_seed(config.seed, "torch", step, accelerator.process_index))
        with accelerator.autocast():
            value = loss(prepared, StepInput(step, random, rows, accelerator.device))
        accelerator.backward(value)
        torch.nn.utils.clip_grad_norm_(weights.values(), config.clip_norm)
        for optimiser in optimisers:
            optimiser.step()
            optimiser.zero_grad(set_to_none=True)
        if average:
            warm = min(config.average, (1 + step) / (10 + step))
            torch._foreach_lerp_(list(average.values()), [p.detach() for p in weights.values()], 1 - warm)
        number = float(value.detach())
        if not math.isfinite(number):
            raise InputError(f"the loss became {number} at step {step}; lower the learning rate")
        losses.append(number)
        step += 1
        if accelerator.is_main_process:
            if progress is not None:
                progress(step, number)
            now = time.perf_counter()
            if now - saved > config.checkpoint_seconds and step < config.steps:
                state.save(step, seconds + now - begun, losses)
                saved = now
    seconds += time.perf_counter() - begun
    if accelerator.is_main_process:
        state.save(step, seconds, losses)
    if average:
        with torch.no_grad():
            for name, parameter in weights.items():
                parameter.copy_(average[name])
    model.eval()
    return {
        "steps": step,
        "batch": config.batch,
        "seconds": round(seconds, 1),
        "examples_per_second": round(step * config.batch / max(seconds, 1e-9), 2),
        "trained_parameters": sum(p.numel() for p in weights.values()),
        "device": _device_name(accelerator.device),
        "precision": str(accelerator.mixed_precision),
        "losses": curve(losses),
        "loop": asdict(config),
    }


def curve(losses: list[float], points: int = 50) -> list[tuple[int, float]]:
    """At most `points` means of a loss over equal spans: (last step, mean)."""
    spans = np.array_split(np.arange(len(losses)), min(points, len(losses)))
    return [(int(s[-1]) + 1, round(float(np.mean([losses[i] for i in s])), 6)) for s in spans if len(s)]


def _device_name(device: torch.device) -> str:
    return torch.cuda.get_device_name(device) if device.type == "cuda" else f"cpu x {torch.get_num_threads()}"


class _State:
    """Weights, optimiser and averages of a training that is under way, in one file."""

    def __init__(
        self,
        path: Path,
        config: LoopConfig,
        weights: Mapping[str, nn.Parameter],
        optimisers: Sequence[torch.optim.Optimizer],
        average: dict[str, Tensor],
        about: Mapping[str, Any] | None,
    ) -> None:
        self._path, self._weights, self._average = path, weights, average
        self._state_of = {p: o.state for o in optimisers for g in o.param_groups for p in g["params"]}
        shapes = {n: list(p.shape) for n, p in weights.items()}
        identity = {"loop": asdict(config), "shapes": shapes} | ({"about": dict(about)} if about else {})
        self._identity = json.dumps(identity, sort_keys=True)

    def save(self, step: int, seconds: float, losses: list[float]) -> None:
        """Replace the file as a whole."""
        tensors = {f"weight/{n}": p.detach().cpu().contiguous() for n, p in self._weights.items()}
        tensors |= {f"average/{n}": p.cpu().contiguous() for n, p in self._average.items()}
        for name, parameter in self._weights.items():
            moments = self._state_of[parameter].get(parameter, {})
            tensors |= {f"{k}/{name}": v.detach().cpu().contiguous() for k, v in moments.items()}
        tensors["losses"] = torch.tensor(losses, dtype=torch.float64)
        facts = {"identity": self._identity, "step": str(step), "seconds": repr(seconds)}
        temporary = self._path.with_suffix(".tmp")
        temporary.write_bytes(save(tensors, facts))
        temporary.replace(self._path)

    def load(self) -> tuple[int, float, list[float]]:
        """Step, seconds and losses so far, with everything put back; zeros for a fresh start."""
        if not self._path.exists():
            return 0, 0.0, []
        try:
            with safe_open(self._path, "pt") as file:
                facts = file.metadata() or {}
                tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
            identity, step, seconds = facts["identity"], int(facts["step"]), float(facts["seconds"])
        except (SafetensorError, KeyError, ValueError, OSError) as error:
            raise InputError(f"{self._path} cannot be read ({error}); delete it to start anew") from None
        if identity != self._identity:
            raise InputError(
                f"{self._path} belongs to a training with other settings; choose another --out, or delete it"
            )
        with torch.no_grad():
            for name, parameter in self._weights.items():
                parameter.copy_(tensors[f"weight/{name}"])
                if name in self._average:
                    self._average[name].copy_(tensors[f"average/{name}"])
                kinds = [k for k in MOMENTS if f"{k}/{name}" in tensors]
                # Adam counts its steps on the CPU, whatever the device.
                self._state_of[parameter][parameter] = {
                    k: tensors[f"{k}/{name}"].to("cpu" if k == "step" else parameter.device) for k in kinds
                }
        log.info("going on at step %d of %s", step, self._path)
        return step, seconds, [float(v) for v in tensors["losses"]]
