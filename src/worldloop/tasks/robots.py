"""Benchmarks of robot arms as tasks: LIBERO by its published initial states, RLBench by seeds."""

from __future__ import annotations

from worldloop.core import Budgets, Episode, InputError
from worldloop.envs import LIBERO_ENV_ID, RLBENCH_ENV_ID
from worldloop.tasks.gym import GymTask


class Libero(GymTask):
    """One task of a suite of LIBERO; success is LIBERO's own."""

    summary = "do what is said with a Franka arm (LIBERO, one task of a suite)"

    def __init__(self, suite: str = "libero_spatial", number: int = 0, steps: int | None = None) -> None:
        """suite and number: see `envs.libero`. steps: longest episode, 600 unless set. InputError without LIBERO."""
        super().__init__(LIBERO_ENV_ID, steps, suite=suite, number=number)
        self.name = f"libero:{suite}/{number}"
        # Commands of 0.05 s: half a second is carried out of every second that is planned.
        self.budgets = Budgets(
            5, min(20, self.interface.limit), min(10, self.interface.limit), self.interface.limit
        )

    def episodes(self, split: str) -> list[Episode]:
        """`test`: the 50 initial states that LIBERO publishes; `mini`: the first 10 of them."""
        counts = {"mini": 10, "test": 50}
        if split not in counts:
            raise InputError(f"{self.name} has the splits mini and test, not {split!r}")
        return [self.episode("start", i) for i in range(counts[split])]


class RLBench(GymTask):
    """One variation of one task of RLBench; success is RLBench's own."""

    summary = "do what is said with a Franka arm (RLBench, one task and variation)"

    def __init__(self, name: str = "reach_target", variation: int = 0, steps: int | None = None) -> None:
        """name and variation: see `envs.rlbench`. steps: longest episode, 25 unless set. InputError without RLBench."""
        super().__init__(RLBENCH_ENV_ID, steps, task=name, variation=variation)
        self.name = f"rlbench:{name}/{variation}"
        # M and L of World-In-World's planner for RLBench; one waypoint is carried out.
        self.budgets = Budgets(5, min(5, self.interface.limit), 1, self.interface.limit)
