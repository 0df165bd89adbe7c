"""Episode lists: fixed JSON files that ship with the package, or a file of the user's own."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from importlib import resources
from pathlib import Path
from typing import Any

from worldloop.core import Episode, InputError
from worldloop.core.numbers import finite

FORMAT = 1


def load_episodes(task: str, split: str) -> list[Episode]:
    """The shipped list of a split (`test`, `mini`, ...), or the list in a `.json` file of that path.

    Raises InputError for an unknown split, an unreadable file or an episode that is not one.
    """
    if split.endswith(".json"):
        path = Path(split)
    else:
        path = Path(str(resources.files("worldloop.tasks") / "data" / f"{task}.{split}.json"))
        if not path.is_file():
            known = sorted(p.name.split(".")[1] for p in path.parent.glob(f"{task}.*.json"))
            raise InputError(
                f"{task} has no split {split!r}; choose {', '.join(known) or 'a .json file'}, or give an episode file"
            )
    return parse_episodes(read_json(path), task, str(path))


def read_json(path: str | Path) -> Any:
    """The content of a file of episodes; InputError when it cannot be read or is no JSON."""
    try:
        return json.loads(Path(path).read_text(encoding="utf-8"))
    except OSError as error:
        raise InputError(f"cannot read the episode file {path}: {error.strerror or error}") from None
    except (ValueError, RecursionError) as error:
        raise InputError(f"{path} is not JSON: {error}") from None


def parse_episodes(data: Any, task: str, where: str) -> list[Episode]:
    """Episodes from the content of a file; InputError names the first thing that is wrong."""
    if (
        not isinstance(data, Mapping)
        or data.get("format") != FORMAT
        or not isinstance(data.get("episodes"), list)
    ):
        raise InputError(
            f'{where}: an episode file is {{"format": {FORMAT}, "task": ..., "episodes": [...]}}'
        )
    if data.get("task") != task:
        raise InputError(f"{where} holds episodes of {data.get('task')!r}, not of {task!r}")
    if not data["episodes"]:
        raise InputError(f"{where} lists no episodes")
    episodes = [_episode(item, task, f"{where}: episode {i}") for i, item in enumerate(data["episodes"])]
    return unique(episodes, where)


def unique(episodes: Sequence[Episode], where: str) -> list[Episode]:
    """The episodes as a list; InputError when an id comes twice."""
    seen: set[str] = set()
    for episode in episodes:
        if episode.id in seen:
            raise InputError(f"{where} repeats the id {episode.id!r}")
        seen.add(episode.id)
    return list(episodes)


def _episode(item: Any, task: str, where: str) -> Episode:
    wanted = {"id": str, "scene": str, "seed": int, "start": Mapping, "goal": Mapping, "budget": int}
    if not isinstance(item, Mapping):
        raise InputError(f"{where} is not an object")
    for name, kind in wanted.items():
        if not isinstance(item.get(name), kind) or isinstance(item.get(name), bool):
            raise InputError(f"{where}: {name!r} is missing or not {kind.__name__.lower()}")
    if unknown := set(map(str, item)) - {*wanted, "task"}:
        raise InputError(f"{where} has unknown fields: {', '.join(sorted(unknown))[:200]}")
    check_place(item["start"], f"{where}: start")
    if not 1 <= item["budget"] <= 10_000 or not item["id"]:
        raise InputError(f"{where}: needs an id and a budget of 1 to 10,000 decisions")
    return Episode(
        item["id"], task, item["scene"], item["seed"], dict(item["start"]), dict(item["goal"]), item["budget"]
    )


def check_place(place: Mapping[str, Any], where: str) -> None:
    """InputError unless a place has `position` [x, y] and `yaw_deg`, all finite numbers."""
    position, yaw = place.get("position"), place.get("yaw_deg")
    if not isinstance(position, list | tuple) or len(position) != 2 or not all(map(finite, (*position, yaw))):
        raise InputError(f"{where} needs position [x, y] in metres and yaw_deg")


def write_episodes(path: Path, task: str, split: str, episodes: list[Episode], note: str) -> None:
    """Write a list in the format that `load_episodes` reads, one episode a line."""
    lines = [json.dumps({k: v for k, v in asdict(e).items() if k != "task"}) for e in episodes]
    head = {"format": FORMAT, "task": task, "split": split, "note": note}
    body = ",\n".join(lines)
    path.write_text(json.dumps(head)[:-1] + ', "episodes": [\n' + body + "\n]}\n", encoding="utf-8")
