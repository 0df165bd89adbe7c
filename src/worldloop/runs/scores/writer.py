"""Writing scores: create or go on, one atomic line for each case, the table at the end."""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from worldloop.core import RunFolderError
from worldloop.runs.disk import now, remove_temporaries, replace_text
from worldloop.runs.fields import canonical
from worldloop.runs.frames import FrameStore
from worldloop.runs.lines import LineFile
from worldloop.runs.lock import LOCK_NAME, FolderLock
from worldloop.runs.scores.reader import (
    FRAMES,
    SCORES_HEADER,
    SCORES_JOURNAL,
    SCORES_TABLE,
    read_entries,
    read_score_header,
    rows_of,
    rows_wanted,
    table_of,
)
from worldloop.runs.scores.schema import CaseEntry, ScoreHeader, SetId, members_key
from worldloop.runs.tables import write_table

log = logging.getLogger(__name__)


class ScoreWriter:
    """The only writer of a folder of scores. Use as a context manager; leaving it does not finish the table."""

    def __init__(
        self,
        folder: Path,
        header: ScoreHeader,
        lock: FolderLock,
        entries: dict[str, CaseEntry],
        size: int,
        asked: Collection[str],
    ) -> None:
        """Use `ScoreWriter.open`. asked: names of the metrics that are measured now; the header may have others."""
        self.folder, self.header, self.entries, self._asked = folder, header, entries, asked
        self.frames = FrameStore(folder / FRAMES)
        self._lock, self._journal = lock, LineFile(folder / SCORES_JOURNAL, size)
        self._begun = time.monotonic()

    @classmethod
    def open(
        cls,
        folder: str | Path,
        header: ScoreHeader,
        *,
        retry_failed: bool = False,
        sources: Mapping[str, str] | None = None,
    ) -> ScoreWriter:
        """Create the folder, or go on where it stopped.

        The model and the list of cases must equal those in the folder; the metrics need not: others that are there stay, as long
        as every case has them. With `retry_failed`, cases in which something failed are forgotten, and so done again. So are,
        always, cases whose answer came from other files than those of `sources` (case -> hash), and sets of which a case has
        changed. RunFolderError when the folder holds something else, is being written by another process, or is damaged.
        """
        folder = Path(folder)
        try:
            held = sorted(p.name for p in folder.iterdir()) if folder.exists() else []
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise RunFolderError(f"{folder} cannot hold scores: {error.strerror or error}") from error
        strange = [n for n in held if n != LOCK_NAME and not n.endswith(".tmp")]
        if strange and SCORES_HEADER not in held:
            raise RunFolderError(
                f"{folder} holds other files ({', '.join(strange[:3])}) and no scores; choose an empty or a new folder"
            )
        lock = FolderLock(folder)
        try:
            remove_temporaries(folder)
            FrameStore(folder / FRAMES).clean()
            if SCORES_HEADER not in held:
                header = replace(header, status="running", started=now(), finished="")
                _save(folder, header)
                return cls(folder, header, lock, {}, 0, [m["name"] for m in header.metrics])
            return cls._resume(folder, header, lock, retry_failed, sources or {})
        except BaseException:
            lock.release()
            raise

    @classmethod
    def _resume(
        cls,
        folder: Path,
        header: ScoreHeader,
        lock: FolderLock,
        retry_failed: bool,
        sources: Mapping[str, str],
    ) -> ScoreWriter:
        old = read_score_header(folder)
        if differing := _difference(old, header):
            raise RunFolderError(
                f"{folder} holds other scores: it differs in {', '.join(differing)}; give the same command again, or "
                "choose another folder with --out"
            )
        entries, size = read_entries(folder, old)
        kept = _still_true(old, entries, sources)
        if retry_failed:
            kept = _still_true(old, {k: e for k, e in kept.items() if not e.failed}, sources)
        if header.baseline and not old.baseline:
            # It stays one: the models beside it are compared with it, whatever it is measured for next.
            old = replace(old, baseline=True)
            _save(folder, old)
        metrics = _with_others(old.metrics, header.metrics)
        same = canonical(list(old.metrics)) == canonical(list(metrics))
        if old.status != "complete" or not same or len(kept) < len(entries):
            note = {
                "at": now(),
                "versions": header.versions,
                "git_revision": header.git_revision,
                "arguments_given": header.arguments_given,
            }
            resumed = (*old.resumed, note)
            # Readers trust the table unless the status is `running`: it must change before the journal does.
            old = replace(
                old,
                metrics=metrics,
                suite=header.suite if len(metrics) == len(header.metrics) else old.suite,
                status="running",
                finished="",
                resumed=resumed,
            )
            _save(folder, old)
        return cls(folder, old, lock, kept, size, [m["name"] for m in header.metrics])

    def write(self, entry: CaseEntry) -> None:
        """Append one case or set to the journal; it is on disk when this returns."""
        self._journal.append(entry.to_dict())
        self.entries[entry.case] = entry

    def put_frames(self, frames: np.ndarray) -> tuple[str, ...]:
        """Store frames uint8 [T,H,W,3], each once by content; their hashes."""
        return tuple(self.frames.put(np.ascontiguousarray(f)) for f in frames)

    def finish(self) -> ScoreHeader:
        """Write the table, then the status: `complete` when every case and metric has a row, else `incomplete`."""
        if self.header.status == "running":
            self._drop_unfinished()
            rows = rows_of(self.header, self.entries)
            write_table(table_of(rows), self.folder / SCORES_TABLE)
            status = "complete" if len(rows) == rows_wanted(self.header) else "incomplete"
            self.header = replace(self.header, status=status, finished=now(), seconds=self._seconds())
            _save(self.folder, self.header)
        return self.header

    def _drop_unfinished(self) -> None:
        """Leave out metrics that were not measured now and that some case lacks."""
        others = [m for m in self.header.metrics if m["name"] not in self._asked]
        if lacking := [m["name"] for m in others if not _whole(self.header, m, self.entries)]:
            log.warning("%s: not measured for all cases, and left out: %s", self.folder, ", ".join(lacking))
            kept = tuple(m for m in self.header.metrics if m["name"] not in lacking)
            self.header = replace(self.header, metrics=kept)

    def close(self) -> None:
        """Release the folder; safe to call twice."""
        if self.header.status == "running":
            self.header = replace(self.header, seconds=self._seconds())
            _save(self.folder, self.header)
        self._journal.close()
        self._lock.release()

    def _seconds(self) -> float:
        begun, self._begun = self._begun, time.monotonic()
        return self.header.seconds + self._begun - begun

    def __enter__(self) -> ScoreWriter:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _save(folder: Path, header: ScoreHeader) -> None:
    replace_text(folder / SCORES_HEADER, json.dumps(header.to_dict(), indent=2) + "\n")


def _with_others(old: Sequence[dict[str, Any]], new: Sequence[dict[str, Any]]) -> tuple[dict[str, Any], ...]:
    """The new metrics and those of the old ones that are not among them, in the order of the old ones where there are such."""
    now_asked = {m["name"]: m for m in new}
    names = [m["name"] for m in old]
    if set(names) <= set(now_asked):
        return tuple(new)
    return (*(now_asked.get(m["name"], m) for m in old), *(m for m in new if m["name"] not in names))


def _whole(header: ScoreHeader, metric: dict[str, Any], entries: Mapping[str, CaseEntry]) -> bool:
    """Whether every case, or set, has a score of a metric."""
    one = replace(header, metrics=(metric,))
    return len(rows_of(one, entries)) == rows_wanted(one)


def _still_true(
    header: ScoreHeader, entries: Mapping[str, CaseEntry], sources: Mapping[str, str]
) -> dict[str, CaseEntry]:
    """The entries of cases whose files are the same, and of sets whose cases all are there and the same."""
    cases = {str(c["id"]): SetId(c["domain"], c["kind"]).id for c in header.cases}
    kept = {k: e for k, e in entries.items() if k in cases and e.source == sources.get(k, "")}
    for group in dict.fromkeys(cases.values()):
        members = [kept[c] for c, own in cases.items() if own == group and c in kept]
        found = entries.get(group)
        if found is None or found.clip != members_key(members):
            continue
        if found.twin_clip in ("", members_key(members, twins=True)):
            kept[group] = found
    return kept


def _difference(old: ScoreHeader, new: ScoreHeader) -> list[str]:
    before, after = old.identity(), new.identity()
    return [k for k in sorted(before | after) if canonical(before.get(k)) != canonical(after.get(k))]
