"""Perception networks that run on a laptop CPU and give each image the same answer in any company."""

from worldloop.agents.perception.images import clip_box, crop_and_resize, resize
from worldloop.agents.perception.service import Perception, PerceptionConfig

__all__ = ["Perception", "PerceptionConfig", "clip_box", "crop_and_resize", "resize"]
