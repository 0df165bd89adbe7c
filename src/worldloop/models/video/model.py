"""`VideoModel`: worldloop's own generative world model behind the interface of every world model."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from worldloop.core import (
    Action,
    InputError,
    ModelCard,
    Observation,
    Plan,
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
    Reached,
    pictures_to_tensor,
    spelled,
    tensor_to_pictures,
)
from worldloop.models.video.rollout import rollout, rollout_onward
from worldloop.models.video.sampler import draw_noise
from worldloop.models.video.vae import enlarged
from worldloop.models.video.walk import Walk


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
        with self._told():
            questions = [self._reader.read(q) for q in queries]
            answer = self._apart if self.device.type == "cpu" else self._together
            return [_rollout(q.history[-1].hfov_deg, frames) for q, frames in zip(queries, answer(questions))]

    def begin(
        self, vocabulary: Vocabulary, history: Sequence[Observation], actions: Sequence[Action]
    ) -> Walk:
        """A walk that sets out from the present; history is encoded once for all that follows. ModelError as above."""
        with self._told():
            if (reason := self.refuses(vocabulary)) is not None:
                raise ModelError(reason)
            seen = self._reader.history(history, actions, vocabulary)
            # In a thread of its own like a question, so that the bits are the same.
            (context,) = each(self._context, [seen])
            return Walk(vocabulary, context, seen.present, history[-1].hfov_deg)

    def advance(self, steps: Sequence[tuple[Walk, Plan, int]]) -> list[tuple[Rollout, Walk]]:
        """For each walk, plan and seed: the rollout and the walk after it, from keys and values that are kept.

        A plan that is cut at multiples of the clip length gives, with the same noise, the frames of the whole plan bit for
        bit on the CPU. ModelError as above.
        """
        with self._told():
            for walk, plan, _ in steps:
                if plan.vocabulary != walk.vocabulary:
                    raise ModelError(f"this walk takes actions of {walk.vocabulary.name!r}")
            read = [self._reader.clips(plan, walk.at) for walk, plan, _ in steps]
            groups: dict[tuple[int, ...], list[int]] = {}
            for i, (walk, plan, _) in enumerate(steps):
                # On the CPU everyone walks alone: a result depends on its own step, bit for bit.
                key = (i,) if self.device.type == "cpu" else (len(plan), *walk.shape)
                groups.setdefault(key, []).append(i)

            def go(places: list[int]) -> list[tuple[np.ndarray, Walk]]:
                walks, plans, seeds = zip(*(steps[i] for i in places))
                clips, reached = zip(*(read[i] for i in places))
                return self._advanced(walks, clips, reached, seeds, len(plans[0]))

            made: dict[int, tuple[np.ndarray, Walk]] = {}
            for places, found in zip(groups.values(), each(go, groups.values())):
                made |= dict(zip(places, found))
            return [(_rollout(made[i][1].hfov_deg, made[i][0]), made[i][1]) for i in range(len(steps))]

    @contextmanager
    def _told(self) -> Iterator[None]:
        """Every failure as a ModelError with the model's name."""
        try:
            yield
        except ModelError:
            raise
        except WorldloopError as error:
            raise ModelError(f"model {self.card.name!r}: {error}") from error
        except Exception as error:
            raise ModelError(f"model {self.card.name!r} failed: {type(error).__name__}: {error}") from error

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
        noise = self._noise([q.seed for q in questions], questions[0].frames)
        conditions = self.backbone.placed(self._stacked([q.conditions for q in questions]), context)
        return self._shown(
            rollout(self.backbone, context, conditions, noise, self.sampler), conditions, context
        )

    def _advanced(
        self,
        walks: Sequence[Walk],
        clips: Sequence[tuple[Condition | None, ...]],
        reached: Sequence[Reached],
        seeds: Sequence[int],
        length: int,
    ) -> list[tuple[np.ndarray, Walk]]:
        """Pictures uint8 [L,H,W,3] and the walk after them, for walks of equal shape."""
        context = Context.stack([w.context for w in walks])
        places = [w.place for w in walks if w.place is not None]
        conditions = self.backbone.placed(
            self._stacked(clips), context, torch.cat(places) if places else None
        )
        noise = self._noise(seeds, length)
        latents, after = rollout_onward(self.backbone, context, conditions, noise, self.sampler)
        pictures = self._shown(latents, conditions, context)
        last = conditions[-1]
        ends = None if last is None or last.poses is None else last.poses[:, -1]
        rows = torch.arange(len(walks), device=self.device)[:, None]
        return [
            (
                pictures[i],
                replace(
                    walk,
                    context=after if len(walks) == 1 else after.select(rows[i]),
                    at=reached[i],
                    place=None if ends is None else ends[i : i + 1],
                ),
            )
            for i, walk in enumerate(walks)
        ]

    def _noise(self, seeds: Sequence[int], length: int) -> Tensor:
        config = self.backbone.config
        shape = (length, config.latent_channels, config.latent_size, config.latent_size)
        return draw_noise([generator(s, "video noise") for s in seeds], shape).to(self.device)

    def _stacked(self, clips: Sequence[tuple[Condition | None, ...]]) -> list[Condition | None]:
        """The conditions of several plans of equal length, clip by clip."""
        conditions = []
        for clip in zip(*clips):
            present = [c for c in clip if c is not None]
            conditions.append(stack(present).to(self.device) if present else None)
        return conditions

    def _shown(
        self, latents: Tensor, conditions: Sequence[Condition | None], context: Context
    ) -> list[np.ndarray]:
        """Pictures uint8 [L,H,W,3] of latent frames [B,L,C,h,w]."""
        frames = self.vae.decode(latents.flatten(0, 1)).unflatten(0, latents.shape[:2])
        frames = self.backbone.sharpened(frames, self._poses(conditions), context)
        if not frames.isfinite().all():
            raise ModelError(f"model {self.card.name!r} produced values that are not finite")
        pictures = tensor_to_pictures(frames.flatten(0, 1))
        return list(pictures.reshape(*latents.shape[:2], *pictures.shape[1:]))

    def _poses(self, conditions: Sequence[Condition | None]) -> Tensor | None:
        """Poses [B,L,3] of all frames of a plan, where its controls tell them."""
        paths = [None if c is None else self.backbone.conditioner.path(c) for c in conditions]
        known = [p for p in paths if p is not None]
        return torch.cat(known, dim=1) if len(known) == len(paths) else None

    def _tensor(self, pictures: np.ndarray) -> Tensor:
        return pictures_to_tensor(pictures, self.device)


def _rollout(hfov_deg: float, pictures: np.ndarray) -> Rollout:
    return Rollout(tuple(Observation(p, hfov_deg=hfov_deg) for p in pictures))


def _device(name: str) -> torch.device:
    try:
        device = torch.device(name)
    except (RuntimeError, TypeError) as error:
        raise InputError(f"no such device {name!r}; use cpu or cuda") from error
    if device.type == "cuda" and not torch.cuda.is_available():
        raise InputError("this torch finds no GPU; use device=cpu")
    return device
