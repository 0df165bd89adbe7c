"""Opening a dataset's metadata, with every inconsistency reported by the name of the file that has it."""

from __future__ import annotations

import io
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from worldloop.core import InputError, SplitError
from worldloop.envs.house.splits import check_disjoint
from worldloop.training.dataset import layout
from worldloop.training.dataset.layout import DatasetSpec

_PLAIN_COLUMNS = ("scene", "style", "split", "policy")
_NUMBER_COLUMNS = ("episode_index", "length", "dataset_from_index", "dataset_to_index", "seed")
PARQUET_FAULTS = (
    pa.ArrowException, OSError, ValueError, TypeError, KeyError, IndexError, MemoryError, OverflowError,
)  # fmt: skip


@dataclass(frozen=True, eq=False)
class DatasetMeta:
    """The checked metadata of a dataset of E episodes and N frames."""

    folder: Path
    info: dict[str, Any]
    """The whole of `info.json`."""
    spec: DatasetSpec
    lengths: np.ndarray
    """int64 [E], frames of each episode."""
    offsets: np.ndarray
    """int64 [E+1], where each episode begins among all frames."""
    shards: np.ndarray
    """int64 [E], the shard of each episode."""
    within: np.ndarray
    """int64 [E], where each episode begins in its shard's videos and rows."""
    scenes: tuple[str, ...]
    """Scene of each episode."""
    styles: tuple[str, ...]
    splits: tuple[str, ...]
    policies: tuple[str, ...]
    seeds: np.ndarray
    families: tuple[str, ...]
    """Of demonstrations; empty for walks."""
    successes: np.ndarray
    """bool [E]: whether a demonstration reached its goal; False for walks."""
    files: dict[str, tuple[int, str]]
    """Path of each data and video file -> bytes and digest."""


def open_meta(folder: str | Path) -> DatasetMeta:
    """Read and check the metadata; InputError naming the file that is missing, damaged or contradictory."""
    folder = Path(folder)
    path = folder / layout.INFO_PATH
    if not path.is_file():
        unfinished = " is unfinished: run its `worldloop collect` again to complete it"
        stray = f" is no dataset: there is no {layout.INFO_PATH}"
        raise InputError(f"{folder}{unfinished if (folder / '.collect').is_dir() else stray}")
    try:
        info = json.loads(_bytes(path))
        if info["codebase_version"] != layout.CODEBASE:
            raise InputError(f"version {info['codebase_version']!r} instead of {layout.CODEBASE}")
        if "worldloop" not in info:
            raise InputError("it was not written by `worldloop collect`")
        if info["worldloop"]["format"] != layout.FORMAT:
            raise InputError(f"format {info['worldloop']['format']!r} instead of {layout.FORMAT}")
        spec = DatasetSpec.from_dict(info["worldloop"])
        if info["features"] != spec.features() or info["fps"] != spec.fps:
            raise InputError("its features contradict its own description")
        episodes, frames = int(info["total_episodes"]), int(info["total_frames"])
    except (ValueError, KeyError, TypeError, AttributeError, OverflowError, RecursionError) as error:
        raise damaged(path, f"{type(error).__name__}: {error}") from error
    except InputError as error:
        raise damaged(path, error) from None
    return _with_episodes(folder, info, spec, episodes, frames)


def _with_episodes(
    folder: Path, info: dict[str, Any], spec: DatasetSpec, episodes: int, frames: int
) -> DatasetMeta:
    path = folder / layout.EPISODES_PATH
    places = ["data/chunk_index", "data/file_index"]
    for key in spec.videos:
        places += [f"videos/{key}/{part}" for part in ("chunk_index", "file_index", "from_timestamp")]
    shown = () if spec.vocabulary.discrete else ("family", "success")
    table = read_parquet(path, [*_PLAIN_COLUMNS, *_NUMBER_COLUMNS, *places, *shown])
    try:
        number = {n: np.asarray(table[n].to_numpy(), np.int64) for n in (*_NUMBER_COLUMNS, *places[:2])}
        text = {n: tuple(str(v) for v in table[n].to_pylist()) for n in _PLAIN_COLUMNS}
        families = tuple(map(str, table["family"].to_pylist())) if shown else ()
        successes = np.array(table["success"].to_pylist() if shown else [False] * episodes, bool)
        lengths = number["length"]
        offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
        shards = number["data/chunk_index"] * layout.CHUNK + number["data/file_index"]
        starts = np.flatnonzero(np.diff(shards, prepend=-1))
        within = offsets[:-1] - np.repeat(offsets[starts], np.diff(starts, append=len(shards)))
        if len(lengths) != episodes or offsets[-1] != frames or not episodes:
            raise InputError(f"it lists {len(lengths)} episodes of {offsets[-1]} frames, {layout.INFO_PATH} says "
                             f"{episodes} of {frames}")  # fmt: skip
        fits = (
            (number["episode_index"] == np.arange(episodes)).all()
            and (number["dataset_from_index"] == offsets[:-1]).all()
            and (number["dataset_to_index"] == offsets[1:]).all()
            and (lengths >= 2).all()
            and (np.diff(shards) >= 0).all()
        )
        for key in spec.videos:
            chunk, file, time = (table[f"videos/{key}/{part}"].to_numpy() for part in
                                 ("chunk_index", "file_index", "from_timestamp"))  # fmt: skip
            fits &= bool((chunk * layout.CHUNK + file == shards).all())
            fits &= bool((np.rint(np.asarray(time) * spec.fps) == within).all())
        if not fits:
            raise InputError("its episodes do not follow one another")
    except PARQUET_FAULTS as error:
        raise damaged(path, error) from error
    except InputError as error:
        raise damaged(path, error) from None
    return DatasetMeta(
        folder, info, spec, lengths, offsets, shards, within, text["scene"], text["style"], text["split"],
        text["policy"], number["seed"], families, successes, _files(folder, spec, shards),
    )  # fmt: skip


def _files(folder: Path, spec: DatasetSpec, shards: np.ndarray) -> dict[str, tuple[int, str]]:
    """The list of files, each of which must be there with its size."""
    path = folder / layout.FILES_PATH
    table = read_parquet(path, ["path", "bytes", "blake2b"])
    files = {str(r["path"]): (r["bytes"], str(r["blake2b"])) for r in table.to_pylist()}
    for shard in np.unique(shards):
        for name in (layout.data_path(shard), *(layout.video_path(key, shard) for key in spec.videos)):
            if name not in files:
                raise damaged(path, f"it does not list {name}")
            try:
                size = (folder / name).stat().st_size
            except OSError:
                raise InputError(
                    f"{folder / name} is missing; restore it or collect the dataset again"
                ) from None
            if size != files[name][0]:
                raise damaged(folder / name, f"{size} bytes instead of {files[name][0]}")
    return files


def read_parquet(path: Path, columns: Sequence[str]) -> pa.Table:
    """Some columns of a table, none of them with empty cells; InputError naming the file otherwise."""
    data = _bytes(path)
    try:
        # From bytes: a path with `key=value` in it would otherwise gain partition columns.
        with pq.ParquetFile(io.BytesIO(data), page_checksum_verification=True) as file:
            if missing := [c for c in columns if c not in file.schema_arrow.names]:
                raise InputError(f"it lacks the columns {', '.join(missing)}")
            table = file.read(columns=list(columns))
        table.validate(full=True)
        if empty := [c for c in columns if table[c].null_count]:
            raise InputError(f"it has empty cells in {', '.join(empty)}")
    except PARQUET_FAULTS as error:
        raise damaged(path, error) from error
    except InputError as error:
        raise damaged(path, error) from None
    return table


def guard_training(scenes: Sequence[str], splits: Sequence[str], folder: Path) -> None:
    """SplitError when a scene is held out for evaluation, or its split is not `train`."""
    try:
        check_disjoint(scenes, ())
    except SplitError as error:
        raise SplitError(f"{folder} is no training data: {error}") from None
    if others := sorted(set(splits) - {"train"}):
        raise SplitError(f"{folder} is no training data: it holds episodes of the split {others[0]!r}")


def training_scenes(folder: str | Path) -> tuple[str, ...]:
    """The scenes of a dataset, sorted, for `envs.house.splits.check_disjoint`.

    Raises SplitError when one of them is held out for evaluation, InputError when the dataset cannot be read.
    """
    meta = open_meta(folder)
    guard_training(meta.scenes, (*meta.splits, str(meta.info["worldloop"].get("split"))), meta.folder)
    return tuple(sorted(set(meta.scenes)))


def damaged(path: Path, reason: object) -> InputError:
    """The error of a file that is there but not as it should be."""
    short = str(reason).split("\n", 1)[0][:200]
    return InputError(f"{path} is damaged ({short}); restore it or collect the dataset again")


def _bytes(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise InputError(
            f"{path} cannot be read ({error.strerror}); restore it or collect the dataset again"
        ) from None
