"""Pictures of a page: each embedded once as a data URI, as stored or compressed to fit."""

from __future__ import annotations

import base64
import io
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial

from PIL import Image

from worldloop.core import InputError, RunFolderError
from worldloop.runs import Run
from worldloop.runs.frames import FrameStore
from worldloop.runs.reader import FRAMES_NAME

SAMPLE = 48
"""Pictures that are encoded to foretell the size of all of them."""


@dataclass(frozen=True)
class Picture:
    """One stored frame."""

    key: str
    """Its hash."""
    width: int
    height: int
    run: Run
    """A run that holds it."""


@dataclass(frozen=True)
class Encoding:
    """How pictures are embedded."""

    quality: int
    """Of lossy WebP, 1 to 100; 0 keeps the stored PNG."""
    largest: int
    """Longest side in pixels; larger pictures are shrunk."""

    @property
    def note(self) -> str:
        """What a reader must know, or an empty string."""
        if not self.quality:
            return ""
        return (
            f"To keep this page small, its pictures are compressed (WebP, quality {self.quality}, at most "
            f"{self.largest} pixels a side). The models saw the lossless ones in the run folders."
        )


ENCODINGS = (Encoding(0, 0), Encoding(95, 256), Encoding(85, 256), Encoding(70, 256), Encoding(50, 160))
"""From best to smallest."""


@dataclass(frozen=True)
class Embedded:
    """A picture as the page holds it."""

    picture: Picture
    uri: str


class Pictures:
    """Finds frames of runs and encodes them; every frame is decoded and checked against its hash once."""

    def __init__(self) -> None:
        self._known: dict[str, Picture] = {}
        self._with_frames: dict[str, bool] = {}
        self._encoded: dict[tuple[str, Encoding], str] = {}

    def find(self, run: Run, key: str) -> Picture | None:
        """The frame of a hash; None for an empty hash and for a run whose folder came without frames.

        Raises RunFolderError when the frame is missing or damaged.
        """
        if not key or not self._has_frames(run):
            return None
        if key not in self._known:
            try:
                height, width = run.frame(key).shape[:2]
            except RunFolderError:
                raise
            except InputError as error:
                raise RunFolderError(f"the tables of {run.folder} are damaged: {error}") from None
            self._known[key] = Picture(key, width, height, run)
        return self._known[key]

    def _has_frames(self, run: Run) -> bool:
        folder = run.folder / FRAMES_NAME
        if str(folder) not in self._with_frames:
            self._with_frames[str(folder)] = folder.is_dir()
        return self._with_frames[str(folder)]

    def fit(self, pictures: Iterable[Picture], budget: int) -> tuple[Encoding, list[Embedded]] | None:
        """All pictures in the best encoding whose data URIs together take at most `budget` characters.

        None when even the smallest encoding takes more.
        """
        wanted = list({p.key: p for p in pictures}.values())
        for encoding in ENCODINGS:
            if self._foretold(wanted, encoding) > budget:
                continue
            embedded = [Embedded(p, uri) for p, uri in zip(wanted, self._uris(wanted, encoding), strict=True)]
            if sum(len(e.uri) for e in embedded) <= budget:
                return encoding, embedded
        return None

    def _foretold(self, pictures: Sequence[Picture], encoding: Encoding) -> float:
        """About how many characters the pictures take, judged by some of them."""
        sample = pictures[:: max(1, len(pictures) // SAMPLE)]
        if not sample:
            return 0.0
        # A little below, so that only what is surely too large is ruled out unseen.
        return 0.9 * len(pictures) * sum(map(len, self._uris(sample, encoding))) / len(sample)

    def _uris(self, pictures: Sequence[Picture], encoding: Encoding) -> list[str]:
        missing = [p for p in pictures if (p.key, encoding) not in self._encoded]
        # Pillow lets go of the interpreter while it decodes and encodes.
        with ThreadPoolExecutor() as pool:
            for p, (kind, data) in zip(
                missing, pool.map(partial(_encode, encoding=encoding), missing), strict=True
            ):
                text = f"data:image/{kind};base64,{base64.b64encode(data).decode('ascii')}"
                self._encoded[p.key, encoding] = text
        return [self._encoded[p.key, encoding] for p in pictures]


def _encode(picture: Picture, encoding: Encoding) -> tuple[str, bytes]:
    if not encoding.quality:
        return "png", FrameStore(picture.run.folder / FRAMES_NAME).path(picture.key).read_bytes()
    image = Image.fromarray(picture.run.frame(picture.key)).convert("RGB")
    image.thumbnail((encoding.largest, encoding.largest))
    out = io.BytesIO()
    image.save(out, format="WEBP", quality=encoding.quality, method=4)
    return "webp", out.getvalue()
