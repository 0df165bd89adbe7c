"""Frames of a run, stored once by content as lossless PNG files: `frames/ab/<hash>.png`."""

from __future__ import annotations

import hashlib
import io
import re
import threading
import warnings
from pathlib import Path

import numpy as np
from PIL import Image

from worldloop.core import InputError, RunFolderError
from worldloop.runs.disk import read_bytes, remove_temporaries, replace_file

_HASH = re.compile(r"[0-9a-f]{32}")
_OPENING = threading.Lock()
"""What catches warnings must not do so in two threads at once."""


def frame_hash(frame: np.ndarray) -> str:
    """32 hex digits that identify an array: blake2b over its shape, dtype and bytes."""
    digest = hashlib.blake2b(f"{frame.shape}{frame.dtype.str}".encode(), digest_size=16)
    digest.update(np.ascontiguousarray(frame).data)
    return digest.hexdigest()


def image_hash(frame: np.ndarray) -> str:
    """The hash of an image that can be stored; InputError for anything but uint8 [H,W,3] or [H,W]."""
    if not isinstance(frame, np.ndarray) or frame.dtype != np.uint8 or not _is_image(frame.shape):
        got = f"{frame.dtype} {list(frame.shape)}" if isinstance(frame, np.ndarray) else type(frame).__name__
        raise InputError(f"a frame is uint8 [H,W,3] or [H,W], got {got}")
    return frame_hash(frame)


class FrameStore:
    """Puts and gets uint8 frames, [H,W,3] or [H,W], below one folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._known: set[str] = set()

    def path(self, key: str) -> Path:
        """Where the frame of a hash is or would be; InputError for what is no hash, such as `../x`."""
        if not isinstance(key, str) or not _HASH.fullmatch(key):
            raise InputError(f"{key!r} is not a frame hash (32 hex digits)")
        return self.folder / key[:2] / f"{key}.png"

    def put(self, frame: np.ndarray) -> str:
        """Store a frame unless it is there already; its hash. Safe to call from several threads."""
        key = image_hash(frame)
        if key in self._known:
            return key
        path = self.path(key)
        # A power cut can leave an empty file under the final name; that one is written again.
        if not path.exists() or path.stat().st_size == 0:
            path.parent.mkdir(parents=True, exist_ok=True)
            image = Image.fromarray(frame)
            replace_file(
                path,
                lambda temporary: image.save(temporary, format="PNG", compress_level=1),
                temporary_in=self.folder,
                durable=False,  # thousands of frames: reading checks the hash, so a loss cannot go unseen
            )
        self._known.add(key)
        return key

    def get(self, key: str) -> np.ndarray:
        """The frame of a hash, uint8 [H,W,3] or [H,W]; RunFolderError when it is missing or damaged. For several threads, too."""
        path = self.path(key)
        data = read_bytes(path)
        try:
            with _OPENING, warnings.catch_warnings():
                warnings.simplefilter("error")  # PIL only warns about decompression bombs
                image = Image.open(io.BytesIO(data), formats=["PNG"])
            frame = np.asarray(image)
        # A damaged PNG surfaces as any of these, depending on the chunk that is hit.
        except (
            OSError,
            ValueError,
            SyntaxError,
            KeyError,
            IndexError,
            EOFError,
            Warning,
            MemoryError,
        ) as error:
            raise _damaged(path) from error
        except (TypeError, AttributeError, ArithmeticError, Image.DecompressionBombError) as error:
            raise _damaged(path) from error
        if frame_hash(frame) != key:
            raise _damaged(path)
        return frame

    def clean(self) -> None:
        """Remove what a killed process left half written."""
        if self.folder.is_dir():
            remove_temporaries(self.folder)


def _is_image(shape: tuple[int, ...]) -> bool:
    return (len(shape) == 2 or (len(shape) == 3 and shape[2] == 3)) and 0 not in shape


def _damaged(path: Path) -> RunFolderError:
    return RunFolderError(f"frame {path} is damaged; delete it and restore it from a copy of the run")
