"""Folders of videos that others made: one file or folder of pictures for each case, named by the case's id."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from worldloop.actions import NAVIGATION
from worldloop.core import InputError, MissingExtraError, Observation, Query, WorldloopError
from worldloop.engine.measure.digest import digest_files
from worldloop.engine.measure.subject import Answer, said
from worldloop.metrics.cases import Case, CaseSpec
from worldloop.metrics.clip import Clip
from worldloop.models import mp4

SUFFIXES = (".mp4", ".npy")
"""Of files; a folder of .png has none."""
OTHERS = (".webm", ".avi", ".mov", ".mkv", ".m4v", ".gif", ".webp", ".npz")
"""Suffixes of videos that are not read."""
TWIN = ".twin"
"""Stands after the case's id in the name of the video of doing nothing."""
LONGEST = 4096
"""Frames of a video, beyond which it is not read."""
LARGEST = 2**31
"""Bytes of an array of frames, beyond which it is not read."""
STRETCH = 0.03
"""By which share the ratio of width to height may differ for a picture to be resized; codecs round sizes by that much."""


class VideoFolder:
    """Videos in the place of a model."""

    def __init__(
        self, folder: str | Path, cases: Sequence[CaseSpec], resample: bool = False, has_start: bool = False
    ) -> None:
        """resample: bring videos of another size or number of frames to those of the case; else they are an error.

        has_start: every video, that of doing nothing too, begins with the start picture, which is no answer and dropped.
        InputError for a folder that is none, that has two videos of a name, or that has none for any of the cases.
        """
        self.folder, self.resample, self.has_start = Path(folder), resample, has_start
        self.found = list_videos(self.folder)
        self.name = self.folder.resolve().name or "videos"
        ids = {c.id for c in cases}
        self.unknown = sorted(n for n in self.found if n not in ids and n.removesuffix(TWIN) not in ids)
        """Names of files that belong to no case."""
        read, named = set(self.found.values()), ids | {i + TWIN for i in ids}
        self.unread = sorted(
            p.name
            for p in self.folder.iterdir()
            if p not in read and (p.suffix.lower() in OTHERS or (p.name if p.is_dir() else p.stem) in named)
        )
        """Names of videos of other kinds, and of what is called after a case and is no video."""
        self.twins = any(i + TWIN in self.found for i in ids)
        """Whether doing nothing was filmed for any case. If so, a missing twin is a failure as any missing video is."""
        if not ids & set(self.found):
            raise InputError(
                f"{folder} has no video of these cases; videos are called after them, such as {min(ids)}.mp4 (see "
                "`worldloop metrics cases`); with --bare they are scored without cases"
            )

    def identity(self) -> dict[str, Any]:
        """The name, and how videos are brought to their case; what is in them is noted with each case."""
        return {"model": self.name, "resample": self.resample, "has_start": self.has_start}

    def about(self) -> dict[str, Any]:
        """Nothing is known of who made them."""
        return {"model_card": {"name": self.name, "summary": "videos in a folder"}}

    def check_scenes(self, scenes: set[str]) -> None:
        """Nobody knows what they were made from."""

    def source(self, case: str) -> str:
        """Of the video of a case and of that of doing nothing: one that is added or exchanged later is scored then."""
        digest = hashlib.blake2b(digest_size=16)
        for name in (case, case + TWIN):
            digest.update(
                f"{name}:{digest_files(_files(self.found[name])) if name in self.found else ''}".encode()
            )
        digest.update(f"twins:{self.twins}".encode())
        return digest.hexdigest()

    def ask(self, cases: Sequence[Case], twins: bool = True) -> list[Answer]:
        """The frames in the files; a missing, undecodable or unfitting video is a failure."""
        return [self._one(case, twins) for case in cases]

    def _one(self, case: Case, twins: bool) -> Answer:
        name, shape = case.spec.id, case.truth.frames.shape
        twins = twins and case.twin is not None
        if name in self.found:
            frames, reason = self._read(name, shape)
        else:
            frames, reason = None, f"there is no video {name}.mp4, .npy or folder of .png"
        still = "no video of this folder shows doing nothing (CASE.twin.mp4)"
        if frames is None and twins and not self.twins:
            return Answer("failed", reason=reason, twin_status="unfit", twin_reason=still)
        if frames is None or not twins:
            return Answer("failed" if frames is None else "asked", frames, reason=reason)
        if name + TWIN in self.found:
            twin, reason = self._read(name + TWIN, shape)
            return Answer("asked", frames, twin, reason, twin_status="failed" if twin is None else "asked")
        if self.twins:
            reason = f"there is no video {name}{TWIN} of doing nothing"
            return Answer("asked", frames, reason=reason, twin_status="failed")
        return Answer("asked", frames, reason=still, twin_status="unfit")

    def _read(self, name: str, shape: tuple[int, ...] | None = None) -> tuple[np.ndarray | None, str]:
        """The frames of a video, brought to a shape if there is one; or None, and why there are none."""
        try:
            frames = read_video(self.found[name])
            return (frames if shape is None else fitted(frames, shape, self.resample, self.has_start)), ""
        except MissingExtraError:
            raise  # what is not installed is no fault of the video
        except WorldloopError as error:
            return None, f"{self.found[name].name}: {said(error)}"


class BareVideos(VideoFolder):
    """Videos without cases: each is a case of its own, of which nothing else is known."""

    def __init__(self, folder: str | Path) -> None:
        super().__init__(folder, bare_cases(folder))

    def _one(self, case: Case, twins: bool) -> Answer:
        frames, reason = self._read(case.spec.script)
        return Answer("failed" if frames is None else "asked", frames, reason=reason)


def bare_cases(folder: str | Path) -> list[CaseSpec]:
    """A case for each video of a folder, by name; for `build_bare`."""
    found = list_videos(Path(folder))
    if not found:
        raise InputError(f"{folder} has no video: no .mp4, no .npy and no folder of .png")
    return [_Bare("bare", "bare", name, name, 0) for name in sorted(found)]


class _Bare(CaseSpec):
    """Called like its video."""

    __slots__ = ()

    @property
    def id(self) -> str:
        return self.script


def build_bare(spec: CaseSpec) -> Case:
    """A case of which nothing is known: metrics that need more than frames lack something."""
    nothing = np.zeros((1, 1, 1, 3), np.uint8)
    query = Query((Observation(nothing[0]),), (), NAVIGATION.plan(["stop"]), spec.seed)
    return Case(spec, query, Clip(frames=nothing))


def list_videos(folder: Path) -> dict[str, Path]:
    """Name without suffix -> path; InputError for a folder that is none, or two videos of a name."""
    if not folder.is_dir():
        raise InputError(f"{folder} is no folder; give one that holds videos")
    found: dict[str, Path] = {}
    for path in sorted(folder.iterdir()):
        pictures = path.is_dir() and any(path.glob("*.png"))
        if not pictures and not (path.is_file() and path.suffix.lower() in SUFFIXES):
            continue
        name = path.name if pictures else path.stem
        if name in found:
            raise InputError(
                f"{folder} has two videos {name!r}, {found[name].name} and {path.name}; keep one"
            )
        found[name] = path
    return found


def read_video(path: Path) -> np.ndarray:
    """uint8 [T,H,W,3] of an mp4 file, an npy file or a folder of png files in the order of the numbers in their names.

    WorldloopError for what cannot be decoded; MissingExtraError without PyAV.
    """
    try:
        if path.is_dir():
            return _pictures(in_order(list(path.glob("*.png"))))
        if path.suffix.lower() == ".npy":
            return _array(path)
        data = path.read_bytes()
    except OSError as error:
        raise InputError(f"it cannot be read: {error.strerror or error}") from None
    return mp4.read(data, LONGEST)


def in_order(paths: Sequence[Path]) -> list[Path]:
    """Pictures by the numbers in their names; InputError where it is not plain which number counts, or two are equal."""
    parts = {p: re.split(r"(\d+)", p.stem) for p in paths}
    # Texts and numbers take turns, so that texts are compared with texts.
    keys = {p: [int(x) if i % 2 else x for i, x in enumerate(found)] for p, found in parts.items()}
    ordered = sorted(paths, key=keys.__getitem__)
    twice = next((b for a, b in pairwise(ordered) if keys[a] == keys[b]), None)
    if twice is None and ordered == sorted(paths, key=lambda p: p.stem):
        return ordered
    columns = list(zip(*keys.values())) if len({len(k) for k in keys.values()}) == 1 else []
    differing = [i for i, column in enumerate(columns) if len(set(column)) > 1]
    fraction = any(re.search(r"\d[.,]\d", p.stem) for p in paths)
    if twice is not None or fraction or len(differing) != 1 or not differing[0] % 2:
        odd = twice or ordered[0]
        raise InputError(
            f"names such as {odd.name} do not say in which order its pictures come; number them 0000.png, 0001.png and so on"
        )
    return ordered


def fitted(
    frames: np.ndarray, shape: tuple[int, ...], resample: bool = False, has_start: bool = False
) -> np.ndarray:
    """Frames [T,H,W,3] of a shape; InputError for another one, unless it is to be resampled.

    has_start: the first frame is the start picture, and is dropped before anything else.
    """
    if has_start:
        if len(frames) < 2:
            raise InputError("it has no frame beside the start picture; leave out --has-start")
        frames = frames[1:]
    if frames.shape == shape:
        return frames
    length, height, width = shape[:3]
    if len(frames) == length + 1 and not has_start:
        # Resampled, it would be one step late from the first frame on, and look like a slow model.
        raise InputError(
            f"it has {len(frames)} frames, one more than the {length} actions: give --has-start if videos begin with the start "
            "picture, else leave out the frame too many"
        )
    if not resample:
        beside, advice = "", "give --resample, and --has-start if videos begin with the start picture"
        if has_start:
            beside, advice = " beside the start picture", "give --resample"
            if len(frames) + 1 == length:
                advice = "leave out --has-start if videos begin with the frame after the first action"
        raise InputError(
            f"it has {len(frames)} frames of {frames.shape[1]} x {frames.shape[2]}{beside}, not {length} of {height} x {width}; "
            f"{advice}"
        )
    ratio, wanted = frames.shape[2] / frames.shape[1], width / height
    if abs(ratio / wanted - 1) > STRETCH:
        raise InputError(
            f"its pictures are {ratio:.2f} times as wide as high, those of the case {wanted:.2f} times; to stretch them would change "
            f"the field of view: cut them to {width}:{height} around the middle, so that they show the field of view of the case"
        )
    # The last frame is the last one of the plan; each of the others is the nearest in time.
    chosen = np.rint((np.arange(1, length + 1) / length) * len(frames)).astype(int) - 1
    picked = frames[np.clip(chosen, 0, len(frames) - 1)]
    if picked.shape[1:3] == (height, width):
        return picked
    resized = [Image.fromarray(f).resize((width, height), Image.Resampling.LANCZOS) for f in picked]
    return np.stack([np.asarray(f) for f in resized])


def _pictures(paths: Sequence[Path]) -> np.ndarray:
    if len(paths) > LONGEST:
        raise InputError(f"it has more than {LONGEST} pictures")
    frames = []
    for path in paths:
        try:
            with Image.open(path, formats=["PNG"]) as picture:
                frames.append(np.asarray(picture.convert("RGB")))
        except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
            raise InputError(f"{path.name} is no usable picture ({error})") from None
    if len({f.shape for f in frames}) > 1:
        raise InputError("its pictures differ in size")
    return np.stack(frames)


def _array(path: Path) -> np.ndarray:
    if path.stat().st_size > LARGEST:
        raise InputError(f"it is larger than {LARGEST >> 20} MiB")
    try:
        frames = np.load(path, allow_pickle=False)
    except (ValueError, EOFError) as error:
        raise InputError(f"it is no array ({error})") from None
    if (
        not isinstance(frames, np.ndarray)
        or frames.dtype != np.uint8
        or frames.ndim != 4
        or frames.shape[3] != 3
        or not frames.size
    ):
        raise InputError("an array of frames is uint8 [T,H,W,3]")
    return frames


def _files(video: Path) -> list[Path]:
    return sorted(video.glob("*.png")) if video.is_dir() else [video]
