"""Trains the adapted models of a study, each once: a finished one with the same settings is used again."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from worldloop.core import InputError
from worldloop.models.video import VideoBackbone, VideoCheckpoint, VideoModel, load_checkpoint
from worldloop.studies.evaluation import Progress
from worldloop.studies.result import write_text
from worldloop.training.dataset import DatasetMeta, open_meta, training_scenes
from worldloop.training.loop import CHECKPOINT, local_device
from worldloop.training.video import SupervisedTraining, train_sft
from worldloop.training.video.footage import Footage, open_footage

WEIGHTS, CARD, ASKED = "adapted.safetensors", "card.json", "asked.json"


@dataclass(frozen=True)
class Adaptation:
    """How models are post-trained; one epoch with low-rank adapters unless told otherwise."""

    base: str
    """A checkpoint file, or the name of packaged weights."""
    data: tuple[str, ...]
    control: str = "code"
    epochs: int = 1
    batch: int = 16
    learning_rate: float = 1e-3
    rank: int | None = None
    """None: the largest that trains no more than the usual share."""
    seed: int = 0
    precision: str = "auto"
    sampling_steps: int | None = None
    """Steps that adapted models sample in; None takes the base's."""
    latents: str | None = None
    """A folder that keeps the encoded data for other studies and trainings; changes no result."""

    def __post_init__(self) -> None:
        if not self.base:
            raise InputError("give the model to adapt with --base FILE (`worldloop train video` makes one)")
        if not self.data:
            raise InputError("give the training data with --data DIR (`worldloop collect` makes it)")

    def asked(self) -> dict[str, Any]:
        """All that can change a result, JSON-ready."""
        return {k: v for k, v in asdict(self).items() if k != "latents"}


@dataclass(eq=False)
class Workshop:
    """The adapters of one base on one choice of data."""

    settings: Adaptation
    out: Path
    progress: Progress = field(default=lambda what, done, total: None)
    _encoded: dict[tuple[int, bool], Footage] = field(default_factory=dict, init=False)

    @cached_property
    def base(self) -> VideoCheckpoint:
        """The base; InputError for a missing or unreadable file."""
        return load_checkpoint(self.settings.base)

    @cached_property
    def metas(self) -> list[DatasetMeta]:
        """The datasets; InputError or SplitError for what is no training data."""
        for folder in self.settings.data:
            training_scenes(folder)
        return [open_meta(folder) for folder in self.settings.data]

    @cached_property
    def clips(self) -> int:
        """Clips in the data."""
        frames = self.base.backbone.config.clip_frames
        return int(sum(np.maximum(m.lengths - frames, 0).sum() for m in self.metas))

    @property
    def styles(self) -> tuple[str, ...]:
        """Styles of the data's scenes, sorted."""
        return tuple(sorted({s.split("/")[2] for m in self.metas for s in m.scenes}))

    def check(self, sizes: Sequence[int | None], controls: Sequence[str] | None = None) -> None:
        """InputError for settings, files or sizes that cannot be used; before anything is trained."""
        for control in controls or (self.settings.control,):
            for size in sizes:
                self._training(Path(), size, control)
        largest = max((s for s in sizes if s is not None), default=self.settings.batch)
        if largest > self.clips:
            raise InputError(
                f"the data has {self.clips} clips, not {largest}; collect more, or ask for fewer examples"
            )

    def adapted(self, name: str, examples: int | None, control: str | None = None) -> dict[str, Any]:
        """Train `models/NAME` unless that is done; facts with `weights`, the path of the file.

        InputError when the folder holds a training with other settings.
        """
        folder = self.out / "models" / name
        training = self._training(folder, examples, control or self.settings.control)
        asked = self._identity(training)
        before = _read(folder / ASKED)
        if before is None and (folder / CHECKPOINT).exists():
            raise InputError(
                f"{folder} holds a training of unknown settings; choose another --out, or delete it"
            )
        if before is not None and _chosen(before) != asked:
            differ = sorted(k for k in asked.keys() | before.keys() if asked.get(k) != before.get(k))
            raise InputError(
                f"{folder} holds a training that differs in {', '.join(differ)}; choose another --out, or delete it"
            )
        card, weights = _read(folder / CARD), folder / WEIGHTS
        if card is None or before is None or _digest(weights) != card.get("weights_hash"):
            write_text(folder / ASKED, json.dumps(asked, indent=1) + "\n")
            total = training.epochs * (examples or self.clips) // training.batch
            label = f"train {name}"
            card = train_sft(
                training, lambda step, loss: self.progress(label, step, total), self._footage(training)
            )
            card = json.loads(json.dumps(card))
            write_text(folder / CARD, json.dumps(card, indent=1) + "\n")
        return {**card, "weights": str(weights)}

    def _footage(self, training: SupervisedTraining) -> Footage:
        """The data, opened once for all adapters that read it alike."""
        wanted = (training.detail, training.sharpens)
        if wanted not in self._encoded:
            checkpoint = load_checkpoint(self.settings.base)
            self._encoded[wanted] = open_footage(
                self.settings.data,
                checkpoint.vae,
                checkpoint.backbone.config.panorama,
                local_device(),
                lambda done, total: self.progress("encode the data", done, total),
                Path(self.settings.latents) if self.settings.latents else None,
                *wanted,
            )
        return self._encoded[wanted]

    def _training(self, folder: Path, examples: int | None, control: str) -> SupervisedTraining:
        s = self.settings
        return SupervisedTraining(
            s.base,
            s.data,
            folder,
            control=control,
            examples=examples,
            epochs=s.epochs,
            batch=s.batch,
            learning_rate=s.learning_rate,
            rank=s.rank,
            seed=s.seed,
            precision=s.precision,
            sampling_steps=s.sampling_steps,
        )

    def _identity(self, training: SupervisedTraining) -> dict[str, Any]:
        """Everything the weights depend on, files by content."""
        data = [
            hashlib.sha256(json.dumps(sorted(m.files.items())).encode()).hexdigest()[:16] for m in self.metas
        ]
        own = asdict(replace(training, base=self.base.weights_hash, data=tuple(data)))
        del own["out"], own["latents"]
        return _chosen(json.loads(json.dumps(own)))


def _chosen(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Settings without those that are off, so that a new one does not disown what was trained before it was there."""
    return {k: v for k, v in settings.items() if v is not None and v is not False}


def open_model(path: str | Path, device: str = "auto") -> VideoModel:
    """A video model on a device; `auto` is where this process would train. InputError for unusable files."""
    return VideoModel(path, device=str(local_device()) if device == "auto" else device)


def model_facts(model: VideoModel) -> dict[str, Any]:
    """Size and kind of a video model."""
    return {
        "parameters": sum(p.numel() for p in model.backbone.parameters()),
        "transformer_parameters": transformer_size(model.backbone),
        "control": model.card.control,
        "post_trained": "adaptation" in model.spec.extra,
    }


def transformer_size(backbone: VideoBackbone) -> int:
    """Parameters without the control heads: a base and its adapted version have the same size."""
    return sum(p.numel() for n, p in backbone.named_parameters() if not n.startswith("conditioner."))


def training_facts(card: Mapping[str, Any]) -> dict[str, Any]:
    """What a study reports of a training."""
    keys = ("examples", "epochs", "steps", "batch", "rank", "trained_parameters", "trained_share", "device")
    return {**{k: card[k] for k in keys if k in card}, "weights": card["weights"]}


def _read(path: Path) -> dict[str, Any] | None:
    """A JSON object, or None where there is none that can be read."""
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return None
    return data if isinstance(data, dict) else None


def _digest(path: Path) -> str:
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()[:16]
    except OSError:
        return ""
