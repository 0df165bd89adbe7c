"""A small learnt policy for the table: pictures, the hand and the goal in; a chunk of waypoints out."""

from worldloop.agents.policy.files import load_policy, save_policy, shipped_policy_path
from worldloop.agents.policy.network import DiffusionPolicy, PolicyConfig

__all__ = ["DiffusionPolicy", "PolicyConfig", "load_policy", "save_policy", "shipped_policy_path"]
