"""Training and calibrating the recogniser's head on view vectors that are computed already."""

from __future__ import annotations

import copy
import logging
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch
from scipy.special import softmax
from torch.nn import functional as F

from worldloop.agents.perception.answerer import GEOMETRY, Head, Recogniser, halve
from worldloop.agents.perception.calibration import fit_fusion, fit_temperature, fuse, nll, report
from worldloop.core import InputError, SplitError, derive_seed

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class HeadConfig:
    """Settings of `train_head`."""

    hidden: int = 256
    dropout: float = 0.6
    learning_rate: float = 1e-3
    weight_decay: float = 0.3
    batch: int = 256
    epochs: int = 40
    patience: int = 6
    """Epochs without a better validation loss before training stops."""
    label_smoothing: float = 0.05
    balance: float = 0.5
    """Classes weigh 1 / frequency ** balance in the loss: 0 as found, 1 all alike."""
    views: int = 6
    """Longest sequence of views on which fusion is fitted."""
    seed: int = 0


@dataclass(frozen=True, eq=False)
class Views:
    """Labelled views: N rows."""

    vectors: np.ndarray
    """float32 [N,2570], see `view_vectors`."""
    labels: np.ndarray
    """int64 [N], index of the class."""
    scenes: Sequence[str]
    """Scene id of each row."""
    targets: Sequence[str]
    """Which thing each row shows; equal names within a scene are views of one thing."""

    def __len__(self) -> int:
        return len(self.labels)


def train_head(
    train: Views,
    validation: Views,
    classes: Sequence[str],
    config: HeadConfig | None = None,
    card: dict[str, Any] | None = None,
) -> Recogniser:
    """A recogniser trained on `train`, stopped early and calibrated on `validation`.

    The card gains `head` (steps, seconds, settings) and `validation` (accuracy and calibration of single
    views and of sequences). SplitError when a scene is in both; InputError when either is empty.
    """
    config = config or HeadConfig()
    if not len(train) or not len(validation):
        raise InputError(
            f"{len(train)} training views and {len(validation)} validation views; both need some"
        )
    shared = set(train.scenes) & set(validation.scenes)
    if shared:
        raise SplitError(f"scenes in training and validation: {', '.join(sorted(shared)[:3])}")
    started = time.perf_counter()
    threads = torch.get_num_threads()
    # Sums then have one order on every machine, and busy neighbours cannot stall a step.
    torch.set_num_threads(1)
    try:
        head, steps = _fit(train, validation, len(classes), config)
    finally:
        torch.set_num_threads(threads)
    recogniser = Recogniser(halve(head), tuple(classes))
    logits = recogniser.logits(validation.vectors)
    sequences, answers = view_sequences(validation, config.views)
    recogniser.fusion = fit_fusion([logits[s] for s in sequences], answers)
    recogniser.card = {
        **(card or {}),
        "head": {
            "steps": steps,
            "seconds": round(time.perf_counter() - started, 1),
            "views": len(train),
            "scenes": len(set(train.scenes)),
            "single_view_temperature": fit_temperature(logits, validation.labels),
            **asdict(config),
        },
        "validation": evaluate(recogniser, validation, config),
    }
    return recogniser


def _fit(train: Views, validation: Views, classes: int, config: HeadConfig) -> tuple[Head, int]:
    """The head of the epoch with the lowest validation loss, and how many steps were made in all."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(derive_seed("recogniser", config.seed))
        head = Head(classes, config.hidden, config.dropout)
        x, y = torch.from_numpy(train.vectors), torch.from_numpy(train.labels)
        geometry = x[:, -GEOMETRY:]
        head.geometry_mean.copy_(geometry.mean(0))
        head.geometry_deviation.copy_(geometry.std(0, unbiased=False).clamp(min=1e-2))
        counts = torch.bincount(y, minlength=classes).clamp(min=1).float()
        weight = counts.mean().div(counts).pow(config.balance)
        steps_per_epoch = -(-len(train) // config.batch)
        optimiser = torch.optim.AdamW(
            head.parameters(), lr=config.learning_rate, weight_decay=config.weight_decay
        )
        schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, config.epochs * steps_per_epoch)
        best, best_loss, waited, steps = copy.deepcopy(head.state_dict()), float("inf"), 0, 0
        for epoch in range(config.epochs):
            head.train()
            for rows in torch.randperm(len(train)).split(config.batch):
                loss = F.cross_entropy(
                    head(x[rows]), y[rows], weight=weight, label_smoothing=config.label_smoothing
                )
                optimiser.zero_grad()
                loss.backward()
                optimiser.step()
                schedule.step()
                steps += 1
            current = _validation_loss(head, validation)
            log.info("epoch %d: validation loss %.4f", epoch, current)
            if current < best_loss:
                best, best_loss, waited = copy.deepcopy(head.state_dict()), current, 0
            else:
                waited += 1
                if waited > config.patience:
                    break
    head.load_state_dict(best)
    return head, steps


def _validation_loss(head: Head, validation: Views) -> float:
    """NLL at the best temperature: over-confidence is cured later and must not stop training now."""
    head.eval()
    with torch.inference_mode():
        logits = torch.cat([head(part) for part in torch.from_numpy(validation.vectors).split(1024)]).numpy()
    temperature = fit_temperature(logits, validation.labels)
    return nll(softmax(logits / temperature, axis=1), validation.labels)


def view_sequences(views: Views, longest: int) -> tuple[list[np.ndarray], list[int]]:
    """Row indices of 1 to `longest` views of one thing, with the label of each sequence.

    Every row is a sequence of its own once; every thing with n views also gives its first 2, 3, ... n, in the
    order of the rows, as an agent would gather them.
    """
    by_target: dict[tuple[str, str], list[int]] = {}
    for i, key in enumerate(zip(views.scenes, views.targets)):
        by_target.setdefault(key, []).append(i)
    sequences = [np.array([i]) for i in range(len(views))]
    for rows in by_target.values():
        sequences += [np.array(rows[:length]) for length in range(2, min(longest, len(rows)) + 1)]
    return sequences, [int(views.labels[s[0]]) for s in sequences]


def evaluate(recogniser: Recogniser, views: Views, config: HeadConfig | None = None) -> dict[str, Any]:
    """Accuracy and calibration by the number of views: `{"1": {...}, "2": {...}, ...}` (see `report`)."""
    config = config or HeadConfig()
    logits = recogniser.logits(views.vectors)
    sequences, labels = view_sequences(views, config.views)
    fused = np.stack([fuse(logits[s], recogniser.fusion) for s in sequences])
    lengths, answers = np.array([len(s) for s in sequences]), np.array(labels)
    return {str(n): report(fused[lengths == n], answers[lengths == n]) for n in sorted(set(lengths.tolist()))}
