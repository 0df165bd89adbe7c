"""How many episodes a verdict needs that may be looked for after every scene, on the kept outcomes of the main comparison.

For oracle against none and the adapted video model against its base: the scenes in 200 random orders, episodes until the verdict, and
beside them the fewest episodes with which a test at a fixed number, exact McNemar at the same 5 %, finds as much in 90 % of the orders. (Who plans a
fixed number does not know this one beforehand.) Writes benchmarks/results/sequential.json.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
from outcomes import kept

from worldloop.stats import mcnemar_exact, scene_order, sequential_verdict

ROOT = Path(__file__).resolve().parents[1]
OUTCOMES = ROOT / "benchmarks" / "results" / "outcomes" / "both"
PAIRS = (("oracle", "none"), ("video-lora-code", "video-base"))
ORDERS, LEVEL = 200, 0.05


def outcomes(path: Path) -> tuple[np.ndarray, np.ndarray, list[str]]:
    """Successes [n], scenes [n], and the episodes' ids, of a kept run."""
    run, _ = kept(path)
    table = run.episodes
    columns = (table[c].to_pylist() for c in ("success", "scene", "episode_id"))
    success, scenes, ids = columns
    return np.array(success, float), np.array(scenes), ids


def fixed(a: np.ndarray, b: np.ndarray, scenes: np.ndarray) -> int | None:
    """Fewest episodes, in whole scenes, with which McNemar's test finds a difference in 90 % of the orders; None if there are not enough."""
    found: dict[int, list[tuple[int, bool]]] = {}
    for seed in range(ORDERS):
        wins = losses = episodes = 0
        for k, scene in enumerate(scene_order(scenes, seed), 1):
            d = (a - b)[scenes == scene]
            wins, losses, episodes = wins + int((d > 0).sum()), losses + int((d < 0).sum()), episodes + len(d)
            found.setdefault(k, []).append((episodes, mcnemar_exact(wins, losses) <= LEVEL))
    # From here on, with more scenes too.
    enough = [k for k in found if np.mean([hit for _, hit in found[k]]) >= 0.9]
    last_miss = max((k for k in found if k not in enough), default=0)
    return round(np.mean([n for n, _ in found[last_miss + 1]])) if last_miss + 1 in found else None


def compared(a: np.ndarray, b: np.ndarray, scenes: np.ndarray) -> dict[str, Any]:
    """Verdicts of all orders, and what they cost."""
    verdicts = [sequential_verdict(a, b, scenes, 1 - LEVEL, seed=seed) for seed in range(ORDERS)]
    needed = [v.episodes for v in verdicts]
    return {
        "episodes": len(a),
        "difference": float((a - b).mean()),
        "decided": {v: sum(x.verdict == v for x in verdicts) for v in sorted({x.verdict for x in verdicts})},
        "mean_needed": float(np.mean(needed)),
        "needed_95": float(np.quantile(needed, 0.95)),
        "saved_of_list": 1 - float(np.mean(needed)) / len(a),
        "fixed_needed": fixed(a, b, scenes),
    }


def main() -> None:
    """Measure all pairs that are kept."""
    rows = {}
    for task in sorted(p for p in OUTCOMES.iterdir() if p.is_dir()):
        for model, base in PAIRS:
            paths = [task / f"{name}.json" for name in (model, base)]
            if not all(p.exists() for p in paths):
                continue
            (a, scenes, ids), (b, _, others) = (outcomes(p) for p in paths)
            if ids != others:
                raise SystemExit(f"{task.name}: {model} and {base} were run on other lists")
            rows[f"{task.name}: {model} against {base}"] = compared(a, b, scenes)
    path = ROOT / "benchmarks" / "results" / "sequential.json"
    path.write_text(json.dumps({"orders": ORDERS, "level": LEVEL, "pairs": rows}, indent=1) + "\n")
    print(path.read_text())


if __name__ == "__main__":
    main()
