"""The tests: each shows one concept, with constants and looks drawn from a seed."""

from __future__ import annotations

import colorsys
import math
from collections.abc import Callable
from dataclasses import replace

import numpy as np

from worldloop.metrics.cases.physics.stage import Body, Stage, Touch, Triple

GREY: Triple = (0.40, 0.42, 0.45)
Draw = np.random.Generator


def draw_stage(script: str, random: Draw) -> Stage:
    """The stage of a script, with the look of test tables; KeyError for none of `SCRIPTS`."""
    stage = SCRIPTS[script](random)
    return stage.mirrored() if random.random() < 0.5 else stage


def _colours(random: Draw) -> tuple[Triple, Triple]:
    """Two plain colours that cannot be taken for one another."""
    first = random.uniform()
    second = (first + random.uniform(0.36, 0.64)) % 1.0
    return _vivid(first), _vivid(second)


def _vivid(hue: float) -> Triple:
    return colorsys.hsv_to_rgb(hue, 0.88, 0.85)


def _ball(name: str, radius: float, colour: Triple, x: float, z: float, *speed: float) -> Body:
    half = (radius,) * 3
    return Body(name, "ball", half, colour, (x, 0.0, z), free=("x", "z"), speed=speed)


def _block(name: str, half: float, colour: Triple, x: float, z: float, *speed: float) -> Body:
    return Body(name, "block", (half,) * 3, colour, (x, 0.0, z), free=("x", "z", "turn"), speed=speed)


def _scenery(name: str, half: Triple, position: Triple, tilt_deg: float = 0.0) -> Body:
    return Body(name, "block", half, GREY, position, tilt_deg, tracked=False)


def _fall(random: Draw) -> Stage:
    radius = random.uniform(0.075, 0.1)
    ball = _ball("ball", radius, _colours(random)[0], random.uniform(-0.4, 0.4), random.uniform(1.22, 1.3))
    ball = replace(ball, speed=(random.uniform(-0.25, 0.25), 0.0))
    return Stage(
        "gravity", (ball,), (Touch("ball", "floor", bounce=0.2),), random.uniform(7.0, 10.0), 24,
        prompt="A ball falls onto the floor.", changes=("gravity",),
    )  # fmt: skip


def _throw(random: Draw) -> Stage:
    gravity, height = random.uniform(7.5, 12.0), random.uniform(0.6, 0.85)
    ball = _ball("ball", random.uniform(0.075, 0.095), _colours(random)[0], random.uniform(-0.65, -0.55), 0.3)
    ball = replace(ball, speed=(random.uniform(0.9, 1.2), math.sqrt(2 * gravity * height)))
    return Stage(
        "gravity", (ball,), (Touch("ball", "floor", bounce=0.2),), gravity, 24,
        prompt="A ball is thrown up and flies in an arc.", changes=("gravity",),
    )  # fmt: skip


def _slide(random: Draw) -> Stage:
    half = random.uniform(0.07, 0.095)
    friction, way = random.uniform(0.15, 0.3), random.uniform(0.75, 1.05)
    block = _block("block", half, _colours(random)[0], random.uniform(-0.7, -0.6), half)
    block = replace(block, speed=(math.sqrt(2 * friction * 9.81 * way),))
    return Stage(
        "friction", (block,), (Touch("block", "floor", friction),), steps=32,
        prompt="A block slides over the floor and comes to rest.", changes=("friction",),
    )  # fmt: skip


def _ramp(random: Draw) -> Stage:
    tilt, pull, half = random.uniform(18, 27), random.uniform(0.75, 1.1), random.uniform(0.065, 0.08)
    turn = math.radians(tilt)
    friction = math.tan(turn) - pull / (9.81 * math.cos(turn))
    along, up = (math.cos(turn), -math.sin(turn)), (math.sin(turn), math.cos(turn))
    thick, length = 0.04, 0.65
    middle = (0.0, length * math.sin(turn) + 0.02)
    start = -random.uniform(0.50, 0.54)
    x, z = (middle[i] + start * along[i] + (thick + half) * up[i] for i in (0, 1))
    block = replace(_block("block", half, _colours(random)[0], x, z), tilt_deg=tilt)
    ramp = _scenery("ramp", (length, 0.16, thick), (middle[0], 0.0, middle[1]), tilt)
    return Stage(
        "incline", (block, ramp), (Touch("block", "ramp", friction),), steps=24,
        prompt="A block slides down a slope, faster and faster.", changes=("gravity", "friction"),
    )  # fmt: skip


def _bounce(random: Draw) -> Stage:
    radius = random.uniform(0.075, 0.1)
    ball = _ball("ball", radius, _colours(random)[0], random.uniform(-0.5, -0.3), random.uniform(0.95, 1.15))
    ball = replace(ball, speed=(random.uniform(0.2, 0.45), 0.0))
    return Stage(
        "restitution", (ball,), (Touch("ball", "floor", bounce=random.uniform(0.5, 0.75)),), steps=30,
        prompt="A ball falls to the floor and bounces.", changes=("gravity", "restitution"),
    )  # fmt: skip


def _collide(random: Draw) -> Stage:
    near, far, (first, second) = random.uniform(0.07, 0.085), random.uniform(0.08, 0.095), _colours(random)
    struck = _ball("second ball", far, second, random.uniform(-0.1, 0.0), far)
    moving = _ball("first ball", near, first, -0.68, near, random.uniform(0.85, 1.0))
    bodies = tuple(replace(b, mass=1000 * b.half[0] ** 3) for b in (moving, struck))
    touches = (
        Touch("first ball", "floor"), Touch("second ball", "floor"),
        Touch("first ball", "second ball", bounce=random.uniform(0.7, 0.95)),
    )  # fmt: skip
    return Stage(
        "momentum", bodies, touches, steps=24, changes=("pass-through", "mass"),
        prompt="A ball rolls into another one that lies still, and pushes it away.",
    )  # fmt: skip


def _behind(random: Draw) -> Stage:
    radius = random.uniform(0.075, 0.1)
    ball = _ball("ball", radius, _colours(random)[0], -0.72, radius, random.uniform(0.88, 0.96))
    high, wide = random.uniform(0.24, 0.32), random.uniform(0.16, 0.19)
    screen = _scenery("screen", (wide, 0.01, high), (random.uniform(-0.06, 0.04), -0.35, high))
    return Stage(
        "permanence", (ball, screen), (Touch("ball", "floor"),), steps=34, changes=("vanish",),
        prompt="A ball rolls behind a screen and comes out on the other side.",
    )  # fmt: skip


def _screen(random: Draw) -> Stage:
    half, (colour, _) = random.uniform(0.07, 0.095), _colours(random)
    if random.random() < 0.5:
        body = _ball("body", half, colour, random.uniform(-0.1, 0.15), half)
    else:
        body = _block("body", half, colour, random.uniform(-0.1, 0.15), half)
    high, wide = random.uniform(0.24, 0.3), random.uniform(0.17, 0.2)
    screen = replace(
        _scenery("screen", (wide, 0.01, high), (-0.68, -0.35, high + 0.005)), free=("x",),
        speed=(random.uniform(0.85, 0.95),), lift=1.0,
    )  # fmt: skip
    return Stage(
        "permanence", (body, screen), (Touch("body", "floor", 0.5),), steps=34, changes=("vanish",),
        prompt=f"A screen moves past in front of a {body.shape} that stands still.",
    )  # fmt: skip


def _approach(random: Draw) -> Stage:
    half, (colour, _) = random.uniform(0.07, 0.09), _colours(random)
    x, speed = random.uniform(-0.3, 0.3), random.uniform(1.1, 1.25)
    nearer = random.random() < 0.5
    shape = "ball" if random.random() < 0.5 else "block"
    position = (x, 1.15 if nearer else -0.45, half)
    body = Body(
        "body", shape, (half,) * 3, colour, position, free=("y", "z"), speed=(-speed if nearer else speed,)
    )
    return Stage(
        "size", (body,), (Touch("body", "floor"),), steps=28,
        prompt=f"A {shape} glides {'towards' if nearer else 'away from'} the camera.",
    )  # fmt: skip


def _ledge(random: Draw) -> Stage:
    half, high, (first, second) = random.uniform(0.065, 0.08), random.uniform(0.22, 0.28), _colours(random)
    edge = random.uniform(-0.28, -0.2)
    pushed = _block("pushed block", half, first, edge - 0.34, 2 * high + half, random.uniform(1.0, 1.2))
    standing = _block("standing block", half, second, 0.55, 2 * high + half)
    bodies = (
        pushed, standing, _scenery("left pillar", (0.26, 0.16, high), (edge - 0.26, 0.0, high)),
        _scenery("right pillar", (0.14, 0.16, high), (0.58, 0.0, high)),
    )  # fmt: skip
    touches = (
        Touch("pushed block", "left pillar", 0.1), Touch("pushed block", "right pillar", 0.3),
        Touch("pushed block", "floor", 0.5), Touch("standing block", "right pillar", 0.5),
    )  # fmt: skip
    return Stage(
        "support", bodies, touches, steps=28, changes=("gravity", "float"),
        prompt="A block is pushed over an edge and falls; another one stands on its pillar.",
    )  # fmt: skip


def _pendulum(random: Draw) -> Stage:
    arm, radius, top = random.uniform(0.4, 0.65), random.uniform(0.075, 0.1), 1.2
    half = (radius,) * 3
    ball = Body(
        "ball", "ball", half, _colours(random)[0], (0.0, 0.0, top - arm), random.uniform(26, 40), ("swing",), (0.0,),
        arm=arm,
    )  # fmt: skip
    post = _scenery("post", (0.025, 0.025, 0.62), (0.0, 0.2, 0.62))
    beam = _scenery("beam", (0.025, 0.12, 0.025), (0.0, 0.1, 1.2))
    return Stage(
        "period", (ball, post, beam), gravity=random.uniform(8.0, 11.0), steps=44, changes=("gravity",),
        prompt="A ball swings to and fro on a thin rod.",
    )  # fmt: skip


SCRIPTS: dict[str, Callable[[Draw], Stage]] = {
    "fall": _fall,
    "slide": _slide,
    "bounce": _bounce,
    "collide": _collide,
    "behind": _behind,
    "screen": _screen,
    "approach": _approach,
    "ledge": _ledge,
    "throw": _throw,
    "ramp": _ramp,
    "pendulum": _pendulum,
}
"""Names of the tests, in the order in which they are listed."""
