"""The recogniser: what is the thing in this box? Calibrated, from one view or several."""

from __future__ import annotations

import functools
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor, nn
from torch.nn import functional as F

from worldloop.agents.perception.calibration import Fusion, fuse
from worldloop.agents.perception.efficientnet import FEATURES
from worldloop.agents.perception.images import clip_box, crop_and_resize
from worldloop.agents.perception.service import Perception
from worldloop.core import Belief, InputError
from worldloop.core.threads import each

TIGHT_MARGIN = 0.25
"""The first crop is 1.25 x the longer side of the box: the thing itself."""
CONTEXT_MARGIN = 1.0
"""The second crop is 2 x that side: what it stands on and next to."""
GEOMETRY = 10
"""Numbers that describe the box (`box_geometry`)."""
VECTOR = 2 * FEATURES + GEOMETRY
"""Length of the vector that describes one view of a target."""


def box_geometry(
    box: Sequence[float] | np.ndarray, height: int, width: int, hfov_deg: float = 90.0
) -> np.ndarray:
    """Ten numbers about the part of a box x0, y0, x1, y1 (pixels) inside the image, float32 [10].

    In tangents of the viewing angle, so that they hold for any field of view: centre (2), log size (2), log
    aspect; then the share of the image and, for each side of the image, 1 if the box touches it (4).
    """
    x0, y0, x1, y1 = clip_box(box, height, width)
    unit = np.tan(np.radians(hfov_deg) / 2) / (width / 2)
    w, h = max(x1 - x0, 1.0), max(y1 - y0, 1.0)
    return np.array(
        [
            ((x0 + x1) / 2 - width / 2) * unit,
            ((y0 + y1) / 2 - height / 2) * unit,
            np.log(w * unit),
            np.log(h * unit),
            np.log(w / h),
            w * h / (height * width),
            *(edge <= 0.5 for edge in (x0, y0, width - x1, height - y1)),
        ],
        np.float32,
    )


def view_vectors(
    perception: Perception,
    images: Sequence[np.ndarray] | np.ndarray,
    boxes: Sequence[Sequence[float] | np.ndarray] | np.ndarray,
    hfov_deg: float = 90.0,
) -> np.ndarray:
    """What the recogniser sees of V views, float32 [V, 2570]: two crops' features and the box geometry.

    `images`: uint8 [V,H,W,3]; `boxes`: x0, y0, x1, y1 in pixels, around the whole target as if nothing
    stood before it; what leaves the image is cut. A row depends on its own view alone. InputError for counts that differ or boxes that are
    not finite.
    """
    if len(images) != len(boxes):
        raise InputError(f"{len(images)} images with {len(boxes)} boxes")
    crops, geometry = [], []
    for image, box in zip(images, boxes):
        height, width = image.shape[:2]
        # The part in sight: grey beyond the border would only make the thing smaller.
        visible = clip_box(box, height, width)
        for margin in (TIGHT_MARGIN, CONTEXT_MARGIN):
            crops.append(crop_and_resize(image, visible, perception.config.feature_size, margin))
        geometry.append(box_geometry(box, height, width, hfov_deg))
    if not crops:
        return np.zeros((0, VECTOR), np.float32)
    seen = perception.features(crops).reshape(len(images), 2 * FEATURES)
    return np.concatenate([seen, np.stack(geometry)], 1)


class Head(nn.Module):
    """Layer norm per crop, then one hidden layer: float32 [V,2570] to logits float32 [V,C]."""

    geometry_mean: Tensor
    geometry_deviation: Tensor

    def __init__(self, classes: int, hidden: int = 256, dropout: float = 0.4) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(FEATURES)
        self.register_buffer("geometry_mean", torch.zeros(GEOMETRY))
        self.register_buffer("geometry_deviation", torch.ones(GEOMETRY))
        self.inner = nn.Linear(VECTOR, hidden)
        self.outer = nn.Linear(hidden, classes)
        self.dropout = dropout

    def forward(self, vectors: Tensor) -> Tensor:
        crops, geometry = vectors[:, :-GEOMETRY], vectors[:, -GEOMETRY:]
        crops = self.norm(crops.view(len(vectors), 2, FEATURES)).flatten(1)
        geometry = (geometry - self.geometry_mean) / self.geometry_deviation
        x = F.dropout(torch.cat([crops, geometry], 1), self.dropout / 2, self.training)
        x = F.dropout(F.gelu(self.inner(x)), self.dropout, self.training)
        return self.outer(x)


@dataclass(eq=False)
class Recogniser:
    """A trained head with its classes, its calibration and the card of its training."""

    head: Head
    classes: tuple[str, ...]
    fusion: Fusion = field(default_factory=Fusion)
    card: Mapping[str, Any] = field(default_factory=dict)
    """Data, scenes, steps, seconds and metrics of the training."""

    def __post_init__(self) -> None:
        self.head.eval().requires_grad_(False)

    def logits(self, vectors: np.ndarray) -> np.ndarray:
        """Logits float32 [V,C] of `view_vectors`; a row depends on its own view alone, bit for bit."""
        if vectors.ndim != 2 or vectors.shape[1] != VECTOR:
            raise InputError(f"expected view vectors [V,{VECTOR}], got {list(vectors.shape)}")
        rows = each(lambda v: self.head(torch.from_numpy(v.copy())[None])[0].numpy(), list(vectors))
        return np.stack(rows) if rows else np.zeros((0, len(self.classes)), np.float32)

    def look(
        self,
        perception: Perception,
        images: Sequence[np.ndarray] | np.ndarray,
        boxes: Sequence[Sequence[float] | np.ndarray] | np.ndarray,
        hfov_deg: float = 90.0,
    ) -> np.ndarray:
        """Logits float32 [V,C] of one target's box in V images (see `view_vectors`)."""
        return self.logits(view_vectors(perception, images, boxes, hfov_deg))

    def probabilities(
        self,
        logits: np.ndarray,
        weights: Sequence[float] | np.ndarray | None = None,
        allowed: Sequence[str] = (),
    ) -> np.ndarray:
        """Calibrated probabilities float64 [C] from V views of one target (see `fuse`).

        `allowed` names the classes that may be the answer; all others get 0. InputError if none of them is
        known.
        """
        p = fuse(logits, self.fusion, weights)
        if allowed:
            mask = np.array([name in set(allowed) for name in self.classes])
            if not mask.any():
                names = ", ".join(allowed)
                raise InputError(
                    f"the recogniser knows none of: {names}; let a language model look (--agent vlm)"
                )
            # A floor, so that a ruled-out certainty leaves something to normalise.
            p = np.where(mask, np.maximum(p, 1e-12), 0.0)
            p /= p.sum()
        return p

    def clarity(self, logits: np.ndarray) -> np.ndarray:
        """Calibrated top probability float64 [V] of each view [V,C] on its own."""
        return self.shares(logits).max(axis=1) if len(logits) else np.zeros(0)

    def certainty(self, logits: np.ndarray) -> np.ndarray:
        """How much each view [V,C] settles on its own, float64 [V] in [0,1]: 1 - entropy / log C."""
        if not len(logits):
            return np.zeros(0)
        p = np.maximum(self.shares(logits), 1e-12)
        return 1.0 + (p * np.log(p)).sum(axis=1) / np.log(logits.shape[1])

    def shares(self, logits: np.ndarray) -> np.ndarray:
        """Calibrated probabilities float64 [V,C] of each view [V,C] on its own."""
        scaled = np.asarray(logits, np.float64) / self.fusion.temperature
        odds = np.exp(scaled - scaled.max(axis=1, keepdims=True))
        p = odds / odds.sum(axis=1, keepdims=True)
        return (1 - self.fusion.doubt) * p + self.fusion.doubt / logits.shape[1]

    def belief(
        self,
        logits: np.ndarray,
        weights: Sequence[float] | np.ndarray | None = None,
        allowed: Sequence[str] = (),
        top: int = 5,
    ) -> Belief:
        """The most probable class with its calibrated probability, and the `top` best."""
        p = self.probabilities(logits, weights, allowed)
        order = np.argsort(-p, kind="stable")[:top]
        ranking = tuple((self.classes[i], float(p[i])) for i in order)
        return Belief(ranking[0][0], ranking[0][1], ranking)

    def save(self, path: str | Path) -> None:
        """Write one safetensors file (weights as float16) and the card beside it as JSON."""
        path = Path(path)
        path.parent.mkdir(parents=True, exist_ok=True)
        facts = {"classes": list(self.classes), "fusion": asdict(self.fusion), "card": dict(self.card)}
        # Half precision halves the file; `halve` makes the trained head equal to what is stored.
        state = {k: v.half().contiguous() for k, v in self.head.state_dict().items()}
        # `save_file` would make it readable for its owner alone.
        path.write_bytes(save(state, {"worldloop": json.dumps(facts, sort_keys=True)}))
        path.with_suffix(".json").write_text(json.dumps(facts, indent=2, sort_keys=True) + "\n")

    @classmethod
    def load(cls, path: str | Path) -> Recogniser:
        """Read a file that `save` wrote; InputError when it is missing, damaged or something else."""
        try:
            with safe_open(path, "pt") as file:
                facts = json.loads((file.metadata() or {})["worldloop"])
                state = {key: file.get_tensor(key).float() for key in file.keys()}  # noqa: SIM118
            head = Head(len(facts["classes"]), hidden=len(state["inner.bias"]))
            head.load_state_dict(state, strict=True)
            fusion = Fusion(**facts["fusion"])
        except FileNotFoundError:
            raise InputError(
                f"no recogniser at {path}; train one with `worldloop train recogniser`"
            ) from None
        except (SafetensorError, KeyError, TypeError, ValueError, RuntimeError) as error:
            raise InputError(f"{path} is not a recogniser: {error}") from error
        return cls(head, tuple(facts["classes"]), fusion, facts["card"])


def halve(head: Head) -> Head:
    """Round the weights to half precision in place, so that calibration sees what will be stored."""
    with torch.no_grad():
        for tensor in head.state_dict().values():
            tensor.copy_(tensor.half().float())
    return head


def shipped_recogniser_path() -> Path:
    """Where the packaged head lies."""
    return Path(__file__).resolve().parent.parent / "data" / "recogniser.safetensors"


@functools.cache
def shipped_recogniser() -> Recogniser:
    """The packaged recogniser, read once per process; InputError where it has not been trained yet."""
    return Recogniser.load(shipped_recogniser_path())
