"""Reading runs, finished or not. Whatever is malformed is a RunFolderError that says what to do."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from worldloop.core import InputError, RunFolderError
from worldloop.runs.disk import read_bytes
from worldloop.runs.frames import FrameStore
from worldloop.runs.journal import JOURNAL_NAME, check_member, read_journal
from worldloop.runs.schema import CandidateRecord, DecisionRecord, Entry, EpisodeRecord, RunHeader
from worldloop.runs.tables import TABLES, digest, read_table, to_records, to_table

HEADER_NAME = "run.json"
FRAMES_NAME = "frames"


@dataclass(frozen=True, eq=False)
class Run:
    """One run, read into memory except for its frames."""

    folder: Path
    header: RunHeader
    episodes: pa.Table
    """One row per episode, in the order of the episode list; columns of EpisodeRecord."""
    decisions: pa.Table
    """One row per decision; columns of DecisionRecord."""
    candidates: pa.Table
    """One row per candidate; columns of CandidateRecord."""

    @property
    def complete(self) -> bool:
        """Whether every episode of the list has a row."""
        return self.episodes.num_rows == len(self.header.episode_ids)

    @property
    def coverage(self) -> float:
        """Share of the episode list that has a row, 0 to 1."""
        return self.episodes.num_rows / len(self.header.episode_ids)

    def records(self) -> list[Entry]:
        """Episodes with their decisions and candidates as dataclasses, in the order of the episode list."""
        try:
            episodes = to_records(EpisodeRecord, self.episodes)
            decisions: dict[str, list[DecisionRecord]] = {e.episode_id: [] for e in episodes}
            candidates: dict[str, list[CandidateRecord]] = {e.episode_id: [] for e in episodes}
            for d in to_records(DecisionRecord, self.decisions):
                decisions[d.episode_id].append(d)
            for c in to_records(CandidateRecord, self.candidates):
                candidates[c.episode_id].append(c)
            return [
                Entry(e, tuple(decisions[e.episode_id]), tuple(candidates[e.episode_id])) for e in episodes
            ]
        except (InputError, KeyError) as error:
            raise _damaged(self.folder, error) from None

    def frame(self, key: str) -> np.ndarray:
        """The frame of a hash, uint8 [H,W,3] or [H,W]; RunFolderError when it is missing or damaged."""
        return FrameStore(self.folder / FRAMES_NAME).get(key)

    def first(self, count: int) -> Run:
        """The run as if its list had ended after so many episodes; the header's hash stays that of the whole list."""
        ids = self.header.episode_ids[:count]
        if len(ids) == len(self.header.episode_ids):
            return self
        header = replace(self.header, episode_ids=ids, scenes=self.header.scenes[:count])
        kept = pa.array(ids, pa.string())
        tables = {
            name: table.filter(pc.is_in(table["episode_id"], value_set=kept))
            for name, table in (
                ("episodes", self.episodes),
                ("decisions", self.decisions),
                ("candidates", self.candidates),
            )
        }
        return Run(self.folder, header, **tables)

    def digest(self) -> str:
        """32 hex digits over all tables, timing columns aside: equal for equal results."""
        return digest(
            [("episodes", self.episodes), ("decisions", self.decisions), ("candidates", self.candidates)]
        )


def read_run(folder: str | Path) -> Run:
    """Read a run; one that was not finished is read from its journal as far as it got.

    Raises RunFolderError when the folder is no run folder or anything in it is malformed. Of decisions and
    candidates that means columns, types and keys; `Run.records` checks the content of each row besides.
    """
    folder = Path(folder)
    header = read_header(folder)
    if header.status == "running":
        entries, _ = read_journal(folder / JOURNAL_NAME, header)
        return Run(folder, header, **tables_of(entries.values()))
    tables = {name: read_table(kind, folder / f"{name}.parquet") for name, kind in TABLES.items()}
    run = Run(folder, header, **tables)
    try:
        _check_tables(run)
    except InputError as error:
        raise _damaged(folder, error) from None
    return run


def _check_tables(run: Run) -> None:
    """InputError unless the tables fit the header and each other.

    Looks at every episode, but at decisions and candidates by whole columns: they can be many, and
    `Run.records` checks each of them.
    """
    for episode in to_records(EpisodeRecord, run.episodes):
        check_member(run.header, Entry(episode, (), ()))
    keys = {"episodes": ["index"], "decisions": ["decision"], "candidates": ["decision", "candidate"]}
    known = run.episodes["episode_id"].combine_chunks()
    for name, table in (
        ("episodes", run.episodes),
        ("decisions", run.decisions),
        ("candidates", run.candidates),
    ):
        strangers = table.filter(pc.invert(pc.is_in(table["episode_id"], value_set=known)))
        if strangers.num_rows:
            raise InputError(f"{name} has rows of an unknown episode, {strangers['episode_id'][0].as_py()!r}")
        rows = table.group_by(["episode_id", *keys[name]]).aggregate([])
        if rows.num_rows != table.num_rows:
            raise InputError(f"{name} repeats a row")
    missing = len(run.header.episode_ids) - run.episodes.num_rows
    if run.header.status == "complete" and missing:
        raise InputError(f"run.json says complete, but {missing} episodes have no row")


def read_header(folder: str | Path) -> RunHeader:
    """The header of a run; RunFolderError when there is none or it is malformed."""
    folder = Path(folder)
    path = folder / HEADER_NAME
    if not path.is_file():
        raise RunFolderError(
            f"{folder} is not a run folder: it has no {HEADER_NAME}; give the folder of a run"
        )
    try:
        return RunHeader.from_dict(json.loads(read_bytes(path).decode("utf-8")))
    except RunFolderError:
        raise
    except (ValueError, RecursionError, InputError) as error:
        raise RunFolderError(f"{path} is damaged ({error}); restore it from a copy of the run") from None


def find_runs(paths: str | Path | Iterable[str | Path], *, or_none: bool = False) -> list[Path]:
    """The run folders among `paths` and below them, sorted, each once.

    Raises RunFolderError when a path does not exist or has no run in it; with `or_none`, the latter is no error.
    """
    found: set[Path] = set()
    for path in map(Path, [paths] if isinstance(paths, str | Path) else paths):
        if not path.exists():
            raise RunFolderError(f"{path} does not exist; give a run folder or a folder of runs")
        below = set()
        for name, folders, files in os.walk(path):
            if HEADER_NAME in files:
                below.add(Path(name))
                folders.clear()  # no runs inside runs
        if not below and not or_none:
            raise RunFolderError(f"there is no run in {path}: no {HEADER_NAME} in it or below it")
        found |= below
    return sorted(found)


def table_digest(folder: str | Path) -> str:
    """32 hex digits over a run's tables, timing columns aside: equal for equal results."""
    return read_run(folder).digest()


def tables_of(entries: Iterable[Entry]) -> dict[str, pa.Table]:
    """The three tables of a run by name, sorted by (index, decision, candidate)."""
    ordered = sorted(entries, key=lambda e: e.episode.index)
    decisions = [d for e in ordered for d in sorted(e.decisions, key=lambda d: d.decision)]
    candidates = [c for e in ordered for c in sorted(e.candidates, key=lambda c: (c.decision, c.candidate))]
    return {
        "episodes": to_table(EpisodeRecord, [e.episode for e in ordered]),
        "decisions": to_table(DecisionRecord, decisions),
        "candidates": to_table(CandidateRecord, candidates),
    }


def _damaged(folder: Path, error: object) -> RunFolderError:
    return RunFolderError(
        f"the tables of {folder} do not fit together ({error}); restore them, or set the status in run.json "
        "to running and run the same command again: they are rebuilt from the journal"
    )
