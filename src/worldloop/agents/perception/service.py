"""Perception as a service: features and distances, with a memory for what was asked before."""

from __future__ import annotations

import hashlib
import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass

import numpy as np

from worldloop.agents.perception import efficientnet, stlpips
from worldloop.agents.perception.images import as_images, crop_and_resize
from worldloop.core import InputError

CHUNK = 32
"""Images whose embeddings are held at once, about 2.6 MB each."""


def image_key(image: np.ndarray) -> bytes:
    """16 bytes that identify an image by its content and shape."""
    digest = hashlib.blake2b(str(image.shape).encode(), digest_size=16)
    digest.update(np.ascontiguousarray(image).data)
    return digest.digest()


class Memo:
    """A thread-safe memory of read-only arrays that forgets the least recently used beyond `max_bytes`."""

    def __init__(self, max_bytes: int) -> None:
        self.max_bytes = max_bytes
        self.hits = 0
        self.misses = 0
        self._bytes = 0
        self._arrays: OrderedDict[Hashable, np.ndarray] = OrderedDict()
        self._lock = threading.Lock()

    def get(self, key: Hashable) -> np.ndarray | None:
        """The array kept under a key, or None."""
        with self._lock:
            array = self._arrays.get(key)
            if array is None:
                self.misses += 1
                return None
            self.hits += 1
            self._arrays.move_to_end(key)
            return array

    def put(self, key: Hashable, array: np.ndarray) -> None:
        """Keep an array (it becomes read-only); one that is larger than the whole memory is not kept."""
        array.flags.writeable = False
        with self._lock:
            old = self._arrays.pop(key, None)
            self._bytes -= old.nbytes if old is not None else 0
            if array.nbytes > self.max_bytes:
                return
            self._arrays[key] = array
            self._bytes += array.nbytes
            while self._bytes > self.max_bytes:
                self._bytes -= self._arrays.popitem(last=False)[1].nbytes

    def __len__(self) -> int:
        return len(self._arrays)


@dataclass(frozen=True)
class PerceptionConfig:
    """Settings of `Perception`."""

    feature_size: int = 128
    """Side in pixels at which the feature network sees every image."""
    memo_bytes: int = 256 * 2**20
    """Memory for past answers: 5 kB per feature vector, 2.6 MB per ST-LPIPS embedding at 128 x 128."""


class Perception:
    """EfficientNet-Lite0 features, ST-LPIPS and crops; safe to share among threads.

    Every answer depends on its own image alone, bit for bit, whatever else was asked, in which order, from
    how many threads and whether the memory knew it already.
    """

    def __init__(self, config: PerceptionConfig | None = None) -> None:
        self.config = config or PerceptionConfig()
        self.memo = Memo(self.config.memo_bytes)

    def features(self, images: np.ndarray | Sequence[np.ndarray]) -> np.ndarray:
        """Pooled EfficientNet-Lite0 features float32 [B,1280], in [0,6], of uint8 images [B,H,W,3]."""
        size = self.config.feature_size
        rows = self._remember("features", as_images(images), lambda new: efficientnet.features(new, size))
        return np.stack(rows) if rows else np.zeros((0, efficientnet.FEATURES), np.float32)

    def stlpips(self, images: np.ndarray | Sequence[np.ndarray], reference: np.ndarray) -> np.ndarray:
        """ST-LPIPS float32 [B] of images against one reference [H,W,3] or one each [B,H,W,3]; 0 is equal.

        InputError when sizes differ or the number of references is neither 1 nor B.
        """
        candidates = as_images(images, stlpips.MIN_SIZE)
        if reference.ndim == 3:
            reference = reference[None]
        references = as_images(reference, stlpips.MIN_SIZE)
        if len(references) == 1:
            references = references * len(candidates)
        if len(references) != len(candidates):
            raise InputError(f"{len(references)} references for {len(candidates)} images; pass 1 or as many")
        pairs = [tuple(sorted((image_key(a), image_key(b)))) for a, b in zip(candidates, references)]
        known = [self.memo.get(("distance", pair)) for pair in pairs]
        new = [i for i, value in enumerate(known) if value is None]
        out = np.array([np.nan if value is None else value.item() for value in known], np.float32)
        for start in range(0, len(new), CHUNK):
            part = new[start : start + CHUNK]
            goal = self._remember("embedding", [references[i] for i in part], stlpips.embed)
            seen = self._remember("embedding", [candidates[i] for i in part], stlpips.embed)
            out[part] = stlpips.distance_from_embeddings(seen, goal)
            for i in part:
                self.memo.put(("distance", pairs[i]), out[i : i + 1].copy())
        return out

    @staticmethod
    def crop(rgb: np.ndarray, box: Sequence[float] | np.ndarray, out_size: int, margin: float) -> np.ndarray:
        """See `crop_and_resize`."""
        return crop_and_resize(rgb, box, out_size, margin)

    def _remember(
        self,
        kind: str,
        images: list[np.ndarray],
        compute: Callable[[list[np.ndarray]], np.ndarray | list[np.ndarray]],
    ) -> list[np.ndarray]:
        """One array per image, computing each unknown image once."""
        keys = [image_key(image) for image in images]
        answers: dict[bytes, np.ndarray] = {}
        unknown: dict[bytes, np.ndarray] = {}
        for key, image in zip(keys, images):
            if key in answers or key in unknown:
                continue
            kept = self.memo.get((kind, key))
            if kept is None:
                unknown[key] = image
            else:
                answers[key] = kept
        if unknown:
            for key, row in zip(unknown, compute(list(unknown.values()))):
                # A copy: a row of a batch would keep the whole batch alive.
                answers[key] = np.array(row)
                self.memo.put((kind, key), answers[key])
        return [answers[key] for key in keys]
