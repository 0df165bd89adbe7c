"""Draw the shipped episode lists again. Existing lists change only with the generator, the assets or the seed."""

from __future__ import annotations

import argparse
from pathlib import Path

from worldloop.envs.house.generate import scene_ids
from worldloop.tasks.episodes import write_episodes
from worldloop.tasks.manipulation import Manipulation, list_episodes
from worldloop.tasks.sampling import sample_episodes

DATA = Path(__file__).resolve().parents[1] / "src" / "worldloop" / "tasks" / "data"
# split -> (scene split, first and last index for each style, episodes of recognition, of navigation)
LISTS = {
    "val": ("val", (0, 6), 72, 72),
    "mini": ("test", (900, 902), 20, 20),
    "test": ("test", (0, 16), 200, 144),
}

# split -> (split of the tabletop's layouts, their first index, episodes)
TABLETOP = {"val": ("val", 0, 72), "mini": ("test", 900, 20), "test": ("test", 0, 200)}


def scenes_of(split: str) -> list[str]:
    """Scene ids of a list, styles taking turns."""
    scene_split, (first, last), _, _ = LISTS[split]
    by_style = [scene_ids(scene_split, style, last)[first:] for style in "ABC"]
    return [scene for row in zip(*by_style) for scene in row]


def main() -> None:
    """Write the lists named on the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("splits", nargs="*", default=list(LISTS))
    parser.add_argument("--tabletop", action="store_true", help="only the lists of manipulation")
    options = parser.parse_args()
    splits = options.splits
    DATA.mkdir(exist_ok=True)
    for split in [] if options.tabletop else splits:
        scenes = scenes_of(split)
        for task, count in zip(("active-recognition", "image-goal"), LISTS[split][2:]):
            episodes = sample_episodes(task, scenes, count)
            note = f"{len(episodes)} episodes in {len({e.scene for e in episodes})} scenes"
            write_episodes(DATA / f"{task}.{split}.json", task, split, episodes, note)
            print(task, split, note)
    for split in splits:
        layouts, first, count = TABLETOP[split]
        episodes = list_episodes(layouts, count, first)
        note = f"{count} episodes, each with a layout of its own"
        write_episodes(DATA / f"{Manipulation.name}.{split}.json", Manipulation.name, split, episodes, note)
        print(Manipulation.name, split, note)


if __name__ == "__main__":
    main()
