"""Folders of open-loop scores: what one model imagined on a fixed list of cases, and what each metric said of it."""

from worldloop.runs.scores.reader import Scores, find_scores, read_scores
from worldloop.runs.scores.schema import (
    STATUSES,
    CaseEntry,
    MetricInfo,
    ScoreHeader,
    ScoreRow,
    SetId,
    members_key,
)
from worldloop.runs.scores.writer import ScoreWriter

__all__ = [
    "STATUSES",
    "CaseEntry",
    "MetricInfo",
    "ScoreHeader",
    "ScoreRow",
    "ScoreWriter",
    "Scores",
    "SetId",
    "find_scores",
    "members_key",
    "read_scores",
]
