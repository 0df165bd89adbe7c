"""What the agent knows of homes in general, counted in training houses; and the answers of one who does not look."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from worldloop.agents.question_parsing import HUNG, Asked
from worldloop.core import InputError
from worldloop.envs.house.assets import load_assets
from worldloop.envs.house.words import noun, room_name

Counts = Mapping[str, Mapping[str, float]]


def shipped_lore_path() -> Path:
    """The counts that ship with worldloop."""
    return Path(__file__).parent / "data" / "house_lore.json"


@dataclass(frozen=True, eq=False)
class HouseLore:
    """Counts over training houses: what stands where, on what, and how many of it."""

    rooms: Counts
    """Category -> kind of room -> things there per room of that kind."""
    counts: Counts
    """Category -> how many a house has, where it has any -> houses."""
    supports: Counts
    """Category -> category it stands on -> times."""
    tops: Counts
    """Category that carries things -> what stands on it -> times."""
    floors: Counts
    """Kind of room -> material -> times."""
    colours: Counts
    """Category -> colour -> times; `any` for all."""
    houses: int
    """How many were counted."""

    @classmethod
    def load(cls, path: Path | None = None) -> HouseLore:
        """Read the shipped counts; InputError when they are damaged."""
        path = path or shipped_lore_path()
        try:
            data = json.loads(path.read_text(encoding="utf-8"))
            return cls(
                *(data[n] for n in ("rooms", "counts", "supports", "tops", "floors", "colours", "houses"))
            )
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise InputError(f"{path} holds no knowledge of houses ({error}); reinstall worldloop") from None

    def room_likelihood(self, category: str, kinds: Sequence[str], floor: float = 0.01) -> list[float]:
        """How many things of a category a room of each kind has on average."""
        found = self.rooms.get(category, {})
        return [max(float(found.get(kind, 0.0)), floor) for kind in kinds]

    def guess(self, asked: Asked) -> str:
        """The most frequent answer to such a question, for one who has seen nothing."""
        about = asked.categories[0] if asked.categories else ""
        if asked.form in ("exists", "any of"):
            missing = 1.0
            for category in asked.categories:
                missing *= 1.0 - self._presence(category, asked.room)
            return "yes" if missing <= 0.5 else "no"
        if asked.yes_no:
            return "yes" if asked.form == "anything on" else "no"
        if asked.form == "count":
            return _top(self.counts.get(about, {}), "1")
        if asked.form == "colour":
            return _top(self.colours.get(about, {}), _top(self.colours.get("any", {}), "white"))
        if asked.form == "floor":
            return _top(self.floors.get(asked.room or "", {}), "wood")
        if asked.form == "room of":
            return room_name(_top(self.rooms.get(about, {}), "living_room"))
        if asked.form == "stands on":
            return noun(_top(self.supports.get(about, {}), "table"))
        if asked.form == "on top":
            return noun(_top(self.tops.get(about, {}), "lamp"))
        if asked.form in ("hung", "which of"):
            choice = HUNG if asked.form == "hung" else asked.categories
            where = {c: self._expected(c, asked.room) for c in choice}
            return noun(_top(where, choice[0]))
        return noun("chair") if asked.form == "beside" else "yes"

    def _presence(self, category: str, room: str | None) -> float:
        """How likely a house, or a room of a kind, has such a thing."""
        if room:
            return min(1.0, float(self.rooms.get(category, {}).get(room, 0.0)))
        return sum(self.counts.get(category, {}).values()) / max(self.houses, 1)

    def _expected(self, category: str, room: str | None) -> float:
        found = self.rooms.get(category, {})
        return float(found.get(room, 0.0)) if room else float(sum(found.values()))


def _top(counts: Mapping[str, float], fallback: str) -> str:
    return max(sorted(counts), key=lambda k: counts[k]) if counts else fallback


@lru_cache(maxsize=1)
def usual_heights() -> Mapping[str, float]:
    """Category -> metres: the median height over the furniture catalogue."""
    found: dict[str, list[float]] = {}
    for asset in load_assets().assets.values():
        found.setdefault(asset.category, []).append(asset.size[2])
    return {category: sorted(sizes)[len(sizes) // 2] for category, sizes in found.items()}
