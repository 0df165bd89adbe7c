"""Train the reading of free space that the question-answering agent explores with."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from worldloop.agents.perception.free_space import shipped_free_space_path
from worldloop.envs.house.splits import scene_ids
from worldloop.training.free_space import FreeSpaceConfig, train_free_space


def main() -> None:
    """Write the weights and the card."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--scenes", type=int, default=30)
    parser.add_argument("--test-scenes", type=int, default=6)
    parser.add_argument("--ridge", type=float, default=FreeSpaceConfig.ridge)
    parser.add_argument("--out", type=Path, default=shipped_free_space_path())
    options = parser.parse_args()
    found = train_free_space(
        scene_ids("train", count=options.scenes),
        scene_ids("val", count=options.test_scenes),
        FreeSpaceConfig(ridge=options.ridge),
    )
    found.save(options.out)
    print(json.dumps(found.card, indent=1))


if __name__ == "__main__":
    main()
