"""Six models with six ways of being told what to do: one key script and one run drive them all, by their names alone."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from worldloop.cli.main import main
from worldloop.models import MODELS

from served import serving

HOW = ("text", "camera", "code", "http", "diffusers", "pointcloud")


@pytest.fixture(scope="module")
def specs(tmp_path_factory):
    """What each is called on the command line."""
    for name in ("diffusers", "transformers"):
        pytest.importorskip(name)
    from tiny_pipelines import save_any

    folder = save_any("wan-i2v", tmp_path_factory.mktemp("tiny") / "wan")
    with serving(MODELS.create("rotate-only")) as url:
        yield {
            "text": "toy_models.Told",
            "camera": "toy_models.Flown",
            "code": "video-lora",
            "http": url,
            "diffusers": f"diffusers:folder={folder},steps=1,size=64,frames_per_action=1,device=cpu",
            "pointcloud": "pointcloud",
        }


@pytest.mark.parametrize("how", HOW)
def test_one_script_drives_every_model(how, specs, tmp_path, one_thread, capsys):
    drive = ["--script", "WRW", "--step-seconds", "10", "--chunk", "4", "--compare-oracle"]
    assert main(["play", specs[how], *drive, "--out", str(tmp_path / "out"), "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["keys"] == ["W", "W", "R", "R", "W", "W"] and told["vocabulary"] == "navigation"
    assert told["control"]["kind"] == told["card"]["control"] and told["control"]["told"]
    reads_more = how in ("code", "http", "pointcloud")
    assert bool(told["imagined_at_once"]) == reads_more
    assert [c["actions"] for c in told["chunks"]] == ([6] if reads_more else [4, 2])
    frames, true = (pictures(tmp_path / "out" / d) for d in ("frames", "true"))
    assert frames.shape == true.shape == (7, 128, 128, 3)
    np.testing.assert_array_equal(frames[0], true[0])
    # Every one of them lets the plan turn the picture.
    assert np.abs(frames[4].astype(float) - frames[0]).mean() > 2


def test_one_run_asks_every_model(specs, tmp_path, one_thread, capsys):
    task = ["run", "--task", "active-recognition", "--split", "mini", "--episodes", "1"]
    small = ["--rollouts", "2", "--horizon", "2", "--keep-frames", "0", "--json"]
    assert main([*task, *small, "--model", ",".join(specs.values()), "--out", str(tmp_path)]) == 0
    told = json.loads(capsys.readouterr().out)
    rows = told["leaderboard"]["tasks"][0]["rows"]
    assert len(rows) == len(specs) and told["left_out"] == []
    assert not any(r["not_finished"] for r in rows)


def pictures(folder: Path) -> np.ndarray:
    return np.stack([np.asarray(Image.open(p)) for p in sorted(folder.iterdir())])
