"""Training the video model: autoencoder, base on passive video, low-rank adaptation to actions, distillation."""

from worldloop.training.video.autoencoder import AutoencoderTraining, train_autoencoder
from worldloop.training.video.base import BaseTraining, train_base
from worldloop.training.video.distil import Distillation, train_distil
from worldloop.training.video.sft import SupervisedTraining, train_sft

__all__ = [
    "AutoencoderTraining",
    "BaseTraining",
    "Distillation",
    "SupervisedTraining",
    "train_autoencoder",
    "train_base",
    "train_distil",
    "train_sft",
]
