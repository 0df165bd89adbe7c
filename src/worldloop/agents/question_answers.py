"""From what was seen to an answer: one rule for each form of question."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from worldloop.agents.question_lore import HouseLore
from worldloop.agents.question_memory import HouseMemory, Thing
from worldloop.agents.question_parsing import Asked
from worldloop.core import Belief, Situation
from worldloop.envs.house.words import ROOMS, noun, room_name

NEAR = 1.6
"""Metres (standard deviation): things this near to one another are likely in one room."""
OWN = 2.0
"""What a thing's own category tells of its room, beside a neighbour's."""
SURE = 0.75
"""Probability of a category from which on a thing is taken to be of it, at the end."""
SATED, LEAST = 80, 200
"""Steps without anything new after which nothing new is expected, and steps that it takes at least."""


@dataclass(frozen=True)
class Known:
    """A thing with what is made of it."""

    thing: Thing
    p: np.ndarray
    """float64 [C]."""
    category: str
    place: np.ndarray | None


class Answers:
    """Beliefs from the notes of an episode."""

    def __init__(self, memory: HouseMemory, lore: HouseLore, situation: Situation) -> None:
        self.memory, self.lore, self.situation = memory, lore, situation
        self.index = {c: i for i, c in enumerate(memory.recogniser.classes)}

    @cached_property
    def known(self) -> list[Known]:
        """All things that were looked at."""
        out = []
        for thing in self.memory.things.values():
            p = self.memory.shares(thing)
            if p.max() > 0:
                category = self.memory.recogniser.classes[int(p.argmax())]
                out.append(Known(thing, p, category, self.memory.place(thing, category)))
        return out

    @cached_property
    def rooms(self) -> dict[int, np.ndarray]:
        """Track -> probability [6] of each kind of room, from what stands around and what the thing itself is."""
        placed = [k for k in self.known if k.place is not None]
        like = np.log([self.lore.room_likelihood(k.category, ROOMS) for k in placed]).reshape(-1, len(ROOMS))
        sure = np.array([float(k.p.max()) for k in placed])
        at = np.array([k.place for k in placed], np.float64).reshape(-1, 2)
        out = {}
        for i, k in enumerate(placed):
            weights = np.exp(-0.5 * (np.hypot(*(at - at[i]).T) / NEAR) ** 2) * sure**2
            shared = [len(k.thing.boxes.keys() & o.thing.boxes.keys()) > 0 for o in placed]
            weights *= np.where(shared, 1.0, 0.4)
            weights[i] *= OWN
            # Six chairs tell no more of a room than one.
            nearest: dict[str, int] = {}
            for j in np.argsort(-weights, kind="stable"):
                nearest.setdefault(placed[j].category, int(j))
            kept = list(nearest.values())
            logs = (weights[kept, None] * like[kept]).sum(axis=0)
            odds = np.exp(logs - logs.max())
            out[k.thing.track] = odds / odds.sum()
        return out

    @property
    def sated(self) -> bool:
        """Whether nothing new has come up for long: what has not been seen is then taken not to be there."""
        steps = len(self.situation.actions)
        newest = max((t.since for t in self.memory.things.values()), default=0)
        return steps >= LEAST and steps - newest >= SATED

    def belief(self, asked: Asked) -> Belief:
        """The answer with how sure it is; the general guess with no confidence where nothing was seen."""
        rules = {
            "exists": self._exists, "any of": self._exists, "count": self._count, "colour": self._colour,
            "taller": self._taller, "on top": self._on_top, "beside": self._beside, "hung": self._which,
            "which of": self._which, "room of": self._room_of, "stands on": self._stands_on,
            "anything on": self._anything_on,
        }  # fmt: skip
        rule = rules.get(asked.form)
        found = rule(asked) if rule is not None and (asked.categories or asked.form == "beside") else None
        return found if found is not None else Belief(self.lore.guess(asked), 0.0)

    def fits(self, k: Known, categories: Sequence[str], room: str | None = None) -> float:
        """Probability that a thing is of one of the categories and in the room."""
        p = float(sum(k.p[self.index[c]] for c in categories if c in self.index))
        if room is None:
            return p
        # Some categories tell by themselves where they are.
        where = self.rooms.get(k.thing.track)
        return p * (float(where[ROOMS.index(room)]) if where is not None else 0.2)

    def best(self, asked: Asked) -> tuple[Known, float] | None:
        """The thing most likely meant."""
        scored = [(self.fits(k, asked.categories, asked.room), k.thing.track, k) for k in self.known]
        found = max(scored, key=lambda s: s[:2], default=None)
        return None if found is None else (found[2], found[0])

    def _exists(self, asked: Asked) -> Belief:
        found = self.best(asked)
        p = found[1] if found else 0.0
        if p >= 0.5:
            return Belief("yes", p, (("yes", p), ("no", 1 - p)))
        no = 0.92 if self.sated and p < 0.25 else min(0.85, 0.5 + 0.5 * (1 - 2 * p) * self._share())
        return Belief("no", no, (("no", no), ("yes", 1 - no)))

    def _count(self, asked: Asked) -> Belief:
        ps = [self.fits(k, asked.categories, asked.room) for k in self.known]
        count = sum(p >= 0.5 for p in ps)
        doubtful = any(0.3 < p < SURE for p in ps)
        if count == 0:
            return Belief(self.lore.guess(asked), 0.1)
        return Belief(str(count), 0.92 if self.sated and not doubtful else 0.6)

    def _colour(self, asked: Asked) -> Belief | None:
        found = self.best(asked)
        if found is None or found[1] < 0.1:
            return None
        thing = found[0].thing
        total: dict[str, float] = {}
        for look in thing.looks or thing.imagined:
            for name, share in look.colours.items():
                total[name] = total.get(name, 0.0) + share * look.area
        name = max(sorted(total), key=lambda n: total[n])
        share = total[name] / sum(total.values())
        enough = len(thing.looks) >= 3 and found[1] >= 0.9
        return Belief(name, 0.9 if enough and share > 0.5 else 0.6 * share)

    def _taller(self, asked: Asked) -> Belief | None:
        found = self.best(asked)
        if found is None or found[1] < 0.1:
            return None
        heights = []
        for look in found[0].thing.looks or found[0].thing.imagined:
            _x0, y0, _x1, y1 = look.box
            below = y1 - look.size / 2
            # The eye is at 1.25 m: what ends this far below the horizon stands that far away.
            if below > 2 and y1 < look.size - 0.5:
                heights.append(1.25 * (y1 - y0) / below)
            elif y1 >= look.size - 0.5:
                heights.append(1.8 if y0 < 0.4 * look.size else 1.0)
        if not heights:
            return Belief("no", 0.4)
        sure = 0.9 if found[1] >= 0.9 and len(heights) >= 2 else 0.6
        return Belief("yes" if float(np.median(heights)) > 1.3 else "no", sure)

    def above(self, support: Known) -> list[tuple[float, Known]]:
        """Things that stand on something, as often as their box said so: (share of common views, thing)."""
        out = []
        for k in self.known:
            if k is support:
                continue
            common = k.thing.boxes.keys() & support.thing.boxes.keys()
            votes = [_stands_on(k.thing.boxes[i], support.thing.boxes[i]) for i in common]
            if votes and (share := sum(votes) / len(votes)) > 0.3:
                out.append((share, k))
        return sorted(out, key=lambda s: -s[0] * float(s[1].p.max()))

    def _on_top(self, asked: Asked) -> Belief | None:
        support = self.best(asked)
        if support is None or support[1] < 0.1:
            return None
        usual = self.lore.tops.get(asked.categories[0], {})
        found = [
            (share * float(k.p.max()), k.thing.track, k.category)
            for share, k in self.above(support[0])
            if k.category in usual
        ]
        if not found:
            return None
        score, _, category = max(found)
        return Belief(noun(category), score * min(1.0, support[1] / 0.9))

    def _stands_on(self, asked: Asked) -> Belief | None:
        found = self.best(asked)
        if found is None or found[1] < 0.1:
            return None
        usual = self.lore.supports.get(asked.categories[0], {})
        total: dict[str, float] = {c: 0.02 * n / max(sum(usual.values()), 1) for c, n in usual.items()}
        for k in self.known:
            common = k.thing.boxes.keys() & found[0].thing.boxes.keys()
            votes = [_stands_on(found[0].thing.boxes[i], k.thing.boxes[i]) for i in common]
            if votes and k is not found[0]:
                for category in usual:
                    p = sum(votes) / len(votes) * float(k.p[self.index[category]])
                    total[category] = max(total[category], p)
        if not total:
            return None
        best = max(sorted(total), key=lambda c: total[c])
        return Belief(noun(best), total[best] * min(1.0, found[1] / 0.9))

    def _anything_on(self, asked: Asked) -> Belief | None:
        support = self.best(asked)
        if support is None or support[1] < 0.1:
            return None
        found = [s for s, k in self.above(support[0]) if k.category in self.lore.supports]
        sure = min(0.92, support[1])
        if found:
            return Belief("yes", sure if max(found) > 0.5 else 0.6)
        return Belief("no", sure if len(support[0].thing.looks) >= 3 else 0.5)

    def _beside(self, asked: Asked) -> Belief | None:
        found = self.best(asked) if asked.categories else None
        if found is None or found[1] < 0.1 or found[0].place is None:
            return None
        gaps = []
        for k in self.known:
            if k is found[0] or k.place is None or k.category in self.lore.supports or k.category == "rug":
                continue
            common = k.thing.boxes.keys() & found[0].thing.boxes.keys()
            if k.category in ("picture", "clock", "ceiling_lamp", "towel_rack") or not common:
                continue
            pixels = min(_apart(k.thing.boxes[i], found[0].thing.boxes[i]) for i in common)
            gaps.append((float(np.hypot(*(k.place - found[0].place))) + pixels / 40, k.thing.track, k))
        if not gaps:
            return None
        near = min(gaps, key=lambda g: g[:2])[2]
        return Belief(
            noun(near.category), 0.6 * float(near.p.max()) * found[1] + (0.35 if self.sated else 0.0)
        )

    def _which(self, asked: Asked) -> Belief | None:
        scores = {
            c: max((self.fits(k, (c,), asked.room) for k in self.known), default=0.0)
            for c in asked.categories
        }
        best = max(sorted(scores), key=lambda c: scores[c])
        return Belief(noun(best), scores[best]) if scores[best] > 0.1 else None

    def _room_of(self, asked: Asked) -> Belief | None:
        found = self.best(asked)
        if found is None or found[1] < 0.1 or found[0].thing.track not in self.rooms:
            return None
        p = self.rooms[found[0].thing.track]
        # A look around tells more than a first glance.
        around = min(1.0, len(found[0].thing.boxes) / 12)
        best = int(np.argmax(p))
        return Belief(room_name(ROOMS[best]), float(p[best]) * min(1.0, found[1] / 0.9) * around)

    def _share(self) -> float:
        return min(1.0, len(self.situation.actions) / 250)


def _stands_on(upper: np.ndarray, lower: np.ndarray) -> bool:
    """Whether one box stands on another: its foot in the upper part of the other, and over it."""
    middle = (upper[0] + upper[2]) / 2
    height = lower[3] - lower[1]
    foot = lower[1] - 0.1 * height - 2 <= upper[3] <= lower[1] + 0.55 * height + 2
    return bool(lower[0] - 1 <= middle <= lower[2] + 1 and foot and upper[1] < lower[1] + 1)


def _apart(a: np.ndarray, b: np.ndarray) -> float:
    """Pixels between two boxes from side to side, 0 where they overlap."""
    return float(max(a[0] - b[2], b[0] - a[2], 0.0))
