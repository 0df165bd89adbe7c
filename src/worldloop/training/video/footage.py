"""A dataset as latents in memory, and training clips drawn from it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from worldloop.actions import yaw_of
from worldloop.core import InputError
from worldloop.envs.house.splits import parse_scene_id
from worldloop.envs.tabletop.layout import load_layout
from worldloop.models.video import VideoVAE
from worldloop.models.video.questions import pictures_to_tensor
from worldloop.models.video.vae import enlarged
from worldloop.training.dataset import ActionClips
from worldloop.training.dataset.layout import FRONT, PANORAMA
from worldloop.training.video.demonstrations import Commands, read_commands
from worldloop.training.video.latents import kept_latents

CHUNK = 64
"""Pictures encoded at once."""


@dataclass(frozen=True, eq=False)
class Footage:
    """N frames of E episodes, encoded."""

    latents: Tensor
    """float16 [N,C,h,w]."""
    panoramas: Tensor | None
    """float16 [N,C,h,2w], or of enlarged panoramas."""
    codes: np.ndarray
    """int64 [N]: 1.. the action that is taken from each frame; 0 at the end of an episode, and in demonstrations."""
    poses: np.ndarray
    """float64 [N,3]: x m, y m, yaw deg. Of no use in demonstrations, whose camera stands still."""
    episodes: np.ndarray
    """int64 [N]: which episode a frame belongs to."""
    scenes: tuple[str, ...]
    actions: dict[str, tuple[float, float, float]]
    """Name -> forward m, left m, turn deg; in the order of the codes. Empty for demonstrations."""
    pictures: tuple[np.ndarray, np.ndarray | None] | None = None
    """uint8 [N,H,W,3] and the panoramas [N,H,2W,3], for trainings that look at pixels as well."""
    commands: Commands | None = None
    """Of demonstrations."""

    def starts(self, context: int, frames: int) -> np.ndarray:
        """int64 [K]: every present frame that has `context - 1` frames before and `frames` after it.

        In demonstrations, those at which something is left to do.
        """
        present = np.arange(context - 1, len(self.codes) - frames)
        wanted = self.episodes[present - context + 1] == self.episodes[present + frames]
        if self.commands is not None:
            wanted &= self.commands.unfinished[present]
        return present[wanted]


def open_footage(
    folders: Sequence[str | Path],
    vae: VideoVAE,
    panorama: bool,
    device: torch.device | str = "cpu",
    progress: Callable[[int, int], None] | None = None,
    store: Path | None = None,
    detail: int = 1,
    pictures: bool = False,
) -> Footage:
    """Encode datasets; the latents stay on the device. `store` is a folder that keeps them for the next time.

    `panorama`: whether to encode panoramas, which demonstrations at a table have none of. `pictures` keeps the
    pictures in memory as well: about 150 kB for each frame of 128 x 128 with its panorama. `detail`: how many times
    panoramas are enlarged first, as `ConditioningConfig.detail` has it.

    SplitError for held-out scenes, InputError for datasets that do not go together.
    """
    if not folders:
        raise InputError("no training data: give at least one --data folder (see `worldloop collect`)")
    opened = [ActionClips(f) for f in folders]
    if len({c.vocabulary for c in opened}) > 1:
        raise InputError("these datasets have different actions; train on one kind at a time")
    commands = None if opened[0].vocabulary.discrete else read_commands(opened)
    panorama = panorama and commands is None
    moving = [p for p in opened[0].vocabulary.primitives if not p.stops]
    numbers = {opened[0].vocabulary.index(p.name): i + 1 for i, p in enumerate(moving)}
    total = sum(int(c.offsets[-1]) for c in opened) * (2 if panorama else 1)
    done = 0

    def encoded(clips: ActionClips, video: str, times: int = 1) -> Tensor:
        name = video if times == 1 else f"{video} x {times}"
        return kept_latents(store, vae, clips.folder, name, lambda: fresh(clips, video, times)).to(device)

    def fresh(clips: ActionClips, video: str, times: int) -> Tensor:
        nonlocal done
        pictures, _ = clips.to_memory(video)
        parts = []
        for start in range(0, len(pictures), CHUNK):
            parts.append(encode(vae, pictures[start : start + CHUNK], device, times))
            done += len(parts[-1])
            if progress is not None:
                progress(done, total)
        return torch.cat(parts)

    front = [encoded(c, FRONT) for c in opened]
    around = [encoded(c, PANORAMA, detail) for c in opened] if panorama else []
    episode_numbers, before = [], 0
    for clips in opened:
        episode_numbers.append(np.repeat(np.arange(len(clips)), clips.lengths) + before)
        before += len(clips)
    poses = np.concatenate([c.poses for c in opened]).astype(np.float64)
    return Footage(
        torch.cat(front),
        torch.cat(around) if panorama else None,
        np.array([numbers.get(int(k), 0) for c in opened for k in c.codes], np.int64),
        np.stack([poses[:, 0, 3], poses[:, 1, 3], [yaw_of(p) for p in poses]], axis=1),
        np.concatenate(episode_numbers),
        tuple(sorted({s for c in opened for s in c.scenes})),
        {p.name: (p.forward, p.left, p.yaw_deg) for p in moving},
        _pictures(opened, panorama) if pictures else None,
        commands,
    )


def _pictures(opened: Sequence[ActionClips], panorama: bool) -> tuple[np.ndarray, np.ndarray | None]:
    front, around = (
        np.concatenate([c.to_memory(video)[0] for c in opened]) if wanted else None
        for video, wanted in ((FRONT, True), (PANORAMA, panorama))
    )
    assert front is not None
    return front, around


@torch.inference_mode()
def encode(vae: VideoVAE, pictures: np.ndarray, device: torch.device | str = "cpu", times: int = 1) -> Tensor:
    """Latents float16 [B,C,h,w], on the device, of pictures uint8 [B,H,W,3], enlarged so many times before."""
    return vae.to(device).encode(enlarged(pictures_to_tensor(pictures, device), times)).half()


@dataclass(frozen=True, eq=False)
class ClipBatch:
    """B training clips: N context frames, the last of which is the present, and T target frames."""

    context: Tensor
    """float32 [B,N,C,h,w]."""
    panorama: Tensor | None
    """float32 [B,C,h,2w] of the present, or of the enlarged one."""
    target: Tensor
    """float32 [B,T,C,h,w]."""
    context_codes: Tensor
    """int64 [B,N], the action that led to each context frame; 0 for the first."""
    codes: Tensor
    """int64 [B,T], the action that led to each target frame."""
    context_poses: Tensor
    """float32 [B,N,3], against the present camera: x ahead m, y left m, yaw rad."""
    poses: Tensor
    """float32 [B,T,3]."""
    shown: Shown | None = None
    hands: Tensor | None = None
    """float32 [B,N,K], where the hand is in the context frames of demonstrations, see `Commands`."""
    commands: Tensor | None = None
    """float32 [B,T,K], the command that led to each target frame."""


@dataclass(frozen=True, eq=False)
class Shown:
    """Pictures float32 in [-1,1] of B clips: the present, and one target frame of each."""

    view: Tensor
    """[B,3,H,W]"""
    around: Tensor | None
    """[B,3,H,2W]"""
    which: Tensor
    """int64 [B], the target frame."""
    truth: Tensor
    """[B,3,H,W], what it shows."""


def clip_batch(
    footage: Footage,
    present: np.ndarray,
    context: int,
    frames: int,
    device: torch.device,
    shown: np.ndarray | None = None,
) -> ClipBatch:
    """The clips around the given present frames int64 [B].

    `shown` int64 [B]: a target frame of each clip (0..T-1) to look at, where the footage has pictures.
    """
    past = present[:, None] + np.arange(1 - context, 1)
    ahead = present[:, None] + np.arange(1, frames + 1)
    led = np.concatenate([np.zeros((len(present), 1), np.int64), footage.codes[past[:, :-1]]], axis=1)

    def tensor(array: np.ndarray, kind: torch.dtype) -> Tensor:
        return torch.from_numpy(np.ascontiguousarray(array)).to(device, kind)

    def latents(store: Tensor, rows: np.ndarray) -> Tensor:
        return store[torch.from_numpy(rows).to(store.device)].to(device, torch.float32)

    hands = given = None
    if footage.commands is not None:
        hands = tensor(footage.commands.hands[past], torch.float32)
        given = tensor(footage.commands.given[ahead - 1], torch.float32)
    return ClipBatch(
        latents(footage.latents, past),
        None if footage.panoramas is None else latents(footage.panoramas, present),
        latents(footage.latents, ahead),
        tensor(led, torch.int64),
        tensor(footage.codes[ahead - 1], torch.int64),
        tensor(relative(footage.poses[past], footage.poses[present]), torch.float32),
        tensor(relative(footage.poses[ahead], footage.poses[present]), torch.float32),
        None if shown is None else _shown(footage, present, shown, device),
        hands,
        given,
    )


def _shown(footage: Footage, present: np.ndarray, which: np.ndarray, device: torch.device) -> Shown | None:
    if footage.pictures is None:
        return None
    front, around = footage.pictures
    view, truth = front[present], front[present + 1 + which]
    return Shown(
        pictures_to_tensor(view, device),
        None if around is None else pictures_to_tensor(around[present], device),
        torch.from_numpy(which).to(device),
        pictures_to_tensor(truth, device),
    )


def kinds(scenes: Iterable[str]) -> dict[str, Any]:
    """For the card: `styles`, the different styles of houses, or families of goals at a table, by the scene ids; and
    `world`, for tables alone."""
    given = set(scenes)
    table = {s for s in given if s.startswith("tabletop/")}
    house = given - table
    found = {load_layout(s).family for s in table} | {parse_scene_id(s).style for s in house}
    return {"styles": sorted(found), **({} if house else {"world": "tabletop"})}


def relative(poses: np.ndarray, present: np.ndarray) -> np.ndarray:
    """Poses [B,T,3] (x m, y m, yaw deg) as seen from the present ones [B,3]: x ahead m, y left m, yaw rad."""
    away = poses[..., :2] - present[:, None, :2]
    c, s = (f(np.radians(present[:, None, 2])) for f in (np.cos, np.sin))
    turn = np.radians((poses[..., 2] - present[:, None, 2] + 180) % 360 - 180)
    return np.stack([c * away[..., 0] + s * away[..., 1], c * away[..., 1] - s * away[..., 0], turn], axis=-1)
