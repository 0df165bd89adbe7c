"""The run folder: the only artefact that the viewer, the statistics and training read."""

from worldloop.runs.frames import frame_hash
from worldloop.runs.reader import Run, find_runs, read_header, read_run, table_digest
from worldloop.runs.schema import (
    EPISODE_STATUSES,
    FORMAT_VERSION,
    RUN_STATUSES,
    CandidateRecord,
    DecisionRecord,
    Entry,
    EpisodeRecord,
    RunHeader,
)
from worldloop.runs.writer import RunWriter

__all__ = [
    "EPISODE_STATUSES",
    "FORMAT_VERSION",
    "RUN_STATUSES",
    "CandidateRecord",
    "DecisionRecord",
    "Entry",
    "EpisodeRecord",
    "Run",
    "RunHeader",
    "RunWriter",
    "find_runs",
    "frame_hash",
    "read_header",
    "read_run",
    "table_digest",
]
