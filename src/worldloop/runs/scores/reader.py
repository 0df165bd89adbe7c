"""Reading scores, finished or not. Whatever is malformed is a RunFolderError that says what to do."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from worldloop.core import InputError, RunFolderError
from worldloop.runs.disk import read_bytes
from worldloop.runs.frames import FrameStore
from worldloop.runs.lines import read_lines
from worldloop.runs.scores.schema import CaseEntry, ScoreHeader, ScoreRow
from worldloop.runs.tables import digest, read_table, to_table

SCORES_HEADER, SCORES_JOURNAL, SCORES_TABLE, FRAMES = (
    "metrics.json",
    "journal.jsonl",
    "scores.parquet",
    "frames",
)


@dataclass(frozen=True, eq=False)
class Scores:
    """The scores of one model."""

    folder: Path
    header: ScoreHeader
    rows: tuple[ScoreRow, ...]
    """By case in the order of the list, then by metric in the order of the header; sets last."""

    @property
    def complete(self) -> bool:
        """Whether every case and metric has a row."""
        return self.header.status == "complete"

    def of(self, metric: str) -> list[ScoreRow]:
        """The rows of one metric, in the order of the cases."""
        return [r for r in self.rows if r.metric == metric]

    def frame(self, key: str) -> np.ndarray:
        """The frame of a hash, uint8 [H,W,3]; RunFolderError when it is missing or damaged."""
        return FrameStore(self.folder / FRAMES).get(key)

    def digest(self) -> str:
        """32 hex digits over the table, model time aside: equal for equal results."""
        return digest([("scores", to_table(ScoreRow, self.rows))])


def read_scores(folder: str | Path) -> Scores:
    """The scores in a folder; unfinished ones are read from the journal as far as it got."""
    folder = Path(folder)
    header = read_score_header(folder)
    if header.status == "running":
        return Scores(folder, header, tuple(rows_of(header, read_entries(folder, header)[0])))
    path = folder / SCORES_TABLE
    try:
        rows = tuple(ScoreRow(**row) for row in read_table(ScoreRow, path, SCORES_HEADER).to_pylist())  # type: ignore[type-var]
        known = {c["id"] for c in header.cases} | {s.id for s in header.sets()}
        if strange := {r.case for r in rows} - known:
            raise InputError(f"it has rows of an unknown case, {min(strange)!r}")
        if len({(r.case, r.metric) for r in rows}) != len(rows):
            raise InputError("it repeats a row")
    except InputError as error:
        if isinstance(error, RunFolderError):
            raise
        raise RunFolderError(
            f"{path} is damaged ({error}); restore it, or set the status in {SCORES_HEADER} to running and give the same command "
            "again: the table is rebuilt from the journal"
        ) from None
    return Scores(folder, header, rows)


def read_score_header(folder: Path) -> ScoreHeader:
    """The header of a folder of scores; RunFolderError when there is none or it is malformed."""
    path = folder / SCORES_HEADER
    if not path.is_file():
        raise RunFolderError(
            f"{folder} holds no scores: it has no {SCORES_HEADER}; give a folder of `worldloop metrics`"
        )
    try:
        header: ScoreHeader = ScoreHeader.from_dict(json.loads(read_bytes(path).decode("utf-8")))
        return header
    except RunFolderError:
        raise
    except (ValueError, RecursionError, InputError) as error:
        raise RunFolderError(
            f"{path} is damaged ({error}); restore it, or measure into a new folder"
        ) from None


def read_entries(folder: Path, header: ScoreHeader) -> tuple[dict[str, CaseEntry], int]:
    """The last entry of every case or set, and the bytes of the journal that hold whole lines."""
    places = {c["id"]: i for i, c in enumerate(header.cases)}

    def parse(data: Any) -> CaseEntry:
        entry: CaseEntry = CaseEntry.from_dict(data)
        if not entry.case.startswith("set:") and places.get(entry.case) != entry.index:
            raise InputError(f"case {entry.case!r} is not number {entry.index} of this list")
        return entry

    remedy = "restore the file, or delete that line and give the same command again"
    entries, size = read_lines(folder / SCORES_JOURNAL, parse, remedy)
    return {e.case: e for e in entries}, size


def rows_of(header: ScoreHeader, entries: Mapping[str, CaseEntry]) -> list[ScoreRow]:
    """The rows that the header asks for, as far as they are there."""
    infos = header.infos()
    alone, together = ([m for m in infos if m.over == over] for over in ("clip", "set"))
    found = []
    for case, metrics in (
        *((c["id"], alone) for c in header.cases),
        *((s.id, together) for s in header.sets()),
    ):
        entry = entries.get(case)
        if entry is not None:
            found += [entry.row(m.name) for m in metrics if entry.has(m.name, m.version, m.weights)]
    return found


def rows_wanted(header: ScoreHeader) -> int:
    """How many rows a complete table has."""
    together = sum(m["over"] == "set" for m in header.metrics)
    return (len(header.metrics) - together) * len(header.cases) + together * len(header.sets())


def table_of(rows: Sequence[ScoreRow]) -> pa.Table:
    """The rows as a table."""
    return to_table(ScoreRow, rows)


def find_scores(paths: str | Path | Iterable[str | Path]) -> list[Path]:
    """The folders of scores among `paths` and below them, sorted, each once; none is no error, a missing path is."""
    found: set[Path] = set()
    for path in map(Path, [paths] if isinstance(paths, str | Path) else paths):
        if not path.exists():
            raise RunFolderError(
                f"{path} does not exist; give a folder of `worldloop metrics`, or one that holds some"
            )
        for name, folders, files in os.walk(path):
            if SCORES_HEADER in files:
                found.add(Path(name))
                folders.clear()
    return sorted(found)
