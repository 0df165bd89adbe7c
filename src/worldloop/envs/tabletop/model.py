"""The physics of a layout: the arm and things that can be pushed, pressed and picked up, as a MuJoCo model."""

from __future__ import annotations

import xml.etree.ElementTree as ElementTree
from functools import lru_cache
from importlib import resources
from typing import Any

from worldloop.core.errors import MissingExtraError
from worldloop.envs.tabletop.layout import (
    BUTTON_RADIUS,
    BUTTON_TOP,
    BUTTON_TRAVEL,
    HALF,
    HOLE_HALF,
    PEG_LENGTH,
    PEG_RADIUS,
    SOCKET_HALF,
    SOCKET_HEIGHT,
    STAND_HEIGHT,
    STAND_RADIUS,
)

SUBSTEPS, TIMESTEP = 25, 0.002
"""Of one command at 20 Hz."""
FREE = ("block", "peg")
"""Kinds that can be carried."""
ARM_JOINTS = tuple(f"joint{i}" for i in range(1, 8))


def mujoco_module() -> Any:
    """The mujoco package; MissingExtraError without it."""
    try:
        import mujoco
    except ImportError as error:
        raise MissingExtraError("the tabletop world", "tabletop") from error
    return mujoco


@lru_cache(maxsize=32)
def compile_model(kinds: tuple[str, ...]) -> Any:
    """The MjModel of a table with things of these kinds, in order: bodies `thing0`, `thing1`, ...

    Where they stand is part of the state (carried things) or set by the caller in `body_pos` of a copy.
    """
    mujoco = mujoco_module()
    source = (resources.files("worldloop.envs.tabletop") / "data" / "panda.xml").read_text()
    root = ElementTree.fromstring(source)
    option = {"timestep": str(TIMESTEP), "integrator": "Euler", "cone": "elliptic", "impratio": "10"}
    ElementTree.SubElement(root, "option", option)
    world = root.find("worldbody")
    assert world is not None
    table = {"name": "table", "type": "box", "size": "0.4 0.6 0.02", "pos": "0.45 0 -0.02", "friction": "0.4"}
    ElementTree.SubElement(world, "geom", table)
    for number, kind in enumerate(kinds):
        body = ElementTree.SubElement(world, "body", {"name": f"thing{number}"})
        if kind in FREE:
            ElementTree.SubElement(body, "freejoint")
        for shape in _shapes(kind):
            ElementTree.SubElement(body, "geom", shape)
        if kind == "button":
            _button(body)
    return mujoco.MjModel.from_xml_string(ElementTree.tostring(root, encoding="unicode"))


def _shapes(kind: str) -> list[dict[str, str]]:
    """Geoms in the thing's frame, whose origin is the middle of its bottom."""
    # On a rougher table, the friction of the fingers could press a block down faster than they push it on.
    grasped = {"condim": "4", "friction": "0.4 0.02 0.001", "solref": "0.006 1", "solimp": "0.98 0.995 0.001"}
    if kind == "block":
        return [
            {"type": "box", "size": f"{HALF} {HALF} {HALF}", "pos": f"0 0 {HALF}", "mass": "0.05", **grasped}
        ]
    if kind == "peg":
        size, pos = f"{PEG_RADIUS} {PEG_LENGTH / 2}", f"0 0 {PEG_LENGTH / 2}"
        return [{"type": "cylinder", "size": size, "pos": pos, "mass": "0.04", **grasped}]
    if kind == "stand":
        size, pos = f"{STAND_RADIUS} {STAND_HEIGHT / 2}", f"0 0 {STAND_HEIGHT / 2}"
        return [{"type": "cylinder", "size": size, "pos": pos}]
    if kind == "button":
        base = BUTTON_TOP - 2 * BUTTON_TRAVEL - 0.005  # the cap sinks to just above it
        size, pos = f"{BUTTON_RADIUS + 0.011} {base / 2}", f"0 0 {base / 2}"
        return [{"type": "cylinder", "size": size, "pos": pos}]
    if kind == "socket":
        wall = (SOCKET_HALF - HOLE_HALF) / 2
        middle, up = HOLE_HALF + wall, SOCKET_HEIGHT / 2
        across, along = f"{wall} {SOCKET_HALF} {up}", f"{HOLE_HALF} {wall} {up}"
        places = [(across, middle, 0.0), (across, -middle, 0.0), (along, 0.0, middle), (along, 0.0, -middle)]
        return [{"type": "box", "size": s, "pos": f"{x} {y} {up}"} for s, x, y in places]
    return []  # a circle is paint


def _button(body: ElementTree.Element) -> None:
    cap = ElementTree.SubElement(body, "body", {"name": body.get("name", "") + "_cap"})
    spring = {"type": "slide", "axis": "0 0 1", "range": f"{-BUTTON_TRAVEL} 0", "limited": "true"}
    ElementTree.SubElement(
        cap, "joint", {**spring, "stiffness": "150", "damping": "3", "springref": "0.01", "armature": "0.01"}
    )
    half = (BUTTON_TRAVEL + 0.004) / 2
    shape = {"type": "cylinder", "size": f"{BUTTON_RADIUS} {half}", "pos": f"0 0 {BUTTON_TOP - half}"}
    ElementTree.SubElement(cap, "geom", {**shape, "mass": "0.02"})
