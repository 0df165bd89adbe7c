"""The video models whose weights come with the package, by name; see data/CARD.md."""

from functools import partial

from worldloop.models.video.model import VideoModel

base = partial(VideoModel, "video-base")
lora = partial(VideoModel, "video-lora")
table = partial(VideoModel, "video-table")
