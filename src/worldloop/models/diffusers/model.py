"""`DiffusersModel`: a video pipeline of diffusers behind the interface of every world model."""

from __future__ import annotations

import hashlib
import importlib.metadata
import inspect
import logging
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from worldloop.core import (
    InputError,
    ModelCard,
    Observation,
    Query,
    Rollout,
    Vocabulary,
    WorldloopError,
    derive_seed,
)
from worldloop.core.errors import ModelError
from worldloop.models.diffusers.adapters import Adapter, open_adapter
from worldloop.models.diffusers.config import DiffusersConfig
from worldloop.models.diffusers.folder import hash_of_weights, licence_of, open_pipeline
from worldloop.models.diffusers.known import pipeline_for
from worldloop.models.diffusers.load import load_pipeline
from worldloop.models.diffusers.picture import Window
from worldloop.models.diffusers.pipelines import Ask
from worldloop.models.diffusers.speaking import Speaker
from worldloop.models.diffusers.timing import Timing, paced, spread

log = logging.getLogger(__name__)
ASKED = ("template", "negative", "size", "frames", "frames_per_action", "fp8", "cache", "attention", "scale")
"""Settings that results depend on, and that the card names where they are not the usual ones."""
TOGETHER = 8
"""Candidates at once on a GPU, unless asked otherwise."""


@dataclass(frozen=True, eq=False)
class Question:
    """A query, translated for the pipeline."""

    ask: Ask
    timing: Timing
    window: Window
    shape: tuple[int, int]
    """Of the observation."""
    key: tuple[Any, ...]
    """Questions of equal keys may share a call."""


class DiffusersModel:
    """Predicts the frames of a plan as a video that starts from the present picture."""

    def __init__(self, config: DiffusersConfig) -> None:
        """Load the pipeline. InputError for folders and settings that cannot be used, MissingExtraError without
        diffusers."""
        self.config = config
        folder = open_pipeline(config.folder)
        kind = pipeline_for(folder)
        self.device = config.torch_device()
        parts = kind.denoisers(folder)
        adapters = {p: open_adapter(f) for p, f in zip(parts, (config.lora, config.lora_2)) if f is not None}
        if config.lora_2 is not None and len(parts) < 2:
            raise InputError(f"lora_2 is for a second transformer, which {folder.root} does not have")
        trained = _trained(list(adapters.values()))
        self._trained = {} if trained is None or trained.card is None else trained.card
        self.pipeline = load_pipeline(kind, folder, config, self.device, adapters)
        control = config.control or self._trained.get("control") or kind.control
        self._speaker = Speaker(self.pipeline, config, control, trained)
        self._steps = kind.steps if config.steps is None else config.steps
        self._guidance = self.pipeline.guidance if config.guidance is None else float(config.guidance)
        if config.frames is not None:
            self.pipeline.check_frames(config.frames)
        if self._trained and config.frames_per_action not in (None, 1):
            raise InputError("an adapter that worldloop trained predicts one frame for each action")
        pixels = config.pixels()
        if pixels is None and self._trained:
            pixels = tuple(self._trained["size"])
        self._size = None if pixels is None else self.pipeline.check_size(pixels)
        self._batch = self._most()
        self._lock = threading.Lock()
        self.card = self._card(adapters)

    def _most(self) -> int:
        """Candidates at once."""
        # The cache skips steps for a whole batch or not at all, so that candidates would depend on each other.
        if not self.pipeline.batches or self.config.cache is not None:
            if self.config.batch not in (None, 1):
                why = " with a cache" if self.pipeline.batches else ""
                raise InputError(
                    f"{self.pipeline.loads} answers one candidate at a time{why}; leave batch out"
                )
            return 1
        return self.config.batch or (1 if self.device.type == "cpu" else TOGETHER)

    def _card(self, adapters: dict[str, Adapter]) -> ModelCard:
        config, folder, kind = self.config, self.pipeline.folder, type(self.pipeline)
        files = [f for a in adapters.values() for f in a.files]
        name = folder.root.resolve().name
        settings: dict[str, Any] = {
            "pipeline": kind.loads,
            "steps": self._steps,
            "guidance": self._guidance,
            "dtype": str(config.torch_dtype(self.device)).removeprefix("torch."),
            "device": self.device.type,
            "diffusers": importlib.metadata.version("diffusers"),
            "training_scenes": sorted(
                {s for a in adapters.values() for s in (a.card or {}).get("training_scenes", ())}
            ),
        }
        for key in ASKED:
            value = config.text(key) if key in ("template", "negative") else getattr(config, key)
            if value != DiffusersConfig.__dataclass_fields__[key].default:
                settings[key] = value
        if folder.kind.startswith("Cosmos"):
            settings["safety_checker"] = "on" if config.safety else "off"
        notes = [
            f"{kind.loads} of diffusers. {self._timing_in_words()} The whole view is kept.",
            "Its safety checker may blur what it shows." if settings.get("safety_checker") == "on" else "",
            "It does not know the plan: all candidates look alike but for chance."
            if self._speaker.control == "none"
            else "",
            "On a GPU the last bits of a result may depend on the batch."
            if self.device.type != "cpu"
            else "",
        ]
        return ModelCard(
            "+".join((name, *(a.weights.parent.resolve().name for a in adapters.values()))),
            f"{kind.loads} in the folder {name}",
            self._speaker.control,
            weights_hash=hash_of_weights([*folder.weights(), *files]),
            licence=licence_of(folder.root, folder.index) or "unknown",
            settings=settings,
            notes=" ".join(filter(None, notes)),
        )

    def _timing_in_words(self) -> str:
        frames = self.config.frames or (None if self.config.frames_per_action else self.pipeline.usual_frames)
        if frames is not None and not self._trained:
            return f"Videos of {frames} frames, over which the actions are spread."
        return f"{self._per_action} frames of video for each action."

    @property
    def _per_action(self) -> int:
        return self.config.frames_per_action or (1 if self._trained else self.pipeline.per_action)

    def refuses(self, vocabulary: Vocabulary) -> str | None:
        """Why it cannot answer plans of this vocabulary, as a sentence; None if it can."""
        reason = self._speaker.refusal(vocabulary)
        return None if reason is None else f"model {self.card.name!r}: {reason}"

    def simulate(self, queries: Sequence[Query]) -> list[Rollout]:
        """One rollout per query, in order.

        On the CPU, where candidates are answered one at a time unless `batch` says otherwise, each rollout depends on
        its query alone, bit for bit. ModelError for queries the model cannot answer.
        """
        try:
            with self._lock:
                return self._answered([self._question(q) for q in queries], queries)
        except WorldloopError as error:
            if isinstance(error, ModelError):
                raise
            raise ModelError(f"model {self.card.name!r}: {error}") from error
        except Exception as error:
            raise ModelError(f"model {self.card.name!r} failed: {type(error).__name__}: {error}") from error

    def _question(self, query: Query) -> Question:
        if not query.history:
            raise ModelError(f"model {self.card.name!r} needs at least the present observation")
        if (reason := self.refuses(query.plan.vocabulary)) is not None:
            raise ModelError(reason)
        rgb = np.ascontiguousarray(query.history[-1].rgb)
        if rgb.dtype != np.uint8 or rgb.ndim != 3 or rgb.shape[2] != 3:
            raise ModelError(f"model {self.card.name!r} sees uint8[H,W,3], got {rgb.dtype}{list(rgb.shape)}")
        shape = (rgb.shape[0], rgb.shape[1])
        timing = self._timing(len(query.plan))
        size = self._size or self.pipeline.size(shape)
        window = Window.around(shape, size)
        prompt, negative, text = self._speaker.prompt(self._speaker.completed(query.plan))
        actions = self.pipeline.actions(query.plan, timing)
        seed = derive_seed(query.seed, "diffusers noise")
        ask = Ask(window.place(rgb), size, timing.frames, seed, prompt, negative, text, actions)
        same = hashlib.sha256(rgb.tobytes()).digest() if self.pipeline.one_picture else b""
        return Question(ask, timing, window, shape, (size, timing.frames, shape, same))

    def _timing(self, actions: int) -> Timing:
        config, pipeline = self.config, self.pipeline
        least = 1 + int(self._trained.get("frames", 0))
        if self._trained:
            return paced(actions, 1, pipeline.legal, max(least, config.frames or 1))
        if config.frames is not None:
            return spread(actions, config.frames)
        if config.frames_per_action is None and pipeline.usual_frames is not None:
            return spread(actions, max(pipeline.usual_frames, pipeline.legal(1 + actions)))
        return paced(actions, self._per_action, pipeline.legal)

    def _answered(self, questions: Sequence[Question], queries: Sequence[Query]) -> list[Rollout]:
        groups: dict[tuple[Any, ...], list[int]] = {}
        for i, q in enumerate(questions):
            groups.setdefault(q.key, []).append(i)
        out: dict[int, Rollout] = {}
        for places in groups.values():
            while places:
                some, start = places[: self._batch], time.perf_counter()
                videos = self._videos([questions[i].ask for i in some])
                if videos is None:
                    continue
                places = places[len(some) :]
                seconds = (time.perf_counter() - start) / len(some)
                for i, video in zip(some, videos):
                    out[i] = _rollout(queries[i], questions[i], video, seconds)
        return [out[i] for i in range(len(questions))]

    def _videos(self, asks: Sequence[Ask]) -> np.ndarray | None:
        """Videos uint8 [B,T,h,w,3]; None where they did not fit into memory and fewer should be tried."""
        try:
            videos = self.pipeline.call(asks, self._steps, self._guidance)
        except torch.OutOfMemoryError as error:
            reason = str(error).split("\n")[0]
        except Exception:
            # A call that was cut short leaves behind what its cache knows of this candidate.
            self.pipeline.pipe.maybe_free_model_hooks()
            raise
        else:
            wanted = (len(asks), asks[0].frames)
            if videos.ndim != 5 or videos.shape[:2] != wanted:
                got = "x".join(map(str, videos.shape))
                raise ModelError(
                    f"model {self.card.name!r} made {got} values for {wanted[0]} x {wanted[1]} frames"
                )
            if not np.isfinite(videos).all():
                raise ModelError(f"model {self.card.name!r} produced values that are not finite")
            return np.rint(np.clip(videos, 0, 1) * 255).astype(np.uint8)
        # Out of the handler, what the failed call held is free.
        self.pipeline.pipe.maybe_free_model_hooks()
        if torch.cuda.is_available():
            torch.cuda.empty_cache()
        if len(asks) == 1:
            raise ModelError(
                f"model {self.card.name!r}: one candidate does not fit into memory ({reason}); make size or "
                "frames_per_action smaller, or give offload=true, fp8=true or dtype=bf16"
            )
        self._batch = len(asks) // 2
        log.warning(
            "%s: %d candidates do not fit into memory together; from now on %d at a time",
            self.card.name,
            len(asks),
            self._batch,
        )
        return None


def _trained(adapters: Sequence[Adapter]) -> Adapter | None:
    """The adapter whose training the model follows; InputError for two that do not go together."""
    ours = [a for a in adapters if a.card is not None]
    terms = [
        tuple(str((a.card or {}).get(k)) for k in ("control", "frames", "size", "actions")) for a in ours
    ]
    if len(set(terms)) > 1:
        raise InputError("lora and lora_2 were trained for different controls, frames, sizes or actions")
    if sum(a.control is not None for a in ours) > 1:
        raise InputError(
            "both transformers read one prompt, so two adapters cannot each bring a control of their own; train them "
            "with --control text"
        )
    return ours[0] if ours else None


def _rollout(query: Query, question: Question, video: np.ndarray, seconds: float) -> Rollout:
    hfov = query.history[-1].hfov_deg
    pictures = (question.window.restore(video[k], question.shape) for k in question.timing.taken)
    return Rollout(tuple(Observation(p, hfov_deg=hfov) for p in pictures), seconds=seconds)


def build(*args: Any, **settings: Any) -> DiffusersModel:
    """The model that `diffusers:folder=PATH,key=value,...` names."""
    return DiffusersModel(DiffusersConfig(*args, **settings))


# The registry reads from here which settings there are.
build.__signature__ = inspect.signature(DiffusersConfig)  # type: ignore[attr-defined]
