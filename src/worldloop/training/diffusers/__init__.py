"""Post-training of video transformers in the format of diffusers."""

from worldloop.models.diffusers.prompt_control import ControlConfig, PromptControl, load_control
from worldloop.training.diffusers.sft import DiffusersTraining, train_diffusers

__all__ = ["ControlConfig", "DiffusersTraining", "PromptControl", "load_control", "train_diffusers"]
