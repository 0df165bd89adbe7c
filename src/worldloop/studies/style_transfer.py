"""Does adaptation help in houses of a style that it was never trained on?"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

from worldloop.core import InputError
from worldloop.envs.house.splits import STYLES
from worldloop.models.video import load_checkpoint
from worldloop.studies.adapters import Adaptation, Workshop
from worldloop.studies.bench import Bench, Measured
from worldloop.studies.evaluation import Evaluation, Progress, settings_dict
from worldloop.studies.recipe import (
    Subject,
    arm_of,
    conclude,
    decided,
    measure_all,
    references,
    video_subject,
)
from worldloop.studies.result import Arm, Finding, StudyResult, study_folder
from worldloop.studies.verdicts import beats

NAME = "style-transfer"
CLAIM = "what adaptation brings carries over to unseen styles"


@dataclass(frozen=True)
class Ready:
    """A base and what was adapted from it before: weight files, or names of packaged weights."""

    base: str
    adapted: str


@dataclass(frozen=True)
class StyleTransfer:
    """Settings of `style_transfer`."""

    adaptation: Adaptation | Ready
    """How to adapt, or models that are there."""
    out: Path = Path("studies") / NAME
    examples: int | None = None
    """Clips to train on; None takes all."""
    evaluation: Evaluation = field(default_factory=Evaluation)


def style_transfer(config: StyleTransfer, progress: Progress = lambda what, done, total: None) -> StudyResult:
    """Adapt the base to the data's styles and measure the gain in each style apart.

    The verdict rests on the styles that neither the data nor the base contain. The same call goes on where it was cut
    off. Raises InputError when no style is left unseen, or an unseen style has no episode, or for a model that was
    not adapted from the base.
    """
    with study_folder(config.out, NAME):
        bench = Bench(config.evaluation, config.out, progress)
        bench.check()
        given, made = config.adaptation, None
        if isinstance(given, Adaptation):
            made = Workshop(given, config.out, progress)
            made.check([config.examples])
            before, after = _styles(made.base.spec.training_scenes), made.styles
        else:
            before, after = _styles_of(given)
        unseen = _unseen({*before, *after})
        _check_lists(bench, unseen)
        card = made.adapted("adapted", config.examples) if made else None
        weights = card["weights"] if card else given.adapted  # type: ignore[union-attr]
        base = video_subject("base", "the base", "", given.base, bench)
        adapted = video_subject("adapted", "the adapted model", "", weights, bench, card=card)
        measured = measure_all(bench, [base, adapted])
        findings: list[Finding] = []
        arms: list[Arm] = []
        for style in (*unseen, *(s for s in STYLES if s not in unseen)):
            where = f" on style {style} ({'unseen' if style in unseen else 'trained on'})"
            for measure, sample in measured["adapted"].samples.items():
                other = measured["base"].samples[measure].only(style)
                found = beats(measure, (adapted.title, sample.only(style)), (base.title, other), where)
                findings.append(replace(found, deciding=style in unseen))
        for style in STYLES:
            arms += [_part(s, measured[s.name], style, style in unseen) for s in (base, adapted)]
        return conclude(
            NAME,
            CLAIM,
            "style of the scenes",
            arms,
            references(bench, styles=STYLES),
            decided(findings, bool(bench.tasks)),
            [
                _base_note(before),
                *(note for m in measured.values() for note in m.notes),
            ],
            {
                **(given.asked() if isinstance(given, Adaptation) else asdict(given)),
                **settings_dict(config.evaluation),
                "examples": config.examples,
                "trained_styles": after,
                "unseen_styles": unseen,
            },
            config.out,
        )


def _styles_of(ready: Ready) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Styles of the base's scenes, and of all that the adapted model has seen."""
    base, adapted = load_checkpoint(ready.base), load_checkpoint(ready.adapted)
    if adapted.spec.extra.get("adaptation", {}).get("base") != base.weights_hash:
        raise InputError(f"{ready.adapted} was not adapted from {ready.base}; the card in the file says so")
    return _styles(base.spec.training_scenes), _styles(adapted.spec.training_scenes)


def _unseen(seen: Collection[str]) -> tuple[str, ...]:
    unseen = tuple(s for s in STYLES if s not in seen)
    if not unseen:
        raise InputError(
            f"data and base together contain the styles {', '.join(sorted(seen))}: none is left unseen; collect the "
            "data with fewer styles (`worldloop collect --style A,B`)"
        )
    return unseen


def _check_lists(bench: Bench, unseen: tuple[str, ...]) -> None:
    s = bench.settings
    for name in bench.tasks:
        there = _styles([e.scene for e in bench.episodes(name)])
        if missing := [style for style in unseen if style not in there]:
            raise InputError(
                f"the list {s.split!r} of {name} has no episode in style {missing[0]}; take more episodes"
            )


def _base_note(seen: Collection[str]) -> str:
    if not seen:
        return "The base does not say what it was trained on, so it may have seen any style."
    return f"The base was trained on video of style {', '.join(seen)}."


def _styles(scenes: object) -> tuple[str, ...]:
    parts = [str(s).split("/") for s in scenes]  # type: ignore[attr-defined]
    return tuple(sorted({p[2] for p in parts if len(p) == 4 and p[0] == "house"}))


def _part(subject: Subject, found: Measured, style: str, unseen: bool) -> Arm:
    """The arm's part in scenes of one style."""
    part = replace(found, samples={m: s.only(style) for m, s in found.samples.items()})
    label = f"{style} (unseen)" if unseen else style
    whole = arm_of(subject, part)
    return replace(whole, name=f"{subject.name}/{style}", label=label, series=subject.title)
