"""DIAMOND (Alonso et al., NeurIPS 2024, arXiv 2405.12399): a diffusion model of games, one frame at a time.

Its branch `main` plays Atari at 64 x 64 with one code for each action; its branch `csgo` plays Counter-Strike with
several keys at once, and has a second model that enlarges the frames.
"""

from __future__ import annotations

import dataclasses
import inspect
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn

from worldloop.core import InputError, ModelCard, Query, Vocabulary
from worldloop.models.research.checkpoint import fill, hash_of, read_checkpoint, weights_in
from worldloop.models.research.clone import Clone, Repository
from worldloop.models.research.config import CloneConfig, pixels, read_json
from worldloop.models.research.model import Answer, Asked, ResearchModel, finite
from worldloop.models.research.view import View, padded, to_pictures, to_tensor

DIAMOND = Repository(
    "DIAMOND",
    "https://github.com/eloialonso/diamond",
    "MIT",
    ("src/models/diffusion", "config/agent", "config/trainer.yaml"),
    "its branches main and csgo as of 2024",
    sources="src",
)
IDLE = ("NOOP", "noop", "none", "stay", "stop")
"""Names of actions that fill up a short history."""
PARTS = ("denoiser", "upsampler")
SAMPLERS = {
    "denoiser": ("diffusion_sampler", "diffusion_sampler_next_obs"),
    "upsampler": ("diffusion_sampler_upsampling",),
}
"""What the two branches call the settings of a sampler."""


@dataclass(frozen=True, kw_only=True)
class DiamondConfig(CloneConfig):
    """`--model diamond:clone=PATH,checkpoint=FILE,actions=NOOP+FIRE+...,key=value,...`"""

    name: ClassVar[str] = "diamond"
    actions: str
    """Names of the model's actions in the order of their codes, such as `NOOP+FIRE+RIGHT+LEFT`; or a JSON file with an
    object of names, each with its code or, for keys pressed at once, with the list of positions that are 1."""
    config: str | None = None
    """The agent's settings, relative to the clone or anywhere; None takes `config/agent/default.yaml` or `csgo.yaml`."""
    size: str | int = 64
    """Rows x columns of the frames it predicts; 30x56 for Counter-Strike, before they are enlarged."""
    steps: int | None = None
    """Denoising steps of a frame; None takes the clone's own number."""

    def __post_init__(self) -> None:
        super().__post_init__()
        self.check_counts("steps")
        pixels(self.name, self.size)


class DiamondModel(ResearchModel):
    """Predicts one frame after another; plans of named actions that the model knows."""

    def __init__(self, config: DiamondConfig) -> None:
        """Load clone and weights. InputError for what cannot be used, MissingExtraError without PyYAML."""
        self.config, self.clone = config, Clone(config.clone, DIAMOND)
        size = pixels(config.name, config.size)
        aspect = None if config.fit == "whole" else size[1] / size[0]
        super().__init__(config, View(size, aspect, Image.Resampling.BOX))
        self.codes = read_codes(config.actions)
        found = read_checkpoint(config.checkpoint, self.clone, config.trust)
        weights = weights_in(found, config.checkpoint)
        settings = self._settings()
        networks = {p: self._network(p, settings[p], weights) for p in PARTS if settings.get(p)}
        if "denoiser" not in networks:
            raise InputError(f"{config.checkpoint}: the agent's settings tell of no denoiser")
        self._check_codes(weights)
        self._past = int(networks["denoiser"].cfg.inner_model.num_steps_conditioning)
        sampling = self._sampling()
        self._sampler = self._make_sampler(networks["denoiser"], sampling, "denoiser")
        self._enlarge, self._factor = None, 1
        if "upsampler" in networks:
            self._enlarge = self._make_sampler(networks["upsampler"], sampling, "upsampler")
            self._factor = int(networks["upsampler"].cfg.upsampling_factor)
        self._large = dataclasses.replace(self.view, size=(size[0] * self._factor, size[1] * self._factor))
        self._idle = self.codes[next((n for n in IDLE if n in self.codes), next(iter(self.codes)))]
        self.card = self._card()

    def _settings(self) -> dict[str, Any]:
        given = self.config.config
        if given is None:
            folder = self.clone.root / "config" / "agent"
            given = next((f for f in ("csgo.yaml", "default.yaml") if (folder / f).is_file()), "default.yaml")
            given = f"config/agent/{given}"
        return self.clone.settings(given)

    def _network(self, part: str, settings: Any, weights: Mapping[str, Tensor]) -> Any:
        """The denoiser or the network that enlarges, from the agent's settings and weights."""
        find = self.clone.find
        own = {k.removeprefix(f"{part}."): v for k, v in weights.items() if k.startswith(f"{part}.")}
        if not own and part == "denoiser":
            own = dict(weights)
        inner = _arguments(settings).get("inner_model")
        if not isinstance(inner, dict):
            raise InputError(f"the agent's settings tell of no inner_model of the {part}; give config=FILE")
        codes = own.get("inner_model.act_emb.0.weight")
        try:
            shape = find("models.diffusion", "InnerModelConfig")(
                **_arguments(inner), num_actions=None if codes is None else codes.shape[0]
            )
            rest = {**_arguments(settings), "inner_model": shape}
            network = find("models.diffusion", "Denoiser")(find("models.diffusion", "DenoiserConfig")(**rest))
        except (TypeError, ValueError) as error:
            raise InputError(
                f"the agent's settings do not fit {self.clone.root} ({error}); give config=FILE of the same branch"
            ) from None
        fill(network, own, self.config.checkpoint)
        return network.to(self.device).eval().requires_grad_(False)

    def _sampling(self) -> dict[str, Any]:
        """The settings of the samplers, which the branches keep in different files."""
        found = self.clone.settings("config/trainer.yaml").get("world_model_env")
        if not isinstance(found, dict):
            found = self.clone.settings("config/world_model_env/default.yaml")
        return found

    def _make_sampler(self, network: nn.Module, sampling: dict[str, Any], part: str) -> Any:
        given = next((sampling[n] for n in SAMPLERS[part] if isinstance(sampling.get(n), dict)), None)
        if given is None:
            raise InputError(
                f"{self.clone.root} does not tell how the {part} samples ({' or '.join(SAMPLERS[part])})"
            )
        # YAML reads 2e-3 as text, and what hydra would work out is the usual value anyway.
        numbers = {k: _number(v) for k, v in _arguments(given).items() if not str(v).startswith("$")}
        if part == "denoiser" and self.config.steps is not None:
            numbers["num_steps_denoising"] = self.config.steps
        find = self.clone.find
        settings = find("models.diffusion", "DiffusionSamplerConfig")(**numbers)
        return find("models.diffusion", "DiffusionSampler")(network, settings)

    def _check_codes(self, weights: Mapping[str, Tensor]) -> None:
        table = next((v for k, v in weights.items() if k.endswith("inner_model.act_emb.0.weight")), None)
        if table is None:
            raise InputError(f"{self.config.checkpoint} holds no denoiser that reads actions")
        most = max(int(np.max(c)) for c in self.codes.values())
        if most >= table.shape[0]:
            raise InputError(
                f"the model knows {table.shape[0]} codes, 0 to {table.shape[0] - 1}, but actions= names {most}"
            )

    def _card(self) -> ModelCard:
        config, (rows, columns) = self.config, self.view.size
        return ModelCard(
            f"diamond-{Path(config.checkpoint).stem}",
            "DIAMOND in the user's own clone: a diffusion model of a game, frame by frame",
            "code" if np.ndim(self._idle) == 0 else "keys",
            history=self._past,
            weights_hash=hash_of(self.clone, config.checkpoint),
            licence=DIAMOND.licence,
            settings={
                "actions": {n: np.asarray(c).tolist() for n, c in self.codes.items()},
                "steps": int(self._sampler.cfg.num_steps_denoising),
                "size": [rows, columns],
                "enlarged": self._factor,
                "fit": config.fit,
                "commit": self.clone.commit(),
                "device": self.device.type,
                "trust": config.trust,
            },
            notes=f"Frames of {rows} x {columns}"
            + (f", enlarged {self._factor} times" if self._factor > 1 else "")
            + f", from {self._past} past ones; a shorter history is filled up with its oldest frame and an idle action. "
            + ("Its checkpoint was unpickled on trust. " if config.trust else "")
            + ("On a GPU the last bits may depend on the batch." if self.device.type != "cpu" else ""),
        )

    def _refusal(self, vocabulary: Vocabulary) -> str | None:
        known = ", ".join(self.codes)
        if not vocabulary.discrete:
            return f"it knows named actions ({known}), not commands of {vocabulary.name!r}"
        missing = [p.name for p in vocabulary.primitives if p.name not in self.codes and not p.stops]
        if missing:
            return (
                f"actions= does not say what {', '.join(missing)} of {vocabulary.name!r} is; it names {known}"
            )
        return None

    def _read(self, query: Query) -> tuple[tuple[Any, ...], tuple[np.ndarray, ...]]:
        known = min(self._past, len(query.history)) - 1
        before = [self._code(a.name) for a in query.actions[len(query.actions) - known :]] if known else []
        # Before what is known of the past, nothing was done.
        before = [self._code("")] * (self._past - 1 - len(before)) + before
        plan = [self._code(a.name) for a in query.plan.actions]
        return (), (np.stack([*before, *plan]),)

    def _code(self, name: str) -> np.ndarray:
        """int64 [] or, for keys pressed at once, [A]; what the model does not know (a stop, say) is idle."""
        found = self.codes.get(name, self._idle)
        if np.ndim(found) == 0:
            return np.asarray(found)
        width = self._sampler.denoiser.inner_model.act_emb[0].num_embeddings
        return np.isin(np.arange(width), found).astype(np.int64)

    def _answer(self, asked: Sequence[Asked]) -> list[Answer]:
        seen = [[self.view.put(f) for f in padded(a.frames, self._past)] for a in asked]
        frames = to_tensor([np.stack(s) for s in seen], self.device)  # b t c h w
        large = to_tensor([self._large.put(a.frames[-1]) for a in asked], self.device)
        codes = torch.from_numpy(np.stack([a.control[0] for a in asked])).to(self.device)  # b (t - 1 + l) ...
        made = []
        for k in range(codes.shape[1] - self._past + 1):
            new, _ = self._sampler.sample(frames, codes[:, k : k + self._past])
            frames = torch.cat([frames[:, 1:], finite(new)[:, None]], 1)
            if self._enlarge is not None:
                rough = nn.functional.interpolate(new, scale_factor=self._factor, mode="bicubic")
                large, _ = self._enlarge.sample(torch.stack([large, rough], 1), None)
                new = finite(large)
            made.append(to_pictures(new))
        return [Answer(np.stack([m[i] for m in made])) for i in range(len(asked))]


def read_codes(given: str) -> dict[str, np.ndarray]:
    """Codes int64 [] or positions int64 [n] by name, from names joined by `+` or a JSON file; InputError otherwise."""
    if not str(given).endswith(".json"):
        names = [n.strip() for n in str(given).split("+")]
        if not all(names) or len(set(names)) != len(names):
            raise InputError(
                f"diamond: actions are different names joined by +, or a JSON file, got {given!r}"
            )
        return {n: np.asarray(i) for i, n in enumerate(names)}
    found = read_json(given)
    usable = isinstance(found, dict) and found and all(_is_code(v) for v in found.values())
    if not usable or len({isinstance(v, list) for v in found.values()}) > 1:
        raise InputError(
            f'{given} should hold an object such as {{"NOOP": 0, "FIRE": 1}}, or with lists of positions throughout'
        )
    return {str(n): np.asarray(v, np.int64) for n, v in found.items()}


def _is_code(value: Any) -> bool:
    if isinstance(value, list):
        return bool(value) and all(type(v) is int and v >= 0 for v in value)
    return type(value) is int and value >= 0


def _arguments(settings: Any) -> dict[str, Any]:
    """Settings without what they say to hydra."""
    return {k: v for k, v in settings.items() if not k.startswith("_")} if isinstance(settings, dict) else {}


def _number(value: Any) -> Any:
    try:
        return float(value) if isinstance(value, str) else value
    except ValueError:
        raise InputError(f"the sampler's settings say {value!r} where a number should be") from None


def build(**settings: Any) -> DiamondModel:
    """The model that `diamond:clone=PATH,checkpoint=FILE,actions=...,...` names."""
    return DiamondModel(DiamondConfig(**settings))


# The registry reads from here which settings there are.
build.__signature__ = inspect.signature(DiamondConfig)  # type: ignore[attr-defined]
