"""Datasets on disk: what is written comes back, LeRobot's layout is kept, and damage is named."""

from __future__ import annotations

import io
import json
import pickle
import shutil
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import numpy as np
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from worldloop.actions.navigation import NAVIGATION
from worldloop.core import InputError, SplitError
from worldloop.training.dataset import (
    FRONT,
    PANORAMA,
    ActionClips,
    DatasetSpec,
    EpisodeData,
    ShardPlace,
    finish_dataset,
    millimetres,
    training_scenes,
    write_shard,
)
from worldloop.training.dataset.video import keyframes, read_frames

SPEC = DatasetSpec(size=34, panorama_height=16, depth=True)
LENGTHS = ((5, 9), (12, 2, 3))


def made(length, seed, spec=SPEC, scene="house/train/A/0003", split="train"):
    rng = np.random.default_rng(seed)
    codes = rng.integers(0, 3, length - 1)
    depth = rng.uniform(0, 80, (length, spec.size, spec.size))
    return EpisodeData(
        frames=rng.integers(0, 256, (length, spec.size, spec.size, 3), dtype=np.uint8),
        poses=rng.normal(size=(length, 4, 4)),
        states=rng.normal(size=(length, 3)),
        collided=np.append(False, rng.random(length - 1) < 0.5),
        codes=codes,
        scene=scene,
        seed=seed,
        split=split,
        style="A",
        policy="random",
        panoramas=rng.integers(0, 256, (length, 16, 32, 3), dtype=np.uint8) if spec.panorama_height else None,
        depths=millimetres(depth) if spec.depth else None,
    )


def build(folder, spec=SPEC, lengths=LENGTHS, split="train", **settings):
    work, shards, written, episode, frame = folder / "work", [], [], 0, 0
    work.mkdir(parents=True)
    for i, group in enumerate(lengths):
        episodes = [made(n, episode + k, spec, split=split, **settings) for k, n in enumerate(group)]
        shards.append(write_shard(folder, spec, ShardPlace(i, episode, frame), episodes, work))
        written += episodes
        episode, frame = episode + len(group), frame + sum(group)
    work.rmdir()
    finish_dataset(folder, spec, shards, split, {"policy": "random"})
    return written


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    folder = tmp_path_factory.mktemp("dataset") / "data"
    return folder, build(folder)


@pytest.fixture
def copy(dataset, tmp_path):
    return shutil.copytree(dataset[0], tmp_path / "copy")


def test_everything_comes_back_bit_for_bit(dataset):
    folder, written = dataset
    clips = ActionClips(folder)
    assert len(clips) == 5 and clips.lengths.tolist() == [5, 9, 12, 2, 3]
    for i, episode in enumerate(written):
        clip = clips.clip(i, 0, len(episode.frames), panorama=1)
        np.testing.assert_array_equal(clip.frames, episode.frames)
        np.testing.assert_array_equal(clip.panorama, episode.panoramas[1])
        np.testing.assert_array_equal(clip.poses, episode.poses.astype(np.float32))
        np.testing.assert_array_equal(clip.codes, episode.codes)
        np.testing.assert_array_equal(clip.collided, episode.collided[1:])
        depth = clips.depth(i, 1, len(episode.frames) - 1)
        np.testing.assert_array_equal(depth, episode.depths[1:].astype(np.float32) / 1000)
        assert clip.scene == episode.scene
        assert (clip.poses.dtype, clip.codes.dtype, clip.moves.dtype) == (np.float64, np.int64, np.float32)
    clips.verify()


@pytest.mark.parametrize("cache_bytes", [0, 1 << 30])
def test_clips_from_the_middle(dataset, cache_bytes):
    folder, written = dataset
    clips = ActionClips(folder, cache_bytes=cache_bytes)
    for episode, start in clips.starts(3)[::-1]:
        clip, source = clips.clip(episode, start, 3), written[episode]
        np.testing.assert_array_equal(clip.frames, source.frames[start : start + 3])
        np.testing.assert_array_equal(clip.codes, source.codes[start : start + 2])
        primitives = [NAVIGATION.primitives[c] for c in clip.codes]
        assert clip.moves.tolist() == pytest.approx(
            np.array([[p.forward, p.left, p.yaw_deg] for p in primitives])
        )
    clip.frames[:] = 0  # a caller's copy, not what is kept
    assert clips.clip(*clips.starts(3)[0], 3).frames.any()


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(length=st.integers(1, 14))
def test_starts_are_exactly_the_clips_that_fit(dataset, length):
    clips = ActionClips(dataset[0])
    wanted = [[e, s] for e, n in enumerate(clips.lengths) for s in range(n - length + 1)]
    assert clips.starts(length).tolist() == wanted


def test_clips_that_do_not_fit_are_refused(dataset):
    clips = ActionClips(dataset[0])
    for episode, start, length in [(5, 0, 1), (-1, 0, 1), (0, 3, 3), (0, -1, 2), (0, 0, 0)]:
        with pytest.raises(InputError):
            clips.clip(episode, start, length)
    with pytest.raises(InputError):
        clips.clip(0, 0, 2, panorama=2)
    with pytest.raises(InputError):
        clips.starts(0)


def test_all_frames_in_memory(dataset):
    folder, written = dataset
    clips = ActionClips(folder)
    for key, part in ((FRONT, "frames"), (PANORAMA, "panoramas")):
        frames, offsets = clips.to_memory(key)
        np.testing.assert_array_equal(frames, np.concatenate([getattr(e, part) for e in written]))
    assert offsets.tolist() == [0, 5, 14, 26, 28, 31] and len(clips.codes) == len(frames)
    with pytest.raises(InputError):
        clips.to_memory("observation.images.back")


def test_last_frames_stop(dataset):
    clips = ActionClips(dataset[0])
    ends = clips.offsets[1:] - 1
    assert (clips.codes[ends] == NAVIGATION.index("stop")).all() and not clips.moves[ends].any()
    assert not clips.collided[clips.offsets[:-1]].any()
    done = np.concatenate([t["next.done"].to_numpy() for t in tables(dataset[0])])
    assert np.flatnonzero(done).tolist() == ends.tolist()
    time = np.concatenate([t["timestamp"].to_numpy() for t in tables(dataset[0])])
    assert time[:5] == pytest.approx(np.arange(5) / 10) and time[5] == 0


def tables(folder):
    return [pq.read_table(p) for p in sorted(folder.glob("data/*/*.parquet"))]


def test_threads_and_processes(dataset):
    clips = pickle.loads(pickle.dumps(ActionClips(dataset[0])))  # noqa: S301
    starts = clips.starts(2).tolist() * 3
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda s: clips.clip(*s, 2).frames, starts))
    for (episode, start), frames in zip(starts, found):
        np.testing.assert_array_equal(frames, dataset[1][episode].frames[start : start + 2])


def smooth(length, side):
    y, x = np.mgrid[0:side, 0:side] / side
    shift = np.arange(length)[:, None, None] / length
    waves = [np.sin(3 * x + k + shift) * np.cos(2 * y - k) for k in range(3)]
    return np.rint(127 + 120 * np.stack(waves, axis=-1)).astype(np.uint8)


def test_lossy_video_is_close_and_says_so(tmp_path):
    spec = DatasetSpec(size=64, lossless=False)
    frames = smooth(10, 64)
    (tmp_path / "work").mkdir()
    episode = replace(made(10, 0, spec), frames=frames)
    shard = write_shard(tmp_path, spec, ShardPlace(0, 0, 0), [episode], tmp_path / "work")
    info = finish_dataset(tmp_path, spec, [shard], "train", {})
    assert info["worldloop"]["lossless"] is False
    assert info["features"][FRONT]["info"]["video.pix_fmt"] == "yuv420p"
    read = ActionClips(tmp_path).clip(0, 2, 6).frames
    error = np.abs(read.astype(int) - frames[2:8])
    assert 0 < error.mean() < 3
    with pytest.raises(InputError, match="even"):
        DatasetSpec(size=33, lossless=False)


def test_key_frames_are_dense_and_begin_every_episode(dataset):
    path = dataset[0] / "videos" / FRONT / "chunk-000" / "file-001.mp4"
    found = keyframes(path)
    assert {0, 8, 12, 14} <= set(found) and np.diff([*found, 17]).max() <= 8
    with pytest.raises(InputError, match="ends at picture"):
        read_frames(path, 15, 3, (34, 34))
    with pytest.raises(InputError, match="34 x 34"):
        read_frames(path, 0, 1, (32, 32))


def test_layout_of_lerobot_v3(dataset):
    folder = dataset[0]
    info = json.loads((folder / "meta/info.json").read_text())
    assert info["codebase_version"] == "v3.0" and info["total_tasks"] == 1
    assert (info["total_episodes"], info["total_frames"], info["splits"]) == (5, 31, {"train": "0:5"})
    assert {"robot_type", "chunks_size", "data_files_size_in_mb", "video_files_size_in_mb", "fps"} <= set(
        info
    )
    features = info["features"]
    columns = [n for n, f in features.items() if f["dtype"] != "video"]
    assert not any("/" in name for name in features)
    assert {"timestamp", "frame_index", "episode_index", "index", "task_index", "next.done"} <= set(columns)
    assert features[FRONT]["shape"] == [34, 34, 3] and features[PANORAMA]["shape"] == [16, 32, 3]
    assert features["observation.depth"] == {"dtype": "uint16", "shape": [34 * 34], "names": None}
    for table in tables(folder):
        assert table.column_names == columns
        for name in columns:
            kind, length = table.schema.field(name).type, features[name]["shape"][0]
            inner = kind if length == 1 else kind.value_type
            assert length == 1 or kind.list_size == length
            assert str(inner).replace("float", "float32") == features[name]["dtype"].replace(
                "float64", "double"
            )
    for i in range(2):
        assert (folder / info["data_path"].format(chunk_index=0, file_index=i)).is_file()
        assert (folder / info["video_path"].format(video_key=FRONT, chunk_index=0, file_index=i)).is_file()
    index = np.concatenate([t["index"].to_numpy() for t in tables(folder)])
    assert index.tolist() == list(range(31))


def test_episode_and_task_tables(dataset):
    folder, _ = dataset
    pandas = pytest.importorskip("pandas")
    tasks = pandas.read_parquet(folder / "meta/tasks.parquet")
    assert list(tasks.index) == ["explore the house"] and tasks.loc["explore the house"].task_index == 0
    rows = pq.read_table(folder / "meta/episodes/chunk-000/file-000.parquet").to_pylist()
    assert [r["dataset_from_index"] for r in rows] == [0, 5, 14, 26, 28]
    assert [r["data/file_index"] for r in rows] == [0, 0, 1, 1, 1]
    assert [r[f"videos/{FRONT}/from_timestamp"] for r in rows] == pytest.approx([0, 0.5, 0, 1.2, 1.4])
    assert [r[f"videos/{PANORAMA}/to_timestamp"] for r in rows] == pytest.approx([0.5, 1.4, 1.2, 1.4, 1.7])
    assert rows[0]["tasks"] == ["explore the house"] and rows[0]["meta/episodes/file_index"] == 0
    assert {"scene", "style", "split", "seed", "stats/action/mean", f"stats/{FRONT}/std"} <= set(rows[0])


def test_stats_are_those_of_all_frames(dataset):
    folder, written = dataset
    stats = json.loads((folder / "meta/stats.json").read_text())
    info = json.loads((folder / "meta/info.json").read_text())
    assert set(stats) == set(info["features"])
    pixels = np.concatenate([e.frames for e in written]).reshape(-1, 3) / 255
    found = {k: np.array(v) for k, v in stats[FRONT].items()}
    assert found["mean"].shape == (3, 1, 1) and found["count"].tolist() == [31]
    for kind in ("min", "max", "mean", "std"):
        np.testing.assert_allclose(found[kind].ravel(), getattr(pixels, kind)(axis=0), rtol=1e-9)
    states = np.concatenate([e.states for e in written]).astype(np.float32)
    np.testing.assert_allclose(stats["observation.state"]["std"], states.std(axis=0, dtype=float), rtol=1e-9)
    assert (stats["index"]["min"], stats["index"]["max"]) == ([0], [30])


@pytest.mark.parametrize("scene,split", [("house/val/A/0001", "val"), ("house/test/B/0001", "test"),
                                         ("house/val/A/0001", "train"), ("my.glb", "test")])  # fmt: skip
def test_held_out_scenes_are_not_for_training(tmp_path, scene, split):
    spec = DatasetSpec(size=16)
    build(tmp_path / "data", spec, ((2,),), split=split, scene=scene)
    for refuse in (ActionClips, training_scenes):
        with pytest.raises(SplitError):
            refuse(tmp_path / "data")
    assert ActionClips(tmp_path / "data", evaluation=True).scenes == (scene,)


def test_training_scenes(dataset):
    assert training_scenes(dataset[0]) == ("house/train/A/0003",)


@pytest.mark.parametrize("wrong", [
    {"frames": np.zeros((4, 20, 20, 3), np.uint8)}, {"frames": np.zeros((4, 16, 16, 3), np.float32)},
    {"codes": np.zeros(4, int)}, {"codes": np.full(3, 9)}, {"collided": np.zeros(4)},
    {"poses": np.zeros((3, 4, 4))}, {"states": np.zeros((4, 2))},
])  # fmt: skip
def test_wrong_episodes_are_refused(tmp_path, wrong):
    spec = DatasetSpec(size=16)
    (tmp_path / "work").mkdir()
    episode = replace(made(4, 0, spec), **wrong)
    with pytest.raises(InputError):
        write_shard(tmp_path, spec, ShardPlace(0, 0, 0), [episode], tmp_path / "work")
    assert not (tmp_path / "data").exists()


def test_a_disk_that_refuses(tmp_path):
    spec = DatasetSpec(size=16)
    (tmp_path / "work").mkdir()
    (tmp_path / "data").write_text("in the way")
    with pytest.raises(InputError, match="could not write"):
        write_shard(tmp_path, spec, ShardPlace(0, 0, 0), [made(4, 0, spec)], tmp_path / "work")


FILES = ("meta/info.json", "meta/files.parquet", "meta/episodes/chunk-000/file-000.parquet",
         "data/chunk-000/file-001.parquet", f"videos/{FRONT}/chunk-000/file-000.mp4",
         f"videos/{PANORAMA}/chunk-000/file-001.mp4")  # fmt: skip


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("how", ["missing", "short", "empty"])
def test_missing_and_cut_files_are_named(copy, name, how):
    path = copy / name
    data = path.read_bytes()
    path.unlink() if how == "missing" else path.write_bytes(data[: len(data) // 2] if how == "short" else b"")
    with pytest.raises(InputError, match=name.rsplit("/", 1)[1]):
        ActionClips(copy)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    name=st.sampled_from(FILES), where=st.floats(0, 1, exclude_max=True), to=st.binary(min_size=1, max_size=4)
)
def test_spoilt_bytes_never_raise_anything_else(dataset, tmp_path_factory, name, where, to):
    folder = shutil.copytree(dataset[0], tmp_path_factory.mktemp("spoilt") / "data")
    path = folder / name
    data = bytearray(path.read_bytes())
    at = int(where * len(data))
    data[at : at + len(to)] = to
    path.write_bytes(bytes(data[: path.stat().st_size]))
    try:
        clips = ActionClips(folder)
        clips.to_memory()
        clips.to_memory(PANORAMA)
        clips.depth(2, 0, 3)
    except InputError:
        pass


def test_files_of_another_dataset_are_noticed(copy, tmp_path):
    build(tmp_path / "other", lengths=((5, 10), (12, 2, 3)))
    for name in FILES[2:4]:
        spoilt = shutil.copytree(copy, tmp_path / name.replace("/", "-"))
        shutil.copy(tmp_path / "other" / name, spoilt / name)
        with pytest.raises(InputError, match=name.rsplit("/", 1)[1]):
            ActionClips(spoilt)
    video = copy / FILES[4]
    data = bytearray(video.read_bytes())
    data[len(data) // 2] ^= 1
    video.write_bytes(data)
    with pytest.raises(InputError, match=r"file-000\.mp4"):
        ActionClips(copy).verify()


def test_info_that_contradicts_itself(copy):
    path = copy / "meta/info.json"
    info = json.loads(path.read_text())
    for change in (
        {"codebase_version": "v2.1"}, {"fps": 30}, {"total_frames": 32}, {"total_episodes": 4}, {"features": {}},
        {"worldloop": {**info["worldloop"], "format": 99}}, {"worldloop": None},
    ):  # fmt: skip
        path.write_text(json.dumps({**info, **change}))
        with pytest.raises(InputError, match=r"info\.json|file-000"):
            ActionClips(copy)
    path.write_text(json.dumps({k: v for k, v in info.items() if k != "worldloop"}))
    with pytest.raises(InputError, match="not written by"):
        ActionClips(copy)


def test_no_dataset(tmp_path):
    with pytest.raises(InputError, match="no dataset"):
        ActionClips(tmp_path)


def test_tables_are_checked_page_by_page(copy):
    path = copy / FILES[3]
    data = bytearray(path.read_bytes())
    with pq.ParquetFile(io.BytesIO(bytes(data))) as file:
        column = next(
            file.metadata.row_group(0).column(i)
            for i in range(file.metadata.num_columns)
            if file.metadata.row_group(0).column(i).path_in_schema.startswith("observation.depth")
        )
    data[column.data_page_offset + column.total_compressed_size // 2] ^= 255
    path.write_bytes(bytes(data))
    with pytest.raises(InputError, match=r"file-001\.parquet"):
        ActionClips(copy).depth(2, 0, 1)


def test_video_needs_its_extra(dataset, monkeypatch):
    import sys

    from worldloop.core.errors import MissingExtraError

    monkeypatch.setitem(sys.modules, "av", None)
    with pytest.raises(MissingExtraError, match=r"worldloop\[train\]"):
        ActionClips(dataset[0])
