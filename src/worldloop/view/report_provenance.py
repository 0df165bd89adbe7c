"""Where a report's numbers come from: one run at a time, as names and values to print."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from worldloop.core import PRIVILEGES
from worldloop.runs import Run

PHASES = ("propose", "simulate", "perceive", "answer", "revise", "act")
"""The order in which known phases are shown."""
LONGEST = 20_000
"""Characters of JSON that are printed of one value."""


@dataclass(frozen=True)
class Source:
    """One run: short facts, and longer values as JSON text."""

    label: str
    facts: list[tuple[str, str]]
    values: list[tuple[str, str]]


@dataclass(frozen=True)
class Timing:
    """Mean seconds of each phase of a decision, one row per model."""

    phases: list[str]
    rows: list[tuple[str, list[str]]]
    """Label and one cell per phase."""


def source(label: str, run: Run) -> Source:
    """Everything a reader needs to repeat a run or to doubt it."""
    h = run.header
    facts = [
        ("folder", str(run.folder)),
        ("status", f"{h.status}, {run.episodes.num_rows} of {len(h.episode_ids)} episodes"),
        ("seed", _plain(h.spec.get("seed", ""))),
        ("split", _plain(h.spec.get("split", ""))),
        ("source revision", h.git_revision or "unknown"),
        ("weights hash", h.weights_hash or "no weights"),
        ("episode list", f"{h.episodes_hash or 'no hash'}"),
        ("privileges", "; ".join(f"{p}: {PRIVILEGES.get(p, 'unknown')}" for p in h.privileges) or "none"),
        ("started", h.started or "unknown"),
        ("finished", h.finished or "not yet"),
        ("seconds", f"{h.seconds:.1f}"),
        ("versions", ", ".join(f"{k} {_plain(v)}" for k, v in sorted(h.versions.items())) or "unknown"),
    ]
    values = [
        ("model card", h.model_card),
        ("specification (what the result depends on)", h.spec),
        ("arguments given", h.arguments_given),
        ("arguments resolved", h.arguments_resolved),
        ("resumed", list(h.resumed)),
    ]
    return Source(label, facts, [(name, _json(value)) for name, value in values if value])


@dataclass(frozen=True)
class Failure:
    """Episodes of a run that did not finish for the same reason."""

    label: str
    status: str
    error: str
    episodes: list[str]


def failures(runs: Sequence[tuple[str, Run]]) -> list[Failure]:
    """Why episodes did not finish, by run, the most frequent reasons first."""
    out = []
    for label, run in runs:
        found: dict[tuple[str, str], list[str]] = {}
        columns = (run.episodes[c].to_pylist() for c in ("status", "error", "episode_id"))
        for status, error, episode in zip(*columns):
            if status != "finished":
                found.setdefault((status, error or "no reason recorded"), []).append(episode)
        ordered = sorted(found.items(), key=lambda item: -len(item[1]))
        out += [Failure(label, status, error, ids) for (status, error), ids in ordered]
    return out


def timing(runs: Sequence[tuple[str, Run]]) -> Timing | None:
    """Mean wall-clock seconds for each decision by phase; None when no run recorded any."""
    means = {label: _means(run.decisions) for label, run in runs}
    found = {phase for m in means.values() for phase in m}
    if not found:
        return None
    phases = [p for p in PHASES if p in found] + sorted(found - set(PHASES))
    rows = [(label, [_seconds(m.get(p)) for p in phases]) for label, m in means.items()]
    return Timing(phases, rows)


def shared_settings(settings: Mapping[str, Any]) -> list[tuple[str, str]]:
    """What all runs of a task have in common, as names and values."""
    return [(k, _plain(v)) for k, v in settings.items() if v not in ("", None, {}, [])]


def _means(decisions: pa.Table) -> dict[str, float]:
    """Phase -> mean over all decisions; one that skipped the phase counts as 0 seconds."""
    out = {}
    for name in decisions.column_names:
        if name.startswith("seconds.") and decisions.num_rows:
            total = pc.sum(decisions[name]).as_py()
            if total is not None:
                out[name.removeprefix("seconds.")] = total / decisions.num_rows
    return out


def _seconds(value: float | None) -> str:
    return "–" if value is None else f"{value:.3f}" if value < 10 else f"{value:.1f}"


def _plain(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, sort_keys=True)


def _json(value: Any) -> str:
    text = json.dumps(value, indent=2, sort_keys=True, ensure_ascii=False)
    return text if len(text) <= LONGEST else text[:LONGEST] + "\n… (the rest is in run.json)"
