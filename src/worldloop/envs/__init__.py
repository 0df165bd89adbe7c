"""Worlds to act in: houses, scenes of your own, an arm at a table."""

from __future__ import annotations

HOUSE_ENV_ID, TABLE_ENV_ID = "worldloop/House-v0", "worldloop/Table-v0"
_ENTRY_POINTS = {
    HOUSE_ENV_ID: "worldloop.envs.house.gym_env:HouseEnv",
    TABLE_ENV_ID: "worldloop.envs.tabletop.gym_env:TableEnv",
}


def register() -> None:
    """Make `gymnasium.make("worldloop/House-v0")` and `worldloop/Table-v0` work; safe to call twice.

    `gymnasium.make("worldloop.envs.house.gym_env:worldloop/House-v0")` works without this call.
    """
    import gymnasium

    for name, entry_point in _ENTRY_POINTS.items():
        if name not in gymnasium.registry:
            gymnasium.register(name, entry_point=entry_point, max_episode_steps=500)
