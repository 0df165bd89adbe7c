"""The video models whose weights come with the package, by name."""

from __future__ import annotations

from worldloop.models.video.model import VideoModel


def base(
    steps: int | None = None, guidance: float | None = None, shift: float | None = None, device: str = "cpu"
) -> VideoModel:
    """The base: trained on passive video with loose captions."""
    return VideoModel("video-base", steps, guidance, shift, device)


def lora(
    steps: int | None = None, guidance: float | None = None, shift: float | None = None, device: str = "cpu"
) -> VideoModel:
    """The base after post-training on actions, told action codes."""
    return VideoModel("video-lora", steps, guidance, shift, device)
