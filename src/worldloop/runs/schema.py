"""What a run folder holds: the header and one record per episode, decision and candidate.

Records check themselves: a value of the wrong type is an InputError when the record is made, so nothing
that cannot be read back is ever written.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from typing import Any, ClassVar

from worldloop.core import InputError
from worldloop.runs.fields import as_it_is, canonical, check, check_finite, field_types

FORMAT_VERSION = 1
EPISODE_STATUSES = ("finished", "crashed", "timed_out", "refused")
RUN_STATUSES = ("running", "complete", "incomplete")


class Checked:
    """Converts and checks every field against its annotation."""

    finite: ClassVar[tuple[str, ...]] = ()
    natural: ClassVar[tuple[str, ...]] = ()
    later: ClassVar[tuple[str, ...]] = ()
    """Fields that older files may lack."""

    def __post_init__(self) -> None:
        kind = type(self).__name__
        for name, hint in field_types(type(self)).items():
            given = getattr(self, name)
            value = given if as_it_is(hint)(given) else check(given, hint, f"{kind}.{name}")
            if name in self.finite:
                check_finite(value, f"{kind}.{name}")
            if name in self.natural and value is not None and value < 0:
                raise InputError(f"{kind}.{name} is {value}; it counts from 0")
            if value is not given:
                object.__setattr__(self, name, value)

    def to_dict(self) -> dict[str, Any]:
        """The fields as a dictionary that `json.dumps` takes."""
        return {name: getattr(self, name) for name in field_types(type(self))}

    @classmethod
    def from_dict(cls, data: Any) -> Any:
        """The inverse of `to_dict`; InputError when a field is missing, unknown or of a wrong type."""
        if not isinstance(data, dict):
            raise InputError(f"{cls.__name__} should be an object, got {type(data).__name__}")
        known = field_types(cls)
        if missing := [n for n in known if n not in data and n not in cls.later]:
            raise InputError(f"{cls.__name__} lacks {', '.join(missing)}")
        if extra := [str(n) for n in data if n not in known]:
            raise InputError(f"{cls.__name__} has unknown fields: {', '.join(extra)[:200]}")
        return cls(**data)


@dataclass(frozen=True)
class EpisodeRecord(Checked):
    """How one episode went. One row of `episodes.parquet`."""

    finite: ClassVar[tuple[str, ...]] = ("score", "path_length", "confidence", "metrics")
    natural: ClassVar[tuple[str, ...]] = ("index", "steps", "decisions", "path_length")

    episode_id: str
    """Id of the episode, one of the header's `episode_ids`."""
    index: int
    """Position in the header's `episode_ids`, from 0."""
    scene: str
    """Id of the scene; the cluster of the bootstrap."""
    seed: int
    """Seed of the episode (not of the run)."""
    status: str
    """`finished`, `crashed`, `timed_out` or `refused`. Only a finished episode can be a success."""
    success: bool
    """Whether the task was solved; False for every status but `finished`."""
    score: float
    """The task's graded score; its range is the task's."""
    steps: int
    """Actions carried out."""
    decisions: int
    """Decisions taken."""
    path_length: float
    """Metres travelled."""
    answer: str | None = None
    """The agent's last answer, where the task asks for one."""
    confidence: float | None = None
    """Probability that the agent gave its answer, 0 to 1."""
    error: str | None = None
    """What went wrong, for an episode that did not finish."""
    metrics: dict[str, float] = field(default_factory=dict)
    """The task's own numbers, such as `spl`; an undefined one is left out. Columns `metric.<name>`."""
    seconds: dict[str, float] = field(default_factory=dict)
    """Wall-clock seconds by phase. Columns `seconds.<name>`."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.status not in EPISODE_STATUSES:
            raise InputError(f"EpisodeRecord.status is {self.status!r}; one of {', '.join(EPISODE_STATUSES)}")
        if self.success and self.status != "finished":
            raise InputError(f"episode {self.episode_id!r} is {self.status} and so cannot be a success")


@dataclass(frozen=True)
class DecisionRecord(Checked):
    """One turn of the loop. One row of `decisions.parquet`."""

    finite: ClassVar[tuple[str, ...]] = ("position", "yaw_deg", "confidence")
    natural: ClassVar[tuple[str, ...]] = ("decision", "chosen")

    episode_id: str
    """Episode it belongs to."""
    decision: int
    """Number of the decision in its episode, from 0."""
    frame: str
    """Hash of the frame seen before deciding, or empty."""
    panorama: str
    """Hash of the panorama seen before deciding, or empty."""
    position: tuple[float, float]
    """x, y of the agent before deciding, metres."""
    yaw_deg: float
    """Heading before deciding, degrees; 0 looks along +x, 90 along +y."""
    chosen: int | None
    """Number of the chosen candidate; None when the plan was synthesised."""
    actions: tuple[str, ...]
    """Actions carried out, in order."""
    reason: str
    """Why, in a short phrase."""
    stop: bool = False
    """Whether the agent stopped here."""
    answer: str | None = None
    """The agent's answer at this moment."""
    confidence: float | None = None
    """Probability that the agent gave this answer, 0 to 1."""
    details_json: str = "{}"
    """What else a reader may want, as a JSON object: `box`, `goal_frame`, `goal_text`, `accepted` (answers)."""
    seconds: dict[str, float] = field(default_factory=dict)
    """Wall-clock seconds of propose, simulate, revise, act. Columns `seconds.<name>`."""


@dataclass(frozen=True)
class CandidateRecord(Checked):
    """One plan that was considered. One row of `candidates.parquet`."""

    natural: ClassVar[tuple[str, ...]] = ("decision", "candidate")

    episode_id: str
    """Episode it belongs to."""
    decision: int
    """Decision it belongs to."""
    candidate: int
    """Number of the candidate in its decision, from 0."""
    plan: tuple[str, ...]
    """Actions of the plan, in order."""
    prior: float
    """How much the proposer likes it; higher is better."""
    score: float | None
    """How good revision found it; higher is better, None when it was not scored."""
    simulated: bool
    """Whether a world model imagined it."""
    chosen: bool
    """Whether revision chose it."""
    frames: tuple[str, ...] = ()
    """Hashes of the imagined frames, one per action; may be empty."""
    details_json: str = "{}"
    """What else revision noted, as a JSON object."""
    seconds: float = 0.0
    """Model time of its rollout."""


@dataclass(frozen=True)
class RunHeader(Checked):
    """What a run is: `run.json`. One run is one task, model, agent, split, seed and settings."""

    later: ClassVar[tuple[str, ...]] = ("scenes",)

    spec: dict[str, Any]
    """What determines the result: task, model, agent, split, seed, rollouts, horizon, ..."""
    episode_ids: tuple[str, ...]
    """The fixed list of episodes, decided before the run."""
    scenes: tuple[str, ...] = ()
    """Scene of each episode of the list; empty where it was not noted."""
    episodes_hash: str = ""
    """Hash of the full content of the episodes (starts, goals, budgets), not of their ids alone."""
    arguments_given: dict[str, Any] = field(default_factory=dict)
    """What the caller wrote."""
    arguments_resolved: dict[str, Any] = field(default_factory=dict)
    """What it became with defaults filled in."""
    versions: dict[str, Any] = field(default_factory=dict)
    """Versions of python, worldloop, numpy, torch, ..."""
    git_revision: str = ""
    """Revision of the source tree, where there is one."""
    model_card: dict[str, Any] = field(default_factory=dict)
    """The model's card."""
    weights_hash: str = ""
    """Hash of the model's weights, where it has any."""
    privileges: tuple[str, ...] = ()
    """Everything that model, agent or task read of the simulator's truth."""
    status: str = "running"
    """`running`, `complete` (every episode has a row) or `incomplete`."""
    started: str = ""
    """UTC time of the first start, ISO 8601; filled in by the writer."""
    finished: str = ""
    """UTC time of the end, ISO 8601; empty until then."""
    seconds: float = 0.0
    """Wall-clock seconds, summed over the sessions that were not killed."""
    resumed: tuple[dict[str, Any], ...] = ()
    """One entry per resume: `at`, `versions`, `git_revision`, `arguments_given`, `retried` (episode ids)."""
    format_version: int = FORMAT_VERSION
    """Version of the folder's layout."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.format_version != FORMAT_VERSION:
            raise InputError(
                f"run format {self.format_version} is not {FORMAT_VERSION}, the one this worldloop reads; "
                "use the worldloop version that wrote it"
            )
        if self.status not in RUN_STATUSES:
            raise InputError(f"RunHeader.status is {self.status!r}; one of {', '.join(RUN_STATUSES)}")
        if not self.episode_ids:
            raise InputError("a run needs at least one episode")
        if len(set(self.episode_ids)) != len(self.episode_ids):
            raise InputError("RunHeader.episode_ids repeats an episode")
        if self.scenes and len(self.scenes) != len(self.episode_ids):
            raise InputError("RunHeader.scenes names one scene for each episode, or none at all")

    def identity(self) -> dict[str, Any]:
        """What must be equal for a run to be resumed: everything that a result depends on."""
        parts = {f"spec.{key}": value for key, value in self.spec.items()}
        return parts | {
            "episode_ids": list(self.episode_ids),
            "episodes_hash": self.episodes_hash,
            "weights_hash": self.weights_hash,
            "privileges": sorted(self.privileges),
        }

    @property
    def spec_hash(self) -> str:
        """16 hex digits that identify `identity()`."""
        return hashlib.blake2b(canonical(self.identity()).encode(), digest_size=8).hexdigest()


@dataclass(frozen=True)
class Entry:
    """Everything one episode leaves behind: one line of the journal."""

    episode: EpisodeRecord
    decisions: tuple[DecisionRecord, ...]
    candidates: tuple[CandidateRecord, ...]

    def __post_init__(self) -> None:
        own = self.episode.episode_id
        owners = {d.episode_id for d in self.decisions} | {c.episode_id for c in self.candidates}
        if owners - {own}:
            raise InputError(f"a decision or candidate given with episode {own!r} belongs to another episode")
        numbers = [d.decision for d in self.decisions]
        if len(set(numbers)) != len(numbers):
            raise InputError(f"episode {own!r} repeats a decision number")
        pairs = [(c.decision, c.candidate) for c in self.candidates]
        if len(set(pairs)) != len(pairs):
            raise InputError(f"episode {own!r} repeats a candidate number within a decision")

    def to_dict(self) -> dict[str, Any]:
        """The entry as a dictionary that `json.dumps` takes."""
        return {
            "episode": self.episode.to_dict(),
            "decisions": [d.to_dict() for d in self.decisions],
            "candidates": [c.to_dict() for c in self.candidates],
        }

    @classmethod
    def from_dict(cls, data: Any) -> Entry:
        """The inverse of `to_dict`; InputError when anything does not fit."""
        if not isinstance(data, dict) or set(data) != {"episode", "decisions", "candidates"}:
            raise InputError("a journal line holds episode, decisions and candidates")
        if not isinstance(data["decisions"], list) or not isinstance(data["candidates"], list):
            raise InputError("decisions and candidates of a journal line are lists")
        return cls(
            EpisodeRecord.from_dict(data["episode"]),
            tuple(DecisionRecord.from_dict(d) for d in data["decisions"]),
            tuple(CandidateRecord.from_dict(c) for c in data["candidates"]),
        )
