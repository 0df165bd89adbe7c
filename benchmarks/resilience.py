"""Real runs at concurrency 1, 8 and 32, and one that is killed 20 times and resumed: are the tables equal?

Writes benchmarks/results/resilience.json with the digests of the tables (timing columns aside).
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from worldloop.runs import read_run, table_digest

ROOT = Path(__file__).resolve().parents[1]
COMMAND = [sys.executable, "-c", "from worldloop.cli.main import entry; entry()", "run", "--json"]
WHAT = ["--task", "image-goal", "--model", "pointcloud", "--split", "mini", "--episodes", "12"]
KILLS = 20


def start(folder: Path, concurrency: int) -> subprocess.Popen[bytes]:
    """One run as a process of its own."""
    command = [*COMMAND, *WHAT, "--concurrency", str(concurrency), "--out", str(folder)]
    return subprocess.Popen(
        command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True
    )


def main() -> None:
    """Measure and write."""
    rng, digests = np.random.default_rng(0), {}
    with tempfile.TemporaryDirectory() as temporary:
        base = Path(temporary)
        for concurrency in (1, 8, 32):
            begun = time.perf_counter()
            assert start(base / str(concurrency), concurrency).wait() == 0
            seconds = time.perf_counter() - begun
            digests[f"concurrency {concurrency}"] = table_digest(
                base / str(concurrency) / "image-goal" / "pointcloud"
            )
        progress = []
        for _ in range(KILLS):
            child = start(base / "killed", 4)
            time.sleep(rng.uniform(0.5, 0.5 * seconds))
            os.killpg(child.pid, signal.SIGKILL)
            child.wait()
            journal = base / "killed" / "image-goal" / "pointcloud" / "journal.jsonl"
            progress.append(len(journal.read_bytes().splitlines()) if journal.exists() else 0)
        assert start(base / "killed", 8).wait() == 0
        folder = base / "killed" / "image-goal" / "pointcloud"
        digests[f"killed {KILLS} times"] = table_digest(folder)
        run = read_run(folder)
        ids = [e.episode.episode_id for e in run.records()]
        result = {
            "digests": digests,
            "identical": len(set(digests.values())) == 1,
            "episodes": len(ids),
            "episodes_lost_or_doubled": len(set(run.header.episode_ids) ^ set(ids))
            + len(ids)
            - len(set(ids)),
            "journal_lines_after_each_kill": progress,
            "resumes": len(run.header.resumed),
        }
    path = ROOT / "benchmarks" / "results" / "resilience.json"
    path.write_text(json.dumps(result, indent=1) + "\n")
    print(path.read_text())


if __name__ == "__main__":
    main()
