"""Where things lie in a dataset folder, and what its columns and videos hold: LeRobotDataset v3.

There are two kinds, told apart by their vocabulary: walks of named primitives, and demonstrations at a table, made of
7-DoF commands. A frame is what was seen before an action; an action of a demonstration is one waypoint, however
long the arm took to get there.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from worldloop.actions.navigation import NAVIGATION
from worldloop.core import InputError, Primitive, Vocabulary

FORMAT = 1
"""Version of what `info.json` keeps under `worldloop`; raised when a reader could misunderstand it."""
CODEBASE = "v3.0"
FRONT = "observation.images.front"
PANORAMA = "observation.images.panorama"
WRIST = "observation.images.wrist"
DEPTH = "observation.depth"
CHUNK = 1000
"""Files in one chunk folder."""
KEYFRAMES = 8
"""Frames between key frames, which bounds what must be decoded to reach a frame."""
INFO_PATH = "meta/info.json"
STATS_PATH = "meta/stats.json"
TASKS_PATH = "meta/tasks.parquet"
EPISODES_PATH = "meta/episodes/chunk-000/file-000.parquet"
FILES_PATH = "meta/files.parquet"
"""Size and digest of every data and video file; other readers of the format pass it over."""
DATA_PATH = "data/chunk-{chunk_index:03d}/file-{file_index:03d}.parquet"
VIDEO_PATH = "videos/{video_key}/chunk-{chunk_index:03d}/file-{file_index:03d}.mp4"
LICENCE = "Apache-2.0; the furniture shown is CC0-1.0 and CC-BY-3.0, credited in worldloop's CREDITS.md"
ARM_LICENCE = "Apache-2.0; the arm shown is derived from MuJoCo Menagerie's Panda (Apache-2.0)"
AHEAD = 4
"""Waypoints of the expert that are kept with every frame of a demonstration."""
_POSE_NAMES = [f"r{i}c{j}" for i in range(4) for j in range(4)]


def data_path(shard: int) -> str:
    """Path of a shard's table inside the dataset."""
    return DATA_PATH.format(chunk_index=shard // CHUNK, file_index=shard % CHUNK)


def video_path(key: str, shard: int) -> str:
    """Path of a shard's video inside the dataset."""
    return VIDEO_PATH.format(video_key=key, chunk_index=shard // CHUNK, file_index=shard % CHUNK)


@dataclass(frozen=True)
class DatasetSpec:
    """What every episode of a dataset holds."""

    size: int = 128
    """Side of the pictures, pixels."""
    panorama_height: int | None = None
    """Rows of the panoramas; None: there are none."""
    depth: bool = False
    lossless: bool = True
    """Whether decoded pictures are bit for bit what was rendered."""
    hfov_deg: float = 90.0
    camera_height: float = 1.25
    """Metres above the floor."""
    fps: int = 10
    """Nominal: one action takes one frame."""
    vocabulary: Vocabulary = NAVIGATION
    """Primitives (walks), or a box of commands (demonstrations)."""
    wrist: bool = False
    """Whether demonstrations show the wrist camera's pictures, too."""
    tasks: tuple[str, ...] = ("explore the house",)
    """Everything that an episode may be told to do, in the order of the task indices."""

    def __post_init__(self) -> None:
        sides = {"size": self.size}
        if self.panorama_height is not None:
            sides["panorama height"] = self.panorama_height
        for name, side in sides.items():
            if not 16 <= side <= 2048:
                raise InputError(f"{name} must be between 16 and 2048 pixels, got {side}")
            if not self.lossless and side % 2:
                raise InputError(f"lossy video needs an even {name}, got {side}")
        if self.vocabulary.discrete and not any(p.stops for p in self.vocabulary.primitives):
            raise InputError("one of the primitives of a dataset must stop")
        if (self.wrist and self.vocabulary.discrete) or (
            self.panorama_height and not self.vocabulary.discrete
        ):
            raise InputError("walks may have panoramas, demonstrations pictures from the wrist")
        if not self.tasks or len(set(self.tasks)) < len(self.tasks):
            raise InputError("a dataset needs at least one task, each named once")
        if not 1 <= self.hfov_deg <= 170 or self.fps < 1:
            raise InputError("the field of view must be 1 to 170 degrees and fps at least 1")

    @property
    def videos(self) -> dict[str, tuple[int, int]]:
        """Video key -> rows and columns."""
        shapes = {FRONT: (self.size, self.size)}
        if self.panorama_height is not None:
            shapes[PANORAMA] = (self.panorama_height, 2 * self.panorama_height)
        if self.wrist:
            shapes[WRIST] = (self.size, self.size)
        return shapes

    @property
    def stop(self) -> int:
        """Code of the primitive that ends an episode."""
        return next(i for i, p in enumerate(self.vocabulary.primitives) if p.stops)

    def features(self) -> dict[str, dict[str, Any]]:
        """The `features` of `info.json`, in column order."""
        out: dict[str, dict[str, Any]] = {}
        for key, (height, width) in self.videos.items():
            out[key] = {
                "dtype": "video",
                "shape": [height, width, 3],
                "names": ["height", "width", "channels"],
                "info": {
                    "video.height": height,
                    "video.width": width,
                    "video.codec": "h264",
                    "video.pix_fmt": "gbrp" if self.lossless else "yuv420p",
                    "video.is_depth_map": False,
                    "video.fps": self.fps,
                    "video.channels": 3,
                    "has_audio": False,
                },
            }
        if self.depth:
            out[DEPTH] = _column("uint16", self.size * self.size, None)
        out["observation.pose"] = _column("float32", 16, _POSE_NAMES)
        if self.vocabulary.discrete:
            out["observation.state"] = _column("float32", 3, ["x", "y", "yaw_deg"])
            out["observation.collided"] = _column("bool", 1, None)
            out["action"] = _column("float32", 3, ["forward", "left", "turn_deg"])
            out["action.code"] = _column("int64", 1, None)
        else:
            fields = list(self.vocabulary.fields)
            ahead = [f"{name}_{i}" for i in range(AHEAD) for name in fields]
            out["observation.state"] = _column("float32", len(fields), fields)
            out["action"] = _column("float32", len(fields), fields)
            out["action.expert"] = _column("float32", len(ahead), ahead)
            out["next.success"] = _column("bool", 1, None)
            out["next.failure"] = _column("bool", 1, None)
        out["timestamp"] = _column("float32", 1, None)
        for name in ("frame_index", "episode_index", "index", "task_index"):
            out[name] = _column("int64", 1, None)
        out["next.done"] = _column("bool", 1, None)
        return out

    def to_dict(self) -> dict[str, Any]:
        """What `from_dict` needs, as JSON."""
        out: dict[str, Any] = {
            "lossless": self.lossless,
            "depth": {"unit": "mm", "shape": [self.size, self.size]} if self.depth else None,
            "panorama_height": self.panorama_height,
            "camera": {"size": self.size, "hfov_deg": self.hfov_deg, "height": self.camera_height},
            "fps": self.fps,
            "vocabulary": _vocabulary_facts(self.vocabulary),
        }
        if not self.vocabulary.discrete:
            out |= {"wrist": self.wrist, "tasks": list(self.tasks)}
        return out

    @staticmethod
    def from_dict(data: dict[str, Any]) -> DatasetSpec:
        """The inverse of `to_dict`; raises KeyError, TypeError, ValueError or InputError for anything else."""
        camera, height = data["camera"], data["panorama_height"]
        return DatasetSpec(
            size=int(camera["size"]),
            panorama_height=None if height is None else int(height),
            depth=data["depth"] is not None,
            lossless=bool(data["lossless"]),
            hfov_deg=float(camera["hfov_deg"]),
            camera_height=float(camera["height"]),
            fps=int(data["fps"]),
            vocabulary=_vocabulary_of(data["vocabulary"]),
            wrist=bool(data.get("wrist", False)),
            tasks=tuple(map(str, data.get("tasks", DatasetSpec.tasks))),
        )


def _vocabulary_facts(vocabulary: Vocabulary) -> dict[str, Any]:
    if not vocabulary.discrete:
        box = {"fields": vocabulary.fields, "low": vocabulary.low, "high": vocabulary.high}
        return {"name": vocabulary.name, **{k: list(v) for k, v in box.items()}}
    rows = [
        {"name": p.name, "forward": p.forward, "left": p.left, "yaw_deg": p.yaw_deg, "stops": p.stops}
        for p in vocabulary.primitives
    ]
    return {"name": vocabulary.name, "primitives": rows}


def _vocabulary_of(words: dict[str, Any]) -> Vocabulary:
    if "primitives" not in words:
        low, high = (tuple(float(v) for v in words[k]) for k in ("low", "high"))
        return Vocabulary(str(words["name"]), fields=tuple(map(str, words["fields"])), low=low, high=high)
    rows = tuple(
        Primitive(
            str(p["name"]), float(p["forward"]), float(p["left"]), float(p["yaw_deg"]), bool(p["stops"])
        )
        for p in words["primitives"]
    )
    return Vocabulary(str(words["name"]), rows)


def _column(dtype: str, length: int, names: list[str] | None) -> dict[str, Any]:
    return {"dtype": dtype, "shape": [length], "names": names}


@dataclass(frozen=True, slots=True, eq=False)
class Demonstration:
    """What an episode of T frames at a table has instead of primitives and collisions."""

    commands: np.ndarray
    """float [T-1,7]: the waypoints that were given (metres, degrees, grip 0..1), well aimed or not."""
    experts: np.ndarray
    """float [T,4,7]: what the expert would do from each frame on, from the simulator's truth."""
    reached: np.ndarray
    """bool [T]: whether the goal had been reached by then."""
    lost: np.ndarray
    """bool [T]: whether it was out of reach for good: a wrong button pressed, a thing off the table."""
    family: str
    wrists: np.ndarray | None = None
    """uint8 [T,H,W,3], from the wrist."""


@dataclass(frozen=True, slots=True, eq=False)
class EpisodeData:
    """One episode of T frames, ready to be written. Frame t was seen before action t was taken."""

    frames: np.ndarray
    """uint8 [T,H,W,3]."""
    poses: np.ndarray
    """float [T,4,4], camera-to-world."""
    states: np.ndarray
    """float [T,3]: x m, y m, yaw deg; of a demonstration [T,7]: the hand's place, angles and opening."""
    scene: str
    seed: int
    split: str
    collided: np.ndarray | None = None
    """bool [T]: whether the action that led here was blocked; False for the first frame. Walks only."""
    codes: np.ndarray | None = None
    """int [T-1]: indices into the vocabulary. Walks only."""
    style: str = ""
    policy: str = ""
    task: str = "explore the house"
    panoramas: np.ndarray | None = None
    """uint8 [T,h,2h,3]."""
    depths: np.ndarray | None = None
    """uint16 [T,H,W], millimetres along the optical axis; 0 where nothing was hit."""
    demonstration: Demonstration | None = None


@dataclass(frozen=True, slots=True)
class ShardPlace:
    """Where a shard's episodes stand in the dataset; known before anything is rendered."""

    index: int
    """Number of the shard: one data file and one file of each video."""
    first_episode: int
    first_frame: int
    """Rows of the dataset before this shard."""


def millimetres(depth: np.ndarray) -> np.ndarray:
    """Depth in metres as uint16 millimetres of the same shape; what is beyond 65.535 m is cut to that."""
    return np.clip(np.rint(np.asarray(depth, np.float64) * 1000), 0, 65535).astype(np.uint16)
