"""One small Ray for all tests of this folder."""

from __future__ import annotations

import os

import pytest


@pytest.fixture(scope="session")
def small_ray():
    """A Ray that this process is connected to, so that runs use it and leave it."""
    ray_variables = {"RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0", "RAY_USAGE_STATS_ENABLED": "0"}
    os.environ.update(ray_variables)
    ray = pytest.importorskip("ray")
    ray.init(
        "local",
        num_cpus=8,
        object_store_memory=100 * 2**20,
        include_dashboard=False,
        log_to_driver=False,
        logging_level="ERROR",
    )
    yield ray
    ray.shutdown()
    for name in ray_variables:
        del os.environ[name]
