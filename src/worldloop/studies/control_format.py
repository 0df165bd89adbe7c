"""Which way of telling a model the action works best, at equal data?"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from worldloop.core import InputError
from worldloop.studies.adapters import Adaptation, Workshop
from worldloop.studies.bench import Bench
from worldloop.studies.evaluation import Evaluation, Progress, settings_dict
from worldloop.studies.recipe import (
    arm_of,
    conclude,
    decided,
    measure_all,
    references,
    samples_of,
    video_subject,
)
from worldloop.studies.result import StudyResult, study_folder
from worldloop.studies.verdicts import best_of
from worldloop.training.video.sft import WALKED

NAME = "control-format"
CLAIM = "control formats compared at equal data: is one of them best?"


@dataclass(frozen=True)
class ControlFormat:
    """Settings of `control_format`; the adaptation's own `control` is not used."""

    adaptation: Adaptation
    out: Path = Path("studies") / NAME
    examples: int | None = None
    """Clips to train each on; None takes all."""
    formats: tuple[str, ...] = WALKED
    evaluation: Evaluation = field(default_factory=Evaluation)

    def __post_init__(self) -> None:
        if len(set(self.formats)) < max(2, len(self.formats)):
            raise InputError(f"at least two different formats are compared, got {', '.join(self.formats)}")


def control_format(config: ControlFormat, progress: Progress = lambda what, done, total: None) -> StudyResult:
    """Post-train the base once for each format, on the same clips in the same order, and compare them.

    Adapters and head together stay within one share of the model, whatever the format; the trained parameters are in
    the result. Codes bring the motions they are meant to make, and so the camera's head; text has words alone. The
    same call goes on where it was cut off.
    """
    with study_folder(config.out, NAME):
        bench = Bench(config.evaluation, config.out, progress)
        shop = Workshop(config.adaptation, config.out, progress)
        bench.check()
        shop.check([config.examples], config.formats)
        formats = []
        for control in config.formats:
            card = shop.adapted(control, config.examples, control)
            formats.append(video_subject(control, control, control, card["weights"], bench, card=card))
        base = video_subject("base", "the base", "base", config.adaptation.base, bench)
        measured = measure_all(bench, [base, *formats])
        findings = decided(
            [best_of(m, samples_of(m, formats, measured)) for m in measured["base"].samples],
            bool(bench.tasks),
        )
        trained = [f"{s.label} {measured[s.name].facts.get('trained_parameters', 0)}" for s in formats]
        return conclude(
            NAME,
            CLAIM,
            "control format",
            [arm_of(s, measured[s.name]) for s in (base, *formats)],
            references(bench),
            findings,
            [
                f"Trained parameters: {', '.join(trained)}.",
                *(note for m in measured.values() for note in m.notes),
            ],
            {
                **config.adaptation.asked(),
                **settings_dict(config.evaluation),
                "control": config.formats,
                "examples": config.examples,
            },
            config.out,
            verdict="; ".join(f.sentence for f in findings if f.deciding),
        )
