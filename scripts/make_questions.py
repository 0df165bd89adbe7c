"""Choose the shipped questions of embodied question answering again; they change only with generator, assets or seed."""

from __future__ import annotations

import argparse
import json
from collections import Counter
from pathlib import Path

from worldloop.envs.house.generate import scene_ids
from worldloop.tasks.embodied_qa_sampling import TASK, sample_questions
from worldloop.tasks.episodes import write_episodes

DATA = Path(__file__).resolve().parents[1] / "src" / "worldloop" / "tasks" / "data"
# split -> (scene split, first and last index for each style, questions)
LISTS = {"val": ("val", (0, 6), 70), "mini": ("test", (900, 902), 21), "test": ("test", (0, 16), 189)}
DECISIONS = 36


def scenes_of(split: str) -> list[str]:
    """Scene ids of a list, styles taking turns."""
    scene_split, (first, last), _ = LISTS[split]
    by_style = [scene_ids(scene_split, style, last)[first:] for style in "ABC"]
    return [scene for row in zip(*by_style) for scene in row]


def main() -> None:
    """Write the lists named on the command line and print what is in them."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("splits", nargs="*", default=list(LISTS))
    for split in parser.parse_args().splits:
        episodes = sample_questions(scenes_of(split), LISTS[split][2], DECISIONS)
        note = f"{len(episodes)} questions in {len({e.scene for e in episodes})} scenes"
        write_episodes(DATA / f"{TASK}.{split}.json", TASK, split, episodes, note)
        answers = Counter((e.goal["form"], e.goal["answer"]) for e in episodes)
        print(
            split, note, json.dumps({f"{form}: {answer}": n for (form, answer), n in sorted(answers.items())})
        )


if __name__ == "__main__":
    main()
