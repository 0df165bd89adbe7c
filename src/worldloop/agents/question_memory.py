"""What has been seen where: one entry for each thing, with what it looked like, from real and from imagined views.

Which box shows the same thing again comes from the simulator (`true_tracks`). What a thing is, what colour it has
and where it stands is made out from pictures and dead reckoning.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np

from worldloop.actions import intended_path
from worldloop.agents.odometry import Pose, odometry
from worldloop.agents.perception.answerer import Recogniser
from worldloop.agents.perception.service import Perception
from worldloop.agents.question_lore import usual_heights
from worldloop.core import Candidate, Observation, Situation
from worldloop.envs.house.words import colour_shares


@dataclass(frozen=True)
class MemoryConfig:
    """How views become knowledge."""

    smallest: float = 4.0
    """Pixels; a box with a shorter side is not looked at."""
    looks: int = 4
    """Times a thing is looked at; more only when it is seen larger."""
    larger: float = 1.6
    """How many times as large, in area, it must be to be looked at again."""
    sharpness: float = 2.0
    """A look counts by its own top probability to this power."""
    stride: int = 3
    """Of the imagined frames every n-th is looked at, counted from the last one."""
    first_trust: float = 0.5
    """What imagination counts, beside 1 for a real view, before any of it could be checked."""
    first_trials: float = 1.0
    """How many checks that first trust is worth."""
    glances: int = 2
    """Times a thing is looked at in imagination; more only when it is imagined larger."""
    checks: int = 4
    """Predicted looks that are compared with real ones after each decision, at most."""


@dataclass(frozen=True, eq=False)
class Look:
    """One thing in one picture."""

    pose: Pose
    box: np.ndarray
    """float64 [4]: x0, y0, x1, y1 in pixels."""
    frame: int
    """Number of the observation; -1 for an imagined view."""
    logits: np.ndarray
    """float32 [C]."""
    colours: dict[str, float]
    """Share of each colour in the middle of the box."""
    size: int
    """Side of the picture, pixels."""

    @property
    def area(self) -> float:
        """Square pixels."""
        return float((self.box[2] - self.box[0]) * (self.box[3] - self.box[1]))


@dataclass(eq=False)
class Thing:
    """A thing that was seen, by the number of its track."""

    track: int
    since: int = 0
    """Steps taken when it was first seen, or imagined."""
    looks: list[Look] = field(default_factory=list)
    imagined: list[Look] = field(default_factory=list)
    boxes: dict[int, np.ndarray] = field(default_factory=dict)
    """Its box in every real observation that showed it, looked at or not."""


@dataclass(eq=False)
class HouseMemory:
    """The agent's notes on one episode."""

    recogniser: Recogniser
    perception: Perception
    config: MemoryConfig
    things: dict[int, Thing] = field(default_factory=dict)
    poses: list[Pose] = field(default_factory=list)
    checks: list[float] = field(default_factory=list)
    """How well predicted looks agreed with real ones, each 0 to 1."""
    glances: dict[int, list[Look]] = field(default_factory=dict)
    """By track, all looks at imagined views, the largest first; they are evidence only once remembered."""
    _predicted: tuple[int, list[tuple[tuple[str, ...], list[tuple[int, int, np.ndarray]]]]] = (0, [])
    _taken: int = 0
    _shown: int = -1

    @classmethod
    def of(
        cls, situation: Situation, recogniser: Recogniser, perception: Perception, config: MemoryConfig
    ) -> HouseMemory:
        """The notes of this episode, begun if there are none."""
        memory: HouseMemory = situation.memory.setdefault("house", cls(recogniser, perception, config))
        return memory

    @property
    def trust(self) -> float:
        """In [0,1]: how far imagination is believed, the mean of the checks so far and of the first trust."""
        c = self.config
        return (c.first_trust * c.first_trials + sum(self.checks)) / (c.first_trials + len(self.checks))

    async def take_in(self, situation: Situation) -> None:
        """Look at what is new in the real observations, and compare it with what was imagined of them."""
        self.poses = odometry(situation)
        start, self._taken = self._taken, len(situation.history)
        wanted: list[tuple[int, int]] = []
        best: dict[int, list[tuple[float, int]]] = {}
        for i in range(start, len(situation.history)):
            for box, track in _boxes(situation.history[i]):
                thing = self.things.setdefault(track, Thing(track, i))
                thing.boxes[i] = box
                if min(box[2] - box[0], box[3] - box[1]) >= self.config.smallest:
                    best.setdefault(track, []).append((_inside(box, situation.history[i].rgb.shape[1]), i))
        for track, sights in best.items():
            before = self.things[track].looks
            largest = max((look.area for look in before), default=0.0)
            wanted += [
                (track, i)
                for area, i in sorted(sights, reverse=True)[:2]
                if len(before) < self.config.looks or area > self.config.larger * largest
            ]
        forced = self._to_check(situation, start)
        pairs = list(
            dict.fromkeys([*wanted, *((track, i) for track, i, _ in forced if i in self._boxes_of(track))])
        )
        views = [(situation.history[i], self.things[track].boxes[i], self.poses[i], i) for track, i in pairs]
        looks = dict(zip(pairs, await self._look(situation, views)))
        for (track, _), look in looks.items():
            self.things[track].looks.append(look)
        for track, i, predicted in forced:
            real = looks.get((track, i))
            self.checks.append(0.0 if real is None else self._agreement(predicted, real.logits))

    async def imagine(
        self, situation: Situation, candidates: Sequence[Candidate]
    ) -> list[list[tuple[int, Look]]]:
        """Look at imagined views of things that are not well known yet: for each candidate (track, look).

        They are remembered, as far as they are believed, until the thing is really seen well.
        """
        if self._shown == situation.decision:
            return situation.memory["imagined_looks"]  # type: ignore[no-any-return]
        found: list[list[tuple[int, Look]]] = []
        predicted = []
        for c in candidates:
            frames = c.rollout.frames if c.rollout is not None else ()
            path = intended_path(c.plan, *self.poses[-1])[1:]
            best: dict[int, tuple[float, int, np.ndarray]] = {}
            for k in range(len(frames))[:: -self.config.stride]:
                for box, track in _boxes(frames[k]):
                    if min(box[2] - box[0], box[3] - box[1]) < self.config.smallest:
                        continue
                    sight = _inside(box, frames[k].rgb.shape[1]), k, box
                    if track not in best or sight[0] > best[track][0]:
                        best[track] = sight
            wanted = {t: sight for t, sight in best.items() if not self._well_known(self.things.get(t))}
            known = {t: look for t, sight in wanted.items() if (look := self._glanced(t, sight[2]))}
            chosen = [(t, k, box) for t, (_, k, box) in wanted.items() if t not in known]
            views = [(frames[k], box, (*map(float, path[k]),), -1) for _, k, box in chosen]
            looks = await self._look(situation, views)  # type: ignore[arg-type]
            new = {t: look for (t, _, _), look in zip(chosen, looks)}
            found.append([(t, new[t] if t in new else known[t]) for t in wanted])
            names = tuple(map(str, c.plan.actions))
            predicted.append((names, [(t, k, look.logits) for (t, k, _), look in zip(chosen, looks)]))
            for track, look in new.items():
                self.glances[track] = sorted([*self.glances.get(track, ()), look], key=lambda x: -x.area)
        self._predicted = len(situation.actions), predicted
        self._shown = situation.decision
        situation.memory["imagined_looks"] = found
        return found

    def remember(self, imagined: Sequence[Sequence[tuple[int, Look]]]) -> None:
        """Keep imagined looks beside the real ones."""
        for track, look in (pair for looks in imagined for pair in looks):
            thing = self.things.setdefault(track, Thing(track, len(self.poses) - 1))
            if not any(look is known for known in thing.imagined):
                thing.imagined = sorted([*thing.imagined, look], key=lambda x: -x.area)[:3]

    def shares(self, thing: Thing, real_only: bool = False) -> np.ndarray:
        """float64 [C]: probability of each category; what is not believed is missing from the sum."""
        real, imagined = thing.looks, [] if real_only or self._well_known(thing) else thing.imagined
        if not real and not imagined:
            return np.zeros(len(self.recogniser.classes))
        logits = np.stack([look.logits for look in (*real, *imagined)])
        believed = np.concatenate([np.ones(len(real)), np.full(len(imagined), self.trust)])
        weights = believed * self.recogniser.clarity(logits) ** self.config.sharpness
        p = self.recogniser.probabilities(logits, weights)
        return p if real else p * self.trust

    def place(self, thing: Thing, category: str) -> np.ndarray | None:
        """float64 [2]: where a thing stands in the frame of the start, metres; None when no look tells.

        The bearing is that of the middle of its box; the distance is that at which something of the category's usual
        height is as high as the box.
        """
        height = usual_heights().get(category, 0.8)
        total, weight = np.zeros(2), 0.0
        for look in thing.looks or thing.imagined:
            x0, y0, x1, y1 = look.box
            focal = look.size / 2
            cut = y0 <= 0.5 or y1 >= look.size - 0.5
            ahead = float(np.clip(focal * height / max(y1 - y0, 1.0), 0.4, 7.0))
            if height < 0.1:
                ahead = float(np.clip(focal * 1.25 / max((y0 + y1) / 2 - focal, 4.0), 0.5, 7.0))
            side = (focal - (x0 + x1) / 2) / focal * ahead
            c, s = math.cos(math.radians(look.pose[2])), math.sin(math.radians(look.pose[2]))
            w = (0.2 if cut else 1.0) / ahead
            total += w * np.array([look.pose[0] + c * ahead - s * side, look.pose[1] + s * ahead + c * side])
            weight += w
        return total / weight if weight else None

    def _glanced(self, track: int, box: np.ndarray) -> Look | None:
        """The best imagined look so far, where another would show little more."""
        looks = self.glances.get(track, [])
        if len(looks) < self.config.glances:
            return None
        best = looks[0]
        area = float((box[2] - box[0]) * (box[3] - box[1]))
        return None if area > self.config.larger * best.area else best

    def _boxes_of(self, track: int) -> dict[int, np.ndarray]:
        return self.things[track].boxes if track in self.things else {}

    def _well_known(self, thing: Thing | None) -> bool:
        if thing is None or not thing.looks:
            return False
        logits = np.stack([look.logits for look in thing.looks])
        return len(thing.looks) >= 2 and bool(self.recogniser.clarity(logits).max() > 0.8)

    def _to_check(self, situation: Situation, start: int) -> list[tuple[int, int, np.ndarray]]:
        """What was imagined of the plan that was then carried out: (track, observation, logits)."""
        done, plans = self._predicted
        carried = tuple(map(str, situation.actions[done:]))
        if not carried or start == 0:
            return []
        for names, looks in plans:
            if names[: len(carried)] == carried:
                kept = [(track, done + 1 + k, logits) for track, k, logits in looks if k < len(carried)]
                self._predicted = (0, [])
                return kept[: self.config.checks]
        return []

    def _agreement(self, a: np.ndarray, b: np.ndarray) -> float:
        return float(np.minimum(*self.recogniser.shares(np.stack([a, b]))).sum())

    async def _look(
        self, situation: Situation, views: Sequence[tuple[Observation, np.ndarray, Pose, int]]
    ) -> list[Look]:
        if not views:
            return []
        return await situation.compute(self._looked, list(views))  # type: ignore[no-any-return]

    def _looked(self, views: list[tuple[Observation, np.ndarray, Pose, int]]) -> list[Look]:
        images, boxes = [v[0].rgb for v in views], [v[1] for v in views]
        logits = self.recogniser.look(self.perception, images, boxes, views[0][0].hfov_deg)
        return [
            Look(pose, np.asarray(box, np.float64), i, row, _colours(seen.rgb, box), seen.rgb.shape[1])
            for (seen, box, pose, i), row in zip(views, logits)
        ]


def _boxes(observation: Observation) -> Iterator[tuple[np.ndarray, int]]:
    boxes, tracks = observation.extra.get("object_boxes"), observation.extra.get("object_tracks")
    if boxes is not None and tracks is not None:
        yield from ((box, int(track)) for box, track in zip(boxes, tracks))


def _inside(box: np.ndarray, size: int) -> float:
    """How good a view a box promises: its area, less where it is cut by the border."""
    cut = sum((box[0] <= 0.5, box[1] <= 0.5, box[2] >= size - 0.5, box[3] >= size - 0.5))
    return float((box[2] - box[0]) * (box[3] - box[1])) / (1 + cut)


def _colours(rgb: np.ndarray, box: np.ndarray) -> dict[str, float]:
    """Colours in the middle half of a box, where it is likely the thing itself that is seen."""
    x0, y0, x1, y1 = (float(v) for v in box)
    u, v = (x1 - x0) / 4, (y1 - y0) / 4
    rows = slice(int(y0 + v), max(int(np.ceil(y1 - v)), int(y0 + v) + 1))
    columns = slice(int(x0 + u), max(int(np.ceil(x1 - u)), int(x0 + u) + 1))
    return colour_shares(rgb[rows, columns].reshape(-1, 3) / 255)
