"""A small generative world model: latent video diffusion with flow matching, controlled by a plan.

`VideoModel` asks it like any world model. Training builds on `VideoBackbone.velocity`, `flow.flow_loss`,
`sampler.sample` and `rollout.rollout`.
"""

from worldloop.models.video.adapters import TARGETS, adapter_state, merge_adapter, plain_state
from worldloop.models.video.backbone import BackboneConfig, VideoBackbone
from worldloop.models.video.captions import caption_batch, caption_ids
from worldloop.models.video.checkpoint import (
    VideoCheckpoint,
    VideoSpec,
    load_checkpoint,
    save_adapter,
    save_checkpoint,
)
from worldloop.models.video.conditioning import NO_CODE, Condition, ConditioningConfig
from worldloop.models.video.context import Context
from worldloop.models.video.flow import FlowConfig, draw_times, flow_loss, noised, shifted, squared_error
from worldloop.models.video.model import VideoModel
from worldloop.models.video.rollout import clip_spans, rollout
from worldloop.models.video.sampler import SamplerConfig, Step, guided, log_likelihood, sample, transition
from worldloop.models.video.vae import VAEConfig, VideoVAE

__all__ = [
    "NO_CODE",
    "TARGETS",
    "BackboneConfig",
    "Condition",
    "ConditioningConfig",
    "Context",
    "FlowConfig",
    "SamplerConfig",
    "Step",
    "VAEConfig",
    "VideoBackbone",
    "VideoCheckpoint",
    "VideoModel",
    "VideoSpec",
    "VideoVAE",
    "adapter_state",
    "caption_batch",
    "caption_ids",
    "clip_spans",
    "draw_times",
    "flow_loss",
    "guided",
    "load_checkpoint",
    "log_likelihood",
    "merge_adapter",
    "noised",
    "plain_state",
    "rollout",
    "sample",
    "save_adapter",
    "save_checkpoint",
    "shifted",
    "squared_error",
    "transition",
]
