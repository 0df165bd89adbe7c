"""Procedural furnished houses: a scene id names one for ever, on every machine."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from worldloop.core.seeds import derive_seed, generator
from worldloop.envs.house.assets import AssetLibrary, load_assets
from worldloop.envs.house.building import RoomMaterials, build, choose_materials
from worldloop.envs.house.furnish import Furnisher
from worldloop.envs.house.mesh import TriangleScene
from worldloop.envs.house.placement import PlacedObject, turn
from worldloop.envs.house.plan import FloorPlan, Opening, Rect, Room, draw_plan
from worldloop.envs.house.soup import TriangleSoup
from worldloop.envs.house.splits import SPLITS, STYLES, SceneId, check_disjoint, parse_scene_id, scene_ids

GENERATOR_VERSION = 2
"""Part of every scene's key: raise it whenever the same id would give another house."""
LIGHT_HEIGHT = 2.4
CATEGORIES = (
    "armchair", "backpack", "ball", "basket", "bathtub", "bean_bag", "bed", "bin", "bookcase", "books", "bottle",
    "box", "cabinet", "ceiling_lamp", "chair", "clock", "coffee_machine", "crib", "desk", "dresser", "fan",
    "fireplace", "flowers", "fruit_bowl", "guitar", "lamp", "laptop", "microwave", "nightstand", "piano", "picture",
    "plant", "radiator", "refrigerator", "room_divider", "rug", "sink", "sofa", "step_ladder", "stool", "stove",
    "table", "teddy_bear", "toilet", "towel_rack", "tv", "vase", "wardrobe", "washing_machine",
)  # fmt: skip
"""Every category of furniture, sorted."""

__all__ = [
    "CATEGORIES",
    "GENERATOR_VERSION",
    "SPLITS",
    "STYLES",
    "House",
    "Opening",
    "PlacedObject",
    "Room",
    "RoomMaterials",
    "SceneId",
    "build_scene",
    "check_disjoint",
    "generate_house",
    "parse_scene_id",
    "scene_ids",
]


@dataclass(frozen=True, slots=True)
class House:
    """A furnished house as a description; `build_scene` gives it shape."""

    id: str
    split: str
    style: str
    seed: int
    rooms: tuple[Room, ...]
    doors: tuple[Opening, ...]
    windows: tuple[Opening, ...]
    materials: Mapping[str, RoomMaterials]
    """Room name -> its materials."""
    objects: tuple[PlacedObject, ...]
    lights: tuple[tuple[float, float, float], ...]
    """Positions of the lamps that light the rooms, metres."""
    bounds: Rect
    """Middle lines of the outer walls: x0, y0, x1, y1 in metres."""


def generate_house(scene_id: str, library: AssetLibrary | None = None) -> House:
    """The house of a scene id such as `house/test/A/0003`; InputError for any other id.

    library: the furniture, by default what ships with the package.
    """
    parsed = parse_scene_id(scene_id)
    library = library or load_assets()
    name = str(parsed)
    plan = draw_plan(generator("house", name, "plan"))
    materials = {
        r.name: choose_materials(generator("house", name, "materials", r.name), parsed.style, r)
        for r in plan.rooms
    }
    rngs = {r.name: generator("house", name, "furniture", r.name) for r in plan.rooms}
    objects = Furnisher(plan, parsed.style, library, rngs).furnish()
    lights = tuple(p for room in plan.rooms for p in _lights(room, objects))
    seed = derive_seed("house", name)
    return House(
        name, parsed.split, parsed.style, seed, plan.rooms, plan.doors, plan.windows, materials, tuple(objects), lights,
        plan.bounds,
    )  # fmt: skip


def build_scene(house: House, library: AssetLibrary | None = None) -> TriangleScene:
    """The triangles of a house: the building first, then each object as an instance of its own.

    library: the furniture with which the house was generated.
    """
    library = library or load_assets()
    soup = TriangleSoup()
    build(soup, FloorPlan(house.rooms, house.doors, house.windows, house.bounds), house.materials)
    for placed in house.objects:
        mesh = library.mesh(placed.asset)
        c, s = turn(placed.yaw_deg)
        rotation = np.array([[c, -s, 0], [s, c, 0], [0, 0, 1]], np.float32)
        layers = np.full(len(mesh.layers), -1, np.int32)
        for texture in np.unique(mesh.layers[mesh.layers >= 0]):
            layers[mesh.layers == texture] = soup.layer(f"furniture {texture}", library.texture(int(texture)))
        soup.begin()
        soup.mesh(mesh, rotation, placed.position, layers)
        soup.end(placed.category, placed.name, placed.room, False)
    key = hashlib.sha256(f"{house.id} {GENERATOR_VERSION} {library.hash}".encode()).hexdigest()[:32]
    floors = [room.rect for room in house.rooms] + [_passage(door) for door in house.doors]
    return TriangleScene(
        key=key,
        things=soup.things,
        lights=np.array(house.lights, np.float32),
        walkable=tuple(floors),
        rooms={room.name: room.rect for room in house.rooms},
        **soup.arrays(),
    )


def _lights(room: Room, objects: Sequence[PlacedObject]) -> list[tuple[float, float, float]]:
    """One light in the middle, within the hanging lamp if there is one; two where a room is long."""
    x0, y0, x1, y1 = room.rect
    x, y, w, d = (x0 + x1) / 2, (y0 + y1) / 2, x1 - x0, y1 - y0
    lamps = [o for o in objects if o.category == "ceiling_lamp" and o.room == room.name]
    if lamps or max(w, d) < 5.0:
        height = lamps[0].lower[2] + 0.12 if lamps else LIGHT_HEIGHT
        return [(round(x, 4), round(y, 4), round(height, 4))]
    reach = max(w, d) / 4
    offsets = ((reach, 0.0), (-reach, 0.0)) if w > d else ((0.0, reach), (0.0, -reach))
    return [(round(x + u, 4), round(y + v, 4), LIGHT_HEIGHT) for u, v in offsets]


def _passage(door: Opening) -> Rect:
    """The walkable floor of a door, reaching a little into both rooms so that the floors join."""
    x0, y0, x1, y1 = door.rect
    return (x0, y0 - 0.1, x1, y1 + 0.1) if door.axis == 0 else (x0 - 0.1, y0, x1 + 0.1, y1)
