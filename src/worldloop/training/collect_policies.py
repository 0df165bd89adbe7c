"""How data collectors walk through houses. They know the floor plan, so that they collide only when they mean to."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from worldloop.actions.navigation import NAVIGATION
from worldloop.core import InputError
from worldloop.envs.house.mesh import Instance
from worldloop.envs.house.render import camera_pose
from worldloop.envs.house.scenes import LoadedScene
from worldloop.envs.house.world import Place

FORWARD, LEFT, RIGHT = "move_forward", "turn_left", "turn_right"
TURN = 22.5
"""Degrees of one turn; headings are multiples of it."""
AHEAD = 0.8
"""Metres of free floor wanted in front of a start: who stands before a wall sees nothing else."""
ATTEMPTS = 80
"""Starts drawn before the best of them is taken."""
BUMPS = 0.05
"""Share of the walks of `random` that go on until something is in the way: a collision has to be learnt, too."""
SHARES = {"random": 0.3, "tour": 0.3, "orbit": 0.3, "uniform": 0.1}
"""How often `mixed` draws each policy for an episode."""


class Policy(Protocol):
    """Walks one episode."""

    def start(self) -> Place | None:
        """Where to begin; None when the scene has no suitable place for this policy."""
        ...

    def act(self, place: Place, blocked: bool) -> str:
        """The name of the next primitive; blocked: whether the last one was."""
        ...


@dataclass(frozen=True, slots=True, eq=False)
class Walk:
    """What a policy did in an episode of T frames."""

    policy: str
    """Its name; for `mixed` the one that was drawn."""
    places: tuple[Place, ...]
    actions: tuple[str, ...]
    """T-1 names."""
    collided: np.ndarray
    """bool [T], whether the action that led to each place was blocked."""


def draw_walk(loaded: LoadedScene, policy: str, frames: int, rng: np.random.Generator) -> Walk:
    """Let a policy walk for `frames` frames without rendering any.

    policy: a name of `POLICIES` or `mixed`. `orbit` becomes `random` in a scene with nothing to walk around.
    Raises InputError for an unknown policy.
    """
    if policy == "mixed":
        policy = str(rng.choice(list(SHARES), p=list(SHARES.values())))
    if policy not in POLICIES:
        raise InputError(f"no policy {policy!r}; there are {', '.join(POLICIES)} and mixed")
    walker = POLICIES[policy](loaded, rng)
    place = walker.start()
    if place is None:
        policy, walker = "random", RandomWalk(loaded, rng)
        place = walker.start()
    assert place is not None
    places, actions, collided = [place], [], [False]
    for _ in range(frames - 1):
        action = walker.act(place, collided[-1])
        place, blocked = place.moved(NAVIGATION.primitive(action), loaded)
        places.append(place)
        actions.append(action)
        collided.append(blocked)
    return Walk(policy, tuple(places), tuple(actions), np.array(collided, bool))


def reach(loaded: LoadedScene, place: Place, turn_deg: float = 0.0, limit: float = 2.0) -> float:
    """Metres of free floor straight ahead after a turn, at most `limit`."""
    angle = math.radians(place.yaw_deg + turn_deg)
    (x, y), _ = loaded.nav.move((place.x, place.y), (limit * math.cos(angle), limit * math.sin(angle)))
    return math.hypot(x - place.x, y - place.y)


def bearing_deg(place: Place, xy: tuple[float, float]) -> float:
    """Degrees from the heading to a point, -180 to 180, positive to the left."""
    towards = math.degrees(math.atan2(xy[1] - place.y, xy[0] - place.x))
    return (towards - place.yaw_deg + 180) % 360 - 180


class _Walker:
    """Starts anywhere with some free floor ahead."""

    def __init__(self, loaded: LoadedScene, rng: np.random.Generator) -> None:
        self.loaded = loaded
        self.rng = rng

    def start(self) -> Place | None:
        best, most = None, -1.0
        for _ in range(ATTEMPTS):
            x, y = self.loaded.nav.random_free_point(self.rng)
            place = Place(x, y, TURN * int(self.rng.integers(16)))
            free = reach(self.loaded, place, limit=AHEAD)
            if free > most:
                best, most = place, free
            if most >= AHEAD - 1e-6:
                break
        return best

    def blocked_ahead(self, place: Place) -> bool:
        return place.moved(NAVIGATION.primitive(FORWARD), self.loaded)[1]


class UniformWalk(_Walker):
    """Each action is equally likely; collides as often as it happens to."""

    def act(self, place: Place, blocked: bool) -> str:
        return (FORWARD, LEFT, RIGHT)[int(self.rng.integers(3))]


class RandomWalk(_Walker):
    """Keeps walking or turning for a drawn number of steps and turns away from what is in the way."""

    STEPS = (2, 11)
    """Fewest steps ahead in a row, and one more than the most."""

    def __init__(self, loaded: LoadedScene, rng: np.random.Generator) -> None:
        super().__init__(loaded, rng)
        self._action = LEFT
        self._left = 0
        self._heedless = False

    def act(self, place: Place, blocked: bool) -> str:
        self._go_on()
        if self._action == FORWARD and (blocked or (not self._heedless and self.blocked_ahead(place))):
            # Towards the freer side, and at least as far as there is room for a walk.
            free = {side: max(reach(self.loaded, place, side * a) for a in (45.0, 90.0)) for side in (1, -1)}
            self._action = LEFT if free[1] + self.rng.uniform(-0.1, 0.1) > free[-1] else RIGHT
            self._left = int(self.rng.integers(2, 7))
        self._left -= 1
        return self._action

    def _go_on(self) -> None:
        """Draw what to do next, where the last thing is done."""
        if self._left:
            return
        if self._action == FORWARD:
            self._action = LEFT if self.rng.random() < 0.5 else RIGHT
            self._left = 1 + min(int(self.rng.geometric(0.4)), 8)
        else:
            self._action, self._left = FORWARD, int(self.rng.integers(*self.STEPS))
            self._heedless = bool(self.rng.random() < BUMPS)


class HeedlessWalk(RandomWalk):
    """Walks and turns whatever is in the way, so that there are collisions to learn from."""

    STEPS = (1, 6)

    def act(self, place: Place, blocked: bool) -> str:
        self._go_on()
        self._left -= 1
        return self._action


class TourWalk(_Walker):
    """Walks shortest paths to random places, one after the other."""

    def __init__(self, loaded: LoadedScene, rng: np.random.Generator) -> None:
        super().__init__(loaded, rng)
        self._path: list[tuple[float, float]] = []
        self._queue: list[str] = []

    def act(self, place: Place, blocked: bool) -> str:
        if not self._queue:
            self._plan(place)
        return self._queue.pop(0)

    def _plan(self, place: Place) -> None:
        """Queue the turns towards the next point of the path and one step."""
        while self._path and math.dist((place.x, place.y), self._path[0]) < 0.15:
            self._path.pop(0)
        if not self._path:
            here = place.x, place.y
            goal = max(
                (self.loaded.nav.random_free_point(self.rng) for _ in range(2)),
                key=lambda p: math.dist(here, p),
            )
            self._path = self.loaded.nav.shortest_path(here, goal)[1:]
        wanted = bearing_deg(place, self._path[0]) if self._path else 0.0
        for turns in sorted(range(-8, 8), key=lambda k: abs((wanted - TURN * k + 180) % 360 - 180)):
            turned = Place(place.x, place.y, (place.yaw_deg + TURN * turns) % 360.0)
            if not self.blocked_ahead(turned):
                self._queue = [LEFT if turns > 0 else RIGHT] * abs(turns) + [FORWARD]
                if abs((wanted - TURN * turns + 180) % 360 - 180) > 1.5 * TURN:
                    # Pushed off the path by an obstacle: plan anew from where this leads.
                    self._path = self._path[-1:]
                    self._replan(turned)
                return
        # Nowhere to step to: look around.
        self._queue, self._path = [LEFT if self.rng.random() < 0.5 else RIGHT] * 4, []

    def _replan(self, turned: Place) -> None:
        after, _ = turned.moved(NAVIGATION.primitive(FORWARD), self.loaded)
        self._path = self.loaded.nav.shortest_path((after.x, after.y), self._path[-1])[1:]


class OrbitWalk(_Walker):
    """Walks around a thing, keeping it roughly in view, as one does to recognise it."""

    DISTANCE = (1.0, 3.0)
    """Metres from the middle of the thing at the start."""
    KEEP = (0.9, 2.4)
    """Metres kept while walking around it."""
    IN_VIEW_DEG = 45.0
    LOOKAHEAD = 4
    """Actions tried in every combination before one is taken."""
    LOYALTY = 1.5
    """How much better the other way around must be before it is taken."""

    def __init__(self, loaded: LoadedScene, rng: np.random.Generator) -> None:
        super().__init__(loaded, rng)
        self._target = (0.0, 0.0)
        self._side = 1 if rng.random() < 0.5 else -1
        self._last = FORWARD

    def start(self) -> Place | None:
        things = [t for t in self.loaded.things.values() if not t.structure]
        for _ in range(ATTEMPTS if things else 0):
            thing = things[int(self.rng.integers(len(things)))]
            place = self._near(thing)
            if place is not None:
                return place
        return None

    def _near(self, thing: Instance) -> Place | None:
        """A place with the thing in sight and free floor ahead, or None when this draw has found none."""
        middle = (thing.lower[0] + thing.upper[0]) / 2, (thing.lower[1] + thing.upper[1]) / 2
        angle, away = self.rng.uniform(0, 2 * math.pi), self.rng.uniform(*self.DISTANCE)
        off = TURN * int(self.rng.integers(-1, 2))
        x, y = middle[0] + away * math.cos(angle), middle[1] + away * math.sin(angle)
        if not self.loaded.nav.is_free((x, y)):
            return None
        yaw = (TURN * round(bearing_deg(Place(x, y, 0.0), middle) / TURN) + off) % 360.0
        place = Place(float(x), float(y), yaw)
        pose = camera_pose(place.x, place.y, yaw)
        if reach(self.loaded, place, limit=AHEAD / 2) < AHEAD / 2 - 1e-6:
            return None
        if self.loaded.visibility.visible_pixels(thing.id, pose, 64) < 6:
            return None
        self._target = middle
        return place

    def act(self, place: Place, blocked: bool) -> str:
        ways = {
            side: self._best(place, self._last, side, self.LOOKAHEAD) for side in (self._side, -self._side)
        }
        # Where this side leads nowhere, the other one is taken from here on.
        if ways[-self._side][0] > ways[self._side][0] + self.LOYALTY:
            self._side = -self._side
        self._last = ways[self._side][1]
        return self._last

    def _best(self, place: Place, last: str, side: int, depth: int) -> tuple[float, str]:
        """The most that `depth` further actions are worth, and the first of them."""
        best, first = -10.0, LEFT if side < 0 else RIGHT
        for action in (FORWARD, LEFT, RIGHT) if depth else ():
            if {last, action} == {LEFT, RIGHT}:
                continue
            after, blocked = place.moved(NAVIGATION.primitive(action), self.loaded)
            if blocked:
                continue
            gone = math.hypot(after.x - self._target[0], after.y - self._target[1])
            value = side * self._around(place, after) / 8
            value -= 0.8 * max(abs(bearing_deg(after, self._target)) - self.IN_VIEW_DEG, 0) / TURN
            value -= 2.0 * (max(self.KEEP[0] - gone, 0) + max(gone - self.KEEP[1], 0))
            if depth > 1:
                value += self._best(after, action, side, depth - 1)[0]
            if value > best:
                best, first = value, action
        return best, first

    def _around(self, a: Place, b: Place) -> float:
        """Degrees by which the way from a to b goes around the target, counter-clockwise seen from above."""
        first = math.atan2(a.y - self._target[1], a.x - self._target[0])
        second = math.atan2(b.y - self._target[1], b.x - self._target[0])
        return math.degrees((second - first + math.pi) % (2 * math.pi) - math.pi)


POLICIES: dict[str, type[RandomWalk] | type[TourWalk] | type[OrbitWalk] | type[UniformWalk]] = {
    "random": RandomWalk,
    "tour": TourWalk,
    "orbit": OrbitWalk,
    "uniform": UniformWalk,
    "heedless": HeedlessWalk,
}
