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
    first_growth: float = 0.05
    """By how much imagined distances exceed real ones for each metre that the imagined camera has moved."""
    growth_metres: float = 0.3
    """Sum of squared metres of checks that the expected growth is worth."""


class Foresight:
    """What imagined distances are worth in one episode, by a line through the checks so far.

    A check is the change of distance that was imagined of a step, from where it was imagined, and the change that
    came. A model that blurs shifts all distances alike, which is the offset; one whose pictures get worse the farther
    it moves has a growth besides; one that moves too little or not as it is told gets a small slope, and its word
    changes little.
    """

    def __init__(self, situation: Situation, config: ForesightConfig) -> None:
        self._memory, self._config = situation.memory, config

    @property
    def bias(self) -> tuple[float, float]:
        """By how much imagined distances exceed real ones: an offset, and the growth for each metre moved."""
        config, excess = self._config, [x - y for x, y, _ in self._checks]
        metres = [m for *_, m in self._checks]
        count, moved = len(excess) + config.first_trials, sum(metres)
        spread = sum(m * m for m in metres) + config.growth_metres
        total, along = sum(excess), sum(e * m for e, m in zip(excess, metres))
        along += config.first_growth * config.growth_metres
        scale = count * spread - moved * moved
        return (spread * total - moved * along) / scale, (count * along - moved * total) / scale

    @property
    def slope(self) -> float:
        """In [0,1]: how much of an imagined change comes."""
        config, checks = self._config, self._mended()
        known = config.first_trials * config.first_change**2
        along, spread = sum(x * y for x, y in checks), sum(x * x for x, _ in checks)
        return min(1.0, max(0.0, (config.first_slope * known + along) / (known + spread)))

    @property
    def error(self) -> float:
        """Mean absolute error of what is believed."""
        config, slope, checks = self._config, self.slope, self._mended()
        errors = sum(abs(slope * x - y) for x, y in checks)
        return (config.first_error * config.first_trials + errors) / (config.first_trials + len(checks))

    def believed(self, imagined: float, now: float, metres: float) -> float:
        """The distance to expect, where one is imagined so many metres from here and the present one is known."""
        offset, growth = self.bias
        return now + self.slope * (imagined - offset - growth * metres - now)

    @property
    def _checks(self) -> list[tuple[float, float, float]]:
        """Of each check: the imagined change, the real one, and the metres moved."""
        return self._memory.setdefault("foresight_checks", [])

    def _mended(self) -> list[tuple[float, float]]:
        """The imagined changes without their bias, and the real ones."""
        offset, growth = self.bias
        return [(x - offset - growth * m, y) for x, y, m in self._checks]

    def predict(
        self, done: int, candidates: Sequence[Candidate], views: Sequence[Mapping[int, tuple[float, float]]]
    ) -> None:
        """Remember what was imagined of each candidate after `done` actions: frame number -> distance, metres moved."""
        plans = [(c.plan.actions, dict(v)) for c, v in zip(candidates, views)]
        self._memory["foresight_plans"] = done, plans

    def check(self, actions: Sequence[Action], real: Sequence[float]) -> None:
        """Compare the last prediction with the real distances, one for each observation so far."""
        done, plans = self._memory.pop("foresight_plans", (0, []))
        carried_out = tuple(actions[done:])
        for plan, imagined in plans:
            if carried_out and plan[: len(carried_out)] == carried_out:
                kept = (i for i in sorted(imagined) if i < len(carried_out))
                for i in kept:
                    distance, metres = imagined[i]
                    self._checks.append((distance - real[done], real[done + 1 + i] - real[done], metres))
                return
