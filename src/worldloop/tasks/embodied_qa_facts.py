"""What is true of a house, as far as somebody who walks through it can see: the ground of its questions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache, cached_property

import numpy as np

from worldloop.envs.house.assets import load_assets
from worldloop.envs.house.generate import House, PlacedObject, generate_house
from worldloop.envs.house.mesh import Instance
from worldloop.envs.house.render import camera_pose
from worldloop.envs.house.scenes import LoadedScene, load_scene
from worldloop.envs.house.words import NEAR, colour_shares

EYE = 1.25
"""Metres above the floor from which things are looked at, as in the task."""
SPACING = 0.7
"""Metres between the places from which a house is looked over."""
ROWS = 96
"""Rows of the panorama with which it is looked over."""
CLEAR = 40
"""Pixels of that panorama (1.9 degrees each) from which on a thing counts as well seen."""
PLAIN = 0.55
"""Share of its surface that must have one colour before a thing has that colour."""


@dataclass(frozen=True, eq=False)
class SceneFacts:
    """A house with what can be seen in it from where."""

    house: House
    loaded: LoadedScene
    places: np.ndarray
    """float64 [P,2], where somebody can stand, metres."""
    rooms: Sequence[str]
    """The room of each place, empty in a door."""
    seen: np.ndarray
    """int32 [P,T+1], pixels that a thing takes up in the panorama from a place, by instance id."""

    @classmethod
    def of(cls, scene: str) -> SceneFacts:
        """Look over a procedural house; InputError for a scene that is none."""
        house, loaded = generate_house(scene), load_scene(scene)
        places = _places(loaded)
        seen = np.stack([_look(loaded, place) for place in places])
        rooms = [next((r.name for r in house.rooms if _inside(p, r.rect)), "") for p in places]
        return cls(house, loaded, places, rooms, seen)

    @cached_property
    def kinds(self) -> dict[str, str]:
        """Room name -> kind of room."""
        return {room.name: room.kind for room in self.house.rooms}

    @cached_property
    def single_rooms(self) -> dict[str, str]:
        """Kind -> room name, for kinds that the house has one room of: only these can be named."""
        kinds = list(self.kinds.values())
        return {kind: name for name, kind in self.kinds.items() if kinds.count(kind) == 1}

    @cached_property
    def ids(self) -> dict[str, int]:
        """Object name -> instance id."""
        return {thing.name: thing.id for thing in self.loaded.things.values()}

    def thing(self, name: str) -> Instance:
        """The instance of an object."""
        return self.loaded.things[self.ids[name]]

    def objects(self, category: str, room: str | None = None) -> list[PlacedObject]:
        """All objects of a category, in one room or in the house."""
        return [o for o in self.house.objects if o.category == category and room in (None, o.room)]

    def clear(self, name: str) -> bool:
        """Whether an object is well seen from somewhere."""
        return bool(self.seen[:, self.ids[name]].max(initial=0) >= CLEAR)

    def countable(self, category: str, room: str | None = None) -> list[PlacedObject] | None:
        """The objects of a category, or None where it is not plain how many: one of them is hardly visible,
        or there is something that might go by the same name."""
        found = self.objects(category, room)
        if any(self.objects(near, room) for near in NEAR.get(category, ())):
            return None
        return found if all(self.clear(o.name) for o in found) else None

    def only(self, category: str) -> PlacedObject | None:
        """The one object of its category in the house, if there is one and it is well seen."""
        found = self.objects(category)
        return found[0] if len(found) == 1 and self.clear(found[0].name) else None

    def colour(self, thing: PlacedObject) -> str | None:
        """The colour of most of an object's surface, None for motley ones."""
        return asset_colour(thing.asset)

    def distances(self, start: tuple[float, float]) -> np.ndarray:
        """float64 [P], metres to walk from a start to each place; infinite where there is no way."""
        nav = self.loaded.nav
        field = nav.distance_field(start)
        return np.array([field[tuple(nav.cell_of(tuple(p)))] for p in self.places])

    def walk_to_see(self, distances: np.ndarray, evidence: Sequence[int], rooms: Sequence[str]) -> float:
        """Metres that must at least be walked to see all the evidence well and to set foot in all the rooms.

        It is the farthest of the shortest ways, a lower bound of the way to all of them; infinite when
        something is out of reach.
        """
        at = [distances[self.seen[:, i] >= CLEAR].min(initial=np.inf) for i in evidence]
        at += [distances[[r == room for r in self.rooms]].min(initial=np.inf) for room in rooms]
        return float(max(at, default=0.0))


@cache
def asset_colour(asset: str) -> str | None:
    """The colour of most of the surface of a piece of furniture, None for motley ones."""
    library = load_assets()
    mesh = library.mesh(asset)
    edges = mesh.positions[:, 1:] - mesh.positions[:, :1]
    areas = np.linalg.norm(np.cross(edges[:, 0], edges[:, 1]), axis=1)
    values, weights = [], []
    for texture in np.unique(mesh.layers):
        part = mesh.layers == texture
        tints, group = np.unique(mesh.colours[part], axis=0, return_inverse=True)
        for tint, area in zip(tints, np.bincount(group.reshape(-1), areas[part])):
            pixels = np.ones((1, 3))
            if texture >= 0:
                pixels = library.texture(int(texture))[::4, ::4].reshape(-1, 3) / 255
            values.append(pixels * tint)
            weights.append(np.full(len(pixels), area / len(pixels)))
    shares = list(colour_shares(np.concatenate(values), np.concatenate(weights)).items())
    plain = shares[0][1] >= PLAIN and (len(shares) == 1 or shares[1][1] <= shares[0][1] / 2)
    return shares[0][0] if plain else None


def _places(loaded: LoadedScene) -> np.ndarray:
    nav = loaded.nav
    free = np.argwhere(nav.free)
    centres = np.array([nav.centre_of(cell) for cell in free])
    squares = np.floor(centres / SPACING).astype(int)
    middle = np.hypot(*(centres - (squares + 0.5) * SPACING).T)
    order = np.argsort(middle, kind="stable")
    _, first = np.unique(squares[order], axis=0, return_index=True)
    return np.round(centres[np.sort(order[first])], 4)


def _look(loaded: LoadedScene, place: np.ndarray) -> np.ndarray:
    """int32 [T+1]: pixels of each thing, between 40 degrees below and above the horizon, as in a level view."""
    around = loaded.renderer.panorama(
        camera_pose(float(place[0]), float(place[1]), 0.0, EYE), ROWS
    ).segmentation
    cut = round(ROWS * 50 / 180)
    size = max(loaded.things) + 1
    return np.bincount(around[cut : ROWS - cut].ravel(), minlength=size)[:size].astype(np.int32)


def _inside(place: np.ndarray, rect: tuple[float, float, float, float]) -> bool:
    return bool(rect[0] <= place[0] <= rect[2] and rect[1] <= place[1] <= rect[3])
