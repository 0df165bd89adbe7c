"""Tiny pipelines of diffusers and data to train them on."""

from __future__ import annotations

import pytest

from worldloop.training.collect import CollectConfig, collect


@pytest.fixture(scope="session")
def folders(tmp_path_factory):
    """A pipeline of every kind."""
    for name in ("diffusers", "transformers", "peft"):
        pytest.importorskip(name)
    from tiny_diffusers import NAMES, save_pipeline

    root = tmp_path_factory.mktemp("pipelines")
    return {kind: save_pipeline(kind, root / kind) for kind in NAMES}


@pytest.fixture(scope="session")
def small_data(tmp_path_factory):
    """64 frames of 64 x 64 pixels."""
    folder = tmp_path_factory.mktemp("data") / "train"
    collect(CollectConfig(folder, 64, styles=("A",), episode_frames=16, size=64, jobs=1))
    return str(folder)
