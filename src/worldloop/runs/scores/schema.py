"""What a folder of scores holds: a header, a line for each case, and a row for each case and metric."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

from worldloop.core import InputError
from worldloop.runs.fields import canonical, check_finite
from worldloop.runs.schema import RUN_STATUSES, Checked

SCORES_VERSION = 1
STATUSES = ("scored", "nothing", "failed", "unfit", "lacking")
"""Of a case and a metric. `scored`: there is a value. `nothing`: there was nothing to score in this clip. `failed`: the model,
the video or the metric failed; counts as the metric's worst. `unfit`: the model cannot be asked this. `lacking`: the metric does
not apply to such cases, whatever the model."""
CASE_STATUSES = ("asked", "unfit", "failed")
"""Of a case and a model."""


@dataclass(frozen=True)
class SetId:
    """Cases that are scored together by metrics over sets."""

    domain: str
    kind: str

    @property
    def id(self) -> str:
        """Stands in the place of a case's id; no case's id begins like this."""
        return f"set:{self.domain}.{self.kind}"


@dataclass(frozen=True)
class MetricInfo(Checked):
    """What a table must know of a metric, so that scores can be read without the code that made them."""

    name: str
    version: int
    group: str
    summary: str
    unit: str
    better: str
    """`higher` or `lower`."""
    low: float | None
    """Smallest possible value; None where there is none."""
    high: float | None
    """Largest possible value; None where there is none."""
    worst: float
    """What a failure counts as."""
    over: str
    """`clip` or `set`."""
    weights: str = ""
    """Hash of the files that it reads beside the clip; empty for none. With other weights it gives other scores."""

    later: ClassVar[tuple[str, ...]] = ("weights",)


@dataclass(frozen=True)
class ScoreRow(Checked):
    """One case and one metric. One row of `scores.parquet`."""

    finite: ClassVar[tuple[str, ...]] = ("value",)
    natural: ClassVar[tuple[str, ...]] = ("index",)

    case: str
    """Id of the case, or of a set of cases."""
    index: int
    """Position in the header's list; sets stand after all cases."""
    domain: str
    kind: str
    scene: str
    """Cluster of the bootstrap; empty for a set."""
    metric: str
    version: int
    """Of the metric."""
    status: str
    """One of `STATUSES`."""
    value: float | None
    """None unless scored."""
    error: str
    """Why it failed or is unfit; empty otherwise."""
    seconds: float
    """Model time of the case."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.status not in STATUSES or (self.value is None) == (self.status == "scored"):
            raise InputError(f"a score is one of {', '.join(STATUSES)}, and scored ones alone have a value")


@dataclass(frozen=True)
class CaseEntry(Checked):
    """Everything one case, or one set of cases, leaves behind: a line of the journal."""

    finite: ClassVar[tuple[str, ...]] = ("seconds",)
    natural: ClassVar[tuple[str, ...]] = ("index", "seconds")
    later: ClassVar[tuple[str, ...]] = ("source", "twin_status", "twin_clip")

    case: str
    index: int
    domain: str
    kind: str
    scene: str
    status: str
    """One of `CASE_STATUSES`."""
    reason: str = ""
    """Why it failed or is unfit, or why there is no twin."""
    clip: str = ""
    """Key of the clip by content, truth included; empty where there is none. Of a set: `members_key`."""
    seconds: float = 0.0
    """Model time."""
    frames: tuple[str, ...] = ()
    """Hashes of the imagined frames, where they were kept."""
    twin: tuple[str, ...] = ()
    """Hashes of those that were imagined for doing nothing."""
    scores: dict[str, Any] = field(default_factory=dict)
    """Metric -> [version, status, value, error, hash of its weights]; the last one is missing in older files."""
    source: str = ""
    """Hash of the files that the answer was read from; empty for a model."""
    twin_status: str = ""
    """One of `CASE_STATUSES` for the plan of doing nothing; empty where there is no such plan or it was not asked for."""
    twin_clip: str = ""
    """Key of the frames that were imagined for it; empty where there are none. Of a set whose scores read twins: `members_key`."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.status not in CASE_STATUSES:
            raise InputError(f"the status of a case is {', '.join(CASE_STATUSES)}, not {self.status!r}")
        if self.twin_status not in ("", *CASE_STATUSES):
            raise InputError(f"the status of a twin is {', '.join(CASE_STATUSES)}, not {self.twin_status!r}")
        for name, score in self.scores.items():
            if not isinstance(score, list) or len(score) not in (4, 5):
                raise InputError(f"the score {name!r} is no list of version, status, value and error")
            if score[2] is not None and not (isinstance(score[2], float | int) and math.isfinite(score[2])):
                raise InputError(f"the score {name!r} is no finite number")

    def has(self, metric: str, version: int, weights: str = "") -> bool:
        """Whether there is a score of just this version with just these weights."""
        score = self.scores.get(metric)
        return score is not None and score[0] == version and "".join(score[4:]) == weights

    @property
    def failed(self) -> bool:
        """Whether the model, the video or any metric failed."""
        return self.status == "failed" or any(s[1] == "failed" for s in self.scores.values())

    def row(self, metric: str) -> ScoreRow:
        """The row of one of its scores."""
        version, status, value, error, *_ = self.scores[metric]
        where = (self.case, self.index, self.domain, self.kind, self.scene)
        return ScoreRow(*where, metric, version, status, value, error, self.seconds)


@dataclass(frozen=True)
class ScoreHeader(Checked):
    """What was measured: `metrics.json`. One folder is one model on one list of cases."""

    spec: dict[str, Any]
    """What determines what is imagined: the model and its settings, or the folder of videos, and how it was asked."""
    cases: tuple[dict[str, Any], ...]
    """The fixed list, decided beforehand; each with its `id`, `domain`, `kind` and `scene`."""
    metrics: tuple[dict[str, Any], ...]
    """Of `MetricInfo`. May differ from one call to the next: only what is new or of another version is computed."""
    suite: str = "full"
    arguments_given: dict[str, Any] = field(default_factory=dict)
    versions: dict[str, Any] = field(default_factory=dict)
    git_revision: str = ""
    model_card: dict[str, Any] = field(default_factory=dict)
    weights_hash: str = ""
    privileges: tuple[str, ...] = ()
    baseline: bool = False
    """Whether the model was measured for comparison only."""
    case_versions: dict[str, Any] = field(default_factory=dict)
    """Of each kind of case, what made it: scores of cases that another version built are other scores."""
    status: str = "running"
    """`running`, `complete` (every case and metric has a row) or `incomplete`."""
    started: str = ""
    finished: str = ""
    seconds: float = 0.0
    """Wall-clock seconds, summed over the calls that were not killed."""
    resumed: tuple[dict[str, Any], ...] = ()
    """One entry for each later call that had something to do: `at`, `versions`, `git_revision`, `arguments_given`."""
    format_version: int = SCORES_VERSION

    later: ClassVar[tuple[str, ...]] = ("case_versions",)

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.format_version != SCORES_VERSION:
            raise InputError(f"score format {self.format_version} is not {SCORES_VERSION}, the one read here")
        if self.status not in RUN_STATUSES:
            raise InputError(f"ScoreHeader.status is {self.status!r}; one of {', '.join(RUN_STATUSES)}")
        if not self.cases or not self.metrics:
            raise InputError("scores need at least one case and one metric")
        try:
            ids = [str(c["id"]) for c in self.cases]
            for case in self.cases:
                if not all(isinstance(case[k], str) for k in ("id", "domain", "kind", "scene")):
                    raise InputError("a case's id, domain, kind and scene are text")
        except (KeyError, TypeError) as error:
            raise InputError(f"a case lacks {error}") from None
        if len(set(ids)) != len(ids):
            raise InputError("ScoreHeader.cases repeats a case")
        check_finite(self.seconds, "ScoreHeader.seconds")
        self.infos()

    def infos(self) -> list[MetricInfo]:
        """The metrics, checked."""
        return [MetricInfo.from_dict(m) for m in self.metrics]

    @property
    def name(self) -> str:
        """What the model is called."""
        return str(self.spec.get("model", ""))

    def sets(self) -> list[SetId]:
        """The sets of cases, in the order of the list; empty without metrics over sets."""
        if not any(m["over"] == "set" for m in self.metrics):
            return []
        return list(dict.fromkeys(SetId(c["domain"], c["kind"]) for c in self.cases))

    def identity(self) -> dict[str, Any]:
        """What must be equal for a folder to be gone on with: everything that the imagined frames depend on."""
        return {
            **{f"spec.{k}": v for k, v in self.spec.items()},
            "cases": list(self.cases),
            "case_versions": self.case_versions,
            "weights_hash": self.weights_hash,
            "privileges": sorted(self.privileges),
        }

    @property
    def cases_hash(self) -> str:
        """16 hex digits; folders of equal ones can be compared."""
        listed = canonical([list(self.cases), self.case_versions])
        return hashlib.blake2b(listed.encode(), digest_size=8).hexdigest()


def members_key(members: Sequence[CaseEntry], twins: bool = False) -> str:
    """32 hex digits over the answers of a set's cases, or over their twins: the scores of a set are those of just these clips."""
    answers = [[e.case, e.twin_status, e.twin_clip] if twins else [e.case, e.status, e.clip] for e in members]
    return hashlib.blake2b(canonical(answers).encode(), digest_size=16).hexdigest()
