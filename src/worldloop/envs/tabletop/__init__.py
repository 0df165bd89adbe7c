"""A Franka arm at a table: contact physics by MuJoCo, pictures by rays, goals in words."""
