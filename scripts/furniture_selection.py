"""Which models ship: category by category, three styles with instances of their own.

A choice names its library (`zero`, `by`, `kator`, `scopia`; `own` is drawn in `furniture_shapes`), the model's
file there, and whatever has to be changed about it. Models named after a brand or bearing a logo are left out.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import furniture_paint as paint
import furniture_shapes as shapes
from furniture_source import Model

Colour = tuple[float, float, float]
LIVING, BED, KITCHEN, BATH, STUDY, DINING = (
    "living_room",
    "bedroom",
    "kitchen",
    "bathroom",
    "study",
    "dining_room",
)
EVERYWHERE = (LIVING, BED, KITCHEN, BATH, STUDY, DINING)


@dataclass(frozen=True)
class Kind:
    """What holds for all instances of a category and role."""

    category: str
    placement: str
    rooms: tuple[str, ...]
    role: str = ""
    triangles: int = 1200
    elevation: float = 0.0
    """Height of the middle (wall) above the floor."""


@dataclass(frozen=True)
class Choice:
    """One instance."""

    style: str
    library: str
    key: str
    tint: Colour | None = None
    """Multiplies every colour and texture: makes a variant."""
    scale: Colour = (1.0, 1.0, 1.0)
    """Factors along width, depth and height."""
    turns: int = 0
    draw: Callable[[], Model] | None = None
    skip: tuple[int, ...] = ()
    """Parts left out, by position."""
    triangles: int = 0
    """Replaces the budget of the kind where a shape needs more."""


def own(style: str, draw: Callable[[], Model], key: str = "", scale: Colour = (1.0, 1.0, 1.0)) -> Choice:
    """A model of our own; those of one `key` are variants of one shape."""
    return Choice(style, "own", key, scale=scale, draw=draw)


SELECTION: list[tuple[Kind, list[Choice]]] = [
    (
        Kind("chair", "floor_free", (LIVING, KITCHEN, STUDY, DINING, BED), triangles=1000),
        [
            Choice("A", "zero", "oakChair"),
            Choice("A", "zero", "chairWithCushion"),
            Choice("A", "by", "ella_chair_f"),
            Choice("B", "zero", "plasticChair"),
            Choice("B", "zero", "osakaChair"),
            Choice("B", "scopia", "plastic_chair"),
            Choice("B", "zero", "armchair"),
            Choice("C", "zero", "antiqueChair"),
            Choice("C", "zero", "chair2"),
            Choice("C", "by", "plaidChair", triangles=1900),
            Choice("C", "scopia", "chair"),
        ],
    ),
    (
        Kind("table", "floor_free", (KITCHEN, DINING, LIVING), role="dining", triangles=1000),
        [
            Choice("A", "zero", "oakTable"),
            Choice("A", "zero", "table", scale=(0.72, 0.9, 1.0)),
            Choice("B", "scopia", "white_kitchen_table"),
            Choice("B", "scopia", "round-table"),
            Choice("C", "zero", "tableWithTablecloth", scale=(1.25, 1.25, 1.0)),
            Choice("C", "scopia", "black_table", scale=(0.85, 0.9, 1.0)),
        ],
    ),
    (
        Kind("table", "floor_free", (LIVING,), role="coffee", triangles=800),
        [
            Choice("A", "scopia", "living_room_table", scale=(1.0, 1.0, 0.85)),
            Choice("B", "by", "coffeeTable"),
            Choice("C", "scopia", "table_wood_and_iron"),
        ],
    ),
    (
        Kind("desk", "floor_wall", (STUDY, BED)),
        [
            Choice("A", "by", "biurko3"),
            Choice("B", "by", "officeTable", scale=(0.8, 0.9, 1.0)),
            Choice("B", "scopia", "kids_desk_table"),
            Choice("C", "zero", "desk"),
            Choice("C", "scopia", "kids_wooden_desk", scale=(1.2, 1.0, 1.0)),
        ],
    ),
    (
        Kind("sofa", "floor_wall", (LIVING,), triangles=1500),
        [
            Choice("A", "zero", "sofa2"),
            Choice("A", "scopia", "clear_sofa"),
            Choice("A", "scopia", "simple_sofa"),
            Choice("B", "zero", "L_shaped_sofa"),
            Choice("B", "kator", "mid-century-sofa"),
            Choice("B", "kator", "futon-couch"),
            Choice("C", "zero", "winchesterSofa"),
            Choice("C", "by", "sofa3"),
            Choice("C", "by", "couch3"),
        ],
    ),
    (
        Kind("armchair", "floor_wall", (LIVING, STUDY, BED)),
        [
            Choice("A", "zero", "armchair2"),
            Choice("A", "scopia", "armchair2", triangles=1600),
            Choice("B", "zero", "modernArmchair"),
            Choice("B", "kator", "mid-century-chair"),
            Choice("B", "scopia", "armchair1"),
            Choice("C", "zero", "winchesterArmchair"),
            Choice("C", "by", "fotel"),
        ],
    ),
    (
        Kind("bed", "floor_wall", (BED,), triangles=1800),
        [
            Choice("A", "zero", "bed2"),
            Choice("A", "scopia", "captains-bed", triangles=2500),
            Choice("B", "zero", "bed1"),
            Choice("B", "by", "juniorBed"),
            Choice("C", "zero", "bed3", scale=(0.85, 0.95, 1.0)),
            Choice("C", "scopia", "bed1"),
        ],
    ),
    (
        Kind("nightstand", "floor_wall", (BED,)),
        [
            Choice("A", "by", "bedsideTable"),
            own(
                "B",
                lambda: shapes.drawers(
                    "White nightstand", (0.45, 0.4, 0.55), 2, 1, shapes.OAK, shapes.WHITE, shapes.DARK
                ),
            ),
            own(
                "C",
                lambda: shapes.drawers(
                    "Dark nightstand",
                    (0.42, 0.38, 0.62),
                    3,
                    1,
                    shapes.WALNUT,
                    (0.4, 0.25, 0.16),
                    (0.8, 0.65, 0.3),
                ),
            ),
        ],
    ),
    (
        Kind("wardrobe", "floor_wall", (BED,)),
        [
            Choice("A", "by", "wardrobe"),
            Choice("B", "by", "wardrobe2", scale=(0.85, 1.0, 1.0)),
            Choice("C", "scopia", "wardrobe1", scale=(0.75, 1.0, 1.0)),
        ],
    ),
    (
        Kind("bookcase", "floor_wall", (LIVING, STUDY, BED), triangles=1800),
        [
            own("A", lambda: shapes.bookcase("Oak bookcase", (0.9, 0.3, 1.95), 5, shapes.OAK, 11)),
            own("A", lambda: shapes.bookcase("Low oak bookcase", (1.1, 0.3, 1.1), 3, (0.78, 0.6, 0.4), 12)),
            own("B", lambda: shapes.bookcase("White bookcase", (0.8, 0.3, 1.85), 5, shapes.WHITE, 21)),
            Choice("B", "by", "bookcase"),
            own("C", lambda: shapes.bookcase("Dark bookcase", (1.1, 0.32, 2.05), 6, shapes.WALNUT, 31)),
            Choice("C", "kator", "full-bookcase"),
        ],
    ),
    (
        Kind("dresser", "floor_wall", (BED, LIVING, DINING)),
        [
            Choice("A", "by", "chest"),
            Choice("B", "by", "dresserWithDrawers"),
            own(
                "C",
                lambda: shapes.drawers(
                    "Dark dresser",
                    (1.2, 0.48, 0.85),
                    3,
                    2,
                    shapes.WALNUT,
                    (0.37, 0.23, 0.15),
                    (0.8, 0.65, 0.3),
                ),
            ),
        ],
    ),
    (
        Kind("cabinet", "floor_wall", (KITCHEN,), role="kitchen", triangles=700),
        [
            Choice("A", "zero", "lowerCabinet"),
            Choice("B", "by", "kitchenLowerCabinet"),
            Choice(
                "C", "by", "kitchenIsland", triangles=1500, tint=(0.42, 0.3, 0.24), scale=(0.9, 0.85, 1.05)
            ),
        ],
    ),
    (
        Kind("cabinet", "wall", (KITCHEN,), role="upper", triangles=600, elevation=1.75),
        [
            Choice("A", "zero", "upperCabinet"),
            Choice("B", "by", "kitchenUpperCabinet"),
            Choice("C", "by", "kitchenGlassDoorCabinet", tint=(0.42, 0.3, 0.24), scale=(1.6, 1.0, 0.95)),
        ],
    ),
    (
        Kind("cabinet", "floor_wall", (LIVING,), role="tv_stand", triangles=600),
        [
            own(
                "A",
                lambda: shapes.low_cabinet(
                    "Oak low cabinet", (1.4, 0.42, 0.5), shapes.OAK, (0.8, 0.63, 0.43)
                ),
            ),
            own(
                "B",
                lambda: shapes.low_cabinet(
                    "White low cabinet", (1.5, 0.4, 0.45), shapes.WHITE, (0.35, 0.5, 0.55)
                ),
            ),
            Choice("C", "by", "tvStand"),
        ],
    ),
    (
        Kind("tv", "surface", (LIVING, BED), role="tv", triangles=600),
        [
            Choice("A", "scopia", "tv", scale=(1.45, 1.0, 1.3)),
            own("B", lambda: shapes.television("Television", 1.0, paint.television_picture(7)), "television"),
            own(
                "C",
                lambda: shapes.television("Large television", 1.15, paint.television_picture(19)),
                "television",
            ),
        ],
    ),
    (
        Kind("refrigerator", "floor_wall", (KITCHEN,)),
        [
            Choice("A", "kator", "fridge", scale=(1.1, 1.1, 1.3)),
            Choice("B", "zero", "largeFridge"),
            Choice("C", "zero", "refrigerator"),
        ],
    ),
    (
        Kind("stove", "floor_wall", (KITCHEN,)),
        [
            Choice("A", "kator", "propane-stove", triangles=2000, scale=(1.0, 1.0, 1.45)),
            own("B", lambda: shapes.stove("White cooker", shapes.WHITE)),
            Choice("C", "by", "largeStove", scale=(0.85, 0.9, 1.0)),
        ],
    ),
    (
        Kind("sink", "floor_wall", (KITCHEN,), role="kitchen"),
        [
            Choice("A", "zero", "sinkCabinet"),
            Choice("B", "by", "kitchenSink", triangles=2000),
            Choice("C", "zero", "modernVanity", tint=(0.55, 0.4, 0.3), scale=(1.05, 0.88, 0.98)),
        ],
    ),
    (
        Kind("sink", "floor_wall", (BATH,), role="bath"),
        [
            Choice("A", "zero", "washbasin"),
            Choice("B", "scopia", "bathroom_vanity", triangles=2500),
            Choice("C", "by", "washbasin_jay_hardy"),
        ],
    ),
    (
        Kind("toilet", "floor_wall", (BATH,)),
        [
            Choice("A", "zero", "toiletsUnit"),
            Choice("B", "by", "modernToilet"),
            Choice("C", "by", "toilets_unit_jay_hardy"),
        ],
    ),
    (
        Kind("bathtub", "floor_wall", (BATH,), triangles=1500),
        [
            Choice("A", "scopia", "corner_bathtub", triangles=2500, scale=(0.88, 0.88, 0.9)),
            Choice("B", "by", "bath_jay_hardy"),
            own("C", lambda: shapes.bathtub("Oval bathtub", (0.35, 0.16, 0.18))),
        ],
    ),
    (
        Kind("washing_machine", "floor_wall", (BATH, KITCHEN)),
        [
            own("A", lambda: shapes.washing_machine("Washing machine", shapes.CREAM), "washing_machine"),
            Choice("B", "scopia", "clothes_washing_machine"),
            own(
                "C",
                lambda: shapes.washing_machine("Dark washing machine", (0.3, 0.31, 0.34)),
                "washing_machine",
                (1.0, 0.94, 1.04),
            ),
        ],
    ),
    (
        Kind("piano", "floor_wall", (LIVING, STUDY), triangles=1500),
        [
            Choice("A", "by", "piano", tint=(0.0, 0.0, 0.0), scale=(1.04, 0.95, 0.92)),
            Choice("B", "by", "piano"),
            Choice("C", "zero", "pianoAQueue", scale=(0.95, 0.85, 0.9)),
        ],
    ),
    (
        Kind("fireplace", "floor_wall", (LIVING,)),
        [
            Choice("A", "scopia", "fireplace1"),
            Choice("B", "scopia", "furnace", scale=(1.0, 0.55, 0.95)),
            Choice("C", "scopia", "fireplace2"),
        ],
    ),
    (
        Kind("plant", "floor_free", EVERYWHERE, role="floor", triangles=2000),
        [
            Choice("A", "zero", "decorativePlant"),
            Choice("A", "scopia", "maceta", scale=(1.1, 1.1, 1.3)),
            Choice("B", "zero", "plant", scale=(0.8, 0.8, 1.0)),
            Choice("B", "by", "mediumIndoorPlant", scale=(0.8, 0.8, 1.2)),
            Choice("C", "by", "spatifilum", scale=(0.8, 0.8, 1.0)),
            Choice("C", "by", "yuccaPlant", scale=(0.7, 0.7, 0.9)),
        ],
    ),
    (
        Kind("plant", "surface", EVERYWHERE, role="small", triangles=900),
        [
            Choice("A", "zero", "littlePlant", triangles=2300),
            Choice("B", "zero", "cactus", scale=(1.2, 1.2, 1.2)),
            Choice("C", "scopia", "bonsai-tree", scale=(0.8, 0.8, 0.9)),
        ],
    ),
    (
        Kind("flowers", "surface", (LIVING, KITCHEN, DINING, BED, STUDY), triangles=1500),
        [
            Choice("A", "by", "tulips"),
            Choice("B", "zero", "orchids", triangles=2500),
            Choice("C", "by", "tulip"),
        ],
    ),
    (
        Kind("vase", "surface", (LIVING, DINING, BED, STUDY), triangles=600),
        [
            Choice("A", "scopia", "old_jar", scale=(1.1, 1.1, 1.2)),
            Choice("A", "scopia", "jar", scale=(0.85, 0.85, 0.85)),
            own(
                "B",
                lambda: shapes.vase(
                    "White vase",
                    [(0.06, 0), (0.11, 0.09), (0.1, 0.16), (0.035, 0.24), (0.035, 0.3), (0.055, 0.33)],
                    shapes.WHITE,
                ),
            ),
            own(
                "B",
                lambda: shapes.vase(
                    "Teal vase",
                    [(0.05, 0), (0.07, 0.05), (0.09, 0.2), (0.06, 0.28), (0.075, 0.32)],
                    (0.1, 0.45, 0.5),
                ),
            ),
            Choice("C", "scopia", "vase3", scale=(0.85, 0.85, 0.85)),
        ],
    ),
    (
        Kind("lamp", "surface", (LIVING, BED, STUDY), role="table", triangles=800),
        [
            Choice("A", "kator", "pedestal-vase-lamp", tint=(1.0, 0.75, 0.4), scale=(0.9, 0.9, 0.7)),
            Choice("A", "by", "lamp"),
            Choice("B", "zero", "desklamp"),
            Choice("B", "scopia", "desk_lamp2"),
            Choice("C", "scopia", "livingroom_lamp1", scale=(0.85, 0.85, 0.8)),
            Choice("C", "scopia", "table_lamp", tint=(1.0, 0.7, 0.5), scale=(1.1, 1.1, 1.0)),
        ],
    ),
    (
        Kind("lamp", "floor_free", (LIVING, BED, STUDY), role="floor", triangles=800),
        [
            own("A", lambda: shapes.floor_lamp("Tripod lamp", shapes.OAK, shapes.CREAM, True)),
            own("B", lambda: shapes.floor_lamp("Floor lamp", shapes.METAL, (0.3, 0.5, 0.55), False)),
            Choice("C", "scopia", "living_lamp"),
        ],
    ),
    (
        Kind("ceiling_lamp", "ceiling", (LIVING, KITCHEN, DINING, BED, STUDY), triangles=900),
        [
            Choice("A", "by", "hangingLight", scale=(1.0, 1.0, 0.7)),
            own("B", lambda: shapes.pendant("Globe lamp", (0.97, 0.96, 0.9))),
            Choice("C", "zero", "lamp2"),
        ],
    ),
    (
        Kind("fan", "surface", (LIVING, BED, STUDY), triangles=1400),
        [
            Choice("A", "zero", "riggedFan", triangles=2500),
            Choice("B", "zero", "tableFan"),
            Choice("C", "zero", "riggedFan", triangles=2500, tint=(0.35, 0.35, 0.4), scale=(1.15, 1.0, 1.2)),
        ],
    ),
    (
        Kind("radiator", "floor_wall", (LIVING, BED, BATH, STUDY, DINING), triangles=900),
        [
            Choice("A", "zero", "radiator3"),
            Choice("B", "by", "modernRadiator", scale=(1.5, 1.0, 1.0)),
            Choice("C", "zero", "radiator", triangles=3000, scale=(0.7, 0.8, 1.0)),
        ],
    ),
    (
        Kind("bin", "floor_free", (KITCHEN, STUDY, BATH, BED), triangles=800),
        [
            Choice("A", "zero", "dustbin", scale=(1.1, 1.1, 1.05)),
            Choice("B", "kator", "bullet-trash-can", scale=(0.85, 0.85, 0.85)),
            Choice("C", "kator", "recycling-bin"),
        ],
    ),
    (
        Kind("basket", "floor_free", (BATH, BED, KITCHEN, LIVING), triangles=900),
        [
            Choice("A", "scopia", "shopping-basket", scale=(0.7, 0.7, 0.7)),
            Choice("B", "scopia", "clothes-basket", scale=(0.85, 0.85, 0.9)),
            Choice("C", "scopia", "shopping-basket", tint=(0.5, 0.38, 0.3), scale=(0.85, 0.75, 0.8)),
        ],
    ),
    (
        Kind("clock", "wall", (LIVING, KITCHEN, STUDY, DINING, BED), triangles=900, elevation=1.7),
        [
            Choice("A", "zero", "cuckooClock", triangles=2500),
            own(
                "A",
                lambda: shapes.wall_clock(
                    "Wooden clock", 0.17, shapes.OAK, paint.clock_face((245, 238, 220), (60, 40, 25), 100)
                ),
                "wall_clock",
            ),
            own(
                "B",
                lambda: shapes.wall_clock(
                    "Plain clock", 0.18, shapes.DARK, paint.clock_face((250, 250, 250), (20, 20, 20), 435)
                ),
                "wall_clock",
            ),
            own(
                "C",
                lambda: shapes.wall_clock(
                    "Square clock",
                    0.16,
                    shapes.WALNUT,
                    paint.clock_face((60, 30, 32), (225, 190, 110), 250),
                    True,
                ),
            ),
        ],
    ),
    (
        Kind("picture", "wall", EVERYWHERE, triangles=200, elevation=1.5),
        [
            own("A", lambda: shapes.framed("Hills", (0.8, 0.6), paint.landscape(3), shapes.OAK)),
            own("A", lambda: shapes.framed("Still life", (0.5, 0.6), paint.bouquet(5), (0.75, 0.6, 0.25))),
            own("A", lambda: shapes.framed("Evening", (0.9, 0.5), paint.landscape(14), (0.5, 0.36, 0.22))),
            own("B", lambda: shapes.framed("Blocks", (0.65, 0.65), paint.blocks(2), shapes.DARK, 0.02)),
            own("B", lambda: shapes.framed("Rings", (0.9, 0.6), paint.circles(8), shapes.WHITE, 0.025)),
            own("B", lambda: shapes.framed("Bands", (0.55, 0.8), paint.waves(4), shapes.METAL, 0.02)),
            own(
                "C",
                lambda: shapes.framed("Portrait", (0.55, 0.7), paint.portrait(6), (0.72, 0.55, 0.22), 0.06),
            ),
            own("C", lambda: shapes.framed("Lady", (0.45, 0.6), paint.portrait(15), shapes.WALNUT, 0.05)),
            own(
                "C", lambda: shapes.framed("Roses", (0.75, 0.6), paint.bouquet(23), (0.72, 0.55, 0.22), 0.06)
            ),
        ],
    ),
    (
        Kind("rug", "floor_free", (LIVING, BED, STUDY, DINING, BATH), triangles=300),
        [
            own(
                "A",
                lambda: shapes.rug(
                    "Striped rug",
                    (1.7, 1.2),
                    paint.striped_rug([(196, 150, 96), (235, 220, 190), (150, 90, 60), (235, 220, 190)], 16),
                ),
            ),
            Choice("A", "scopia", "round-carpet", scale=(1.6, 1.6, 1.0)),
            own(
                "B",
                lambda: shapes.rug(
                    "Lattice rug", (1.8, 1.3), paint.checked_rug((225, 228, 230), (70, 90, 110), 6, True)
                ),
            ),
            own(
                "B",
                lambda: shapes.rug(
                    "Chequered rug", (1.2, 1.2), paint.checked_rug((40, 45, 52), (235, 235, 232), 6, False)
                ),
            ),
            own(
                "C",
                lambda: shapes.rug("Red medallion rug", (2.0, 1.35), paint.medallion_rug(1, (140, 35, 35))),
            ),
            own(
                "C",
                lambda: shapes.rug("Blue medallion rug", (1.5, 1.0), paint.medallion_rug(2, (35, 50, 100))),
            ),
        ],
    ),
    (
        Kind("laptop", "surface", (STUDY, LIVING, BED, DINING), triangles=900),
        [
            own(
                "A",
                lambda: shapes.laptop("Silver laptop", shapes.METAL, paint.screen(3), paint.keyboard(190)),
                "laptop",
            ),
            Choice("B", "by", "laptop"),
            own(
                "C",
                lambda: shapes.laptop("Black laptop", shapes.DARK, paint.screen(9), paint.keyboard(60)),
                "laptop",
                (1.12, 1.1, 1.08),
            ),
        ],
    ),
    (
        Kind("books", "surface", (LIVING, STUDY, BED), triangles=300),
        [
            own("A", lambda: shapes.books("Pile of books", 1)),
            own("B", lambda: shapes.books("Pile of books", 2)),
            own("C", lambda: shapes.books("Pile of books", 4)),
        ],
    ),
    (
        Kind("stool", "floor_free", (KITCHEN, LIVING, BATH, STUDY), triangles=900),
        [
            Choice("A", "zero", "stool2"),
            Choice("B", "by", "green_stool"),
            Choice("B", "scopia", "kitchen_stool", scale=(1.0, 1.0, 0.9)),
            Choice("C", "scopia", "bar_chair", scale=(0.9, 0.9, 0.9)),
        ],
    ),
    (
        Kind("box", "floor_free", (STUDY, BED, LIVING, KITCHEN), triangles=500),
        [
            Choice("A", "scopia", "cardboard-box"),
            Choice("B", "scopia", "open-cardboard-box", scale=(0.8, 0.8, 0.9)),
            Choice("C", "zero", "crate", triangles=900, scale=(0.8, 0.8, 0.8)),
        ],
    ),
    (
        Kind("teddy_bear", "floor_free", (BED, LIVING), triangles=1200),
        [
            Choice("A", "zero", "teddyBear", scale=(1.3, 1.3, 1.3)),
            Choice("B", "zero", "teddyBear", tint=(1.3, 1.5, 1.9), scale=(1.45, 1.3, 1.2)),
            Choice("C", "zero", "teddyBear", tint=(0.5, 0.4, 0.35), scale=(1.2, 1.25, 1.45)),
        ],
    ),
    (
        Kind("ball", "floor_free", (LIVING, BED, STUDY), triangles=700),
        [
            Choice("A", "zero", "basketball"),
            Choice("B", "by", "ballonFoot"),
            own("C", lambda: shapes.ball("Beach ball", 0.17, paint.beach_ball())),
        ],
    ),
    (
        Kind("guitar", "floor_free", (LIVING, BED, STUDY), triangles=1500),
        [
            Choice("A", "zero", "electricGuitar", tint=(1.0, 0.0, 0.0), scale=(1.1, 1.0, 1.08)),
            Choice("B", "zero", "electricGuitar"),
            Choice("C", "zero", "electricGuitar", tint=(0.0, 0.0, 1.0), scale=(0.9, 1.0, 0.94)),
        ],
    ),
    (
        Kind("crib", "floor_wall", (BED,), triangles=1500),
        [
            Choice("A", "scopia", "crib"),
            Choice("B", "zero", "babyRockingBed", scale=(1.2, 1.2, 1.2)),
            Choice("C", "scopia", "crib", tint=(0.45, 0.35, 0.32), scale=(1.05, 0.9, 0.95)),
        ],
    ),
    (
        Kind("microwave", "surface", (KITCHEN,), triangles=700),
        [
            Choice("A", "by", "microwave"),
            Choice("B", "scopia", "small-oven"),
            Choice("C", "by", "microwave", tint=(0.28, 0.28, 0.3), scale=(1.15, 1.0, 1.1)),
        ],
    ),
    (
        Kind("coffee_machine", "surface", (KITCHEN,), triangles=1000),
        [
            Choice("A", "kator", "coffee-maker", scale=(1.2, 1.2, 1.2)),
            Choice("B", "scopia", "coffee_machine", scale=(0.8, 0.8, 0.95)),
            Choice("C", "kator", "coffee-maker", tint=(0.3, 0.22, 0.2), scale=(1.3, 1.15, 1.3)),
        ],
    ),
    (
        Kind("fruit_bowl", "surface", (KITCHEN, DINING, LIVING), triangles=1000),
        [
            Choice("A", "scopia", "bowlWithFruits"),
            Choice("B", "scopia", "bowlWithSalad"),
            Choice("C", "scopia", "apples"),
        ],
    ),
    (
        Kind("bottle", "surface", (KITCHEN, DINING), triangles=500),
        [
            Choice("A", "scopia", "wine_bottle"),
            Choice("B", "zero", "yogurtBottle", scale=(1.3, 1.3, 1.3)),
            Choice("C", "by", "beer_bottle", scale=(1.3, 1.3, 1.4)),
        ],
    ),
    (
        Kind("step_ladder", "floor_free", (KITCHEN, STUDY, LIVING), triangles=900),
        [
            Choice("A", "scopia", "step-ladder-wood"),
            Choice("B", "scopia", "step-ladder-metal", scale=(1.0, 0.9, 0.75)),
            Choice("C", "scopia", "step-ladder-wood", tint=(0.45, 0.2, 0.18), scale=(1.0, 0.95, 1.2)),
        ],
    ),
    (
        Kind("towel_rack", "wall", (BATH,), triangles=800, elevation=1.0),
        [
            Choice("A", "zero", "towel3"),
            Choice("B", "scopia", "com_bath3"),
            Choice("C", "zero", "towel3", tint=(1.6, 0.5, 0.4), scale=(1.15, 1.0, 1.2)),
        ],
    ),
    (
        Kind("room_divider", "floor_free", (LIVING, BED, STUDY), triangles=700),
        [
            own("A", lambda: shapes.divider("Wooden screen", shapes.OAK, (0.9, 0.84, 0.7)), "divider"),
            own(
                "B",
                lambda: shapes.divider("Blue screen", shapes.WHITE, (0.36, 0.5, 0.56)),
                "divider",
                (1.1, 1.1, 0.95),
            ),
            own(
                "C",
                lambda: shapes.divider("Blossom screen", shapes.WALNUT, paint.branches(3)),
                "divider",
                (0.95, 1.0, 1.08),
            ),
        ],
    ),
    (
        Kind("backpack", "floor_free", (BED, STUDY, LIVING), triangles=1200),
        [
            Choice("A", "by", "backpack", scale=(1.2, 1.2, 1.2)),
            Choice("B", "by", "backpack", tint=(0.6, 1.3, 2.6), scale=(1.1, 1.2, 1.3)),
            Choice("C", "by", "backpack", tint=(1.9, 0.6, 0.5), scale=(1.3, 1.2, 1.15)),
        ],
    ),
    (
        Kind("bean_bag", "floor_free", (LIVING, BED, STUDY), triangles=900),
        [
            Choice("A", "scopia", "puff", tint=(1.8, 0.9, 0.8), scale=(0.75, 0.75, 0.9)),
            Choice("B", "scopia", "puff", scale=(0.8, 0.8, 0.9)),
            Choice("C", "scopia", "puff", tint=(0.9, 0.25, 1.2), scale=(0.82, 0.78, 0.8)),
        ],
    ),
]
