"""The transcript of a run's calls: written as they end, read back on resume, and replayed without a server.

`calls.jsonl` has one JSON line for each attempt: where it belongs (episode, decision, purpose, turn), the request
without key and with frame hashes in place of pictures, its digest, and the server's reply or the error. A line
with `failed` says that a call was given up: its replies are not read back, so that a retry asks anew.
"""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from worldloop.agents.vlm.transport import Attempt
from worldloop.core import InputError, RunFolderError, ServerError
from worldloop.runs.fields import canonical
from worldloop.runs.lines import LineFile, read_lines
from worldloop.runs.reader import find_runs, read_header

CALLS_NAME = "calls.jsonl"
_REMEDY = "restore the file, or delete that line and run the same command again to repeat its call"


class ReplayMissError(InputError):
    """The transcript that is replayed has no reply to a request."""


@dataclass(frozen=True)
class Place:
    """Which call it is."""

    episode: str
    decision: int
    purpose: str
    """`propose`, `revise`, `answer imagined`, ..."""
    turn: int = 0
    """0 for the first request, then one more for each time a reply could not be used."""


def request_digest(record: Mapping[str, Any]) -> str:
    """32 hex digits that identify a request by content; pictures count by their hashes."""
    return hashlib.blake2b(canonical(record).encode(), digest_size=16).hexdigest()


def _line(data: Any) -> tuple[Place, Mapping[str, Any]]:
    place = data["place"] if isinstance(data, dict) and isinstance(data.get("place"), dict) else {}
    try:
        found = Place(**place)
    except TypeError:
        raise InputError("a line of calls has a place: episode, decision, purpose, turn") from None
    if "failed" not in data and not isinstance(data.get("digest"), str):
        raise InputError("a line of calls has a digest")
    return found, data


class Calls:
    """The calls of one run folder, or of none (`folder` None: nothing is written down)."""

    def __init__(self, folder: Path | None = None, name: str = CALLS_NAME) -> None:
        self._path = None if folder is None else folder / name
        self._file: LineFile | None = None
        self._lock = threading.Lock()
        self._size = 0
        self._answered: dict[tuple[Place, str], Any] = {}
        self._places: set[Place] = set()
        self._failures: dict[tuple[str, int, str], str] = {}
        self.source = ""
        """The folder that is replayed, or empty."""
        if self._path is not None:
            self._size = self._load(self._path, failures_too=False)

    def replay(self, path: str | Path, spec: Mapping[str, Any]) -> None:
        """Read the transcript of a run, or of that run below `path` which has the same task and model.

        From now on, a request that the transcript does not know is a ReplayMissError.
        """
        runs = find_runs(path)
        keys = ("task", "model", "model_settings", "split", "seed")
        same = [r for r in runs if all(read_header(r).spec.get(k) == spec.get(k) for k in keys)]
        chosen = runs if len(runs) == 1 else same
        if len(chosen) != 1:
            raise InputError(
                f"replay={path}: {len(same)} of its {len(runs)} runs have the task, model, split and seed of this "
                "one; name the folder of a single run"
            )
        if not (chosen[0] / CALLS_NAME).exists():
            raise InputError(f"{chosen[0]} has no {CALLS_NAME}: its agent asked no language model")
        self.source = str(path)
        self._load(chosen[0] / CALLS_NAME, failures_too=True)

    def answered(self, place: Place, digest: str) -> Any | None:
        """The server's JSON for a request that was answered before, else None.

        While replaying, a call that failed then fails again, and an unknown one is a ReplayMissError.
        """
        body = self._answered.get((place, digest))
        if body is None and self.source:
            if (failure := self._failures.get(_call(place))) is not None:
                raise ServerError(failure)
            where = (
                f"{place.purpose} (turn {place.turn}) at decision {place.decision} of episode {place.episode}"
            )
            why = (
                "it recorded another request there: prompts, settings, pictures or the world model differ"
                if place in self._places
                else "it has no call there"
            )
            raise ReplayMissError(f"{self.source} cannot be replayed: {where} was not recorded; {why}")
        return body

    def note(
        self, place: Place, record: Mapping[str, Any], attempt: Attempt, more: Mapping[str, Any]
    ) -> None:
        """Write down one attempt; it is on disk when this returns."""
        self._write(
            {
                "place": asdict(place),
                "digest": request_digest(record),
                "attempt": attempt.number,
                "request": record,
                "reply": attempt.body,
                "error": attempt.error,
                "seconds": round(attempt.seconds, 4),
                **more,
            }
        )

    def failed(self, place: Place, error: str) -> None:
        """Write down that a call was given up."""
        if not self.source:
            self._write({"place": asdict(place), "failed": error})

    def close(self) -> None:
        """Close the file; safe to call twice."""
        if self._file is not None:
            self._file.close()

    def _write(self, line: Mapping[str, Any]) -> None:
        if self._path is None:
            return
        with self._lock:  # a judge writes from several threads
            if self._file is None:  # not before the first call: a replay leaves no transcript
                self._file = LineFile(self._path, self._size)
            self._file.append(line)

    def _load(self, path: Path, failures_too: bool) -> int:
        lines, size = read_lines(path, _line, _REMEDY)
        for place, line in lines:
            if "failed" not in line:
                self._places.add(place)
                if line.get("reply") is not None:
                    self._answered[place, line["digest"]] = line["reply"]
            elif failures_too:
                self._failures[_call(place)] = str(line["failed"])
            else:
                for key in [k for k in self._answered if _call(k[0]) == _call(place)]:
                    del self._answered[key]
        return size


def _call(place: Place) -> tuple[str, int, str]:
    return place.episode, place.decision, place.purpose


def read_calls(folder: str | Path, name: str = CALLS_NAME) -> list[Mapping[str, Any]]:
    """The lines of a run's transcript, in the order in which the attempts ended; RunFolderError without one."""
    path = Path(folder) / name
    if not path.exists():
        raise RunFolderError(f"{folder} has no {name}: its agent asked no language model")
    return [line for _, line in read_lines(path, _line, _REMEDY)[0]]
