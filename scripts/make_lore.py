"""Count what stands where in training houses: the general knowledge of the question-answering agent."""

from __future__ import annotations

import argparse
import json
from collections import Counter, defaultdict
from pathlib import Path
from typing import Any

from worldloop.agents.question_lore import shipped_lore_path
from worldloop.envs.house.generate import generate_house, scene_ids
from worldloop.envs.house.words import material_of
from worldloop.tasks.embodied_qa_facts import asset_colour


def main() -> None:
    """Write the counts."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--houses", type=int, default=150)
    parser.add_argument("--out", type=Path, default=shipped_lore_path())
    options = parser.parse_args()
    tables: dict[str, defaultdict[str, Counter[str]]] = {
        n: defaultdict(Counter) for n in ("rooms", "counts", "supports", "tops", "floors", "colours")
    }
    kinds: Counter[str] = Counter()
    for scene in scene_ids("train", count=options.houses):
        house = generate_house(scene)
        kind_of = {r.name: r.kind for r in house.rooms}
        kinds.update(kind_of.values())
        categories = {o.name: o.category for o in house.objects}
        for room, materials in house.materials.items():
            if made := material_of(materials.floor):
                tables["floors"][kind_of[room]][made[0]] += 1
        for category, count in Counter(categories.values()).items():
            tables["counts"][category][str(count)] += 1
        for o in house.objects:
            tables["rooms"][o.category][kind_of[o.room]] += 1
            if o.support:
                tables["supports"][o.category][categories[o.support]] += 1
                tables["tops"][categories[o.support]][o.category] += 1
            if colour := asset_colour(o.asset):
                tables["colours"][o.category][colour] += 1
                tables["colours"]["any"][colour] += 1
    out: dict[str, Any] = {
        name: {k: dict(v) for k, v in sorted(table.items())} for name, table in tables.items()
    }
    out["rooms"] = {
        c: {kind: round(n / kinds[kind], 4) for kind, n in found.items()} for c, found in out["rooms"].items()
    }
    out["houses"] = options.houses
    options.out.write_text(json.dumps(out, sort_keys=True) + "\n", encoding="utf-8")
    print(options.out, options.out.stat().st_size, "bytes")


if __name__ == "__main__":
    main()
