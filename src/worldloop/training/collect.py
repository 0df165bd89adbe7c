"""Collecting trajectories in houses and at tables: deterministic, parallel over scenes, and resumed where it was cut off."""

from __future__ import annotations

import json
import multiprocessing
import multiprocessing.connection
import os
import shutil
import signal
import threading
import time
from collections.abc import Callable, Generator
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from contextlib import closing
from pathlib import Path
from typing import Any

from worldloop.core import InputError, WorldloopError
from worldloop.envs.house.generate import GENERATOR_VERSION
from worldloop.runs.disk import replace_text
from worldloop.runs.lock import FolderLock
from worldloop.training.collect_config import CollectConfig, Shard, plan_shards
from worldloop.training.collect_house import house_episodes, house_summary
from worldloop.training.collect_table import table_episodes, table_summary
from worldloop.training.dataset.layout import INFO_PATH, DatasetSpec
from worldloop.training.dataset.video import load_av
from worldloop.training.dataset.writer import finish_dataset, write_shard

_WORK = ".collect"


def collect(config: CollectConfig, progress: Callable[[int, int], None] | None = None) -> dict[str, Any]:
    """Render a dataset into `config.out` and return a summary of it.

    progress: called with the frames done and the frames in all, at the start and after every scene. With more
    than one job the calling script needs the usual `if __name__ == "__main__":`, since workers import it.

    Raises InputError when the folder holds something else, SplitError for held-out scenes without
    `evaluation`, RunFolderError while another process collects into the same folder, and WorldloopError when
    a worker dies.
    """
    load_av()
    spec, started = config.spec, time.perf_counter()
    _check_folder(config)
    work = config.out / _WORK
    if not (config.out / INFO_PATH).is_file():
        _prepare(work, config)
        lock = FolderLock(work)
        try:
            _collect(config, spec, progress or (lambda done, total: None))
        finally:
            lock.release()
    elif progress is not None:
        progress(config.frames, config.frames)
    shutil.rmtree(work, ignore_errors=True)
    info = json.loads((config.out / INFO_PATH).read_text())
    facts = info["worldloop"]
    return {
        "out": str(config.out),
        "frames": info["total_frames"],
        "episodes": info["total_episodes"],
        "scenes": len(facts["scenes"]),
        **facts["summary"],
        "seconds": round(time.perf_counter() - started, 2),
    }


def _check_folder(config: CollectConfig) -> None:
    """InputError unless the folder is new, empty, or holds this very dataset, finished or not."""
    out = config.out
    if out.exists() and not out.is_dir():
        raise InputError(f"{out} is a file; name a folder")
    finished, begun = out / INFO_PATH, out / _WORK / "request.json"
    if not finished.is_file() and not begun.is_file():
        if out.is_dir() and any(p.name != _WORK for p in out.iterdir()):
            raise InputError(f"{out} is not empty and holds no such dataset; choose another folder")
        return
    try:
        if finished.is_file():
            before = json.loads(finished.read_text())["worldloop"]["request"]
        else:
            before = json.loads(begun.read_text())
        differ = sorted(k for k, v in config.identity.items() if before.get(k) != v)
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise InputError(
            f"{out} holds something that is no dataset of worldloop; choose another folder"
        ) from error
    if differ:
        raise InputError(
            f"{out} holds another dataset, which differs in {', '.join(differ)}; choose another folder"
        )


def _prepare(work: Path, config: CollectConfig) -> None:
    try:
        work.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"could not create {work}: {error.strerror}; choose another folder") from error
    replace_text(work / "request.json", json.dumps(config.identity))


def _collect(config: CollectConfig, spec: DatasetSpec, progress: Callable[[int, int], None]) -> None:
    shards = plan_shards(config)
    done = {s.place.index: found for s in shards if (found := _finished(config.out, s)) is not None}
    waiting = [s for s in shards if s.place.index not in done]
    count = sum(sum(s.lengths) for s in shards if s.place.index in done)
    progress(count, config.frames)
    with closing(_render_all(config, waiting)) as finished:
        for shard, summary in finished:
            done[shard.place.index] = summary
            count += sum(shard.lengths)
            progress(count, config.frames)
    ordered = [done[s.place.index] for s in shards]
    about: dict[str, Any] = {
        "env": config.env,
        "styles": list(config.styles),
        "policy": config.policy,
        "seed": config.seed,
        "evaluation": config.evaluation,
        "generator_version": GENERATOR_VERSION,
        "request": config.identity,
        "summary": _summary(config, ordered),
    }
    if config.env != "house":
        del about["styles"], about["generator_version"]
    finish_dataset(config.out, spec, ordered, config.split, about)


def _render_all(
    config: CollectConfig, shards: list[Shard]
) -> Generator[tuple[Shard, dict[str, Any]], None, None]:
    """Shards with their summaries, as they are finished."""
    jobs = min(config.jobs or os.cpu_count() or 1, len(shards))
    if jobs <= 1:
        yield from ((shard, render_shard(config, shard)) for shard in shards)
        return
    spawn = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(jobs, mp_context=spawn, initializer=_begin_worker) as pool:
        futures = {pool.submit(render_shard, config, shard): shard for shard in shards}
        try:
            for future in as_completed(futures):
                yield futures[future], future.result()
        except BrokenProcessPool as error:
            raise WorldloopError(
                "a worker process died, perhaps for want of memory; run the same again, with fewer jobs if it "
                "happens again: what is finished is kept"
            ) from error
        finally:
            pool.shutdown(wait=True, cancel_futures=True)


def _begin_worker() -> None:
    """Leave Ctrl-C to the parent, and do not outlive it."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    parent = multiprocessing.parent_process()
    if parent is not None:
        sentinel = parent.sentinel

        def follow() -> None:
            multiprocessing.connection.wait([sentinel])
            os._exit(1)

        threading.Thread(target=follow, daemon=True).start()


def render_shard(config: CollectConfig, shard: Shard) -> dict[str, Any]:
    """Render and write one shard; its mark is written last. Returns its summary."""
    work = config.out / _WORK
    episodes = house_episodes if config.env == "house" else table_episodes
    summary = write_shard(config.out, config.spec, shard.place, episodes(config, shard), work)
    replace_text(_mark(config.out, shard), json.dumps(summary))
    return summary


def _mark(out: Path, shard: Shard) -> Path:
    return out / _WORK / f"shard-{shard.place.index:05d}.json"


def _finished(out: Path, shard: Shard) -> dict[str, Any] | None:
    """The summary of a shard whose files are all there, else None."""
    try:
        summary = json.loads(_mark(out, shard).read_text())
        whole = all((out / name).stat().st_size == facts["bytes"] for name, facts in summary["files"].items())
        lengths = tuple(row["length"] for row in summary["episodes"])
        return summary if whole and lengths == shard.lengths else None
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None


def _summary(config: CollectConfig, shards: list[dict[str, Any]]) -> dict[str, Any]:
    """Bytes by kind of file, and what the environment has to say."""
    files = {name: facts["bytes"] for shard in shards for name, facts in shard["files"].items()}
    return {
        "bytes": {
            "videos": sum(size for name, size in files.items() if name.startswith("videos/")),
            "tables": sum(size for name, size in files.items() if name.startswith("data/")),
        },
        **(house_summary(shards) if config.env == "house" else table_summary(shards)),
    }
