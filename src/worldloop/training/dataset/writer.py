"""Writing a dataset shard by shard, in any order and by any number of processes; then the metadata."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from worldloop.core import InputError
from worldloop.runs.disk import replace_file
from worldloop.training.dataset import layout
from worldloop.training.dataset.layout import DatasetSpec, EpisodeData, ShardPlace
from worldloop.training.dataset.statistics import combine
from worldloop.training.dataset.tables import (
    check_episode,
    episode_row,
    episodes_table,
    frame_columns,
    frame_schema,
    frame_table,
    pictures,
    tasks_table,
)
from worldloop.training.dataset.video import VideoWriter, load_av

_PARQUET = {
    "compression": "zstd",
    "use_dictionary": False,
    "write_page_checksum": True,
}


def write_shard(
    folder: Path, spec: DatasetSpec, place: ShardPlace, episodes: Iterable[EpisodeData], work: Path
) -> dict[str, Any]:
    """Write the files of one shard and return its summary, JSON-serialisable, for `finish_dataset`.

    work: an existing folder on the same disk where unfinished files may lie. The files appear under their own
    names only when whole. Raises InputError for an episode that does not fit the specification or when the
    disk refuses.
    """
    try:
        return _write_shard(folder, spec, place, episodes, work / f"shard-{place.index:05d}")
    except (OSError, load_av().FFmpegError) as error:
        reason = getattr(error, "strerror", None) or error
        raise InputError(
            f"could not write to {folder}: {reason}; free space or fix the permissions, then run the same again"
        ) from error


def _write_shard(
    folder: Path, spec: DatasetSpec, place: ShardPlace, episodes: Iterable[EpisodeData], work: Path
) -> dict[str, Any]:
    shutil.rmtree(work, ignore_errors=True)
    work.mkdir(parents=True)
    drafts = {layout.data_path(place.index): work / "data.parquet"}
    rows, frame, schema = [], place.first_frame, frame_schema(spec)
    codes = np.zeros(len(spec.vocabulary.primitives), np.int64)
    with ExitStack() as stack:
        table = stack.enter_context(
            pq.ParquetWriter(drafts[layout.data_path(place.index)], schema, **_PARQUET)
        )
        videos = {}
        for key, shape in spec.videos.items():
            draft = drafts[layout.video_path(key, place.index)] = work / f"{key}.mp4"
            videos[key] = stack.enter_context(VideoWriter(draft, shape, spec.fps, spec.lossless))
        for number, episode in enumerate(episodes, start=place.first_episode):
            check_episode(spec, episode, number)
            for key, writer in videos.items():
                writer.write(pictures(episode, key))
            columns = frame_columns(spec, episode, number, frame)
            table.write_table(frame_table(schema, columns))  # one row group for each episode
            if episode.codes is not None:
                codes += np.bincount(episode.codes, minlength=len(codes))
            rows.append(episode_row(spec, episode, number, frame, place, columns))
            frame += len(episode.frames)
    files = {}
    for name, draft in drafts.items():
        files[name] = {"bytes": draft.stat().st_size, "blake2b": file_digest(draft)}
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        draft.replace(folder / name)
    work.rmdir()
    return {"shard": place.index, "files": files, "episodes": rows, "codes": codes.tolist()}


def finish_dataset(
    folder: Path, spec: DatasetSpec, shards: Sequence[Mapping[str, Any]], split: str, about: Mapping[str, Any]
) -> dict[str, Any]:
    """Write the metadata of a dataset whose shards are all there; returns `info.json`, which is written last.

    shards: what `write_shard` returned, in order. about: further facts for `info.json["worldloop"]`.
    """
    rows = [row for shard in shards for row in shard["episodes"]]
    if not rows:
        raise InputError("a dataset needs at least one episode")
    files = {name: facts for shard in shards for name, facts in shard["files"].items()}
    scenes = list(dict.fromkeys(row["scene"] for row in rows))
    frames = sum(row["length"] for row in rows)
    walks = spec.vocabulary.discrete
    info = {
        "codebase_version": layout.CODEBASE,
        "robot_type": "worldloop-agent" if walks else "franka",
        "total_episodes": len(rows),
        "total_frames": frames,
        "total_tasks": len(spec.tasks),
        "chunks_size": layout.CHUNK,
        "data_files_size_in_mb": 100,
        "video_files_size_in_mb": 200,
        "fps": spec.fps,
        "splits": {split: f"0:{len(rows)}"},
        "data_path": layout.DATA_PATH,
        "video_path": layout.VIDEO_PATH,
        "features": spec.features(),
        "worldloop": {
            "format": layout.FORMAT,
            "split": split,
            "scenes": scenes,
            "licence": layout.LICENCE if walks else layout.ARM_LICENCE,
            **spec.to_dict(),
            **about,
        },
    }
    _write_parquet(folder / layout.TASKS_PATH, tasks_table(spec.tasks))
    _write_parquet(folder / layout.EPISODES_PATH, episodes_table(rows))
    _write_parquet(
        folder / layout.FILES_PATH,
        pa.table(
            {
                "path": list(files),
                "bytes": [f["bytes"] for f in files.values()],
                "blake2b": [f["blake2b"] for f in files.values()],
            }
        ),
    )
    stats = combine([row["stats"] for row in rows])
    _write(folder / layout.STATS_PATH, lambda path: path.write_text(_json(stats)))
    _write(folder / layout.INFO_PATH, lambda path: path.write_text(_json(info)))
    return info


def file_digest(path: Path) -> str:
    """32 hex digits that identify the bytes of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, lambda: hashlib.blake2b(digest_size=16)).hexdigest()


def _write_parquet(path: Path, table: pa.Table) -> None:
    _write(
        path,
        lambda draft: pq.write_table(table, draft, compression="zstd", write_page_checksum=True),
    )


def _write(path: Path, write: Callable[[Path], Any]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    replace_file(path, write)


def _json(data: Any) -> str:
    return json.dumps(data, indent=1, allow_nan=False, ensure_ascii=False) + "\n"
