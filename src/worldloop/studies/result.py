"""What every study ends in: arms with intervals, findings computed from them, and the files that hold both."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from worldloop.core import InputError, RunFolderError
from worldloop.runs.disk import replace_text
from worldloop.runs.lock import FolderLock
from worldloop.stats import Estimate

FORMAT = 1
JSON_NAME, PLOT_NAME = "study.json", "study.svg"
CONTROLLABILITY, RECOVERED = "controllability", "action recovery"
SHOWN, OPPOSITE, NOT_SHOWN, NOT_MEASURED = "shown", "opposite", "not shown", "not measured"


def success_in(task: str) -> str:
    """The measure that a task is scored by."""
    return f"{task} success"


def is_success(measure: str) -> bool:
    """Whether a measure is the success rate of a task."""
    return measure.endswith(" success")


def is_percent(measure: str) -> bool:
    """Whether a measure is a share that reads best in percent."""
    return measure != CONTROLLABILITY


@dataclass(frozen=True)
class Arm:
    """One thing that was measured."""

    name: str
    """Unique in the study; also the name of its folders."""
    label: str
    """What stands below it in the plot."""
    series: str
    """Arms of one series are drawn alike."""
    x: float | None
    """The dose, where the study has one."""
    estimates: Mapping[str, Estimate]
    """By measure; `n` counts the episodes or trials."""
    facts: Mapping[str, Any]
    """Model, weights, parameters, training, seconds, episodes that did not finish."""


@dataclass(frozen=True)
class Reference:
    """A control, drawn as a line."""

    name: str
    measure: str
    estimate: Estimate
    label: str = ""
    """The label of the arms that it goes with; empty: all of them."""
    facts: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Contrast:
    """One arm minus another, on the same episodes."""

    minuend: str
    subtrahend: str
    difference: Estimate


@dataclass(frozen=True)
class Finding:
    """What one measure says."""

    measure: str
    status: str
    """`shown`, `opposite`, `not shown` or `not measured`."""
    sentence: str
    contrasts: tuple[Contrast, ...] = ()
    """The one that decides stands first."""
    trend: Estimate | None = None
    """Spearman's correlation of arm means and doses."""
    deciding: bool = True
    """Whether the study's verdict rests on it."""


@dataclass(frozen=True)
class StudyResult:
    """A study that is through."""

    study: str
    claim: str
    """The published finding that is looked for."""
    axis: str
    """What the arms differ in."""
    verdict: str
    arms: tuple[Arm, ...]
    references: tuple[Reference, ...]
    findings: tuple[Finding, ...]
    notes: tuple[str, ...]
    asked: Mapping[str, Any]
    """The settings."""
    versions: Mapping[str, Any]

    @property
    def measures(self) -> tuple[str, ...]:
        """All measures, in the order of the arms' estimates."""
        return tuple(dict.fromkeys(m for arm in self.arms for m in arm.estimates))

    @property
    def measured(self) -> bool:
        """False when a whole arm failed."""
        return all(f.status != NOT_MEASURED for f in self.findings)

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready."""
        data = {"format": FORMAT, **asdict(self)}
        return dict(json.loads(json.dumps(data, default=str, allow_nan=False)))


@contextmanager
def study_folder(out: Path, study: str) -> Iterator[None]:
    """Hold the folder of a study; InputError when it holds another one, RunFolderError when somebody is in it."""
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"{out} cannot be a study's folder: {error.strerror or error}") from error
    lock = FolderLock(out)
    try:
        before = _study_in(out)
        if before not in ("", study):
            raise InputError(f"{out} holds the study {before!r}; choose another --out")
        yield
    finally:
        lock.release()


def _study_in(out: Path) -> str:
    path = out / JSON_NAME
    if not path.exists():
        return ""
    try:
        return str(json.loads(path.read_text(encoding="utf-8"))["study"])
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise InputError(f"{path} cannot be read as a study ({error}); choose another --out") from None


def write_result(result: StudyResult, out: Path, svg: str) -> None:
    """Write `study.json` and `study.svg`, each of them as a whole."""
    text = json.dumps(result.to_dict(), indent=1, sort_keys=True, allow_nan=False) + "\n"
    for name, content in ((PLOT_NAME, svg), (JSON_NAME, text)):
        write_text(out / name, content)


def write_text(path: Path, text: str) -> None:
    """Replace a file by a text; RunFolderError when the disk refuses."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise RunFolderError(f"could not create {path.parent}: {error.strerror or error}") from error
    replace_text(path, text)
