"""`VideoModel`: worldloop's own generative world model behind the interface of every world model."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from worldloop.core import (
    InputError,
    ModelCard,
    Observation,
    Query,
    Rollout,
    Vocabulary,
    WorldloopError,
    generator,
)
from worldloop.core.errors import ModelError
from worldloop.core.threads import each
from worldloop.models.video.checkpoint import VideoCheckpoint, load_checkpoint
from worldloop.models.video.conditioning import Condition, stack
from worldloop.models.video.context import Context
from worldloop.models.video.questions import (
    HAND,
    History,
    QueryReader,
    Question,
    pictures_to_tensor,
    spelled,
    tensor_to_pictures,
)
from worldloop.models.video.rollout import rollout
from worldloop.models.video.sampler import draw_noise
from worldloop.models.video.vae import enlarged


class VideoModel:
    """Predicts the frames of a plan by sampling a latent video diffusion transformer."""

    def __init__(
        self,
        weights: str | Path | VideoCheckpoint,
        steps: int | None = None,
        guidance: float | None = None,
        shift: float | None = None,
        device: str = "cpu",
        adapter: str | Path | None = None,
    ) -> None:
        """`weights`: a file, the name of packaged weights, or a checkpoint in memory, which is put into evaluation
        mode on that device.

        `steps`, `guidance` and `shift` replace the checkpoint's recommendations; `adapter` is a file of
        `save_adapter`. InputError for files and settings that cannot be used.
        """
        if isinstance(weights, VideoCheckpoint):
            if adapter is not None:
                raise InputError("an adapter is merged while a file is loaded; pass the path of the weights")
            checkpoint = weights
        else:
            checkpoint = load_checkpoint(weights, adapter)
        self.device = _device(device)
        self.spec, self.checkpoint = checkpoint.spec, checkpoint
        self.vae = checkpoint.vae.to(self.device).eval()
        self.backbone = checkpoint.backbone.to(self.device).eval()
        changes = {"steps": steps, "guidance": guidance, "shift": shift}
        changes = {k: v for k, v in changes.items() if v is not None}
        if "steps" in changes or "shift" in changes:
            changes["levels"] = None  # type: ignore[assignment]
        self.sampler = replace(self.spec.sampler, **changes, eta=0.0)  # type: ignore[arg-type]
        self._reader = QueryReader(self.spec, self.backbone.config)
        self.card = self._card()

    def _card(self) -> ModelCard:
        spec, sampler, config = self.spec, self.sampler, self.backbone.config
        side = self._reader.side
        known = ", ".join(spec.actions) if spec.vocabulary is None else spelled(spec.vocabulary)
        reads = ("panorama",) if config.panorama else ()
        notes = [
            f"One {side} x {side} frame per action, {config.hfov_deg:g} degrees of view; clips of up to "
            f"{config.clip_frames} frames; knows {known}.",
            "On a GPU the last bits of a result may depend on the batch."
            if self.device.type != "cpu"
            else "",
            spec.notes,
        ]
        return ModelCard(
            spec.name,
            spec.summary,
            spec.control,
            reads=(*reads, HAND) if spec.control == "vector" else reads,
            history=spec.history,
            weights_hash=self.checkpoint.weights_hash,
            licence=spec.licence,
            settings={
                "steps": sampler.steps if sampler.levels is None else len(sampler.levels) - 1,
                "guidance": sampler.guidance,
                "shift": sampler.shift,
                "levels": sampler.levels,
                "training_scenes": spec.training_scenes,
            },
            notes=" ".join(filter(None, notes)),
        )

    def refuses(self, vocabulary: Vocabulary) -> str | None:
        """Why it cannot answer plans of this vocabulary, as a sentence; None if it can."""
        return self._reader.refusal(vocabulary)

    def simulate(self, queries: Sequence[Query]) -> list[Rollout]:
        """One rollout per query, in order; queries on one history share its encoding.

        On the CPU each rollout depends on its query alone, bit for bit. ModelError for queries the model
        cannot answer.
        """
        try:
            questions = [self._reader.read(q) for q in queries]
            answer = self._apart if self.device.type == "cpu" else self._together
            rollouts = [_rollout(q, frames) for q, frames in zip(queries, answer(questions))]
        except WorldloopError as error:
            if isinstance(error, ModelError):
                raise
            raise ModelError(f"model {self.card.name!r}: {error}") from error
        except Exception as error:
            raise ModelError(f"model {self.card.name!r} failed: {type(error).__name__}: {error}") from error
        return rollouts

    def _apart(self, questions: Sequence[Question]) -> list[np.ndarray]:
        """Pictures uint8 [L,H,W,3] for each question, each on a thread of its own."""
        histories = {q.history.key: q.history for q in questions}
        contexts = dict(zip(histories, each(self._context, histories.values())))
        return each(lambda q: self._answer([q], contexts[q.history.key])[0], questions)

    @torch.inference_mode()
    def _together(self, questions: Sequence[Question]) -> list[np.ndarray]:
        """The same, with all questions of equal lengths in one batch."""
        histories = {q.history.key: q.history for q in questions}
        contexts = {key: self._context(history) for key, history in histories.items()}
        groups: dict[tuple[int, int], list[int]] = {}
        for i, q in enumerate(questions):
            groups.setdefault((q.frames, len(q.history.frames)), []).append(i)
        out: list[np.ndarray] = [np.empty(0)] * len(questions)
        for places in groups.values():
            members = [questions[i] for i in places]
            keys = list(dict.fromkeys(q.history.key for q in members))
            context = Context.stack([contexts[k] for k in keys])
            if len(keys) > 1:
                rows = torch.tensor([keys.index(q.history.key) for q in members], device=self.device)
                context = context.select(rows)
            for place, pictures in zip(places, self._answer(members, context)):
                out[place] = pictures
        return out

    def _context(self, history: History) -> Context:
        frames = self._tensor(history.frames)
        panorama = around = None
        if history.panorama is not None:
            around = self._tensor(history.panorama[None])
            panorama = self.vae.encode(enlarged(around, self.backbone.config.conditioning.detail))
        condition = None if history.condition is None else history.condition.to(self.device)
        pictures = (frames[-1:], around)
        return self.backbone.context(self.vae.encode(frames)[None], panorama, condition, pictures=pictures)

    def _answer(self, questions: Sequence[Question], context: Context) -> list[np.ndarray]:
        config, length = self.backbone.config, questions[0].frames
        shape = (length, config.latent_channels, config.latent_size, config.latent_size)
        noise = draw_noise([generator(q.seed, "video noise") for q in questions], shape).to(self.device)
        conditions = []
        for clip in zip(*(q.conditions for q in questions)):
            present = [c for c in clip if c is not None]
            conditions.append(stack(present).to(self.device) if present else None)
        conditions = self.backbone.placed(conditions, context)
        latents = rollout(self.backbone, context, conditions, noise, self.sampler)
        frames = self.vae.decode(latents.flatten(0, 1)).unflatten(0, latents.shape[:2])
        frames = self.backbone.sharpened(frames, self._poses(conditions), context)
        if not frames.isfinite().all():
            raise ModelError(f"model {self.card.name!r} produced values that are not finite")
        pictures = tensor_to_pictures(frames.flatten(0, 1))
        return list(pictures.reshape(len(questions), length, *pictures.shape[1:]))

    def _poses(self, conditions: Sequence[Condition | None]) -> Tensor | None:
        """Poses [B,L,3] of all frames of a plan, where its controls tell them."""
        paths = [None if c is None else self.backbone.conditioner.path(c) for c in conditions]
        known = [p for p in paths if p is not None]
        return torch.cat(known, dim=1) if len(known) == len(paths) else None

    def _tensor(self, pictures: np.ndarray) -> Tensor:
        return pictures_to_tensor(pictures, self.device)


def _rollout(query: Query, pictures: np.ndarray) -> Rollout:
    return Rollout(tuple(Observation(p, hfov_deg=query.history[-1].hfov_deg) for p in pictures))


def _device(name: str) -> torch.device:
    try:
        device = torch.device(name)
    except (RuntimeError, TypeError) as error:
        raise InputError(f"no such device {name!r}; use cpu or cuda") from error
    if device.type == "cuda" and not torch.cuda.is_available():
        raise InputError("this torch finds no GPU; use device=cpu")
    return device
