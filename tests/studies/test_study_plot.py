"""The plot is well-formed and shows each arm, its interval and the controls where they belong."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from worldloop.stats import Estimate
from worldloop.studies.plot import draw
from worldloop.studies.result import CONTROLLABILITY
from worldloop.studies.scatter import Panel, Point, _ticks, draw_scatter

from planted import SUCCESS, arm, result

SVG = "{http://www.w3.org/2000/svg}"


def panels(text: str) -> dict[str, ET.Element]:
    root = ET.fromstring(text)
    return {g.get("data-measure"): g for g in root.iter(f"{SVG}g") if g.get("class") == "panel"}


def points(panel: ET.Element) -> dict[str, tuple[float, float, float, float]]:
    """Of each arm: x, y, and the y of both ends of its interval."""
    found = {}
    for g in panel.iter(f"{SVG}g"):
        if g.get("class") == "arm":
            circle, bar = g.find(f"{SVG}circle"), g.find(f"{SVG}path")
            low, high = map(float, re.match(r"M[\d.]+,([\d.]+)V([\d.]+)", bar.get("d")).groups())
            found[g.get("data-arm")] = (float(circle.get("cx")), float(circle.get("cy")), low, high)
    return found


def test_every_arm_has_its_interval_in_every_panel():
    sizes = (0, 400, 2000, 20000)
    arms = [arm(f"n-{s}", str(s), float(s), rate=0.2 + 0.2 * i) for i, s in enumerate(sizes)]
    text = draw(result(arms))
    assert "a &lt; b &amp; c" in text and result(arms).verdict.split(":")[1] in text
    found = panels(text)
    assert list(found) == [CONTROLLABILITY, SUCCESS]
    for measure, panel in found.items():
        places = points(panel)
        assert list(places) == [a.name for a in arms]
        xs, ys = [p[0] for p in places.values()], [p[1] for p in places.values()]
        assert xs == sorted(xs) and ys == sorted(ys, reverse=True) and len(set(xs)) == 4
        assert panel.find(f".//{SVG}polyline") is not None
        for a in arms:
            _, y, low, high = places[a.name]
            e = a.estimates[measure]
            assert high < y < low
            # the same scale for value and interval
            assert (low - y) / (y - high) == pytest.approx((e.value - e.low) / (e.high - e.value), abs=0.05)


def test_controls_are_lines_at_their_height():
    arms = [arm("a", "1", 1.0, rate=0.3), arm("b", "3", 3.0, rate=0.9)]
    panel = panels(draw(result(arms)))[SUCCESS]
    lines = {
        g.get("data-reference"): g.find(f"{SVG}line")
        for g in panel.iter(f"{SVG}g")
        if g.get("class") == "line"
    }
    assert set(lines) == {"none", "oracle"}
    places = points(panel)
    assert float(lines["none"].get("y1")) == pytest.approx(places["a"][1], abs=0.2)
    assert float(lines["oracle"].get("y1")) == pytest.approx(places["b"][1], abs=0.2)
    assert len({line.get("stroke-dasharray") for line in lines.values()}) == 2


def test_series_stand_side_by_side_and_lines_belong_to_their_label():
    arms = [
        arm(f"{series}/{style}", f"{style} (unseen)" if style == "C" else style, None, series, rate)
        for style in "ABC"
        for series, rate in (("base", 0.3), ("adapted", 0.6))
    ]
    whole = result(arms)
    lines = [replace(r, label=style) for r in whole.references for style in "ABC"]
    panel = panels(draw(replace(whole, references=tuple(lines))))[SUCCESS]
    places = points(panel)
    assert len(places) == 6 and len({p[0] for p in places.values()}) == 6
    assert panel.find(f".//{SVG}polyline") is None
    drawn = [g.find(f"{SVG}line") for g in panel.iter(f"{SVG}g") if g.get("data-reference") == "none"]
    assert len(drawn) == 3
    for line, style in zip(drawn, "ABC"):
        left, right = float(line.get("x1")), float(line.get("x2"))
        assert left < places[f"base/{style}"][0] < places[f"adapted/{style}"][0] < right


def test_an_arm_without_an_interval_or_a_value():
    a, b = arm("a", "1", 1.0), arm("b", "2", 2.0)
    bare = Estimate(0.5, None, None, 0.95, 9, 1, "wilson", "one scene")
    none = Estimate(None, None, None, 0.95, 0, 0, "none", "nothing")
    text = draw(result([replace(a, estimates={SUCCESS: bare}), replace(b, estimates={SUCCESS: none})]))
    root = ET.fromstring(text)
    found = [g for g in root.iter(f"{SVG}g") if g.get("class") == "arm"]
    assert [g.get("data-arm") for g in found] == ["a"] and "no interval: one scene" in text
    assert found[0].find(f"{SVG}path") is None


@given(st.floats(-1e3, 1e3), st.floats(0, 1e3))
def test_ticks_are_round_and_hold_everything(low, width):
    ticks = _ticks([Estimate(low + width / 2, low, low + width, 0.95, 3, 3, "made up", "")])
    steps = np.diff(ticks)
    assert 3 <= len(ticks) <= 7 and np.allclose(steps, steps[0])
    slack = 1e-4 * steps[0]
    assert ticks[0] <= low + slack and ticks[-1] >= low + width - slack
    assert f"{steps[0]:.0e}"[0] in "125"


def test_shares_have_ticks_from_nothing_to_everything():
    found = [Estimate(v, v, v, 0.95, 3, 3, "made up", "") for v in (0.0, 0.4, 1.0)]
    assert _ticks(found) == [0.0, 0.2, 0.4, 0.6, 0.8, 1.0]


def test_a_long_name_keeps_its_end_in_the_legend():
    half = Estimate(0.5, 0.4, 0.6, 0.95, 10, 10, "t")
    point = Point(1, "m", half, half)
    name = "video:weights=somewhere/far/away/examples-400/adapted.safetensors"
    text = draw_scatter("t", "v", [Panel("p", "x", "y", "r", (point,))], [name, "oracle"])
    (legend,) = (e.text for e in ET.fromstring(text).iter(f"{SVG}text") if "1  …" in (e.text or ""))
    assert legend.endswith("/examples-400/adapted.safetensors") and len(legend) == 43
    assert "2  oracle<" in text
