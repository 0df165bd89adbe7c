"""Furnishes the rooms of a house: groups that belong together first, then the recipe of each kind of room."""

from __future__ import annotations

import numpy as np

from worldloop.envs.house.assets import Asset, AssetLibrary
from worldloop.envs.house.layout import GAP, RoomLayout
from worldloop.envs.house.placement import PlacedObject, turn
from worldloop.envs.house.plan import SIDES, FloorPlan, Room
from worldloop.envs.house.recipes import CLUTTER, CLUTTER_COUNT, FIRST, SMALL, Step

MAX_OBJECTS = 45
MIN_OBJECTS = 26


class Furnisher:
    """Furnishes one house in one style; each room draws from a generator of its own."""

    def __init__(
        self, plan: FloorPlan, style: str, library: AssetLibrary, rngs: dict[str, np.random.Generator]
    ) -> None:
        self.style = style
        self.library = library
        self._counts: dict[str, int] = {}
        self._bath = any(r.kind == "bathroom" for r in plan.rooms)
        self.layouts = [RoomLayout(r, plan, library, rngs[r.name], [], self._counts) for r in plan.rooms]

    def furnish(self) -> list[PlacedObject]:
        """All objects, room by room: large pieces first, then what stands on them, then what lies about."""
        for layout in self.layouts:
            getattr(self, f"_{layout.room.kind}")(layout)
            for step in FIRST[layout.room.kind]:
                self._step(layout, step)
        for layout in self.layouts:
            for step in SMALL[layout.room.kind]:
                self._step(layout, step)
        for turn_taken in range(max(CLUTTER_COUNT.values())):
            for layout in self.layouts:
                if turn_taken < CLUTTER_COUNT[layout.room.kind]:
                    self._clutter(layout)
        for layout in self.layouts * 4:
            if self.total >= MIN_OBJECTS:
                break
            self._clutter(layout)
        return [o for layout in self.layouts for o in layout.objects]

    @property
    def total(self) -> int:
        """Objects placed so far."""
        return sum(len(layout.objects) for layout in self.layouts)

    def pick(self, layout: RoomLayout, category: str, role: str | None = None) -> Asset:
        """One of the style's assets of a category, by chance; another than the room has, if there is one."""
        assets = self.library.find(self.style, category, role)
        here = {o.asset for o in layout.objects}
        assets = [a for a in assets if a.id not in here] or assets
        return assets[int(layout.rng.integers(len(assets)))]

    def _step(self, layout: RoomLayout, step: Step) -> PlacedObject | None:
        if layout.rng.random() > step.chance or self.total >= MAX_OBJECTS:
            return None
        if step.category == "desk":
            return self._desk(layout)
        asset = self.pick(layout, step.category, step.role)
        if asset.placement == "surface":
            return self._put_on(layout, asset, step.on)
        if asset.placement == "ceiling":
            return layout.overhead(asset)
        if asset.placement == "wall":
            return self._hang(layout, asset)
        if asset.placement == "floor_free":
            return layout.free(asset)
        return layout.against_wall(asset, step.clear)

    def _put_on(self, layout: RoomLayout, asset: Asset, preferred: tuple[str, ...]) -> PlacedObject | None:
        bases = [o for o in layout.objects if not o.support and self.library.assets[o.asset].support_height]
        order = [bases[k] for k in layout.rng.permutation(len(bases))]
        order.sort(key=lambda o: preferred.index(o.category) if o.category in preferred else len(preferred))
        if asset.category == "tv":
            order = [o for o in order if o.category in preferred]
        steady = asset.category in ("tv", "laptop", "microwave", "coffee_machine")
        return layout.stand_on(asset, order, 0.0 if steady else 60.0)

    def _hang(self, layout: RoomLayout, asset: Asset) -> PlacedObject | None:
        if asset.role == "upper":
            for base in [
                o for o in layout.objects if o.role == "kitchen" and o.category in ("cabinet", "sink")
            ]:
                along = base.position[0 if base.side in ("north", "south") else 1]
                placed = layout.hang(asset, base.side, along) if base.side else None
                if placed:
                    return placed
            return None
        x0, y0, x1, y1 = layout.room.rect
        for _ in range(4):
            for side in layout.rng.permutation(list(SIDES)):
                low, high = (x0, x1) if side in ("north", "south") else (y0, y1)
                placed = layout.hang(asset, str(side), float(layout.rng.uniform(low, high)))
                if placed:
                    return placed
        return None

    def _clutter(self, layout: RoomLayout) -> None:
        if self.total >= MAX_OBJECTS or layout.rng.random() < 0.12:
            return
        here = {o.category for o in layout.objects if o.role != "table"}
        choices = [c for c in CLUTTER[layout.room.kind] if c == "chair" or c not in here]
        if choices:
            # Fewest in the house first, by chance among equals: every category gets its turn.
            order = sorted(
                layout.rng.permutation(choices), key=lambda c: self._counts.get(c, 0) * layout.rng.random()
            )
            for category in order[:3]:
                role = "floor" if category in ("plant", "lamp") else None
                if layout.free(self.pick(layout, str(category), role)):
                    return

    def _living_room(self, layout: RoomLayout) -> None:
        sofa = None
        for _ in range(3):
            sofa = sofa or layout.against_wall(self.pick(layout, "sofa"), clear=0.35)
        if sofa is None:
            return
        c, s = turn(sofa.yaw_deg)
        table = self.pick(layout, "table", "coffee")
        reach = self.library.assets[sofa.asset].size[1] / 2 + 0.38 + table.size[1] / 2
        x, y = sofa.position[0] + s * reach, sofa.position[1] - c * reach
        # The strip kept free before the sofa ends where its table begins.
        placed = layout.at(table, x, y, sofa.yaw_deg)
        if layout.rng.random() < 0.75:
            rug = self.pick(layout, "rug")
            where = placed or sofa
            reach = 0.0 if placed else reach
            layout.lay(rug, where.position[0] + s * reach, where.position[1] - c * reach, sofa.yaw_deg)

    def _kitchen(self, layout: RoomLayout) -> None:
        units = ["refrigerator", "cabinet", "sink", "stove"]
        units += ["cabinet"] if layout.rng.random() < 0.6 else []
        units += ["washing_machine"] if not self._bath or layout.rng.random() < 0.15 else []
        roles = {"cabinet": "kitchen", "sink": "kitchen"}
        self._row(layout, [self.pick(layout, u, roles.get(u)) for u in units])
        self._table(layout, 4)

    def _row(self, layout: RoomLayout, assets: list[Asset]) -> None:
        """Kitchen units side by side along the wall with the most room, the rest wherever they fit."""
        x0, y0, x1, y1 = layout.room.rect
        blocked = {s: sum(layout_side(o.axis, o.line, layout.room) == s for o in layout.doors) for s in SIDES}
        length = {s: (x1 - x0) if s in ("north", "south") else (y1 - y0) for s in SIDES}
        side = max(SIDES, key=lambda s: length[s] - 1.5 * blocked[s] + layout.rng.random())
        low = x0 if side in ("north", "south") else y0
        cursor = low + GAP + 0.01
        for asset in assets:
            placed = None
            while placed is None and cursor + asset.size[0] < low + length[side]:
                placed = layout.on_side(asset, side, cursor + asset.size[0] / 2, clear=0.45)
                cursor += asset.size[0] + 0.015 if placed else 0.2
            if placed is None:
                layout.against_wall(asset, clear=0.45)

    def _table(self, layout: RoomLayout, chairs: int) -> None:
        table = self.pick(layout, "table", "dining")
        x0, y0, x1, y1 = layout.room.rect
        placed = None
        for _ in range(24):
            x, y = (
                float(layout.rng.uniform(x0 + 0.6, x1 - 0.6)),
                float(layout.rng.uniform(y0 + 0.6, y1 - 0.6)),
            )
            placed = layout.at(table, x, y, 90.0 * int(layout.rng.integers(2)))
            if placed:
                break
        if placed is None:
            return
        chair = self.pick(layout, "chair")
        w, d = (placed.upper[k] - placed.lower[k] for k in (0, 1))
        spots = [(0.0, -1, 180.0), (0.0, 1, 0.0), (-1.0, 0, 90.0), (1.0, 0, 270.0)]
        if w > 1.35:
            spots += [(0.55, -1, 180.0), (0.55, 1, 0.0)]
            spots[:2] = [(-0.55, -1, 180.0), (-0.55, 1, 0.0)]
        for k in layout.rng.permutation(len(spots))[:chairs]:
            u, v, yaw = spots[k]
            reach = chair.size[1] / 2 + 0.02 + 0.12 * float(layout.rng.random())
            x = placed.position[0] + u * w / 2 + (reach * u if v == 0 else 0.0)
            y = placed.position[1] + v * d / 2 + reach * v
            layout.at(chair, x, y, yaw)

    def _desk(self, layout: RoomLayout) -> PlacedObject | None:
        desk = layout.against_wall(self.pick(layout, "desk"))
        if desk is not None:
            chair = self.pick(layout, "chair")
            c, s = turn(desk.yaw_deg)
            reach = self.library.assets[desk.asset].size[1] / 2 + chair.size[1] / 2 + 0.03
            layout.at(
                chair, desk.position[0] + s * reach, desk.position[1] - c * reach, (desk.yaw_deg + 180) % 360
            )
        return desk

    def _bedroom(self, layout: RoomLayout) -> None:
        bed = None
        for _ in range(3):
            bed = bed or layout.against_wall(self.pick(layout, "bed"), clear=0.3)
        if bed is None:
            return
        axis = 0 if bed.side in ("north", "south") else 1
        stand = self.pick(layout, "nightstand")
        for sign in layout.rng.permutation([-1, 1])[: 1 if layout.rng.random() < 0.5 else 2]:
            edge = bed.upper[axis] if sign > 0 else bed.lower[axis]
            layout.on_side(stand, bed.side, edge + float(sign) * (stand.size[0] / 2 + 0.05))
        if layout.rng.random() < 0.6:
            c, s = turn(bed.yaw_deg)
            reach = 0.6 * self.library.assets[bed.asset].size[1]
            layout.lay(
                self.pick(layout, "rug"),
                bed.position[0] + s * reach,
                bed.position[1] - c * reach,
                bed.yaw_deg,
            )

    def _bathroom(self, layout: RoomLayout) -> None:
        """Nothing comes before the bathroom's list."""

    def _study(self, layout: RoomLayout) -> None:
        self._desk(layout)
        self._centre_rug(layout, 0.5)

    def _dining_room(self, layout: RoomLayout) -> None:
        self._table(layout, 6)
        self._centre_rug(layout, 0.4)

    def _centre_rug(self, layout: RoomLayout, chance: float) -> None:
        if layout.rng.random() < chance:
            x0, y0, x1, y1 = layout.room.rect
            yaw = 90.0 * int(layout.rng.integers(2))
            layout.lay(self.pick(layout, "rug"), (x0 + x1) / 2, (y0 + y1) / 2, yaw)


def layout_side(axis: int, line: float, room: Room) -> str:
    """The side of a room on which a wall line lies."""
    x0, y0, x1, y1 = room.rect
    if axis == 0:
        return "south" if abs(line - y0) < abs(line - y1) else "north"
    return "west" if abs(line - x0) < abs(line - x1) else "east"
