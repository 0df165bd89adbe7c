"""A run: every episode of a fixed list, concurrently, into a run folder that can be resumed."""

from __future__ import annotations

import asyncio
import functools
import hashlib
import importlib.metadata
import json
import platform
import subprocess
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from worldloop import __version__
from worldloop.core import Agent, Episode, InputError, SplitError, Task, WorldModel
from worldloop.engine.executors import Executor, LocalExecutor, Work
from worldloop.engine.playing import Played
from worldloop.engine.settings import RunSettings
from worldloop.runs import EpisodeRecord, RunHeader, RunWriter

Progress = Callable[[EpisodeRecord], None]


def run(
    task: Task,
    model: WorldModel,
    agent: Agent,
    settings: RunSettings,
    folder: str | Path,
    *,
    given: Mapping[str, Any] | None = None,
    retry_failed: bool = False,
    progress: Progress | None = None,
    only: Collection[str] | None = None,
    continued: bool = False,
    executor: Executor | None = None,
) -> RunHeader:
    """Run the episodes that the folder still lacks, then write its tables. Returns the final header.

    `executor` says where episodes are played, by default in this process; the tables are the same wherever that is.

    With `only`, ids of episodes, no others are run, and the run stays open until none is left; `continued` says that
    this process has run some of it before.

    An episode that crashes or exceeds a limit is recorded as such and counts as a failure. Ctrl-C and
    SIGKILL lose at most the episodes in flight; the same call goes on from there.

    Raises RunFolderError when the folder holds another run, InputError for settings that cannot be used.
    """
    executor = executor or LocalExecutor()
    executor.check(task, agent, settings)
    episodes = select(task, settings)
    header = make_header(task, model, agent, settings, episodes, given or {})
    with RunWriter.open(folder, header, retry_failed=retry_failed, continued=continued) as writer:
        if writer.complete:
            return writer.header
        asyncio.run(_all(task, model, agent, settings, episodes, writer, progress, only, executor))
        return writer.finish() if len(writer.done) == len(episodes) or only is None else writer.header


def select(task: Task, settings: RunSettings) -> list[Episode]:
    """The first N episodes of the split's fixed list."""
    episodes = task.episodes(settings.split)
    if settings.episodes is not None:
        if settings.episodes > len(episodes):
            raise InputError(
                f"{task.name} has {len(episodes)} episodes in split {settings.split!r}, not {settings.episodes}"
            )
        episodes = episodes[: settings.episodes]
    return episodes


def make_header(
    task: Task,
    model: WorldModel,
    agent: Agent,
    settings: RunSettings,
    episodes: Sequence[Episode],
    given: Mapping[str, Any],
) -> RunHeader:
    """Everything a result depends on, and what else a reader wants to know."""
    card = model.card
    trained_on = set(card.settings.get("training_scenes", ()))
    if overlap := sorted(trained_on & {e.scene for e in episodes}):
        raise SplitError(
            f"model {card.name!r} was trained on {len(overlap)} of these scenes, such as {overlap[0]!r}"
        )
    loop = settings.resolve(task)
    privileges = sorted({*card.privileges, *agent.privileges, *task.privileges})
    content = json.dumps([asdict(e) for e in episodes], sort_keys=True).encode()
    spec = {
        "task": task.name,
        "task_version": task.version,
        "model": card.name,
        "model_settings": dict(card.settings),
        "agent": agent.name,
        "agent_settings": dict(agent.settings),
        "split": settings.split,
        "episodes": len(episodes),
        **loop.identity(),
    }
    return RunHeader(
        spec=json.loads(json.dumps(spec)),
        episode_ids=tuple(e.id for e in episodes),
        scenes=tuple(e.scene for e in episodes),
        episodes_hash=hashlib.blake2b(content, digest_size=16).hexdigest(),
        arguments_given=dict(given),
        arguments_resolved=settings.to_dict(),
        versions=dict(versions()),
        git_revision=git_revision(),
        model_card=json.loads(json.dumps(asdict(card))),
        weights_hash=card.weights_hash,
        privileges=tuple(privileges),
    )


async def _all(
    task: Task,
    model: WorldModel,
    agent: Agent,
    settings: RunSettings,
    episodes: Sequence[Episode],
    writer: RunWriter,
    progress: Progress | None,
    only: Collection[str] | None,
    executor: Executor,
) -> None:
    loop = asyncio.get_running_loop()

    async def finish(played: Played) -> None:
        await loop.run_in_executor(
            None, writer.write_episode, played.record, played.decisions, played.candidates
        )
        if progress is not None:
            progress(played.record)

    # Episodes of one scene stand side by side, so that a loaded scene is used before it is evicted.
    order = sorted(range(len(episodes)), key=lambda i: (episodes[i].scene, i))
    todo = [
        (i, episodes[i])
        for i in order
        if episodes[i].id not in writer.done and (only is None or episodes[i].id in only)
    ]
    work = Work(
        task, model, agent, settings, todo, writer.folder, writer.header.spec, writer.put_frame, finish
    )
    await executor.play(work)


@functools.cache
def versions() -> dict[str, str]:
    """Versions of what a result may depend on."""
    found = {"python": platform.python_version(), "worldloop": __version__, "machine": platform.machine()}
    for name in ("numpy", "scipy", "numba", "embreex", "torch", "pyarrow", "gymnasium", "mujoco", "pygame"):
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            found[name] = "absent"
    return found


@functools.cache
def git_revision() -> str:
    """The revision of the source tree worldloop is imported from, or an empty string."""
    here = Path(__file__).resolve().parent
    command = ["git", "-C", str(here), "describe", "--always", "--dirty", "--abbrev=12"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=5, check=True)
    except (OSError, subprocess.SubprocessError):
        return ""
    return done.stdout.strip()
