"""The tables of a dataset: frames, episodes and tasks, as LeRobot v3 lays them out."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from worldloop.core import InputError
from worldloop.training.dataset import layout
from worldloop.training.dataset.layout import (
    AHEAD,
    FRONT,
    PANORAMA,
    WRIST,
    DatasetSpec,
    EpisodeData,
    ShardPlace,
)
from worldloop.training.dataset.statistics import Stats, column_stats, depth_stats, picture_stats


def pictures(episode: EpisodeData, key: str) -> np.ndarray:
    """What a video of that key shows, uint8 [T,H,W,3]."""
    wrists = episode.demonstration.wrists if episode.demonstration else None
    shown = {PANORAMA: episode.panoramas, WRIST: wrists}.get(key, episode.frames)
    assert shown is not None
    return shown


def check_episode(spec: DatasetSpec, episode: EpisodeData, number: int) -> None:
    """InputError unless the episode holds what the specification says, in the right shapes and types."""
    length = len(episode.frames)
    wanted: dict[str, tuple[np.ndarray | None, tuple[int, ...], type]] = {
        "frames": (episode.frames, (length, *spec.videos[FRONT], 3), np.uint8),
        "poses": (episode.poses, (length, 4, 4), np.floating),
    }
    if spec.vocabulary.discrete:
        wanted |= {
            "states": (episode.states, (length, 3), np.floating),
            "collided": (episode.collided, (length,), np.bool_),
            "codes": (episode.codes, (length - 1,), np.integer),
        }
    else:
        shown, width = episode.demonstration, len(spec.vocabulary.fields)
        if shown is None:
            raise InputError(f"episode {number} is no demonstration")
        wanted |= {
            "states": (episode.states, (length, width), np.floating),
            "commands": (shown.commands, (length - 1, width), np.floating),
            "experts": (shown.experts, (length, AHEAD, width), np.floating),
            "reached": (shown.reached, (length,), np.bool_),
            "lost": (shown.lost, (length,), np.bool_),
        }
        if spec.wrist:
            wanted["wrists"] = (shown.wrists, (length, *spec.videos[WRIST], 3), np.uint8)
    if PANORAMA in spec.videos:
        wanted["panoramas"] = (episode.panoramas, (length, *spec.videos[PANORAMA], 3), np.uint8)
    if spec.depth:
        wanted["depths"] = (episode.depths, (length, spec.size, spec.size), np.uint16)
    if length < 2:
        raise InputError(f"episode {number} needs at least two frames")
    for name, (value, shape, kind) in wanted.items():
        if value is None or value.shape != shape or not np.issubdtype(value.dtype, kind):
            found = "nothing" if value is None else f"{value.dtype} {list(value.shape)}"
            raise InputError(f"episode {number}: {name} should be {kind.__name__} {list(shape)}, got {found}")
    codes = episode.codes
    if codes is not None and not ((codes >= 0) & (codes < len(spec.vocabulary.primitives))).all():
        raise InputError(f"episode {number} has codes outside the vocabulary")
    if episode.task not in spec.tasks:
        raise InputError(f"episode {number} has a task that the dataset does not name: {episode.task!r}")


def frame_columns(spec: DatasetSpec, episode: EpisodeData, number: int, first: int) -> dict[str, np.ndarray]:
    """Every column of the data file, [T] or [T,n]."""
    length = len(episode.frames)
    count = np.arange(length, dtype=np.int64)
    columns = {
        "observation.pose": episode.poses.reshape(length, 16).astype(np.float32),
        "observation.state": episode.states.astype(np.float32),
        **(_walked(spec, episode) if spec.vocabulary.discrete else _demonstrated(episode)),
        "timestamp": (count / spec.fps).astype(np.float32),
        "frame_index": count,
        "episode_index": np.full(length, number, np.int64),
        "index": first + count,
        "task_index": np.full(length, spec.tasks.index(episode.task), np.int64),
        "next.done": count == length - 1,
    }
    if spec.depth:
        assert episode.depths is not None
        columns[layout.DEPTH] = episode.depths.reshape(length, -1)
    return columns


def _walked(spec: DatasetSpec, episode: EpisodeData) -> dict[str, np.ndarray]:
    """The columns of a walk; the last frame's action is to stop."""
    assert episode.codes is not None and episode.collided is not None
    codes = np.append(episode.codes, spec.stop).astype(np.int64)
    moves = np.array([(p.forward, p.left, p.yaw_deg) for p in spec.vocabulary.primitives], np.float32)
    action = moves[codes]
    action[-1] = 0
    return {"observation.collided": episode.collided, "action": action, "action.code": codes}


def _demonstrated(episode: EpisodeData) -> dict[str, np.ndarray]:
    """The columns of a demonstration; the last frame's action is to stay, which is the command before it again."""
    shown = episode.demonstration
    assert shown is not None
    return {
        "action": np.concatenate([shown.commands, shown.commands[-1:]]).astype(np.float32),
        "action.expert": shown.experts.reshape(len(shown.experts), -1).astype(np.float32),
        "next.success": np.append(shown.reached[1:], shown.reached[-1]),
        "next.failure": np.append(shown.lost[1:], shown.lost[-1]),
    }


def frame_schema(spec: DatasetSpec) -> pa.Schema:
    """Columns of the data files: all features but the videos."""
    fields = []
    for name, feature in spec.features().items():
        if feature["dtype"] != "video":
            scalar = pa.bool_() if feature["dtype"] == "bool" else pa.type_for_alias(feature["dtype"])
            length = feature["shape"][0]
            fields.append(pa.field(name, scalar if length == 1 else pa.list_(scalar, length)))
    return pa.schema(fields)


def frame_table(schema: pa.Schema, columns: Mapping[str, np.ndarray]) -> pa.Table:
    """The rows of one episode."""
    return pa.Table.from_arrays([_arrow(columns[f.name], f.type) for f in schema], schema=schema)


def _arrow(values: np.ndarray, kind: pa.DataType) -> pa.Array:
    if pa.types.is_fixed_size_list(kind):
        flat = pa.array(np.ascontiguousarray(values).reshape(-1), kind.value_type)
        return pa.FixedSizeListArray.from_arrays(flat, kind.list_size)
    return pa.array(values, kind)


def episode_row(
    spec: DatasetSpec,
    episode: EpisodeData,
    number: int,
    first: int,
    place: ShardPlace,
    columns: Mapping[str, np.ndarray],
) -> dict[str, Any]:
    """One episode of the episodes table, its stats nested."""
    length = len(episode.frames)
    chunk, file = divmod(place.index, layout.CHUNK)
    row: dict[str, Any] = {
        "episode_index": number,
        "tasks": [episode.task],
        "length": length,
        "dataset_from_index": first,
        "dataset_to_index": first + length,
        "data/chunk_index": chunk,
        "data/file_index": file,
    }
    stats: dict[str, Stats] = {}
    for key in spec.videos:
        start = first - place.first_frame
        row |= {
            f"videos/{key}/chunk_index": chunk,
            f"videos/{key}/file_index": file,
            f"videos/{key}/from_timestamp": start / spec.fps,
            f"videos/{key}/to_timestamp": (start + length) / spec.fps,
        }
        stats[key] = picture_stats(pictures(episode, key))
    for name, values in columns.items():
        stats[name] = depth_stats(values) if name == layout.DEPTH else column_stats(values)
    row |= {"meta/episodes/chunk_index": 0, "meta/episodes/file_index": 0}
    row |= {
        "scene": episode.scene,
        "style": episode.style,
        "split": episode.split,
        "policy": episode.policy,
        "seed": episode.seed,
    }
    if episode.demonstration is not None:
        reached = bool(episode.demonstration.reached.any())
        row |= {"family": episode.demonstration.family, "success": reached}
    return {**row, "stats": stats}


def episodes_table(rows: Sequence[Mapping[str, Any]]) -> pa.Table:
    """One row per episode; stats become columns such as `stats/action/mean`."""
    plain = [name for name in rows[0] if name != "stats"]
    columns = {name: [row[name] for row in rows] for name in plain}
    for feature, stats in rows[0]["stats"].items():
        for kind in stats:
            columns[f"stats/{feature}/{kind}"] = [row["stats"][feature][kind] for row in rows]
    return pa.table(columns)


def tasks_table(tasks: Sequence[str]) -> pa.Table:
    """As pandas writes a frame whose unnamed index holds the tasks, which is what LeRobot reads."""
    table = pa.table(
        {"task_index": pa.array(range(len(tasks)), pa.int64()), "__index_level_0__": list(tasks)}
    )

    def column(name: str | None, field: str, kind: str, numpy: str) -> dict[str, Any]:
        return {
            "name": name,
            "field_name": field,
            "pandas_type": kind,
            "numpy_type": numpy,
            "metadata": None,
        }

    pandas = {
        "index_columns": ["__index_level_0__"],
        "column_indexes": [
            {**column(None, "None", "unicode", "object"), "metadata": {"encoding": "UTF-8"}},
        ],
        "columns": [
            column("task_index", "task_index", "int64", "int64"),
            column(None, "__index_level_0__", "unicode", "object"),
        ],
        "creator": {"library": "pyarrow", "version": pa.__version__},
        "pandas_version": "2.0.0",
    }
    return table.replace_schema_metadata({b"pandas": json.dumps(pandas).encode()})
