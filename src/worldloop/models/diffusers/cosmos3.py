"""Cosmos 3: the one pipeline in diffusers that reads actions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from worldloop.actions import intended_path, path_matrices
from worldloop.core import InputError, Plan
from worldloop.models.diffusers.config import DiffusersConfig
from worldloop.models.diffusers.cosmos import guard
from worldloop.models.diffusers.folder import GUARD, PipelineFolder
from worldloop.models.diffusers.pipelines import Ask, VideoPipeline
from worldloop.models.diffusers.timing import Timing

TIERS = (256, 480, 704, 720)
LONG_SIDE = 1280
"""Of the picture that is handed over: the pipeline makes pictures smaller to fit a tier, but never larger."""
FRAME_RATE = 30
FLOW_SHIFT = 10.0
"""Frame rate and shift that NVIDIA's examples use for camera poses, as are guidance 1 and 30 steps below."""


class Cosmos3(VideoPipeline):
    """One candidate in a call. The plan is told as camera motion from frame to frame, and in words."""

    loads = "Cosmos3OmniPipeline"
    names = ("Cosmos3OmniPipeline",)
    needs = ("transformer", "vae", "scheduler", "text_tokenizer")
    control = "camera"
    controls = ("camera",)
    prompts = False
    steps = 30
    guidance = 1.0
    per_action = 8
    batches = False
    one_picture = True
    caches = False

    def __init__(self, pipe: Any, folder: PipelineFolder, config: DiffusersConfig) -> None:
        super().__init__(pipe, folder, config)
        if not getattr(pipe.transformer.config, "action_gen", False):
            raise InputError(f"{folder.root} holds a Cosmos 3 that was not trained on actions")
        self._tier = 480 if config.size is None else config.pixels()[0]  # type: ignore[index]
        schedule = pipe.scheduler.config
        if "flow_shift" in schedule:
            pipe.scheduler = type(pipe.scheduler).from_config(
                schedule, flow_shift=FLOW_SHIFT, use_karras_sigmas=False
            )

    @classmethod
    def arguments_to_load(
        cls, folder: PipelineFolder, config: DiffusersConfig, adapted: bool
    ) -> dict[str, Any]:
        if config.safety:
            return {GUARD: guard(config)}
        return {GUARD: None, "enable_safety_checker": False}

    @property
    def multiple(self) -> int:
        return int(self.pipe.vae_scale_factor_spatial)

    def check_size(self, wanted: tuple[int, int]) -> tuple[int, int] | None:
        if wanted[0] != wanted[1] or wanted[0] not in TIERS:
            raise InputError(f"for Cosmos 3, size is a resolution tier: {', '.join(map(str, TIERS))}")
        return None

    def size(self, shape: tuple[int, int]) -> tuple[int, int]:
        scale = LONG_SIDE / max(shape)
        rows, columns = (max(1, round(n * scale / self.multiple)) * self.multiple for n in shape)
        return rows, columns

    def actions(self, plan: Plan, timing: Timing) -> np.ndarray:
        return camera_deltas(plan, timing, self.config.scale)

    def call(self, asks: Sequence[Ask], steps: int, guidance: float) -> np.ndarray:
        from diffusers import CosmosActionCondition

        ask = asks[0]
        assert ask.actions is not None
        action = CosmosActionCondition(
            mode="forward_dynamics",
            chunk_size=ask.frames - 1,
            domain_name="camera_pose",
            resolution_tier=self._tier,
            raw_actions=torch.from_numpy(ask.actions),
            image=ask.picture,
        )
        made = self.pipe(
            prompt=ask.text,
            negative_prompt=self.config.text("negative"),
            action=action,
            fps=FRAME_RATE,
            num_inference_steps=steps,
            guidance_scale=guidance,
            use_system_prompt=False,
            generator=self.generators(asks)[0],
            output_type="np",
            enable_safety_check=self.config.safety,
        )
        return np.asarray(made.video)[None]


def camera_deltas(plan: Plan, timing: Timing, scale: float = 1.0) -> np.ndarray:
    """float32 [frames-1,9]: for each frame the camera's motion since the frame before, in that one's axes.

    Three numbers are the translation (x right, y down, z ahead; metres times `scale`), six the first two columns of the
    rotation (Zhou et al. 2019). Each action's motion is spread evenly over its frames; after the plan the camera
    rests. InputError for plans that are not made of named motions.
    """
    path = intended_path(plan)
    at = np.arange(timing.taken[-1] + 1)
    knots = (0, *timing.taken)
    fine = np.stack([np.interp(at, knots, column) for column in path.T], axis=1)
    poses = path_matrices(fine, 0.0)
    deltas = np.linalg.inv(poses[:-1]) @ poses[1:]
    rest = np.broadcast_to(np.eye(4), (timing.frames - len(fine), 4, 4))
    deltas = np.concatenate([deltas, rest])
    turned = deltas[:, :3, :2].transpose(0, 2, 1).reshape(-1, 6)
    return np.concatenate([deltas[:, :3, 3] * scale, turned], axis=1).astype(np.float32)
