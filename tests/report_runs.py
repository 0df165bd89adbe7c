"""Runs of given outcomes and given texts, written by hand, for the tests of the report."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from worldloop.runs import (
    CandidateRecord,
    DecisionRecord,
    EpisodeRecord,
    Run,
    RunHeader,
    RunWriter,
    read_run,
)


def handmade(folder: Path, model: str, success, *, text="plain", details="{}", keep=None, **header) -> Run:
    """A run of given outcomes with two decisions each; `text` stands wherever a run has free text."""
    spec = {"task": f"task {text}", "model": model, "agent": text, "seed": 0}
    ids = tuple(f"e{i}" for i in range(len(success)))
    defaults = {"versions": {"python": text}, "git_revision": text, "model_card": {"summary": text}}
    values = {**defaults, **header}
    picture = np.full((6, 8, 3), 90, np.uint8)
    name = f"run-{len(list(folder.glob('run-*')))}"
    with RunWriter.open(folder / name, RunHeader(spec=spec, episode_ids=ids, **values)) as writer:
        key = writer.put_frame(picture)
        for i, ok in enumerate(success[:keep]):
            own = ids[i]
            decisions = [
                DecisionRecord(
                    own, d, key, "", (1e300 * d, 0.0), 0.0, 0, (text,), text, False, text, 0.5, details
                )
                for d in (0, 1)
            ]
            candidates = [
                CandidateRecord(own, d, c, (text, "stop"), 0.0, [None, -np.inf, np.nan][c], c > 0, c == 0,
                                (key,) * c, details)
                for d in (0, 1)
                for c in (0, 1, 2)
            ]  # fmt: skip
            episode = EpisodeRecord(
                own, i, f"{text}{i // 4}", i, "finished", bool(ok), float(ok), 4, 2, 1.0, text, 0.5
            )
            writer.write_episode(episode, decisions, candidates)
        if keep is None:
            writer.finish()
    return read_run(writer.folder)
