"""Video pipelines of diffusers as world models."""

from worldloop.models.diffusers.config import DiffusersConfig
from worldloop.models.diffusers.model import DiffusersModel

__all__ = ["DiffusersConfig", "DiffusersModel"]
