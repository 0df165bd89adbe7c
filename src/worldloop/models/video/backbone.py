"""The video diffusion transformer: velocities of a clip, given controls and a cached context.

Within a clip, frames see their own chunk and earlier ones; all of them see the context: the panorama of the
present and clean frames, each of which sees what came before it. After Peebles and Xie 2023 ("DiT").
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from worldloop.core import InputError
from worldloop.models.video import sweep
from worldloop.models.video.camera import CameraHead, relative, view_angles
from worldloop.models.video.conditioning import Condition, Conditioner, ConditioningConfig, moved
from worldloop.models.video.context import Context
from worldloop.models.video.detail import Pictures, find
from worldloop.models.video.dit import Block, Modulation, Past, RayLink, Setting, joined, modulated
from worldloop.models.video.flow import clean_of
from worldloop.models.video.passage import Passage, towards
from worldloop.models.video.rotary import frequencies, rotation
from worldloop.models.video.tokens import Tokens, TokenSequence
from worldloop.models.video.vectors import VectorHead

TIME_FEATURES = 128


@dataclass(frozen=True)
class BackboneConfig:
    """Sizes of the transformer and what it reads."""

    latent_channels: int = 8
    latent_size: int = 16
    """Rows and columns of a frame's latents; a panorama has as many rows and twice the columns."""
    patch: int = 2
    width: int = 288
    depth: int = 9
    heads: int = 6
    mlp_ratio: float = 4.0
    modulation_rank: int = 64
    clip_frames: int = 5
    """Longest clip that is sampled at once; longer plans go clip by clip."""
    chunk: int = 0
    """Frames of a clip that see one another; 0 is the whole clip."""
    window: int = 8
    """Most context frames."""
    panorama: bool = True
    """Reads the panorama of the present."""
    hfov_deg: float = 90.0
    conditioning: ConditioningConfig = field(default_factory=ConditioningConfig)

    def __post_init__(self) -> None:
        sizes = (self.latent_channels, self.patch, self.heads, self.depth, self.modulation_rank)
        if min(*sizes, self.clip_frames, self.window) < 1 or self.chunk < 0 or not 0 < self.hfov_deg < 180:
            raise InputError(f"backbone: sizes are positive, got {self}")
        if self.width % (2 * self.heads) or self.latent_size % self.patch:
            raise InputError(
                f"backbone: width {self.width} is a multiple of twice the {self.heads} heads, latent_size "
                f"{self.latent_size} one of the patch {self.patch}"
            )


class VideoBackbone(nn.Module):
    """A transformer over latent frames. `velocity` is the one function that training and sampling use."""

    frequencies: Tensor

    def __init__(self, config: BackboneConfig = BackboneConfig()) -> None:
        super().__init__()
        self.config = config
        width, rank = config.width, config.modulation_rank
        self.tokens = Tokens(
            config.latent_channels, config.latent_size, config.patch, width, config.panorama, config.hfov_deg
        )
        self.time = nn.Sequential(nn.Linear(TIME_FEATURES, width), nn.SiLU(), nn.Linear(width, width))
        self.low = nn.Linear(width, rank)
        self.blocks = nn.ModuleList(
            Block(width, config.heads, config.mlp_ratio, rank) for _ in range(config.depth)
        )
        self.last_modulation = Modulation(rank, width, 2)
        self.project = nn.Linear(width, config.patch**2 * config.latent_channels)
        nn.init.zeros_(self.project.weight)
        nn.init.zeros_(self.project.bias)
        self.conditioner = self._heads(config.conditioning)
        self.register_buffer("frequencies", frequencies(width // config.heads), persistent=False)

    def attach(self, conditioning: ConditioningConfig) -> VideoBackbone:
        """Replace the conditioning heads by fresh ones, in place. They start at zero and change no output."""
        self.config = replace(self.config, conditioning=conditioning)
        self.conditioner = self._heads(conditioning).to(self.tokens.place.device, self.tokens.place.dtype)
        return self

    def _heads(self, conditioning: ConditioningConfig) -> Conditioner:
        c, camera = self.config, None
        if conditioning.camera:
            camera = CameraHead(c.width, c.heads, c.depth, c.latent_channels, c.patch, c.panorama)
        if conditioning.passage and not c.panorama:
            raise InputError("a backbone without a panorama cannot tell which steps are free")
        passage = Passage(c.latent_channels) if conditioning.passage else None
        vector = None
        if conditioning.vectors:
            side = c.latent_size // c.patch
            vector = VectorHead(conditioning.vectors, conditioning.projection, c.width, side, c.patch)
        return Conditioner(conditioning, c.width, camera, passage, vector)

    def velocity(
        self, x_t: Tensor, t: Tensor, condition: Condition | None = None, context: Context | None = None
    ) -> Tensor:
        """Velocity `eps - x_0` [B,T,C,h,w] of a noisy clip x_t [B,T,C,h,w] at noise levels t [B,T] in [0,1].

        Any T works; a model is good at those it was trained on. The context's batch is B or 1. InputError
        for shapes and controls that do not fit.
        """
        if context is not None and context.batch not in (1, len(x_t)):
            raise InputError(f"a context of {context.batch} does not serve a batch of {len(x_t)}")
        start = 1 if context is None else context.next_time
        scene = (None, None) if context is None else (context.present, context.panorama)
        clip, swept = self._clip(x_t, t, condition, start, *scene)
        x, low, *_ = self._run(clip, context)
        return self._out(x, low, x_t, t, clip, swept, scene[0])

    forward = velocity

    def context(
        self,
        frames: Tensor,
        panorama: Tensor | None = None,
        condition: Condition | None = None,
        t: Tensor | None = None,
        pictures: Pictures | None = None,
    ) -> Context:
        """Keys and values of clean latent frames [B,N,C,h,w], the last of which is the present.

        `panorama` [B,C,h,2w] are the latents of the present panorama, or [B,C,k*h,2*k*w] of an enlarged one (see
        `ConditioningConfig.detail`), of which only the sweep sees more. `condition` holds the frames' own
        controls (the actions that led to them, their poses against the present). `t` [B,N] is for frames
        that were noised on purpose; the default is clean. `pictures` of the present serve `sharpened` alone.
        InputError where the panorama is missing.
        """
        made = self._kept(self._history(frames, panorama, condition, t), None, frames.shape[1], 1)
        view, around = (None, None) if pictures is None else pictures
        return replace(made, present=frames[:, -1], panorama=panorama, view=view, around=around)

    def extend(
        self, context: Context, frames: Tensor, condition: Condition | None = None, t: Tensor | None = None
    ) -> Context:
        """The context with further clean frames [B,N,C,h,w] behind it, such as a finished clip."""
        more = self._sequence(frames, t, condition, context.next_time, 1)
        count = frames.shape[1]
        return context.followed_by(self._kept(more, context, count, context.next_time + count))

    def placed(
        self, conditions: Sequence[Condition | None], context: Context, place: Tensor | None = None
    ) -> list[Condition | None]:
        """The controls of the clips of a plan, with the poses that their codes lead to in the scene of the context.

        A step that is likely to be blocked leaves the camera where it is. `place` [B,3] is the pose that the plan sets out
        from; None is the present. Unchanged without a `passage` head.
        """
        passage = self.conditioner.passage
        if passage is None or any(c is None or c.codes is None or c.poses is not None for c in conditions):
            return list(conditions)
        free = self.passages(context)
        out: list[Condition | None] = []
        for condition in conditions:
            assert condition is not None and condition.codes is not None
            steps, poses = self.conditioner.motions[condition.codes], []
            place = steps.new_zeros(len(steps), 3) if place is None else place
            for step in steps.unbind(1):
                turn = step * step.new_tensor((0, 0, 1))
                begins = towards(moved(place, turn)[:, None], step[:, None])
                place = moved(place, torch.where(free(begins) > 0, step, turn))
                poses.append(place)
            out.append(replace(condition, poses=torch.stack(poses, dim=1)))
        return out

    def passages(self, context: Context) -> Callable[[Tensor], Tensor]:
        """A function of places [B,K,3]: logits [B,K] that steps from there in the direction of the third number are free."""
        passage, panorama = self.conditioner.passage, context.panorama
        if passage is None or panorama is None:
            raise InputError("this backbone has no head that tells which steps are free, or no scene to read")
        _, around = self._distances(context)
        assert around is not None
        return lambda places: passage(places, panorama, around.detach())

    def _distances(self, context: Context) -> sweep.Estimates:
        """How far away things are in the scene of the context."""
        camera, angles = self.conditioner.camera, self.tokens.cell_angles
        if camera is None or context.present is None:
            raise InputError("this backbone has no camera head, or no scene to read")
        return sweep.estimated(context.present, context.panorama, angles, camera.distances)

    def sharpened(self, frames: Tensor, poses: Tensor | None, context: Context) -> Tensor:
        """Decoded frames [B,T,3,H,W] at poses [B,T,3], with the detail that the present pictures show of them.

        Unchanged where there are no poses (see `Conditioner.path`), no pictures in the context, or no camera head. A
        backbone with a vector head needs no poses: its camera stands still.
        """
        camera, vector = self.conditioner.camera, self.conditioner.vector
        if vector is not None and context.view is not None:
            return vector.sharpened(frames, context.view)
        if camera is None or poses is None or context.present is None or context.view is None:
            return frames
        hfov = self.config.hfov_deg
        cells, pixels = (
            view_angles(rows, columns, hfov).unflatten(0, (rows, columns)).to(self.tokens.cell_angles)
            for rows, columns in ([2 * n for n in context.present.shape[-2:]], frames.shape[-2:])
        )
        pictures = (context.view, context.around if self.config.panorama else None)
        found = find(poses, (cells, pixels), hfov, self._distances(context), pictures)
        sharp = camera.detail(frames.flatten(0, 1), found.flatten(0, 1)).unflatten(0, frames.shape[:2])
        # A camera that has not moved sees what it saw.
        still = (poses.abs() < 1e-4).all(-1)[..., None, None, None]
        return torch.where(still, context.view[:, None].to(sharp), sharp)

    def velocity_in_one_pass(
        self,
        x_t: Tensor,
        t: Tensor,
        frames: Tensor,
        panorama: Tensor | None = None,
        condition: Condition | None = None,
        frames_condition: Condition | None = None,
    ) -> Tensor:
        """The same as `velocity` with a fresh `context`, without keeping keys: the reference for the cache."""
        past = self._history(frames, panorama, frames_condition, None)
        clip, swept = self._clip(x_t, t, condition, 1, frames[:, -1], panorama)
        x, low, *_ = self._run(past.then(clip), None)
        return self._out(x[:, -x_t.shape[1] :], low[:, -x_t.shape[1] :], x_t, t, clip, swept, frames[:, -1])

    def _clip(
        self,
        x_t: Tensor,
        t: Tensor,
        condition: Condition | None,
        start: int,
        present: Tensor | None,
        panorama: Tensor | None,
    ) -> tuple[TokenSequence, Tensor | None]:
        """A clip's tokens, and the sweep that they have seen."""
        made = self._sequence(x_t, t, condition, start, self.config.chunk or max(x_t.shape[1], 1))
        camera = self.conditioner.camera
        if made.posed is None or camera is None or present is None:
            return made, None
        angles, hfov = self.tokens.cell_angles, self.config.hfov_deg
        swept = sweep.sweep(made.poses, angles, hfov, present, panorama, camera.distances).to(x_t)
        seen = camera.look(self.tokens.patches(swept))
        return replace(made, x=made.x + made.posed[..., None, None] * seen), swept

    def _history(
        self, frames: Tensor, panorama: Tensor | None, condition: Condition | None, t: Tensor | None
    ) -> TokenSequence:
        if (panorama is not None) != self.config.panorama:
            reads = "reads the panorama of the present" if self.config.panorama else "reads no panorama"
            raise InputError(f"this backbone {reads}; pass its latents or leave them out accordingly")
        history = self._sequence(frames, t, condition, 1 - frames.shape[1], 1)
        if panorama is None:
            return history
        if panorama.shape[-2] % self.config.latent_size:
            raise InputError(f"panorama latents have {self.config.latent_size} rows or a multiple of that")
        c = self._time(panorama.new_zeros(len(frames), 2))
        return self.tokens.panorama(sweep.reduced(panorama, self.config.latent_size), c).then(history)

    def _sequence(
        self, latents: Tensor, t: Tensor | None, condition: Condition | None, start: int, chunk: int
    ) -> TokenSequence:
        t = latents.new_zeros(latents.shape[:2]) if t is None else t
        self.tokens.check(latents, t)
        c = self._time(t)
        if condition is None:
            return self.tokens.frames(latents, c, start, chunk)
        self.conditioner.check(condition, *latents.shape[:2])
        poses = self.conditioner.path(condition)
        if poses is not None and condition.poses is None and start <= 0:
            poses = relative(poses)  # codes of the past lead to the present, its last frame
        told, placed = self.conditioner(condition, *latents.shape[:2], poses)
        c = c + told
        kept = c.new_ones(c.shape[:2])
        if condition.keep is not None:
            kept = kept * condition.keep[:, None]
        made = self.tokens.frames(latents, c, start, chunk, poses, None if poses is None else kept)
        return made if placed is None else replace(made, x=made.x + placed, commanded=kept)

    def _run(
        self, sequence: TokenSequence, context: Context | None
    ) -> tuple[Tensor, Tensor, list[Past], Tensor | None]:
        """Through all blocks: tokens [B,F,n,W], modulation [B,F,rank], own keys and values, own ray keys."""
        low = self.low(F.silu(sequence.c))
        turn = rotation(sequence.positions, self.frequencies)
        mask = sequence.mask(0 if context is None else context.tokens)
        ray_keys, link = self._rays(sequence, context)
        setting = Setting(turn, mask, link)
        x, kept = sequence.x, []
        for i, block in enumerate(self.blocks):
            past = None if context is None else (context.keys[i], context.values[i])
            x, own = block(x, low, setting, past, i)
            kept.append(own)
        return x, low, kept, ray_keys

    def _rays(self, sequence: TokenSequence, context: Context | None) -> tuple[Tensor | None, RayLink | None]:
        head = self.conditioner.camera
        if head is None:
            return None, None
        own = head.keys(sequence.rays)
        if sequence.posed is None:
            return own, None
        keys = own
        if context is not None:
            if context.ray_keys is None:
                raise InputError("this context was computed before the camera head was attached")
            keys = joined(context.ray_keys, own)
        return own, RayLink(head.queries(sequence.rays, sequence.posed), keys)

    def _kept(self, sequence: TokenSequence, past: Context | None, frames: int, next_time: int) -> Context:
        _, _, kept, ray_keys = self._run(sequence, past)
        keys, values = zip(*kept)
        return Context(keys, values, frames, next_time, self.tokens.per_frame, ray_keys)

    def _time(self, t: Tensor) -> Tensor:
        """Noise levels [B,F] -> [B,F,W]."""
        half = TIME_FEATURES // 2
        rates = torch.exp(torch.arange(half, device=t.device) * (-math.log(10_000) / half))
        angles = 1000.0 * t.float()[..., None] * rates
        return self.time(torch.cat((angles.cos(), angles.sin()), dim=-1).to(self.tokens.place))

    def _out(
        self,
        x: Tensor,
        low: Tensor,
        x_t: Tensor,
        t: Tensor,
        clip: TokenSequence,
        swept: Tensor | None,
        present: Tensor | None,
    ) -> Tensor:
        """Tokens [B,F,n,W] -> velocity [B,F,C,h,w], with what is copied from the sweep or the present [b,C,h,w]."""
        x = modulated(x, *self.last_modulation(low))
        v = self.tokens.pictures(self.project(x))
        head = self.conditioner.vector
        if head is not None and clip.commanded is not None and present is not None:
            stays = self.tokens.pictures(head.copy(x)) * clip.commanded[..., None, None, None]
            v = v - stays * (present[:, None] - clean_of(x_t, v, t.to(x_t)))
        if swept is None or clip.posed is None or self.conditioner.camera is None:
            return v
        weights = self.tokens.pictures(self.conditioner.camera.copy(x))
        weights = weights * clip.posed[..., None, None, None]
        # The less noise, the more the clip itself says: so much of the change as there is noise.
        return v - sweep.blend(swept, weights, clean_of(x_t, v, t.to(x_t)))
