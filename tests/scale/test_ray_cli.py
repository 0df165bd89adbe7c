"""`worldloop run --executor ray` with a private Ray of its own: same tables, killed and resumed, nothing left behind."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from worldloop.runs import read_run, table_digest

pytestmark = [pytest.mark.slow, pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")]
WHAT = [
    "--task",
    "image-goal",
    "--model",
    "none,oracle,toy_models.Flown",
    "--episodes",
    "3",
    "--keep-frames",
    "1",
]
RAY = ["--executor", "ray", "--workers", "2", "--concurrency", "4"]


def start(here: Path, *options: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", "from worldloop.cli.main import entry; entry()", "run", "--json", *WHAT]
    paths = [p for p in (str(Path(__file__).parents[1]), os.environ.get("PYTHONPATH", "")) if p]
    return subprocess.Popen(
        [*command, *options],
        cwd=here,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(paths)},
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def of_ray() -> set[int]:
    """Processes of any Ray."""
    found = set()
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            command = (entry / "cmdline").read_text()
            if "/ray/core/src/ray/" in command or command.startswith("ray::"):
                found.add(int(entry.name))
        except OSError:  # it has ended
            continue
    return found


def open_to_the_network(processes: set[int]) -> list[str]:
    """Addresses other than loopback on which they listen."""
    sockets = set()
    for process in processes:
        for handle in Path(f"/proc/{process}/fd").iterdir():
            sockets.add(str(handle.readlink()))
    addresses = []
    for name in ("tcp", "tcp6"):
        for line in Path(f"/proc/net/{name}").read_text().splitlines()[1:]:
            fields = line.split()
            host = fields[1].partition(":")[0]
            if fields[3] == "0A" and f"socket:[{fields[9]}]" in sockets and not host.endswith("0100007F"):
                addresses.append(host)
    return addresses


def journal(folder: Path) -> int:
    return len(folder.read_bytes().splitlines()) if folder.exists() else 0


def test_killed_and_resumed_on_ray(tmp_path):
    local = start(tmp_path, "--out", "local")
    assert json.loads(local.communicate()[0]) and local.returncode == 0
    before = of_ray()
    killed = start(tmp_path, "--out", "ray", *RAY)
    written = tmp_path / "ray" / "image-goal" / "oracle" / "journal.jsonl"
    while journal(written) < 1:
        assert killed.poll() is None
        time.sleep(0.05)
    assert not open_to_the_network({killed.pid, *of_ray()} - before)
    os.kill(killed.pid, signal.SIGKILL)
    killed.communicate()
    patience = time.monotonic() + 120
    while of_ray() - before and time.monotonic() < patience:
        time.sleep(0.5)
    assert not of_ray() - before
    again = start(tmp_path, "--out", "ray", *RAY)
    assert json.loads(again.communicate()[0]) and again.returncode == 0
    for model in ("none", "oracle", "toy_models.Flown"):
        one, other = (tmp_path / out / "image-goal" / model for out in ("local", "ray"))
        assert table_digest(one) == table_digest(other)
    assert len(read_run(tmp_path / "ray" / "image-goal" / "oracle").header.resumed) == 1


def test_ctrl_c_ends_everything(tmp_path):
    before = of_ray()
    process = start(tmp_path, "--out", "ray", *RAY)
    while not (tmp_path / "ray" / "image-goal" / "none" / "run.json").exists():
        assert process.poll() is None
        time.sleep(0.05)
    time.sleep(8)
    os.killpg(process.pid, signal.SIGINT)
    process.communicate(timeout=120)
    assert process.returncode in (130, 0)
    assert not of_ray() - before
