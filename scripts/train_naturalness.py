"""Fit the reference of `mscn_naturalness` to training houses and tables."""

from __future__ import annotations

import argparse
import json
from dataclasses import asdict
from pathlib import Path

import numpy as np

from worldloop.envs.house.splits import scene_ids
from worldloop.metrics.shared.mscn import shipped_reference_path
from worldloop.training.naturalness import NaturalnessConfig, fit_naturalness


def main() -> None:
    """Write the reference with its card."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--houses", type=int, default=27)
    parser.add_argument("--views", type=int, default=NaturalnessConfig.views)
    parser.add_argument("--tables", type=int, default=NaturalnessConfig.tables)
    parser.add_argument("--out", type=Path, default=shipped_reference_path())
    options = parser.parse_args()
    config = NaturalnessConfig(views=options.views, tables=options.tables)
    reference = fit_naturalness(scene_ids("train", count=options.houses), config)
    reference.save(options.out, {"houses": options.houses, **asdict(config)})
    print(
        json.dumps(
            {"worlds": reference.worlds, "condition": float(np.linalg.cond(reference.covariances).max())}
        )
    )


if __name__ == "__main__":
    main()
