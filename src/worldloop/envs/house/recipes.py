"""What may go into which kind of room, and how likely it is."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Step:
    """One piece that a room may get."""

    category: str
    chance: float = 1.0
    role: str | None = None
    clear: float = 0.0
    """Metres of floor kept free before it."""
    on: tuple[str, ...] = ()
    """For things on furniture: categories preferred as support, in this order; others come after."""


FIRST: dict[str, tuple[Step, ...]] = {
    "living_room": (
        Step("cabinet", 0.85, "tv_stand", 0.5),
        Step("fireplace", 0.5, clear=0.5),
        Step("piano", 0.5, clear=0.5),
        Step("bookcase", 0.8, clear=0.35),
        Step("armchair", 0.9, clear=0.3),
        Step("armchair", 0.35, clear=0.3),
        Step("dresser", 0.3, clear=0.3),
    ),
    "kitchen": (),
    "bedroom": (
        Step("wardrobe", 0.9, clear=0.5),
        Step("dresser", 0.6, clear=0.4),
        Step("crib", 0.4, clear=0.3),
        Step("desk", 0.25, clear=0.0),
        Step("armchair", 0.3, clear=0.3),
        Step("bookcase", 0.25, clear=0.35),
        Step("radiator", 0.4),
    ),
    "bathroom": (
        Step("bathtub", 0.9, clear=0.3),
        Step("toilet", clear=0.4),
        Step("sink", 1.0, "bath", 0.4),
        Step("washing_machine", 0.75, clear=0.4),
        Step("radiator", 0.4),
    ),
    "study": (
        Step("bookcase", clear=0.35),
        Step("bookcase", 0.7, clear=0.35),
        Step("piano", 0.4, clear=0.5),
        Step("armchair", 0.6, clear=0.3),
        Step("radiator", 0.6),
    ),
    "dining_room": (
        Step("dresser", 0.8, clear=0.35),
        Step("fireplace", 0.4, clear=0.4),
        Step("radiator", 0.6),
        Step("plant", 0.7, "floor"),
    ),
}
"""Large pieces, in the order in which they are placed."""
SMALL: dict[str, tuple[Step, ...]] = {
    "living_room": (
        Step("tv", 0.95, on=("cabinet",)),
        Step("lamp", 0.5, "table"),
        Step("vase", 0.6),
        Step("flowers", 0.5),
        Step("books", 0.5),
        Step("laptop", 0.3),
        Step("fruit_bowl", 0.25),
        Step("plant", 0.3, "small"),
        Step("fan", 0.3),
        Step("picture", 0.9),
        Step("picture", 0.6),
        Step("clock", 0.45),
        Step("ceiling_lamp", 0.7),
    ),
    "kitchen": (
        Step("microwave", 0.85, on=("cabinet", "table")),
        Step("coffee_machine", 0.8, on=("cabinet", "table")),
        Step("fruit_bowl", 0.65, on=("table",)),
        Step("bottle", 0.7, on=("table",)),
        Step("flowers", 0.35, on=("table",)),
        Step("plant", 0.25, "small"),
        Step("cabinet", 0.8, "upper"),
        Step("picture", 0.3),
        Step("clock", 0.6),
        Step("ceiling_lamp", 0.6),
    ),
    "bedroom": (
        Step("lamp", 0.9, "table", on=("nightstand", "desk", "dresser")),
        Step("books", 0.5, on=("nightstand",)),
        Step("tv", 0.25, on=("dresser",)),
        Step("vase", 0.4, on=("dresser",)),
        Step("fan", 0.5, on=("dresser", "desk")),
        Step("laptop", 0.4, on=("desk", "dresser")),
        Step("plant", 0.25, "small"),
        Step("picture", 0.8),
        Step("clock", 0.3),
        Step("ceiling_lamp", 0.6),
    ),
    "bathroom": (Step("towel_rack", 0.9), Step("picture", 0.2)),
    "study": (
        Step("laptop", 0.95, on=("desk",)),
        Step("lamp", 0.7, "table", on=("desk",)),
        Step("books", 0.7, on=("desk",)),
        Step("fan", 0.4),
        Step("vase", 0.35),
        Step("plant", 0.4, "small"),
        Step("picture", 0.8),
        Step("clock", 0.5),
        Step("ceiling_lamp", 0.6),
    ),
    "dining_room": (
        Step("flowers", 0.7, on=("table",)),
        Step("fruit_bowl", 0.6, on=("table",)),
        Step("bottle", 0.7, on=("table",)),
        Step("vase", 0.6, on=("dresser",)),
        Step("picture", 0.9),
        Step("picture", 0.5),
        Step("clock", 0.4),
        Step("ceiling_lamp", 0.8),
    ),
}
"""What stands on furniture or hangs on walls, after the large pieces of all rooms."""
CLUTTER: dict[str, tuple[str, ...]] = {
    "living_room": (
        "plant", "lamp", "room_divider", "room_divider", "bean_bag", "bean_bag", "ball", "guitar", "box", "basket",
        "step_ladder", "stool", "teddy_bear",
    ),
    "kitchen": ("bin", "stool", "basket", "step_ladder", "step_ladder", "plant", "box"),
    "bedroom": (
        "backpack", "teddy_bear", "guitar", "ball", "bean_bag", "bean_bag", "basket", "lamp", "plant", "box",
        "room_divider", "step_ladder",
    ),
    "bathroom": ("bin", "basket", "stool", "plant"),
    "study": (
        "bin", "box", "step_ladder", "step_ladder", "lamp", "backpack", "guitar", "plant", "bean_bag", "stool",
        "room_divider",
    ),
    "dining_room": ("plant", "stool", "step_ladder", "chair", "ball", "basket", "room_divider"),
}  # fmt: skip
"""What may lie about; what is named twice is tried twice as often, for it fits less often."""
CLUTTER_COUNT = {"living_room": 5, "kitchen": 3, "bedroom": 4, "bathroom": 2, "study": 4, "dining_room": 3}
"""How many such things are tried in a room."""
