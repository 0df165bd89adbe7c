"""World models of research repositories that the user has cloned, and the way to stable-worldmodel and back."""

from worldloop.models.research.cost import CostModel
from worldloop.models.research.diamond import DiamondConfig, DiamondModel
from worldloop.models.research.dino_wm import DinoWmConfig, DinoWmModel
from worldloop.models.research.nwm import NwmConfig, NwmModel
from worldloop.models.research.stable_worldmodel import StableWorldModel, StableWorldModelConfig

__all__ = [
    "CostModel",
    "DiamondConfig",
    "DiamondModel",
    "DinoWmConfig",
    "DinoWmModel",
    "NwmConfig",
    "NwmModel",
    "StableWorldModel",
    "StableWorldModelConfig",
]
