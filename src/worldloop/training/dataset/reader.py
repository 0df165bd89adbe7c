"""Clips of frames and actions from a dataset, in any order."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq

from worldloop.core import InputError, Vocabulary
from worldloop.training.dataset import layout
from worldloop.training.dataset.layout import AHEAD, DEPTH, FRONT, PANORAMA
from worldloop.training.dataset.meta import PARQUET_FAULTS, damaged, guard_training, open_meta, read_parquet
from worldloop.training.dataset.video import load_av, read_frames
from worldloop.training.dataset.writer import file_digest

_COLUMNS = ("observation.pose", "observation.state", "action", "index", "episode_index", "task_index")
_WALKED, _SHOWN = ("observation.collided", "action.code"), ("action.expert", "next.success", "next.failure")
"""Columns of all datasets, of walks, and of demonstrations."""


@dataclass(frozen=True, slots=True, eq=False)
class Clip:
    """T frames of one episode with the T-1 actions between them."""

    frames: np.ndarray
    """uint8 [T,H,W,3]."""
    poses: np.ndarray
    """float64 [T,4,4], camera-to-world."""
    codes: np.ndarray
    """int64 [T-1], indices into the vocabulary."""
    moves: np.ndarray
    """float32 [T-1,3], what each action asks for: metres forward, metres left, degrees of turn. Of a demonstration
    [T-1,7], the commands; `codes` are then -1."""
    collided: np.ndarray
    """bool [T-1], whether each action was blocked."""
    scene: str
    panorama: np.ndarray | None = None
    """uint8 [h,2h,3] around one of the frames."""


class ActionClips:
    """Random access to a dataset of E episodes and N frames.

    While the whole decoded video fits into `cache_bytes`, every episode is decoded once and kept; beyond that,
    only the frames asked for are decoded, from the key frame before them. Any number of threads may read at
    once, and an instance can be sent to other processes.
    """

    def __init__(
        self, folder: str | Path, *, evaluation: bool = False, cache_bytes: int = 512 * 1024**2
    ) -> None:
        """Open and check a dataset folder.

        evaluation: needed to open a dataset with scenes that are held out from training; SplitError otherwise.
        Raises InputError naming the file when one is missing, damaged or contradicts another.
        """
        load_av()
        self.meta = open_meta(folder)
        self.folder = self.meta.folder
        self.spec = self.meta.spec
        if not evaluation:
            splits = (*self.meta.splits, str(self.meta.info["worldloop"].get("split")))
            guard_training(self.meta.scenes, splits, self.folder)
        total, width = int(self.meta.offsets[-1]), len(self.vocabulary.fields)
        self.poses = np.empty((total, 4, 4), np.float32)
        """float32 [N,4,4], camera-to-world."""
        self.states = np.empty((total, width or 3), np.float32)
        """float32 [N,3], metres, metres and degrees; of demonstrations [N,7], where the hand is and its opening."""
        self.moves = np.empty((total, width or 3), np.float32)
        """float32 [N,3], metres forward, metres left and degrees of turn; zeros at the end of an episode. Of
        demonstrations [N,7], the commands; the last one of an episode comes twice."""
        self.codes = np.full(total, -1)
        """int64 [N], indices into the vocabulary; `stop` at the end of an episode. -1 in demonstrations."""
        self.collided = np.zeros(total, bool)
        """bool [N], whether the action before each frame was blocked; False in demonstrations."""
        self.tasks = np.empty(total, np.int64)
        """int64 [N], indices into `spec.tasks`."""
        self.experts = np.zeros((total if width else 0, AHEAD, width), np.float32)
        """float32 [N,4,7], what the expert would do from each frame of a demonstration on."""
        self.reached = np.zeros(total if width else 0, bool)
        """bool [N], whether the goal of a demonstration is reached after each frame's command."""
        self.lost = np.zeros(total if width else 0, bool)
        """bool [N], whether it is out of reach then."""
        with ThreadPoolExecutor(4, thread_name_prefix="worldloop-dataset") as pool:
            list(pool.map(self._load, np.unique(self.meta.shards)))
        row, column = self.spec.videos[FRONT]
        self._kept: dict[int, np.ndarray] | None = {} if total * row * column * 3 <= cache_bytes else None

    @property
    def vocabulary(self) -> Vocabulary:
        """The actions; `codes` are indices into it."""
        return self.spec.vocabulary

    @property
    def lengths(self) -> np.ndarray:
        """int64 [E], frames of each episode."""
        return self.meta.lengths

    @property
    def offsets(self) -> np.ndarray:
        """int64 [E+1], where each episode begins among all N frames."""
        return self.meta.offsets

    @property
    def scenes(self) -> tuple[str, ...]:
        """The different scenes, in order of appearance."""
        return tuple(dict.fromkeys(self.meta.scenes))

    @property
    def unfinished(self) -> np.ndarray:
        """bool [N], whether something is left to do in each frame of a demonstration."""
        over = np.zeros(len(self.tasks), bool)
        over[1:] = (self.reached | self.lost)[:-1]  # said of the frame that a command leads to
        over[self.offsets[:-1]] = False
        return ~over

    def __len__(self) -> int:
        """The number of episodes."""
        return len(self.meta.lengths)

    def starts(self, length: int) -> np.ndarray:
        """int64 [K,2]: episode and first frame of every clip of `length` frames, in order."""
        if length < 1:
            raise InputError(f"a clip has at least one frame, got {length}")
        counts = np.maximum(self.lengths - length + 1, 0)
        episode = np.repeat(np.arange(len(self)), counts)
        first = np.arange(len(episode)) - np.repeat(np.cumsum(counts) - counts, counts)
        return np.stack([episode, first], axis=1).astype(np.int64)

    def clip(self, episode: int, start: int, length: int, *, panorama: int | None = None) -> Clip:
        """Frames `start` to `start + length` of an episode with the actions between them.

        panorama: which frame of the clip to give the panorama of, where the dataset has them.
        Raises InputError for a clip outside the episode and for a damaged video.
        """
        first = self._first(episode, start, length)
        around = None
        if panorama is not None:
            if not 0 <= panorama < length:
                raise InputError(f"the clip has frames 0 to {length - 1}, not {panorama}")
            around = self.panorama(episode, start + panorama)
        return Clip(
            self._frames(episode, start, length),
            self.poses[first : first + length].astype(np.float64),
            self.codes[first : first + length - 1].copy(),
            self.moves[first : first + length - 1].copy(),
            self.collided[first + 1 : first + length].copy(),
            self.meta.scenes[episode],
            around,
        )

    def panorama(self, episode: int, frame: int) -> np.ndarray:
        """uint8 [h,2h,3] around a frame; InputError when the dataset has no panoramas."""
        self._first(episode, frame, 1)
        return self._decode(PANORAMA, episode, frame, 1)[0]

    def depth(self, episode: int, start: int, length: int) -> np.ndarray:
        """float32 [T,H,W], metres along the optical axis, 0 where nothing was hit."""
        self._first(episode, start, length)
        if not self.spec.depth:
            raise InputError(f"{self.folder} has no depth; collect it with depth")
        shard = int(self.meta.shards[episode])
        path = self.folder / layout.data_path(shard)
        group = episode - int(np.searchsorted(self.meta.shards, shard))
        try:
            with pq.ParquetFile(path, page_checksum_verification=True) as file:
                column = file.read_row_group(group, columns=[DEPTH])[DEPTH].combine_chunks()
            flat = column.slice(start, length).flatten().to_numpy()
            return flat.reshape(length, self.spec.size, self.spec.size).astype(np.float32) / 1000
        except PARQUET_FAULTS as error:
            raise damaged(path, error) from error

    def to_memory(self, video: str = FRONT, jobs: int = 2) -> tuple[np.ndarray, np.ndarray]:
        """All pictures of a video at once: uint8 [N,H,W,3] and the `offsets` of the episodes, int64 [E+1].

        Rows agree with `poses`, `codes`, `moves` and `collided`. jobs: decoding threads.
        """
        shape = self._shape(video)
        out = np.empty((int(self.offsets[-1]), *shape, 3), np.uint8)
        first = np.flatnonzero(np.diff(self.meta.shards, prepend=-1))
        bounds = [*self.offsets[first].tolist(), len(out)]

        def shard(i: int) -> None:
            path = self.folder / layout.video_path(video, int(self.meta.shards[first[i]]))
            read_frames(path, 0, bounds[i + 1] - bounds[i], shape, out[bounds[i] : bounds[i + 1]])

        with ThreadPoolExecutor(max(1, jobs), thread_name_prefix="worldloop-decode") as pool:
            list(pool.map(shard, range(len(first))))
        return out, self.offsets.copy()

    def verify(self) -> None:
        """Read every file and compare its digest; InputError naming the first that differs."""
        for name, (_, digest) in self.meta.files.items():
            if file_digest(self.folder / name) != digest:
                raise damaged(self.folder / name, "its content is not what was written")

    def _first(self, episode: int, start: int, length: int) -> int:
        """Row of a clip's first frame among all frames; InputError when the clip does not exist."""
        if not 0 <= episode < len(self):
            raise InputError(f"{self.folder} has episodes 0 to {len(self) - 1}, not {episode}")
        if length < 1 or start < 0 or start + length > self.lengths[episode]:
            raise InputError(
                f"episode {episode} has {self.lengths[episode]} frames; a clip of {length} from {start} does not fit"
            )
        return int(self.offsets[episode]) + int(start)

    def _shape(self, video: str) -> tuple[int, int]:
        if video not in self.spec.videos:
            raise InputError(f"{self.folder} has no {video}; it has {', '.join(self.spec.videos)}")
        return self.spec.videos[video]

    def _frames(self, episode: int, start: int, length: int) -> np.ndarray:
        if self._kept is None:
            return self._decode(FRONT, episode, start, length)
        # Two threads may both decode an episode; either result will do.
        whole = self._kept.get(episode)
        if whole is None:
            whole = self._kept[episode] = self._decode(FRONT, episode, 0, int(self.lengths[episode]))
        return whole[start : start + length].copy()

    def _decode(self, video: str, episode: int, start: int, length: int) -> np.ndarray:
        path = self.folder / layout.video_path(video, int(self.meta.shards[episode]))
        return read_frames(path, int(self.meta.within[episode]) + int(start), length, self._shape(video))

    def _load(self, shard: int) -> None:
        """Fill the rows of one data file into the arrays."""
        mine = np.flatnonzero(self.meta.shards == shard)
        first, last = int(self.offsets[mine[0]]), int(self.offsets[mine[-1] + 1])
        path = self.folder / layout.data_path(int(shard))
        walked = self.vocabulary.discrete
        table = read_parquet(path, (*_COLUMNS, *(_WALKED if walked else _SHOWN)))
        try:
            if table.num_rows != last - first:
                raise InputError(f"{table.num_rows} rows instead of {last - first}")
            number = {
                n: np.asarray(table[n].to_numpy(), np.int64)
                for n in ("index", "episode_index", "task_index", *(["action.code"] if walked else []))
            }
            rows = slice(first, last)
            self.poses[rows] = _matrix(table, "observation.pose", 16).reshape(-1, 4, 4)
            self.states[rows] = _matrix(table, "observation.state", self.states.shape[1])
            self.moves[rows] = _matrix(table, "action", self.moves.shape[1])
            self.tasks[rows] = number["task_index"]
            if walked:
                self.collided[rows] = table["observation.collided"].to_numpy()
                self.codes[rows] = number["action.code"]
            else:
                width = self.moves.shape[1]
                self.experts[rows] = _matrix(table, "action.expert", AHEAD * width).reshape(-1, AHEAD, width)
                self.reached[rows] = table["next.success"].to_numpy()
                self.lost[rows] = table["next.failure"].to_numpy()
            fits = (
                (number["index"] == np.arange(first, last)).all()
                and (number["episode_index"] == np.repeat(mine, self.lengths[mine])).all()
                and ((self.tasks[rows] >= 0) & (self.tasks[rows] < len(self.spec.tasks))).all()
                and np.isfinite(self.poses[rows]).all()
                and np.isfinite(self.states[rows]).all()
                and np.isfinite(self.moves[rows]).all()
                and np.isfinite(self.experts[rows]).all()
            )
            if walked:
                codes, ends = self.codes[rows], self.offsets[mine + 1] - 1 - first
                fits &= bool(((codes >= 0) & (codes < len(self.vocabulary.primitives))).all())
                fits = fits and bool((codes[ends] == self.spec.stop).all())
            if not fits:
                raise InputError("its rows do not belong to this dataset")
        except PARQUET_FAULTS as error:
            raise damaged(path, error) from error
        except InputError as error:
            raise damaged(path, error) from None


def _matrix(table: object, name: str, width: int) -> np.ndarray:
    column = table[name].combine_chunks()  # type: ignore[index]
    return np.asarray(column.flatten().to_numpy(), np.float32).reshape(-1, width)
