"""Training the video model: autoencoder, base on passive video, and low-rank adaptation to actions."""

from worldloop.training.video.autoencoder import AutoencoderTraining, train_autoencoder
from worldloop.training.video.base import BaseTraining, train_base
from worldloop.training.video.sft import SupervisedTraining, train_sft

__all__ = [
    "AutoencoderTraining",
    "BaseTraining",
    "SupervisedTraining",
    "train_autoencoder",
    "train_base",
    "train_sft",
]
