"""What all studies do: measure their arms, take the controls, conclude, and write the folder."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from worldloop.actions import NAVIGATION
from worldloop.core import InputError, WorldModel
from worldloop.engine.run import versions
from worldloop.models import MODELS
from worldloop.models.video import VideoModel
from worldloop.stats import Estimate
from worldloop.studies.adapters import model_facts, open_model, training_facts
from worldloop.studies.bench import Bench, Measured
from worldloop.studies.plot import draw
from worldloop.studies.result import (
    RECOVERED,
    Arm,
    Finding,
    Reference,
    StudyResult,
    is_success,
    write_result,
)
from worldloop.studies.verdicts import CONFIDENCE, Sample, estimate, headline


@dataclass(frozen=True, eq=False)
class Subject:
    """An arm before it is measured."""

    name: str
    """Unique; names its folders."""
    title: str
    """What sentences call it."""
    label: str
    """What the plot calls it."""
    model: Callable[[], WorldModel]
    x: float | None = None
    rollouts: int | None = None
    """M; None is the task's own."""
    facts: Mapping[str, Any] = field(default_factory=dict)
    seconds: Mapping[str, float] = field(default_factory=dict)


def video_subject(
    name: str,
    title: str,
    label: str,
    weights: str | Path,
    bench: Bench,
    x: float | None = None,
    card: Mapping[str, Any] | None = None,
) -> Subject:
    """An arm that is a video model; `card`: how it was trained in this study."""
    return Subject(
        name,
        title,
        label,
        lambda: open_model(weights, bench.settings.device),
        x,
        facts={"weights": str(weights)} if card is None else training_facts(card),
        seconds={} if card is None else {"training": card["seconds"]},
    )


def measure_all(bench: Bench, subjects: Sequence[Subject], open_loop: bool = True) -> dict[str, Measured]:
    """All arms by name; one model is in memory at a time."""
    out = {}
    for s in subjects:
        model = s.model()
        found = bench.measure(s.name, model, s.rollouts, open_loop)
        own = model_facts(model) if isinstance(model, VideoModel) else {}
        facts = {**found.facts, **own, **s.facts}
        out[s.name] = replace(found, facts=facts, seconds={**s.seconds, **found.seconds})
    return out


def samples_of(
    measure: str, subjects: Sequence[Subject], measured: Mapping[str, Measured]
) -> dict[str, Sample]:
    """One measure of several arms, by their titles."""
    return {s.title: measured[s.name].samples[measure] for s in subjects}


def arm_of(subject: Subject, found: Measured) -> Arm:
    """A measured arm with its estimates."""
    values = {m: estimate(m, sample) for m, sample in found.samples.items()}
    facts = {**found.facts, "title": subject.title, "seconds": dict(found.seconds)}
    if subject.rollouts is not None:
        facts["rollouts"] = subject.rollouts
    return Arm(subject.name, subject.label, "", subject.x, values, facts)


def references(
    bench: Bench,
    rollouts: Mapping[str, int | None] | None = None,
    open_loop: bool = True,
    styles: Sequence[str] = (),
) -> list[Reference]:
    """`none` and `oracle` in every task; `frozen` and chance in open loop. With `styles`, for each of them."""
    out = []
    parts: list[tuple[str, Callable[[Sample], Sample]]] = [("", lambda sample: sample)]
    if styles:
        parts = [(style, lambda sample, style=style: sample.only(style)) for style in styles]  # type: ignore[misc]
    if open_loop:
        samples, _ = bench.open_loop("frozen", MODELS.create("frozen"))
        for label, part in parts:
            out += [Reference("frozen", m, estimate(m, part(s)), label) for m, s in samples.items()]
        chance = 1 / sum(not p.stops for p in NAVIGATION.primitives)
        out.append(Reference("chance", RECOVERED, Estimate(chance, None, None, CONFIDENCE, 0, 0, "none")))
    for name, found in bench.controls(rollouts).items():
        count = (rollouts or {}).get(name)
        shown = name if count is None else f"{name} (M = {count})"
        facts = {**found.facts, "seconds": dict(found.seconds)}
        for label, part in parts:
            for measure, sample in found.samples.items():
                out.append(Reference(shown, measure, estimate(measure, part(sample)), label, facts))
    return out


def decided(findings: Sequence[Finding], closed_loop: bool) -> list[Finding]:
    """Task success decides where it was measured; the open loop is told beside it."""
    return [replace(f, deciding=f.deciding and (is_success(f.measure) or not closed_loop)) for f in findings]


def conclude(
    study: str,
    claim: str,
    axis: str,
    arms: Sequence[Arm],
    lines: Sequence[Reference],
    findings: Sequence[Finding],
    notes: Sequence[str],
    asked: Mapping[str, Any],
    out: Path,
    verdict: str | None = None,
    picture: Callable[[StudyResult], str] = draw,
) -> StudyResult:
    """The result of a study, written into its folder. `verdict` and `picture` replace the usual ones."""
    if sum(f.deciding for f in findings) > 1:
        notes = [*notes, "Each finding has its own interval; none is adjusted for the number of findings."]
    result = StudyResult(
        study,
        claim,
        axis,
        verdict or headline(findings),
        tuple(arms),
        tuple(lines),
        tuple(findings),
        tuple(dict.fromkeys(notes)),
        asked,
        versions(),
    )
    write_result(result, out, picture(result))
    return result


def increasing(name: str, values: Sequence[int], low: int) -> tuple[int, ...]:
    """The values themselves; InputError unless they are at least two, different, in order and not below `low`."""
    if len(values) < 1 or min(values) < low or list(values) != sorted(set(values)):
        raise InputError(
            f"{name} are different numbers from {low} upwards, the smallest first; got {list(values)}"
        )
    return tuple(values)
