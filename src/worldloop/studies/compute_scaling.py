"""Does task success rise with the number of plans that are imagined for each decision?"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from worldloop.core import InputError
from worldloop.engine.check import usable
from worldloop.models import MODELS
from worldloop.studies.bench import Bench
from worldloop.studies.evaluation import Evaluation, Progress, settings_dict
from worldloop.studies.recipe import (
    Subject,
    arm_of,
    conclude,
    decided,
    increasing,
    measure_all,
    references,
    samples_of,
)
from worldloop.studies.result import StudyResult, study_folder
from worldloop.studies.verdicts import rises

NAME = "compute-scaling"
CLAIM = "task success rises with inference-time compute"
ONE_PLAN = (
    "At M = 1 there is nothing to choose between: the agent's only plan is imagined, which can still cut it short, "
    "make the agent stop, or serve as evidence for its answer."
)


@dataclass(frozen=True)
class ComputeScaling:
    """Settings of `compute_scaling`."""

    model: str
    """Spec of a world model, as `worldloop run` takes it."""
    out: Path = Path("studies") / NAME
    rollouts: tuple[int, ...] = (1, 3, 6, 11)
    """M, plans proposed and imagined for each decision, the smallest first."""
    evaluation: Evaluation = field(default_factory=Evaluation)

    def __post_init__(self) -> None:
        if len(increasing("--rollouts", self.rollouts, 1)) < 2:
            raise InputError("--rollouts needs at least two numbers to compare")
        if not self.evaluation.closed_loop:
            raise InputError("the number of rollouts matters in the closed loop alone; drop --open-loop-only")


def compute_scaling(
    config: ComputeScaling, progress: Progress = lambda what, done, total: None
) -> StudyResult:
    """Run every task with each M. The agent proposes more plans; its first one stays the same.

    The controls are `none` at the smallest M, which never looks past the first plan, and `oracle` at the largest.
    The same call goes on where it was cut off. Raises InputError for models and tasks that cannot be used.
    """
    with study_folder(config.out, NAME):
        bench = Bench(config.evaluation, config.out, progress)
        model = usable(MODELS.create(config.model), config.model)
        if not model.card.imagines:
            raise InputError(
                f"{config.model!r} imagines nothing, so there is no compute to scale; name another"
            )
        fewest, most = config.rollouts[0], config.rollouts[-1]
        controls: dict[str, int | None] = {"none": fewest, "oracle": most}
        bench.check(config.rollouts, controls)
        subjects = [
            Subject(f"rollouts-{m}", f"M = {m}", str(m), lambda: model, float(m), m) for m in config.rollouts
        ]
        measured = measure_all(bench, subjects, open_loop=False)
        findings = [
            rises(m, samples_of(m, subjects, measured), config.rollouts, "the number of rollouts")
            for m in measured[subjects[0].name].samples
        ]
        notes = [note for m in measured.values() for note in m.notes]
        return conclude(
            NAME,
            CLAIM,
            "rollouts for each decision (M)",
            [arm_of(s, measured[s.name]) for s in subjects],
            references(bench, controls, open_loop=False),
            decided(findings, True),
            [*notes, *([ONE_PLAN] if fewest == 1 else [])],
            {"model": config.model, "rollouts": config.rollouts, **settings_dict(config.evaluation)},
            config.out,
        )
