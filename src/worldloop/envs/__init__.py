"""Worlds to act in: houses, scenes of your own, an arm at a table."""

from __future__ import annotations

HOUSE_ENV_ID = "worldloop/House-v0"


def register() -> None:
    """Make `gymnasium.make("worldloop/House-v0")` work; safe to call twice.

    `gymnasium.make("worldloop.envs.house.gym_env:worldloop/House-v0")` works without this call.
    """
    import gymnasium

    if HOUSE_ENV_ID not in gymnasium.registry:
        gymnasium.register(
            HOUSE_ENV_ID, entry_point="worldloop.envs.house.gym_env:HouseEnv", max_episode_steps=500
        )
