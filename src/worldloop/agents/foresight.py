"""How far imagined judgements came true: what is predicted of a step is compared with what the step brought."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from worldloop.core import Action, Candidate, Situation


@dataclass(frozen=True)
class ForesightConfig:
    """What is believed of imagined distances before any of them could be checked."""

    first_error: float = 0.02
    """Expected error of an imagined distance."""
    first_trials: float = 1.0
    """How many checks that expectation is worth."""


class Foresight:
    """Offset and error of imagined distances in one episode. A picture that is merely blurred shifts all
    distances alike, which harms no choice; errors that vary from view to view do."""

    def __init__(self, situation: Situation, config: ForesightConfig) -> None:
        self._memory, self._config = situation.memory, config

    @property
    def offset(self) -> float:
        """By how much imagined distances exceed real ones."""
        errors = self._errors
        return sum(errors) / (len(errors) + self._config.first_trials)

    @property
    def error(self) -> float:
        """Mean absolute error of an imagined distance, its offset aside."""
        errors, offset, config = self._errors, self.offset, self._config
        total = config.first_error * config.first_trials + sum(abs(e - offset) for e in errors)
        return total / (config.first_trials + len(errors))

    @property
    def _errors(self) -> list[float]:
        return self._memory.setdefault("foresight_errors", [])

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
                self._errors.extend(imagined[i] - real[done + 1 + i] for i in kept)
                return
