"""A small synthetic run to write, kill, resume and damage."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import numpy as np

from worldloop.runs import CandidateRecord, DecisionRecord, EpisodeRecord, RunHeader, RunWriter

IDS = tuple(f"house-{i // 2}/{i}" for i in range(6))


def header(**changes: object) -> RunHeader:
    spec = {"task": "image_goal", "model": "none", "agent": "heuristic", "split": "test", "seed": 0}
    values = {"spec": spec, "episode_ids": IDS, "episodes_hash": "e", "versions": {"python": "3.11"}}
    return RunHeader(**(values | changes))


def entry(index: int, status: str = "finished", clock: float = 0.5):
    """An episode's records; `clock` only reaches timing columns."""
    rng = np.random.default_rng(index)
    own = IDS[index]
    ok = status == "finished"
    metrics = {"spl": float(rng.random())} if index % 2 else {}
    episode = EpisodeRecord(
        episode_id=own,
        index=index,
        scene=own.split("/")[0],
        seed=index,
        status=status,
        success=ok and bool(rng.random() < 0.5),
        score=float(rng.random()),
        steps=3,
        decisions=2,
        path_length=float(rng.random()),
        answer="chair" if ok else None,
        confidence=0.5 if ok else None,
        error=None if ok else "Boom",
        metrics=metrics,
        seconds={"total": clock},
    )
    decisions = [
        DecisionRecord(
            episode_id=own,
            decision=d,
            frame="0" * 32,
            panorama="",
            position=(float(d), 1.0),
            yaw_deg=90.0,
            chosen=None if d else 1,
            actions=("move_forward", "turn_left"),
            reason="best score",
            seconds={"propose": clock, "act": clock} if d else {"act": clock},
        )
        for d in (1, 0)
    ]
    candidates = [
        CandidateRecord(
            episode_id=own,
            decision=d,
            candidate=c,
            plan=("move_forward",),
            prior=float(rng.random()),
            score=float("-inf") if c else None,
            simulated=bool(c),
            chosen=c == 1,
            frames=("0" * 32,) if c else (),
            details_json='{"box": 1}',
            seconds=clock,
        )
        for d in (0, 1)
        for c in (1, 0)
    ]
    return episode, decisions, candidates


def write_run(folder: Path, indices: Iterable[int] = range(len(IDS)), *, finish: bool = True) -> Path:
    with RunWriter.open(folder, header()) as writer:
        for index in indices:
            if IDS[index] not in writer.done:
                writer.write_episode(*entry(index, clock=index + np.random.default_rng().random()))
        if finish:
            writer.finish()
    return folder
