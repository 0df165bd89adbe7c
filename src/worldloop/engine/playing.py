"""One episode, whatever happens to it: a row that says so, with all that was written down until then."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from worldloop.core import Episode, WorldloopError
from worldloop.core.errors import LimitExceededError
from worldloop.engine.episode import EpisodeRunner
from worldloop.engine.transcript import Transcript
from worldloop.runs import CandidateRecord, DecisionRecord, EpisodeRecord

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Played:
    """An episode with its records, ready to be written."""

    record: EpisodeRecord
    decisions: tuple[DecisionRecord, ...] = ()
    candidates: tuple[CandidateRecord, ...] = ()


async def play_episode(
    runner: EpisodeRunner,
    episode: Episode,
    index: int,
    keep_frame: Callable[[np.ndarray], str] | None,
    limit: float,
) -> Played:
    """Play an episode for at most `limit` seconds. One that crashes or takes longer is recorded as such.

    `index` is its position in the run's list; `keep_frame` stores an image and returns its hash, None keeps none.
    """
    transcript = Transcript(keep_frame)
    record = await _guarded(runner, episode, index, transcript, limit)
    decisions, candidates = transcript.close()
    return Played(replace(record, decisions=len(decisions)), decisions, candidates)


def failed(episode: Episode, index: int, status: str, error: str, seconds: float) -> EpisodeRecord:
    """The row of an episode that did not finish; `seconds` is how long it took."""
    log.warning("episode %s: %s (%s)", episode.id, status, error)
    return EpisodeRecord(
        episode_id=episode.id,
        index=index,
        scene=episode.scene,
        seed=episode.seed,
        status=status,
        success=False,
        score=0.0,
        steps=0,
        decisions=0,  # counted when the transcript is closed
        path_length=0.0,
        error=error[:2000],
        seconds={"wall": seconds},
    )


async def _guarded(
    runner: EpisodeRunner, episode: Episode, index: int, transcript: Transcript, limit: float
) -> EpisodeRecord:
    started = time.perf_counter()
    try:
        return await asyncio.wait_for(runner.run(episode, index, transcript), limit)
    except TimeoutError:
        status, error = "timed_out", f"took longer than {limit:g} s"
    except LimitExceededError as problem:
        status, error = "timed_out", str(problem)
    except WorldloopError as problem:
        status, error = "crashed", str(problem)
    except Exception as problem:
        log.debug("episode %s crashed", episode.id, exc_info=True)
        status, error = "crashed", f"{type(problem).__name__}: {problem}"
    return failed(episode, index, status, error, time.perf_counter() - started)
