"""Does post-training a small model on actions help more than a larger model without it?"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from worldloop.core import InputError
from worldloop.models.video import load_checkpoint
from worldloop.studies.adapters import transformer_size
from worldloop.studies.bench import Bench
from worldloop.studies.evaluation import Evaluation, Progress, settings_dict
from worldloop.studies.recipe import (
    arm_of,
    conclude,
    decided,
    measure_all,
    references,
    video_subject,
)
from worldloop.studies.result import Finding, StudyResult, study_folder
from worldloop.studies.verdicts import beats

NAME = "adaptation-vs-scale"
CLAIM = "post-training on action data beats a larger generator without it"
ROLES = ("small-base", "small-adapted", "large-base")
NEEDED = ROLES[1:]


@dataclass(frozen=True)
class AdaptationVsScale:
    """Settings of `adaptation_vs_scale`."""

    models: Mapping[str, str]
    """Weight files by role: `small-adapted`, `large-base` and, if wanted, `small-base`."""
    out: Path = Path("studies") / NAME
    evaluation: Evaluation = field(default_factory=Evaluation)

    def __post_init__(self) -> None:
        unknown = [r for r in self.models if r not in ROLES]
        if unknown or any(r not in self.models for r in NEEDED):
            raise InputError(
                "--models is small-adapted=FILE,large-base=FILE and, if wanted, small-base=FILE; got "
                f"{', '.join(self.models) or 'nothing'}"
            )


def adaptation_vs_scale(
    config: AdaptationVsScale, progress: Progress = lambda what, done, total: None
) -> StudyResult:
    """Measure the models and compare the small adapted one with the large base, episode by episode.

    The same call goes on where it was cut off. Raises InputError for files that cannot be read or do not have the
    roles they are given: the large one must have more parameters, and only the adapted one was post-trained.
    """
    with study_folder(config.out, NAME):
        bench = Bench(config.evaluation, config.out, progress)
        bench.check()
        sizes = _check_roles(config.models)
        roles = [r for r in ROLES if r in config.models]
        subjects = [
            video_subject(r, r, f"{r} ({_millions(sizes[r])})", config.models[r], bench) for r in roles
        ]
        measured = measure_all(bench, subjects)
        findings: list[Finding] = []
        for measure in measured["small-adapted"].samples:
            found = {r: (r, measured[r].samples[measure]) for r in roles}
            findings.append(beats(measure, found["small-adapted"], found["large-base"]))
        main = decided(findings, bool(bench.tasks))
        if "small-base" in roles:
            for measure in measured["small-adapted"].samples:
                found = {r: (r, measured[r].samples[measure]) for r in roles}
                main.append(_aside(beats(measure, found["small-adapted"], found["small-base"])))
        return conclude(
            NAME,
            CLAIM,
            "model (parameters of its transformer)",
            [arm_of(s, measured[s.name]) for s in subjects],
            references(bench),
            main,
            [note for m in measured.values() for note in m.notes],
            {"models": dict(config.models), **settings_dict(config.evaluation)},
            config.out,
        )


def _check_roles(models: Mapping[str, str]) -> dict[str, int]:
    """Parameters by role; InputError for a model that cannot play its role."""
    sizes = {}
    for role, path in models.items():
        checkpoint = load_checkpoint(path)
        sizes[role] = transformer_size(checkpoint.backbone)
        tuned = "adaptation" in checkpoint.spec.extra
        if tuned != (role == "small-adapted"):
            what = "was post-trained" if tuned else "was not post-trained"
            raise InputError(f"{path} {what}, so it cannot be {role}; the card in the file says so")
    for role in models:
        if role != "large-base" and sizes[role] >= sizes["large-base"]:
            raise InputError(
                f"large-base has {sizes['large-base']} parameters in its transformer and {role} {sizes[role]}: it must be larger"
            )
    return sizes


def _aside(finding: Finding) -> Finding:
    return replace(finding, deciding=False)


def _millions(count: int) -> str:
    return f"{count / 1e6:.1f} M" if count >= 1e5 else f"{count / 1e3:.0f} k"
