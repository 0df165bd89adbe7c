"""Does task success rise with the amount of post-training data?"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from worldloop.studies.adapters import Adaptation, Workshop
from worldloop.studies.bench import Bench
from worldloop.studies.evaluation import Evaluation, Progress, settings_dict
from worldloop.studies.recipe import (
    arm_of,
    conclude,
    decided,
    increasing,
    measure_all,
    references,
    samples_of,
    video_subject,
)
from worldloop.studies.result import StudyResult, study_folder
from worldloop.studies.verdicts import rises

NAME = "data-scaling"
CLAIM = "task success rises with the amount of post-training data"


@dataclass(frozen=True)
class DataScaling:
    """Settings of `data_scaling`."""

    adaptation: Adaptation
    out: Path = Path("studies") / NAME
    sizes: tuple[int, ...] = (400, 2000, 4000, 20000)
    """Examples, the smallest first; the base itself is always measured as size 0."""
    evaluation: Evaluation = field(default_factory=Evaluation)

    def __post_init__(self) -> None:
        increasing("--sizes", self.sizes, 1)


def data_scaling(config: DataScaling, progress: Progress = lambda what, done, total: None) -> StudyResult:
    """Post-train the base on each number of examples and measure all of them; smaller sets are part of larger ones.

    The same call goes on where it was cut off. Raises InputError before anything is trained when files, sizes or
    tasks cannot be used.
    """
    with study_folder(config.out, NAME):
        bench = Bench(config.evaluation, config.out, progress)
        shop = Workshop(config.adaptation, config.out, progress)
        bench.check()
        shop.check(config.sizes)
        subjects = [video_subject("base", "the base", "0", config.adaptation.base, bench, 0.0)]
        for size in config.sizes:
            name = f"examples-{size}"
            card = shop.adapted(name, size)
            title = f"{size} examples"
            subjects.append(video_subject(name, title, str(size), card["weights"], bench, float(size), card))
        measured = measure_all(bench, subjects)
        doses = [s.x or 0.0 for s in subjects]
        findings = [
            rises(m, samples_of(m, subjects, measured), doses, "the number of examples")
            for m in measured["base"].samples
        ]
        return conclude(
            NAME,
            CLAIM,
            "examples of post-training",
            [arm_of(s, measured[s.name]) for s in subjects],
            references(bench),
            decided(findings, bool(bench.tasks)),
            [note for m in measured.values() for note in m.notes],
            {**config.adaptation.asked(), **settings_dict(config.evaluation), "sizes": config.sizes},
            config.out,
        )
