"""Navigation World Models (Bar et al., CVPR 2025, arXiv 2412.03572): diffusion over latents of four past frames.

Its control is where the camera goes: forward and left in multiples of the data's mean spacing between frames, mapped
from the data's range to [-1,1], and the turn in radians. The time that passes is told besides, in frames over 128.
"""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor

from worldloop.actions import intended_path, relative_motion
from worldloop.core import InputError, ModelCard, Plan, Query, Vocabulary
from worldloop.core.errors import MissingExtraError, ModelError
from worldloop.models.research.checkpoint import fill, hash_of, read_checkpoint, weights_in
from worldloop.models.research.clone import Clone, Repository
from worldloop.models.research.config import CloneConfig
from worldloop.models.research.model import Answer, Asked, ResearchModel, finite
from worldloop.models.research.view import View, padded, to_pictures, to_tensor

NWM = Repository(
    "NWM",
    "https://github.com/facebookresearch/nwm",
    "CC-BY-NC-4.0",
    ("models.py", "diffusion/__init__.py", "config/data_config.yaml"),
    "its main branch of 2025",
)
WIDEST = 4 / 3
"""Columns over rows of the pictures it was trained on."""
TICKS = 128
"""What the passing time is divided by; one tick is a frame of the data, of which there are four a second."""
LATENT_SCALE = 0.18215
"""What latents of Stable Diffusion's autoencoder are multiplied with."""
ROLLOUTS = ("steps", "jumps")


@dataclass(frozen=True, kw_only=True)
class NwmConfig(CloneConfig):
    """`--model nwm:clone=PATH,checkpoint=FILE,vae=FOLDER,key=value,...`"""

    name: ClassVar[str] = "nwm"
    vae: str
    """Folder of Stable Diffusion's autoencoder (`sd-vae-ft-ema`) in the format of diffusers, safetensors."""
    config: str = "config/nwm_cdit_xl.yaml"
    """The model's settings, relative to the clone or anywhere."""
    dataset: str = "recon"
    """Whose spacing a metre is measured by: a name in the clone's `config/data_config.yaml`."""
    spacing: float | None = None
    """Metres between frames of the data; None takes that of the dataset."""
    ticks: float = 1.0
    """Frames of the data, of which there are four a second, that an action takes."""
    rollout: str = "steps"
    """`steps` predicts each frame from those before it, `jumps` each from the present."""
    steps: int = 250
    """Denoising steps."""

    def __post_init__(self) -> None:
        super().__post_init__()
        self.check_counts("steps")
        self.check_positive("spacing", "ticks")
        if self.steps > 1000:
            raise InputError(f"{self.name}: at most 1000 steps, got {self.steps}")
        if self.rollout not in ROLLOUTS:
            raise InputError(f"{self.name}: rollout is {' or '.join(ROLLOUTS)}, got {self.rollout!r}")


@dataclass(frozen=True)
class NwmUnits:
    """How the model measures motion and time."""

    spacing: float
    """Metres."""
    low: tuple[float, float]
    """Forward and left that become -1, in spacings."""
    high: tuple[float, float]
    ticks: float
    jumps: bool
    farthest: float = np.inf
    """Most ticks that it was trained to look ahead."""

    def controls(self, plan: Plan) -> tuple[np.ndarray, np.ndarray]:
        """Motion float32 [L,3] and time float32 [L] of a plan of named motions.

        The motion of each action is in the frame of the camera before it, with `jumps` in that of the present camera.
        ModelError for a jump that is longer than any of the training.
        """
        path = intended_path(plan)
        moves = path[1:] if self.jumps else relative_motion(path)
        ticks = self.ticks * (np.arange(len(plan)) + 1.0 if self.jumps else np.ones(len(plan)))
        if ticks.max() > self.farthest:
            raise ModelError(
                f"it was trained to look at most {self.farthest:g} frames ahead, not {ticks.max():g}: give "
                "rollout=steps, fewer ticks or a shorter plan"
            )
        low, high = np.array(self.low), np.array(self.high)
        flat = 2 * (moves[:, :2] / self.spacing - low) / (high - low) - 1
        turn = np.radians(moves[:, 2:])
        turn = turn - 2 * np.pi * np.floor((turn + np.pi) / (2 * np.pi))
        return np.concatenate([flat, turn], 1).astype(np.float32), (ticks / TICKS).astype(np.float32)


class NwmModel(ResearchModel):
    """Predicts a frame for each action; plans of any vocabulary of named motions."""

    def __init__(self, config: NwmConfig) -> None:
        """Load clone, weights and autoencoder. InputError for what cannot be used, MissingExtraError without diffusers or
        PyYAML."""
        self.config, self.clone = config, Clone(config.clone, NWM)
        settings = self.clone.settings(config.config)
        self._side, self._context = _whole(settings, "image_size"), _whole(settings, "context_size")
        super().__init__(config, View((self._side, self._side), None if config.fit == "whole" else WIDEST))
        self.units = _units(self.clone, settings, config)
        self._vae = _autoencoder(config.vae).to(self.device)
        self._network = self._load(str(settings.get("model"))).to(self.device).eval()
        self._diffusion = self.clone.find("diffusion", "create_diffusion")(str(config.steps))
        self.card = self._card()

    def _load(self, kind: str) -> Any:
        kinds = self.clone.find("models", "CDiT_models")
        if kind not in kinds:
            raise InputError(f"the clone knows no model {kind!r}; it has {', '.join(kinds)}")
        network = kinds[kind](context_size=self._context, input_size=self._side // 8, in_channels=4)
        file = self.config.checkpoint
        found = read_checkpoint(file, self.clone, self.config.trust)
        fill(network, weights_in(found, file, "ema", "model"), file)
        return network.requires_grad_(False)

    def _card(self) -> ModelCard:
        config, units = self.config, self.units
        return ModelCard(
            f"nwm-{Path(config.checkpoint).name.partition('.')[0]}",
            "Navigation World Model in the user's own clone: diffusion over latents of past frames",
            "vector",
            history=self._context,
            weights_hash=hash_of(self.clone, config.checkpoint, config.vae),
            licence=NWM.licence,
            settings={
                "steps": config.steps,
                "rollout": config.rollout,
                "spacing": units.spacing,
                "range": [*units.low, *units.high],
                "ticks": config.ticks,
                "fit": config.fit,
                "commit": self.clone.commit(),
                "device": self.device.type,
                "trust": config.trust,
            },
            notes=f"{self._side} x {self._side}, {self._context} past frames (the oldest is repeated where there are "
            f"fewer), {config.ticks / 4:g} s for each action. For non-commercial use. "
            + ("Its checkpoint was unpickled on trust. " if config.trust else "")
            + ("On a GPU the last bits may depend on the batch." if self.device.type != "cpu" else ""),
        )

    def _refusal(self, vocabulary: Vocabulary) -> str | None:
        if vocabulary.discrete:
            return None
        return f"it is told how a camera moves, which commands of {vocabulary.name!r} do not say"

    def _read(self, query: Query) -> tuple[tuple[Any, ...], tuple[np.ndarray, ...]]:
        return (), self.units.controls(query.plan)

    def _answer(self, asked: Sequence[Asked]) -> list[Answer]:
        seen = [[self.view.put(f) for f in padded(a.frames, self._context)] for a in asked]
        context = to_tensor([np.stack(s) for s in seen], self.device)  # b t c h w
        moves, times = (
            torch.from_numpy(np.stack([a.control[i] for a in asked])).to(self.device) for i in (0, 1)
        )
        made = []
        for k in range(moves.shape[1]):
            frame = self._next(context, moves[:, k], times[:, k])
            made.append(to_pictures(frame))
            if self.config.rollout == "steps":
                context = torch.cat([context[:, 1:], frame[:, None]], 1)
        return [Answer(np.stack([m[i] for m in made])) for i in range(len(asked))]

    def _next(self, context: Tensor, move: Tensor, time: Tensor) -> Tensor:
        """The frame float32 [B,3,h,w] in [-1,1] after a motion [B,3] that takes so much time [B]."""
        b, t = context.shape[:2]
        with torch.autocast("cuda", torch.bfloat16, enabled=self.device.type == "cuda"):
            latents = self._vae.encode(context.flatten(0, 1)).latent_dist.sample() * LATENT_SCALE
            latents = latents.unflatten(0, (b, t))
            noise = torch.randn(b, *latents.shape[2:], device=self.device)
            made = self._diffusion.p_sample_loop(
                self._network.forward,
                noise.shape,
                noise,
                clip_denoised=False,
                model_kwargs={"y": move, "x_cond": latents, "rel_t": time},
                progress=False,
                device=self.device,
            )
            frames = self._vae.decode(made / LATENT_SCALE).sample
        return finite(frames.float()).clamp(-1, 1)


def _whole(settings: dict[str, Any], key: str) -> int:
    number = settings.get(key)
    if type(number) is not int or number < 1 or (key == "image_size" and number % 8):
        raise InputError(
            f"the settings of NWM say {key}: {number!r}; give the YAML file that it was trained with"
        )
    return number


def _units(clone: Clone, settings: dict[str, Any], config: NwmConfig) -> NwmUnits:
    known = clone.settings("config/data_config.yaml")
    spacing = config.spacing
    if spacing is None:
        found = known.get(config.dataset)
        spacing = found.get("metric_waypoint_spacing") if isinstance(found, dict) else None
        if not isinstance(spacing, (int, float)):
            names = [n for n, v in known.items() if isinstance(v, dict) and "metric_waypoint_spacing" in v]
            raise InputError(
                f"nwm: no spacing is known for dataset={config.dataset}; known: {', '.join(names)}; or give spacing="
            )
    try:
        low, high = (tuple(float(v) for v in known["action_stats"][k][:2]) for k in ("min", "max"))
        farthest = float(settings.get("distance", {}).get("max_dist_cat", np.inf))
        assert len(low) == len(high) == 2 and low[0] < high[0] and low[1] < high[1]
    except (AssertionError, AttributeError, KeyError, TypeError, ValueError):
        raise InputError(
            f"{clone.root}: config/data_config.yaml does not tell action_stats (min and max), or the model's settings no "
            "max_dist_cat"
        ) from None
    jumps = config.rollout == "jumps"
    return NwmUnits(float(spacing), low, high, config.ticks, jumps, farthest)  # type: ignore[arg-type]


def _autoencoder(folder: str) -> Any:
    try:
        from diffusers import AutoencoderKL
    except ModuleNotFoundError as error:
        raise MissingExtraError("the autoencoder of NWM", "research") from error
    try:
        found = AutoencoderKL.from_pretrained(
            str(Path(folder).expanduser()), use_safetensors=True, local_files_only=True
        )
    except (OSError, ValueError, RuntimeError, TypeError) as error:
        raise InputError(
            f"{folder} cannot be loaded as an autoencoder: {str(error).splitlines()[0]}"
        ) from None
    return found.eval().requires_grad_(False)


def build(**settings: Any) -> NwmModel:
    """The model that `nwm:clone=PATH,checkpoint=FILE,vae=FOLDER,...` names."""
    return NwmModel(NwmConfig(**settings))


# The registry reads from here which settings there are.
build.__signature__ = inspect.signature(NwmConfig)  # type: ignore[attr-defined]
