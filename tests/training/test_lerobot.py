"""The real `lerobot` package reads what `worldloop collect` writes, picture for picture.

Needs `lerobot` with a video decoder, which no extra of worldloop installs.
"""

from __future__ import annotations

import hashlib
import importlib.util
import json

import numpy as np
import pytest
import torch

from worldloop.training.collect import collect
from worldloop.training.collect_config import CollectConfig
from worldloop.training.dataset import FRONT, PANORAMA, ActionClips
from worldloop.training.dataset.layout import DEPTH

pytest.importorskip("lerobot")
pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Three shards, episodes of two lengths, every column there is."""
    out = tmp_path_factory.mktemp("lerobot") / "data"
    collect(
        CollectConfig(out, 75, scenes=3, episode_frames=9, size=64, panorama_height=32, depth=True, jobs=1)
    )
    return out


@pytest.fixture(scope="module")
def ours(folder):
    return ActionClips(folder)


def content(folder):
    """Digest of every file, by path."""
    paths = sorted(p for p in folder.rglob("*") if p.is_file())
    return {str(p): hashlib.sha256(p.read_bytes()).hexdigest() for p in paths}


@pytest.fixture(scope="module")
def opened(folder, tmp_path_factory):
    """Opens the dataset with lerobot, offline, with its caches in a folder of the test's own."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HF_HUB_OFFLINE", "1")
        patch.setenv("HF_HOME", str(tmp_path_factory.mktemp("hf")))
        from lerobot.datasets.lerobot_dataset import LeRobotDataset

        before = content(folder)
        yield lambda **options: LeRobotDataset("local/house", root=folder, **options)
        assert content(folder) == before


def picture(tensor: torch.Tensor) -> np.ndarray:
    """float [3,H,W] in 0..1 -> uint8 [H,W,3]; each of the 256 values must be hit exactly."""
    scaled = tensor.permute(1, 2, 0).numpy() * 255
    np.testing.assert_allclose(scaled, scaled.round(), atol=1e-3)
    return scaled.round().astype(np.uint8)


@pytest.mark.parametrize("backend", ["pyav", "torchcodec"])
def test_every_frame_and_row_is_the_same(opened, ours, backend):
    if backend == "torchcodec" and importlib.util.find_spec("torchcodec") is None:
        pytest.skip("torchcodec is not installed")
    theirs = opened(video_backend=backend)
    front, offsets = ours.to_memory(FRONT)
    around, _ = ours.to_memory(PANORAMA)
    assert len(theirs) == len(front) == 75 and theirs.num_episodes == len(ours)
    assert len(set(ours.lengths)) > 1 and len(set(ours.meta.shards)) == 3
    assert theirs.fps == ours.spec.fps and set(theirs.meta.video_keys) == {FRONT, PANORAMA}
    episodes = np.repeat(np.arange(len(ours)), ours.lengths)
    for i in range(len(theirs)):
        item, episode = theirs[i], int(episodes[i])
        frame = i - int(offsets[episode])
        np.testing.assert_array_equal(picture(item[FRONT]), front[i])
        np.testing.assert_array_equal(picture(item[PANORAMA]), around[i])
        np.testing.assert_array_equal(item["action"], ours.moves[i])
        np.testing.assert_array_equal(item["observation.pose"].reshape(4, 4), ours.poses[i])
        metres = item[DEPTH].reshape(64, 64).numpy().astype(np.float32) / 1000
        np.testing.assert_array_equal(metres, ours.depth(episode, frame, 1)[0])
        assert item["action.code"] == ours.codes[i] and item["observation.collided"] == ours.collided[i]
        assert (item["episode_index"], item["frame_index"], item["index"]) == (episode, frame, i)
        assert item["timestamp"] == pytest.approx(frame / ours.spec.fps)
        assert bool(item["next.done"]) == (i + 1 == offsets[episode + 1])
        assert item["task"] == "explore the house"


def test_episodes_can_be_chosen_and_windows_end_with_them(opened, ours):
    step = 1 / ours.spec.fps
    chosen = [1, len(ours) - 1]
    windows = {FRONT: [-step, 0.0, step], "action": [0.0, step]}
    theirs = opened(episodes=chosen, delta_timestamps=windows, video_backend="pyav")
    assert len(theirs) == ours.lengths[chosen].sum()
    first, last = theirs[0], theirs[int(ours.lengths[1]) - 1]
    assert first[f"{FRONT}_is_pad"].tolist() == [True, False, False]
    assert last[f"{FRONT}_is_pad"].tolist() == [False, False, True]
    clip = ours.clip(1, 0, 2)
    np.testing.assert_array_equal(picture(first[FRONT][1]), clip.frames[0])
    np.testing.assert_array_equal(picture(first[FRONT][2]), clip.frames[1])
    np.testing.assert_array_equal(first["action"], ours.moves[ours.offsets[1] : ours.offsets[1] + 2])


def test_items_make_batches_and_statistics_are_there(opened, folder, ours):
    theirs = opened(video_backend="pyav")
    batch = next(iter(torch.utils.data.DataLoader(theirs, batch_size=8, shuffle=False)))
    assert batch[FRONT].shape == (8, 3, 64, 64) and batch["action"].shape == (8, 3)
    np.testing.assert_allclose(theirs.meta.stats["action"]["mean"], ours.moves.mean(0), atol=1e-5)
    frames = ours.to_memory()[0].reshape(-1, 3) / 255
    mean = np.asarray(theirs.meta.stats[FRONT]["mean"]).reshape(3)
    np.testing.assert_allclose(mean, frames.mean(0), atol=0.02)
    assert theirs.meta.total_frames == json.loads((folder / "meta/info.json").read_text())["total_frames"]
    scenes = [theirs.meta.episodes[i]["scene"] for i in range(theirs.num_episodes)]
    assert tuple(scenes) == ours.meta.scenes
