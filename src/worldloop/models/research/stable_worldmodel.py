"""Latent models of stable-worldmodel (galilai-group, MIT) as world models: LeWM, PLDM and PreJEPA.

They predict embeddings and no frames, so their frames repeat the present one and `Rollout.latent` says the rest.
"""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor

from worldloop.core import InputError, ModelCard, Query, Vocabulary
from worldloop.core.errors import ModelError
from worldloop.models.research.checkpoint import fill, hash_of, read_checkpoint, weights_in
from worldloop.models.research.clone import muffled
from worldloop.models.research.config import ResearchConfig, Statistics, read_json
from worldloop.models.research.dino_wm import Blocks
from worldloop.models.research.made import made
from worldloop.models.research.model import Answer, Asked, ResearchModel, finite
from worldloop.models.research.view import View, to_tensor

CLASSES = ("stable_worldmodel.wm.", "torch.nn.")
FUNCTIONS = ("stable_pretraining.backbone.",)
"""Where the parts of a model may come from."""
MEAN, DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
"""Of ImageNet's colours, which its models are normalised by."""
LATENTS = ("predicted_pixels_emb", "predicted_emb")
"""What the models call the embeddings that they predict, [B,S,T+1,...]."""


@dataclass(frozen=True, kw_only=True)
class StableWorldModelConfig(ResearchConfig):
    """`--model stable-worldmodel:checkpoint=FILE,stats=FILE,key=value,...`

    `checkpoint` is a file of weights with its `config.json` beside it, as `save_pretrained` writes them.
    """

    name: ClassVar[str] = "stable-worldmodel"
    stats: str
    """JSON file with `action_mean` and `action_std` of the data, and `proprio_mean` and `proprio_std`."""
    size: int = 224
    """Side of the pictures that it sees."""
    proprio: str | None = None
    """Extra of the observations that says where the agent feels itself to be, for models that read it."""
    block: int | None = None
    """Commands that one step of the model takes; None works it out from the width of its action encoder."""
    commands_per_step: int | None = None
    """Actions of a plan that they are made from; None takes as many, so that an action is one step of the environment. With
    1, each action is held for a whole step of the model."""

    def __post_init__(self) -> None:
        super().__post_init__()
        self.check_counts("size", "block", "commands_per_step")


class StableWorldModel(ResearchModel):
    """Predicts embeddings; plans of commands of a box."""

    def __init__(self, config: StableWorldModelConfig) -> None:
        """Load the model. InputError for what cannot be used."""
        self.config = config
        super().__init__(config, View((config.size, config.size), None if config.fit == "whole" else 1.0))
        self._statistics = Statistics.read(config.stats)
        self._file = Path(config.checkpoint).expanduser()
        settings = read_json(self._file.parent / "config.json")
        if not isinstance(settings, dict) or "_target_" not in settings:
            raise InputError(f"{self._file.parent / 'config.json'} does not say which model it is (_target_)")
        with muffled():
            self._network = made(settings, self._find)
        if not isinstance(self._network, torch.nn.Module) or not hasattr(self._network, "rollout"):
            raise InputError(f"{settings['_target_']} predicts nothing: it has no method rollout")
        found = read_checkpoint(self._file, None, config.trust)
        fill(self._network, weights_in(found, self._file), self._file)
        self._network = self._network.to(self.device).eval().requires_grad_(False)
        self._kind = type(self._network).__name__
        block = config.block or self._block()
        self.blocks = Blocks(self._statistics, block, config.commands_per_step or block)
        self._calls = 0
        self._check_reads()
        self.card = self._card()

    def _find(self, target: str) -> Any:
        module, _, name = target.rpartition(".")
        if target in ("hydra.utils.get_class", "hydra.utils.get_method"):
            return lambda path: self._find(path)
        if not self.config.trust and not target.startswith((*CLASSES, *FUNCTIONS)):
            raise InputError(
                f"config.json asks for {target}, which is none of {', '.join((*CLASSES, *FUNCTIONS))}; add trust=true where "
                "you trust whoever wrote it"
            )
        try:
            found = getattr(importlib.import_module(module), name)
        except (ImportError, AttributeError) as error:
            raise InputError(
                f'{target} cannot be imported ({error}): pip install "stable-worldmodel[train]", 0.1.1 was tested'
            ) from None
        # A class stands where it was defined; a module also shows what it has imported.
        home = f"{getattr(found, '__module__', '')}."
        right = isinstance(found, type) if target.startswith(CLASSES) else callable(found)
        if not self.config.trust and not (right and home.startswith((*CLASSES, *FUNCTIONS))):
            raise InputError(f"config.json asks for {target}, which is no part of a model")
        return found

    def _actions_encoder(self) -> Any:
        extra = getattr(self._network, "extra_encoders", None) or {}
        return extra["action"] if "action" in extra else getattr(self._network, "action_encoder", None)

    def _block(self) -> int:
        width = getattr(getattr(self._actions_encoder(), "patch_embed", None), "in_channels", None)
        count = len(self._statistics.action_mean)
        if width is None:
            raise InputError("stable-worldmodel: its action encoder does not say how wide it is; give block=")
        if width % count:
            raise InputError(
                f"its action encoder reads {width} numbers, {self.config.stats} tells of {count}: give the statistics of the "
                "data it was trained on"
            )
        return int(width // count)

    def _check_reads(self) -> None:
        extra = set(getattr(self._network, "extra_encoders", None) or {}) - {"action"}
        if extra - {"proprio"}:
            raise InputError(
                f"it reads {', '.join(sorted(extra))}; besides pictures and actions only proprio is told"
            )
        if extra and self.config.proprio is None:
            raise InputError(
                "it reads where the agent feels itself to be: give proprio=, the name of an extra"
            )
        self._feels = bool(extra)

    def _card(self) -> ModelCard:
        config, blocks = self.config, self.blocks
        return ModelCard(
            f"{self._kind}-{self._file.parent.name}",
            f"{self._kind} of stable-worldmodel: predicts embeddings, no frames",
            "vector",
            reads=(config.proprio,) if self._feels and config.proprio else (),
            weights_hash=hash_of(None, self._file, self._file.parent / "config.json", config.stats),
            licence="unknown",
            settings={
                "size": config.size,
                "block": blocks.block,
                "commands_per_step": blocks.per_step,
                "fit": config.fit,
                "device": self.device.type,
                "trust": config.trust,
            },
            notes="Its frames repeat the present one; read its latents. It is deterministic. A step of the model takes "
            f"{blocks.block} commands, made from {blocks.per_step} actions; within a step the latent is the one before "
            "it. " + ("Its files were trusted to run code. " if config.trust else ""),
        )

    def _refusal(self, vocabulary: Vocabulary) -> str | None:
        return self.blocks.refusal(vocabulary)

    def _read(self, query: Query) -> tuple[tuple[Any, ...], tuple[np.ndarray, ...]]:
        felt = np.zeros(0)
        if self._feels:
            felt = np.asarray(query.history[-1].extra.get(str(self.config.proprio), ()), float)
            if felt.shape != self._statistics.proprio_mean.shape or not np.isfinite(felt).all():
                raise ModelError(
                    f"it needs {len(self._statistics.proprio_mean)} finite numbers as {self.config.proprio!r} of an "
                    "observation"
                )
            felt = self._statistics.proprio(felt)
        return (), (self.blocks.encode(query.plan), felt.astype(np.float32))

    def _answer(self, asked: Sequence[Asked]) -> list[Answer]:
        seen = to_tensor([self.view.put(a.frames[-1]) for a in asked], self.device)
        mean, deviation = (torch.tensor(v, device=self.device)[:, None, None] for v in (MEAN, DEVIATION))
        commands, felt = (
            torch.from_numpy(np.stack([a.control[i] for a in asked])).to(self.device) for i in (0, 1)
        )
        # b s t ...: one sample of each, and of the past only now.
        told: dict[str, Tensor] = {"pixels": (((seen + 1) / 2 - mean) / deviation)[:, None, None]}
        if self._feels:
            told["proprio"] = felt[:, None, None]
        # Its models keep what they embedded last by these numbers; no two calls may share them.
        self._calls += 1
        told["id"] = told["step_idx"] = torch.full((len(asked), 1), self._calls, device=self.device)
        said = self._network.rollout(told, commands[:, None])
        latents = next((said[n] for n in LATENTS if n in said), None)
        if latents is None or latents.shape[:3] != (len(asked), 1, commands.shape[1] + 1):
            got = None if latents is None else list(latents.shape)
            raise ModelError(f"its rollout gives no embeddings of {commands.shape[1] + 1} states, but {got}")
        states = finite(latents[:, 0].float()).cpu().numpy()
        return [Answer(None, self.blocks.spread(s[1:], s[0], a.key[0])) for s, a in zip(states, asked)]


def build(**settings: Any) -> StableWorldModel:
    """The model that `stable-worldmodel:checkpoint=FILE,stats=FILE,...` names."""
    return StableWorldModel(StableWorldModelConfig(**settings))


# The registry reads from here which settings there are.
build.__signature__ = inspect.signature(StableWorldModelConfig)  # type: ignore[attr-defined]
