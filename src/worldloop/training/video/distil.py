"""Few-step distillation: a student that goes in 1, 2 or 4 jumps where its teacher goes in many small steps.

The method is direct regression on the teacher's trajectory, one jump at a time (after Luhman and Luhman 2021, and
Salimans and Ho 2022, in one stage instead of by repeated halving). From noise `x_1` the frozen teacher solves its
ODE by Euler steps on a fine grid of noise levels. Every few levels of it are the student's: 1 = t_0 > ... > t_K = 0.
The student's velocity at (x_{t_k}, t_k) is trained towards the mean velocity of the teacher's path to the next of them,

    (x_{t_k+1} - x_{t_k}) / (t_{k+1} - t_k),

so that its Euler step from t_k lands where the teacher does. The target is a fixed function of noise, context and
controls: nothing is bootstrapped, and the loss is a distance with minimum 0. Real clips serve as contexts and
controls only. Where the teacher is sampled with guidance, the student learns the guided path and asks once a step.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from worldloop.core import InputError, generator
from worldloop.models.video import (
    BackboneConfig,
    Condition,
    Context,
    SamplerConfig,
    Step,
    VideoBackbone,
    VideoCheckpoint,
    VideoSpec,
    guided,
    load_checkpoint,
    sample,
    save_checkpoint,
)
from worldloop.models.video.sampler import noise_levels
from worldloop.training.loop import LoopConfig, StepInput, local_device, train
from worldloop.training.video.footage import ClipBatch, Footage, clip_batch, kinds, open_footage
from worldloop.training.video.sft import conditions

STUDENT_STEPS = (1, 2, 4)
COMPARED = 16
"""Clips on which student and teacher are compared in the end."""


@dataclass(frozen=True)
class Distillation:
    """Settings of `train_distil`."""

    base: str
    """The teacher: a checkpoint file, or the name of packaged weights."""
    data: tuple[str, ...]
    out: Path
    loop: LoopConfig
    student_steps: int = 1
    teacher_steps: int = 8
    """Euler steps of the teacher from noise to clip; a multiple of the student's."""
    history: int = 4
    """Most context frames, the present one included; half of the clips have that one alone."""
    dropped: float = 0.1
    """Share of clips whose controls are withheld, from teacher and student alike."""
    latents: Path | None = None
    """A folder that keeps the encoded data for other trainings with the same autoencoder."""

    def __post_init__(self) -> None:
        if self.student_steps not in STUDENT_STEPS:
            raise InputError(f"--student-steps is one of {STUDENT_STEPS}, got {self.student_steps}")
        if self.teacher_steps <= self.student_steps or self.teacher_steps % self.student_steps:
            raise InputError(
                f"the teacher's steps are a multiple of the student's {self.student_steps}, got {self.teacher_steps}"
            )
        if self.history < 1 or not 0 <= self.dropped < 1:
            raise InputError("distillation needs a history of at least 1 and a dropped share in [0,1)")


class PathLoss(nn.Module):
    """How far each of the student's jumps misses the teacher's path; only the student has gradients."""

    def __init__(
        self, teacher: VideoBackbone, student: VideoBackbone, sampler: SamplerConfig, jumps: int
    ) -> None:
        """`sampler`: the teacher's, with the guidance to distil. `jumps`: K, a divisor of its steps."""
        super().__init__()
        self.teacher, self.student = teacher.requires_grad_(False), student
        self.sampler, self.jumps = sampler, jumps

    def forward(
        self, batch: ClipBatch, condition: Condition | None, past: Condition | None, seed: int
    ) -> Tensor:
        """Mean squared error of the velocity per clip [B], over all jumps, from noise drawn from the seed."""
        draw = torch.Generator(batch.target.device).manual_seed(seed)
        noise = torch.randn(batch.target.shape, generator=draw, device=draw.device).to(batch.target)
        with torch.no_grad():
            context = self.teacher.context(batch.context, batch.panorama, past)
            path = teacher_path(self.teacher, condition, context, noise, self.sampler, self.jumps)
        context = self.student.context(batch.context, batch.panorama, past)
        errors = []
        for (level, x), (next_level, x_next) in pairwise(path):
            t = torch.full(x.shape[:2], level, dtype=x.dtype, device=x.device)
            wanted = (x_next - x) / (next_level - level)
            v = self.student(x, t, condition, context)
            errors.append((v - wanted).square().flatten(1).mean(1))
        return torch.stack(errors).mean(0)


def teacher_path(
    teacher: VideoBackbone,
    condition: Condition | None,
    context: Context | None,
    noise: Tensor,
    sampler: SamplerConfig,
    jumps: int,
) -> list[tuple[float, Tensor]]:
    """Noise level and sample [B,T,C,h,w] at the ends of K jumps: K+1 pairs, from the noise to the clean clip."""
    steps: list[Step] = []
    clean = sample(guided(teacher, condition, context, sampler.guidance), noise, sampler, (), steps.append)
    return [(s.level, s.x) for s in steps[:: len(steps) // jumps]] + [(0.0, clean)]


def samplers(spec: VideoSpec, student_steps: int, teacher_steps: int) -> tuple[SamplerConfig, SamplerConfig]:
    """The teacher's sampler on the fine grid, and the student's on every few levels of it, without guidance.

    InputError for a checkpoint that samples on levels of its own, as a student does.
    """
    own = spec.sampler
    if own.levels is not None:
        raise InputError(f"{spec.name!r} is distilled already; give the model that it was distilled from")
    teacher = replace(own, steps=teacher_steps, eta=0.0)
    coarse = replace(teacher, steps=student_steps)
    return teacher, replace(coarse, levels=tuple(noise_levels(coarse)), guidance=1.0)


def train_distil(
    settings: Distillation,
    progress: Callable[[int, float], None] | None = None,
    footage: Footage | None = None,
) -> dict[str, Any]:
    """Distil and write `distilled.safetensors`, an ordinary checkpoint; returns facts for the card.

    `footage`: the data, where it has been encoded by the same autoencoder already. Facts: data, loop, levels, and
    `distance_to_teacher`, see `compare`. SplitError for held-out scenes; InputError for a teacher that does not fit.
    """
    checkpoint = load_checkpoint(settings.base)
    teacher, spec = checkpoint.backbone, checkpoint.spec
    many, few = samplers(spec, settings.student_steps, settings.teacher_steps)
    if footage is None:
        footage = open_footage(
            settings.data,
            checkpoint.vae,
            teacher.config.panorama,
            local_device(),
            store=settings.latents,
            detail=teacher.config.conditioning.detail,
        )
        checkpoint.vae.cpu()
    box = None if footage.commands is None else footage.commands.vocabulary
    if dict(footage.actions) != dict(spec.actions) or box != spec.vocabulary:
        raise InputError("the data has other actions than the teacher knows")
    student = VideoBackbone(teacher.config)
    student.load_state_dict(teacher.state_dict())
    clips = _Clips(settings, footage, teacher.config, spec.control)

    def loss(model: nn.Module, given: StepInput) -> Tensor:
        return model(*clips.draw(given)).mean()

    about = {
        "teacher": checkpoint.weights_hash,
        "student_steps": settings.student_steps,
        "teacher_steps": settings.teacher_steps,
    }
    module = PathLoss(teacher, student, many, settings.student_steps)
    facts = train(module, loss, settings.loop, settings.out, progress, about=about)
    facts |= about | {
        "method": "regression on the mean velocity of the teacher's ODE path over each of the student's jumps",
        "levels": list(few.levels or ()),
        "teacher_guidance": many.guidance,
        "control": spec.control,
        "data": list(settings.data),
        "scenes": len(footage.scenes),
        **kinds(footage.scenes),
        "parameters": sum(p.numel() for p in student.parameters()),
        "distance_to_teacher": compare(module, clips.fixed(COMPARED)),
    }
    student.requires_grad_(True).cpu().eval()
    steps = f"{settings.student_steps} step{'s' if settings.student_steps > 1 else ''}"
    distilled = replace(
        spec,
        name=f"{spec.name}-{settings.student_steps}step",
        summary=f"{spec.summary}, distilled to {steps}",
        sampler=few,
        training_scenes=tuple(sorted({*spec.training_scenes, *footage.scenes})),
        notes=f"{spec.notes} Distilled from {settings.teacher_steps} steps to {steps}.".strip(),
        extra={**spec.extra, "distillation": facts},
    )
    facts["weights_hash"] = save_checkpoint(
        settings.out / "distilled.safetensors", VideoCheckpoint(checkpoint.vae, student, distilled), half=True
    )
    return facts


@torch.no_grad()
def compare(
    module: PathLoss, given: tuple[ClipBatch, Condition | None, Condition | None, int]
) -> dict[str, float]:
    """Mean squared distance of clean latents to the teacher's many-step samples, from the same noise.

    `student`: in its K jumps; `teacher_in_as_many_steps`: of the teacher itself, in K Euler steps.
    """
    batch, condition, past, seed = given
    draw = torch.Generator(batch.target.device).manual_seed(seed)
    noise = torch.randn(batch.target.shape, generator=draw, device=draw.device).to(batch.target)
    few = replace(module.sampler, steps=module.jumps)

    def clip(backbone: VideoBackbone, sampler: SamplerConfig) -> Tensor:
        context = backbone.context(batch.context, batch.panorama, past)
        return sample(guided(backbone, condition, context, sampler.guidance), noise, sampler)

    wanted = clip(module.teacher, module.sampler)
    distances = {
        "student": clip(module.student, replace(few, guidance=1.0)),
        "teacher_in_as_many_steps": clip(module.teacher, few),
    }
    return {name: round(float((x - wanted).square().mean()), 6) for name, x in distances.items()}


class _Clips:
    """Contexts and controls of random clips, as the models get them when they are asked."""

    def __init__(
        self, settings: Distillation, footage: Footage, config: BackboneConfig, control: str
    ) -> None:
        self._settings, self._footage, self._config, self._control = settings, footage, config, control
        self._history = min(settings.history, config.window)
        self._starts = {n: footage.starts(n, config.clip_frames) for n in range(1, self._history + 1)}
        if not all(len(s) for s in self._starts.values()):
            raise InputError("the episodes of this data are too short for the clips")

    def draw(self, given: StepInput) -> tuple[ClipBatch, Condition | None, Condition | None, int]:
        """Clips, their controls, those of the context, and a seed for the noise."""
        settings, random = self._settings, given.random
        n = 1 if random.random() < 0.5 else int(random.integers(1, self._history + 1))
        starts, size = self._starts[n], settings.loop.batch
        present = starts[random.integers(len(starts), size=size)][given.rows]
        kept = torch.from_numpy(random.random(size)[given.rows] >= settings.dropped).to(given.device)
        seed = int(random.integers(2**62)) + given.rows.start
        batch, ahead, past = self._at(present, n, given.device)
        return batch, None if ahead is None else replace(ahead, keep=kept), past, seed

    def fixed(self, count: int) -> tuple[ClipBatch, Condition | None, Condition | None, int]:
        """The same clips at every call, none of them without controls."""
        random = generator(self._settings.loop.seed, "compared clips")
        starts = self._starts[1]
        present = starts[random.integers(len(starts), size=count)]
        return *self._at(present, 1, local_device()), int(random.integers(2**62))

    def _at(
        self, present: np.ndarray, context: int, device: torch.device
    ) -> tuple[ClipBatch, Condition | None, Condition | None]:
        batch = clip_batch(self._footage, present, context, self._config.clip_frames, device)
        if self._control == "none":
            return batch, None, None
        return batch, *conditions(self._control, batch, self._footage, self._config.conditioning)
