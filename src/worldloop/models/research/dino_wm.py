"""DINO-WM (Zhou et al., 2024, arXiv 2411.04983): predicts features of a frozen DINOv2, and frames where it has a decoder."""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch

from worldloop.core import InputError, ModelCard, Plan, Query, Vocabulary
from worldloop.core.errors import ModelError
from worldloop.models.research.checkpoint import hash_of, read_checkpoint
from worldloop.models.research.clone import Clone, Repository, muffled, read_yaml
from worldloop.models.research.config import CloneConfig, Statistics
from worldloop.models.research.made import made
from worldloop.models.research.model import Answer, Asked, ResearchModel, finite
from worldloop.models.research.view import View, to_pictures, to_tensor

DINO_WM = Repository(
    "DINO-WM",
    "https://github.com/gaoyuezhou/dino_wm",
    "MIT",
    ("models/visual_world_model.py",),
    "its main branch of 2024 and 2025",
)
PARTS = ("encoder", "proprio_encoder", "action_encoder", "predictor", "decoder")
"""The networks that a checkpoint may hold, as whole modules."""
GIVEN = ("concat_dim", "num_action_repeat", "num_proprio_repeat")
"""What stands beside the settings of the model and belongs to them."""


@dataclass(frozen=True, kw_only=True)
class DinoWmConfig(CloneConfig):
    """`--model dino-wm:clone=PATH,checkpoint=FILE,stats=FILE,key=value,...`"""

    name: ClassVar[str] = "dino-wm"
    stats: str
    """JSON file with `action_mean` and `action_std` of the data, and `proprio_mean` and `proprio_std`."""
    config: str | None = None
    """The `hydra.yaml` of the training; None looks for it beside the checkpoint and one folder above."""
    proprio: str | None = None
    """Extra of the observations that says where the agent feels itself to be; None stands it at the data's mean."""
    commands_per_step: int | None = None
    """Actions of a plan that one step of the model takes; None takes its frameskip, so that an action is one step of the
    environment. With 1, each action is held for a whole step of the model."""

    def __post_init__(self) -> None:
        super().__post_init__()
        self.check_counts("commands_per_step")


@dataclass(frozen=True, eq=False)
class Blocks:
    """How actions of a plan become steps of a model that takes several commands at once."""

    statistics: Statistics
    block: int
    """Commands that a step of the model takes."""
    per_step: int
    """Actions of the plan that they are made from."""

    def __post_init__(self) -> None:
        if self.block % self.per_step:
            raise InputError(
                f"a step of the model takes {self.block} commands, which {self.per_step} actions do not fill evenly: "
                "choose commands_per_step among its divisors"
            )

    def refusal(self, vocabulary: Vocabulary) -> str | None:
        """Why plans of this vocabulary cannot be told; None if they can."""
        width = len(self.statistics.action_mean)
        if vocabulary.discrete:
            return f"it takes commands of {width} numbers, not the named actions of {vocabulary.name!r}"
        if len(vocabulary.fields) != width:
            return f"it takes commands of {width} numbers, those of {vocabulary.name!r} have {len(vocabulary.fields)}"
        return None

    def encode(self, plan: Plan) -> np.ndarray:
        """Normalised commands float32 [T, block * A] of T steps; a last step that is cut short goes on with its last action."""
        actions = list(plan.actions)
        actions += actions[-1:] * (-len(actions) % self.per_step)
        values = self.statistics.actions(np.array([a.values for a in actions], float))
        held = np.repeat(values, self.block // self.per_step, axis=0)
        return held.reshape(len(actions) // self.per_step, -1).astype(np.float32)

    def spread(self, steps: np.ndarray, now: np.ndarray, actions: int) -> np.ndarray:
        """What was predicted for each step [T,...] and is present now [...], for each of L actions [L,...].

        Within a step, the state is the one before it: so what completed a last step is never shown.
        """
        known = np.concatenate([now[None], steps])
        return known[np.arange(1, actions + 1) // self.per_step]


class DinoWmModel(ResearchModel):
    """Predicts features and, with a decoder, frames; plans of commands of a box."""

    def __init__(self, config: DinoWmConfig) -> None:
        """Load clone and networks. InputError for what cannot be used, MissingExtraError without PyYAML."""
        self.config, self.clone = config, Clone(config.clone, DINO_WM)
        self._settings = read_yaml(_training(config))
        side, skip = self._settings.get("img_size", 224), self._settings.get("frameskip", 1)
        if type(side) is not int or type(skip) is not int or side < 1 or skip < 1:
            raise InputError(
                f"img_size {side!r} or frameskip {skip!r} of the training are no positive whole numbers"
            )
        super().__init__(config, View((side, side), None if config.fit == "whole" else 1.0))
        self._statistics = Statistics.read(config.stats)
        self.blocks = Blocks(self._statistics, skip, config.commands_per_step or skip)
        with muffled():
            self._network = self._load().to(self.device)
            self._network.eval()
        self._network.requires_grad_(False)
        self.card = self._card()

    def _load(self) -> Any:
        file, settings = self.config.checkpoint, self._settings
        found = read_checkpoint(file, self.clone, self.config.trust)
        parts = {p: found[p] for p in PARTS if isinstance(found, dict) and p in found}
        if "encoder" not in parts:
            _check_hub(settings.get("encoder"))
            parts["encoder"] = made(settings.get("encoder"), self._find)
        parts.setdefault("decoder", None)
        if missing := [p for p in PARTS if p not in parts]:
            raise InputError(
                f"{file} holds no {', '.join(missing)}; give the checkpoint of a training with a predictor"
            )
        self._check_width(parts)
        rest = {k: settings[k] for k in GIVEN if k in settings}
        dims = {
            f"{p}_dim": getattr(parts[f"{p}_encoder"], "emb_dim", settings.get(f"{p}_emb_dim"))
            for p in ("proprio", "action")
        }
        # Some networks are in the checkpoint; the settings say how they are put together.
        return made(settings.get("model"), self._find, **parts, **dims, **rest)

    def _find(self, target: str) -> Any:
        module, _, name = target.rpartition(".")
        if not module.startswith("models."):
            raise InputError(
                f"the training's settings ask for {target}; only what lies in models/ of the clone is used"
            )
        return self.clone.find(module, name)

    def _check_width(self, parts: dict[str, Any]) -> None:
        """InputError where the statistics do not have as many numbers as the networks read."""
        statistics = self._statistics
        for part, count in (
            ("action_encoder", len(statistics.action_mean) * self.blocks.block),
            ("proprio_encoder", len(statistics.proprio_mean)),
        ):
            wanted = getattr(getattr(parts[part], "patch_embed", None), "in_channels", count)
            if wanted != count:
                raise InputError(
                    f"the {part} reads {wanted} numbers and {self.config.stats} tells of {count} (frameskip "
                    f"{self.blocks.block}); give the statistics of the data it was trained on"
                )

    def _card(self) -> ModelCard:
        config, blocks = self.config, self.blocks
        shows = self._network.decoder is not None
        seconds = f"A step of the model takes {blocks.block} commands, made from {blocks.per_step} actions; "
        return ModelCard(
            f"dino-wm-{_training(config).parent.name}",
            "DINO-WM in the user's own clone: predicts features of DINOv2"
            + (" and decodes them" if shows else ", no frames"),
            "vector",
            reads=() if config.proprio is None else (config.proprio,),
            weights_hash=hash_of(self.clone, config.checkpoint, config.stats),
            licence=DINO_WM.licence,
            settings={
                "block": blocks.block,
                "commands_per_step": blocks.per_step,
                "decoder": shows,
                "proprio": config.proprio,
                "fit": config.fit,
                "commit": self.clone.commit(),
                "device": self.device.type,
                "trust": config.trust,
            },
            notes=seconds
            + "within a step the frame is the one before it. It is deterministic. "
            + ("" if shows else "Without a decoder its frames repeat the present one; read its latents. ")
            + ("" if config.proprio else "It is not told where the agent feels itself to be. ")
            + ("Its checkpoint was unpickled on trust. " if config.trust else ""),
        )

    def _refusal(self, vocabulary: Vocabulary) -> str | None:
        return self.blocks.refusal(vocabulary)

    def _read(self, query: Query) -> tuple[tuple[Any, ...], tuple[np.ndarray, ...]]:
        felt = self._statistics.proprio_mean
        if self.config.proprio is not None:
            found = query.history[-1].extra.get(self.config.proprio)
            if found is None or np.shape(found) != felt.shape or not np.isfinite(found).all():
                raise ModelError(
                    f"it needs {len(felt)} finite numbers as {self.config.proprio!r} of an observation"
                )
            felt = np.asarray(found, float)
        proprio = self._statistics.proprio(felt).astype(np.float32)
        return (), (self.blocks.encode(query.plan), proprio)

    def _answer(self, asked: Sequence[Asked]) -> list[Answer]:
        seen = to_tensor([self.view.put(a.frames[-1]) for a in asked], self.device)
        commands, proprio = (
            torch.from_numpy(np.stack([a.control[i] for a in asked])).to(self.device) for i in (0, 1)
        )
        start = {"visual": seen[:, None], "proprio": proprio[:, None]}
        # The frame of now and T commands make T + 1 states, the first of which is now.
        states, _ = self._network.rollout(start, commands)
        latents = finite(states["visual"].float()).cpu().numpy()
        frames = None
        if self._network.decoder is not None:
            frames = to_pictures(finite(self._network.decode_obs(states)[0]["visual"]))
        out = []
        for i, a in enumerate(asked):
            actions = a.key[0]
            latent = self.blocks.spread(latents[i, 1:], latents[i, 0], actions)
            if frames is None:
                out.append(Answer(None, latent))
            else:
                now = self.view.put(a.frames[-1])
                out.append(Answer(self.blocks.spread(frames[i, 1:], now, actions), latent))
        return out


def _training(config: DinoWmConfig) -> Path:
    """The settings of the training."""
    if config.config is not None:
        return Path(config.config).expanduser()
    beside = Path(config.checkpoint).expanduser().resolve().parent
    found = [p / "hydra.yaml" for p in (beside, beside.parent) if (p / "hydra.yaml").is_file()]
    if not found:
        raise InputError(
            f"there is no hydra.yaml beside {config.checkpoint} or one folder above; give config=FILE, the settings that "
            "the training wrote"
        )
    return found[0]


def _check_hub(encoder: Any) -> None:
    """InputError where making the encoder would download it."""
    name = str(encoder.get("name", "")) if isinstance(encoder, dict) else ""
    if not name.startswith("dinov2"):
        return
    hub = Path(torch.hub.get_dir())
    weights = hub / "checkpoints" / f"{name}_pretrain.pth"
    code = [p for p in (hub / f"facebookresearch_dinov2_{b}" for b in ("main", "master")) if p.is_dir()]
    if not code or not weights.is_file():
        raise InputError(
            f"the encoder {name} is not on this machine ({weights}), and nothing is downloaded here; run "
            f"torch.hub.load('facebookresearch/dinov2', '{name}') once where there is a network"
        )


def build(**settings: Any) -> DinoWmModel:
    """The model that `dino-wm:clone=PATH,checkpoint=FILE,stats=FILE,...` names."""
    return DinoWmModel(DinoWmConfig(**settings))


# The registry reads from here which settings there are.
build.__signature__ = inspect.signature(DinoWmConfig)  # type: ignore[attr-defined]
