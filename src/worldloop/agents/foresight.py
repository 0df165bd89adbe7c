"""How far imagination is believed: what it said of a step is compared with what the step brought."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from worldloop.core import Action, Candidate, Situation


@dataclass(frozen=True)
class ForesightConfig:
    """What is believed of imagined distances before any of them could be checked."""

    first_slope: float = 0.5
    """Share of an imagined change that is expected to come."""
    first_error: float = 0.02
    """Expected error of what is believed."""
    first_change: float = 0.05
    """Size of the changes that these expectations are about."""
    first_trials: float = 2.0
    """How many checks they are worth."""


class Foresight:
    """What imagined distances are worth in one episode, by a line through the checks so far.

    A check is the change of distance that was imagined of a step, from where it was imagined, and the change that
    came. A model that blurs shifts all distances alike, which is the offset; one that moves too little or not as it
    is told gets a small slope, and its word changes little.
    """

    def __init__(self, situation: Situation, config: ForesightConfig) -> None:
        self._memory, self._config = situation.memory, config

    @property
    def offset(self) -> float:
        """By how much imagined distances exceed real ones."""
        return sum(x - y for x, y in self._checks) / (len(self._checks) + self._config.first_trials)

    @property
    def slope(self) -> float:
        """In [0,1]: how much of an imagined change comes."""
        config, offset = self._config, self.offset
        known = config.first_trials * config.first_change**2
        along = sum((x - offset) * y for x, y in self._checks)
        spread = sum((x - offset) ** 2 for x, _ in self._checks)
        return min(1.0, max(0.0, (config.first_slope * known + along) / (known + spread)))

    @property
    def error(self) -> float:
        """Mean absolute error of what is believed."""
        config, offset, slope = self._config, self.offset, self.slope
        errors = sum(abs(slope * (x - offset) - y) for x, y in self._checks)
        return (config.first_error * config.first_trials + errors) / (config.first_trials + len(self._checks))

    def believed(self, imagined: float, now: float) -> float:
        """The distance to expect, where one is imagined and the present one is known."""
        return now + self.slope * (imagined - self.offset - now)

    @property
    def _checks(self) -> list[tuple[float, float]]:
        return self._memory.setdefault("foresight_checks", [])

    def predict(
        self, done: int, candidates: Sequence[Candidate], distances: Sequence[Mapping[int, float]]
    ) -> None:
        """Remember what was imagined of each candidate after `done` actions: frame number -> distance."""
        plans = [(c.plan.actions, dict(d)) for c, d in zip(candidates, distances)]
        self._memory["foresight_plans"] = done, plans

    def check(self, actions: Sequence[Action], real: Sequence[float]) -> None:
        """Compare the last prediction with the real distances, one for each observation so far."""
        done, plans = self._memory.pop("foresight_plans", (0, []))
        carried_out = tuple(actions[done:])
        for plan, imagined in plans:
            if carried_out and plan[: len(carried_out)] == carried_out:
                kept = (i for i in sorted(imagined) if i < len(carried_out))
                self._checks.extend((imagined[i] - real[done], real[done + 1 + i] - real[done]) for i in kept)
                return
