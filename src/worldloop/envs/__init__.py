"""Worlds to act in: houses, scenes of your own, an arm at a table."""

from __future__ import annotations

HOUSE_ENV_ID, TABLE_ENV_ID = "worldloop/House-v0", "worldloop/Table-v0"
LIBERO_ENV_ID, RLBENCH_ENV_ID = "worldloop/Libero-v0", "worldloop/RLBench-v0"
_ENTRY_POINTS = {
    HOUSE_ENV_ID: ("worldloop.envs.house.gym_env:HouseEnv", 500),
    TABLE_ENV_ID: ("worldloop.envs.tabletop.gym_env:TableEnv", 500),
    LIBERO_ENV_ID: ("worldloop.envs.libero:LiberoEnv", 600),
    RLBENCH_ENV_ID: ("worldloop.envs.rlbench:RLBenchEnv", 25),
}
"""Id -> where the class is, and the most steps of an episode."""


def register() -> None:
    """Make `gymnasium.make("worldloop/House-v0")` and the others of these ids work; safe to call twice.

    `gymnasium.make("worldloop.envs.house.gym_env:worldloop/House-v0")` works without this call.
    """
    import gymnasium

    for name, (entry_point, steps) in _ENTRY_POINTS.items():
        if name not in gymnasium.registry:
            gymnasium.register(name, entry_point=entry_point, max_episode_steps=steps)
