"""How people speak of what is in a house: words for categories, rooms, materials and colours."""

from __future__ import annotations

import colorsys
from collections.abc import Sequence

import numpy as np

_IRREGULAR = {
    "bookcase": ("bookcase", "bookcases", ("bookshelf", "shelf", "shelves")),
    "books": ("pile of books", "piles of books", ("books", "book", "stack of books")),
    "flowers": ("bunch of flowers", "bunches of flowers", ("flowers", "flower", "bouquet", "tulips")),
    "tv": ("television", "televisions", ("tv", "tv set", "television set")),
    "box": ("box", "boxes", ("cardboard box", "crate")),
    "bin": ("bin", "bins", ("dustbin", "trash can", "waste bin", "garbage can", "recycling bin")),
    "sofa": ("sofa", "sofas", ("couch", "settee", "futon")),
    "refrigerator": ("refrigerator", "refrigerators", ("fridge",)),
    "stove": ("stove", "stoves", ("cooker", "oven", "hob")),
    "washing_machine": ("washing machine", "washing machines", ("washer",)),
    "coffee_machine": ("coffee machine", "coffee machines", ("coffee maker", "espresso machine")),
    "fruit_bowl": ("fruit bowl", "fruit bowls", ("bowl of fruit", "bowl", "fruit", "salad bowl")),
    "teddy_bear": ("teddy bear", "teddy bears", ("teddy", "stuffed animal", "toy bear", "plush toy")),
    "bean_bag": ("bean bag", "bean bags", ("pouf", "puff", "ottoman")),
    "room_divider": ("room divider", "room dividers", ("folding screen", "screen")),
    "towel_rack": ("towel rack", "towel racks", ("towel rail", "towel holder", "towel")),
    "step_ladder": ("step ladder", "step ladders", ("ladder", "steps")),
    "ceiling_lamp": ("ceiling lamp", "ceiling lamps", ("hanging lamp", "ceiling light", "pendant lamp")),
    "crib": ("crib", "cribs", ("cot", "baby bed")),
    "picture": ("picture", "pictures", ("painting", "framed picture", "poster")),
    "nightstand": ("nightstand", "nightstands", ("bedside table", "night table")),
    "dresser": ("dresser", "dressers", ("chest of drawers", "commode")),
    "wardrobe": ("wardrobe", "wardrobes", ("closet", "armoire")),
    "cabinet": ("cabinet", "cabinets", ("cupboard", "kitchen cabinet", "tv stand")),
    "desk": ("desk", "desks", ("writing desk", "work table")),
    "bathtub": ("bathtub", "bathtubs", ("bath", "tub")),
    "sink": ("sink", "sinks", ("washbasin", "basin", "wash basin")),
    "plant": ("plant", "plants", ("potted plant", "house plant", "houseplant")),
    "rug": ("rug", "rugs", ("carpet", "mat")),
    "radiator": ("radiator", "radiators", ("heater",)),
    "fireplace": ("fireplace", "fireplaces", ("wood stove", "furnace", "hearth")),
    "backpack": ("backpack", "backpacks", ("rucksack", "bag")),
    "laptop": ("laptop", "laptops", ("notebook", "computer", "notebook computer")),
    "toilet": ("toilet", "toilets", ("lavatory",)),
}
NEAR = {
    "table": ("desk", "nightstand"),
    "desk": ("table",),
    "chair": ("armchair", "stool"),
    "stool": ("chair",),
    "armchair": ("sofa", "chair"),
    "sofa": ("armchair",),
    "lamp": ("ceiling_lamp",),
    "bed": ("crib", "sofa"),
    "plant": ("flowers",),
    "flowers": ("plant", "vase"),
    "vase": ("flowers", "plant"),
    "books": ("bookcase",),
    "basket": ("bin", "box"),
    "bin": ("basket",),
    "box": ("basket",),
    "dresser": ("cabinet", "nightstand"),
    "nightstand": ("dresser", "cabinet"),
    "cabinet": ("dresser", "nightstand", "wardrobe", "sink"),
    "wardrobe": ("cabinet",),
    "tv": ("laptop",),
}
"""Category -> others that a person might also call by its name: where one of them is, a question is not clear."""
ROOMS = ("living_room", "kitchen", "bedroom", "bathroom", "study", "dining_room")
_ROOM_SYNONYMS = {
    "living_room": ("lounge", "sitting room"),
    "study": ("office", "home office"),
    "bathroom": ("bath room", "toilet", "washroom"),
}
_MATERIAL_WORDS = {
    "planks": ("wood", ("wooden planks", "planks", "wooden boards", "parquet", "wooden floor", "timber")),
    "parquet": ("wood", ("parquet", "wooden blocks", "wooden floor")),
    "herringbone": ("wood", ("parquet", "herringbone", "wooden floor")),
    "carpet": ("carpet", ("wool", "fabric", "textile", "wool carpet")),
    "tiles": ("tiles", ("tile", "stone tiles", "ceramic", "ceramic tiles", "terracotta", "slate")),
    "concrete": ("concrete", ("cement", "screed")),
    "terrazzo": ("terrazzo", ("stone",)),
}
COLOURS = (
    "black",
    "white",
    "grey",
    "red",
    "orange",
    "brown",
    "beige",
    "yellow",
    "green",
    "blue",
    "purple",
    "pink",
)
_COLOUR_SYNONYMS = {
    "grey": ("gray", "silver", "dark grey", "light grey"),
    "beige": ("cream", "light brown", "tan", "ivory"),
    "brown": ("dark brown", "wooden", "wood", "light brown"),
    "blue": ("navy", "light blue", "dark blue", "turquoise"),
    "green": ("dark green", "light green", "olive"),
    "red": ("dark red", "maroon", "wine red"),
    "purple": ("violet", "lilac"),
    "yellow": ("gold", "golden"),
}


def noun(category: str) -> str:
    """What one of a category is called: `tv` is a television."""
    return _IRREGULAR[category][0] if category in _IRREGULAR else category.replace("_", " ")


def plural(category: str) -> str:
    """What several of a category are called."""
    return _IRREGULAR[category][1] if category in _IRREGULAR else noun(category) + "s"


def synonyms(category: str) -> tuple[str, ...]:
    """Other names of a category that are just as right."""
    return (_IRREGULAR[category][2] if category in _IRREGULAR else ()) + (category.replace("_", " "),)


def article(words: str) -> str:
    """`a` or `an` before words."""
    return ("an " if words[:1] in "aeiou" else "a ") + words


def room_name(kind: str) -> str:
    """A kind of room in words."""
    return kind.replace("_", " ")


def room_synonyms(kind: str) -> tuple[str, ...]:
    """Other names of a kind of room."""
    return _ROOM_SYNONYMS.get(kind, ())


def material_of(name: str) -> tuple[str, tuple[str, ...]] | None:
    """What a floor material is made of in one word, and other words for it; None for a material without any."""
    return next((words for key, words in _MATERIAL_WORDS.items() if key in name), None)


def colour_synonyms(name: str) -> tuple[str, ...]:
    """Other words for a colour."""
    return _COLOUR_SYNONYMS.get(name, ())


def colour_name(rgb: Sequence[float] | np.ndarray) -> str:
    """The nearest of `COLOURS` to an sRGB value, each channel in 0..1."""
    hue, saturation, value = colorsys.rgb_to_hsv(*(min(max(float(v), 0.0), 1.0) for v in rgb))
    degrees = hue * 360
    if value < 0.17 or (saturation < 0.25 and value < 0.22):
        return "black"
    if saturation < 0.13:
        return "white" if value > 0.78 else "grey"
    if degrees < 12 or degrees >= 345:
        return "brown" if value < 0.5 and saturation < 0.6 else "pink" if saturation < 0.35 else "red"
    if degrees < 48:
        if saturation < 0.45 and value > 0.68:
            return "beige"
        return "orange" if saturation > 0.65 and value > 0.75 else "brown"
    if degrees < 68:
        return "beige" if saturation < 0.4 and value > 0.6 else "yellow" if value > 0.55 else "green"
    if degrees < 170:
        return "green"
    if degrees < 262:
        return "blue"
    return "purple" if degrees < 312 else "pink"


def colour_shares(pixels: np.ndarray, weights: np.ndarray | None = None) -> dict[str, float]:
    """Share of each colour among sRGB values [N,3] in 0..1, optionally weighted; most frequent first.

    Values are first rounded to sixteenths, which no name of a colour minds.
    """
    rounded = np.clip(np.round(np.asarray(pixels, np.float64).reshape(-1, 3) * 16), 0, 16)
    weights = np.ones(len(rounded)) if weights is None else np.asarray(weights, np.float64)
    values, group = np.unique(rounded, axis=0, return_inverse=True)
    sums = np.bincount(group.reshape(-1), weights, len(values))
    shares: dict[str, float] = {}
    for value, share in zip(values, sums / max(sums.sum(), 1e-12)):
        name = colour_name(value / 16)
        shares[name] = shares.get(name, 0.0) + float(share)
    return dict(sorted(shares.items(), key=lambda item: (-item[1], item[0])))
