"""Rollouts kept by content: the same question to the same model is answered once."""

from __future__ import annotations

import io
import json
import logging
import os
import tempfile
import zipfile
from collections import OrderedDict
from pathlib import Path
from typing import Any

import numpy as np

from worldloop.core import Observation, Rollout

log = logging.getLogger(__name__)
FIELDS = ("rgb", "panorama", "depth", "segmentation", "pose")


class RolloutCache:
    """A bounded memory of rollouts, backed by a folder where one is given. Not for sharing over threads."""

    def __init__(self, folder: str | Path | None = None, megabytes: int = 256) -> None:
        self._memory: OrderedDict[str, tuple[Rollout, int]] = OrderedDict()
        self._room = megabytes * 2**20
        self._folder = Path(folder) if folder else None
        self.hits = self.misses = 0

    def get(self, key: str) -> Rollout | None:
        """The rollout under a key, or None."""
        if key in self._memory:
            self._memory.move_to_end(key)
            self.hits += 1
            return self._memory[key][0]
        rollout = self._load(key)
        if rollout is None:
            self.misses += 1
            return None
        self.hits += 1
        self._remember(key, rollout)
        return rollout

    def put(self, key: str, rollout: Rollout) -> None:
        """Keep a rollout; the oldest make room."""
        self._remember(key, rollout)
        if self._folder is not None:
            _write(self._path(key), _pack(rollout))

    def _remember(self, key: str, rollout: Rollout) -> None:
        size = rollout_bytes(rollout)
        if key in self._memory:
            self._room += self._memory.pop(key)[1]
        self._memory[key] = rollout, size
        self._room -= size
        while self._room < 0 and len(self._memory) > 1:
            self._room += self._memory.popitem(last=False)[1][1]

    def _path(self, key: str) -> Path:
        assert self._folder is not None
        return self._folder / key[:2] / f"{key}.npz"

    def _load(self, key: str) -> Rollout | None:
        if self._folder is None or not (path := self._path(key)).exists():
            return None
        try:
            return _unpack(path.read_bytes())
        except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
            log.warning("ignoring damaged cache entry %s: %s", path, error)
            return None


def rollout_bytes(rollout: Rollout) -> int:
    """Bytes of the arrays of its frames."""
    return sum(
        a.nbytes
        for f in rollout.frames
        for a in (f.rgb, f.panorama, f.depth, f.segmentation, f.pose, *f.extra.values())
        if a is not None
    )


def _pack(rollout: Rollout) -> bytes:
    arrays: dict[str, np.ndarray] = {}
    meta: list[dict[str, Any]] = []
    for i, frame in enumerate(rollout.frames):
        named = {n: getattr(frame, n) for n in FIELDS} | {f"extra:{k}": v for k, v in frame.extra.items()}
        arrays |= {f"{i}/{k}": v for k, v in named.items() if v is not None}
        meta.append({"text": frame.text, "hfov_deg": frame.hfov_deg})
    arrays |= {f"head/{n}": h for n in ("reward", "done", "latent") if (h := getattr(rollout, n)) is not None}
    arrays["meta"] = np.frombuffer(
        json.dumps({"frames": meta, "seconds": rollout.seconds}).encode(), np.uint8
    )
    out = io.BytesIO()
    np.savez(out, **arrays)  # type: ignore[arg-type]
    return out.getvalue()


def _unpack(data: bytes) -> Rollout:
    with np.load(io.BytesIO(data), allow_pickle=False) as arrays:
        meta = json.loads(arrays["meta"].tobytes())
        frames = []
        for i, m in enumerate(meta["frames"]):
            mine = {k.partition("/")[2]: arrays[k] for k in arrays.files if k.startswith(f"{i}/")}
            extra = {k[6:]: v for k, v in mine.items() if k.startswith("extra:")}
            plain = {k: v for k, v in mine.items() if k in FIELDS}
            frames.append(Observation(**plain, extra=extra, text=m["text"], hfov_deg=m["hfov_deg"]))
        heads = {n: arrays[f"head/{n}"] for n in ("reward", "done", "latent") if f"head/{n}" in arrays.files}
        return Rollout(tuple(frames), **heads, seconds=meta["seconds"])


def _write(path: Path, data: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=".tmp")
    with os.fdopen(handle, "wb") as file:
        file.write(data)
    Path(name).replace(path)
