"""The conformance suite: a good model passes, and each fault is found by the one check that is meant for it."""

from __future__ import annotations

import json
import threading
from dataclasses import replace
from xml.etree import ElementTree

import numpy as np
import pytest

from worldloop.actions import CodeTranslator, camera_matrix, intended_path
from worldloop.cli.main import main
from worldloop.core import InputError, ModelCard, ModelError, Observation, Rollout
from worldloop.engine.check import badge_svg, check_model
from worldloop.engine.conformance import CHECKS
from worldloop.envs.house.scenes import load_scene, register_scene
from worldloop.models import MODELS

from house_boxes import box_room

SCENE = "conformance-room"
HORIZON = 4
AHEAD = np.linalg.inv(camera_matrix(0, 0, 0, 0))


@pytest.fixture(scope="module", autouse=True)
def room(tmp_path_factory):
    register_scene(SCENE, box_room())
    load_scene(SCENE, tmp_path_factory.mktemp("light"))


class Good:
    """Slides the picture, draws from the seed, and says where it went."""

    def __init__(self, **card) -> None:
        self.card = ModelCard(
            **{"name": "good", "summary": "a test model", "control": "code", "history": 2, **card}
        )

    def simulate(self, queries):
        return [self.one(q) for q in queries]

    def one(self, q) -> Rollout:
        path = intended_path(q.plan)[1:]
        return Rollout(tuple(self.frame(q, i, *place) for i, place in enumerate(path)))

    def frame(self, q, i, x, y, yaw) -> Observation:
        now = q.history[-1]
        rgb = np.roll(now.rgb, int(yaw) + q.seed, axis=1)
        depth = np.full(rgb.shape[:2], 2.0, np.float32)
        pose = AHEAD @ camera_matrix(x, y, 0, yaw)
        return Observation(rgb, depth=depth, pose=pose, hfov_deg=now.hfov_deg)

    def shifted(self, rollouts):
        """The same, a little brighter."""
        return [Rollout(tuple(replace(f, rgb=f.rgb + np.uint8(1)) for f in r.frames)) for r in rollouts]


FAULTS = {}


def fault(identity: str):
    def keep(made):
        FAULTS.setdefault(identity, []).append(made)
        return made

    return keep


fault("card")(lambda: Good(control="telepathy"))
fault("card")(lambda: Good(history=0))
fault("card")(lambda: Good(reads=("depth",)))
fault("reads")(lambda: Good(reads=("panorma",)))


@fault("answers")
class Forgets(Good):
    def simulate(self, queries):
        return super().simulate(queries)[1:]


@fault("answers")
class Breaks(Good):
    def simulate(self, queries):
        raise RuntimeError("out of memory")


@fault("frames.count")
class Early(Good):
    def one(self, q):
        return Rollout(super().one(q).frames[1:])


@fault("frames.picture")
class Floats(Good):
    def frame(self, q, i, *place):
        seen = super().frame(q, i, *place)
        return replace(seen, rgb=seen.rgb.astype(np.float32) / 255)


@fault("frames.picture")
class Small(Good):
    def frame(self, q, i, *place):
        seen = super().frame(q, i, *place)
        return replace(seen, rgb=seen.rgb[::2, ::2])


@fault("frames.arrays")
class Infinite(Good):
    def frame(self, q, i, *place):
        seen = super().frame(q, i, *place)
        return replace(seen, extra={"uncertainty": np.array([np.inf])}) if i == 2 else seen


@fault("frames.arrays")
class Misfit(Good):
    def frame(self, q, i, *place):
        return replace(super().frame(q, i, *place), depth=np.ones((3, 3), np.float32))


@fault("frames.arrays")
class Undefined(Good):
    def one(self, q):
        return replace(super().one(q), reward=np.full(len(q.plan), np.nan, np.float32))


@fault("pose.rigid")
class Stretched(Good):
    def frame(self, q, i, *place):
        seen = super().frame(q, i, *place)
        return replace(seen, pose=2 * seen.pose)


@fault("seed.repeat")
class Drifts(Good):
    asked = 0

    def simulate(self, queries):
        together = len(queries) > 2 and queries[0].seed == 0
        self.asked += together
        found = super().simulate(queries)
        return self.shifted(found) if together and self.asked > 1 else found


@fault("batch.single")
class Normalises(Good):
    def simulate(self, queries):
        found = super().simulate(queries)
        return self.shifted(found) if len(queries) > 2 else found


@fault("batch.order")
class Positions(Good):
    def simulate(self, queries):
        found = super().simulate(queries)
        return self.shifted(found) if queries[0].seed > queries[-1].seed else found


@fault("batch.twice")
class Deduplicates(Good):
    def simulate(self, queries):
        found = super().simulate(queries)
        if len({q.seed for q in queries}) < len(queries):
            found[1:] = self.shifted(found[1:])
        return found


@fault("threads")
class Bound(Good):
    def __init__(self):
        super().__init__()
        self.home = threading.get_ident()

    def simulate(self, queries):
        assert threading.get_ident() == self.home, "this context belongs to another thread"
        return super().simulate(queries)


@fault("threads")
class Crowded(Good):
    """Says that it takes two calls at once, and mixes them up when it gets them."""

    lanes = 2

    def __init__(self):
        super().__init__()
        self.inside, self.meeting = 0, threading.Barrier(2)
        self.main = threading.get_ident()

    def simulate(self, queries):
        if threading.get_ident() == self.main:
            return super().simulate(queries)
        self.meeting.wait(30)  # both are here
        return self.shifted(super().simulate(queries))


@fault("inputs.untouched")
class Scribbles(Good):
    def frame(self, q, i, *place):
        now = q.history[-1]
        now.rgb[0, 0] = 7
        return Observation(np.full_like(now.rgb, 7), hfov_deg=now.hfov_deg)


@fault("control.roundtrip")
class Positional(Good):
    """Its codes are places in a list that has another order than its words."""

    def translator(self, vocabulary):
        names = [p.name for p in vocabulary.primitives]
        there, back = ({n: i for i, n in enumerate(o)} for o in (names, names[::-1]))

        class Mixed(CodeTranslator):
            def decode(self, control):
                return CodeTranslator(vocabulary, back).decode(control)

        return Mixed(vocabulary, there)


@fault("plan.one")
class Squeezes(Good):
    def one(self, q):
        assert len(q.plan) > 1, "cannot interpolate"
        return super().one(q)


@fault("plan.double")
class Fixed(Good):
    """A video of fixed length, whatever is asked."""

    def one(self, q):
        return Rollout(super().one(q).frames[:HORIZON])


@fault("view")
class WideEyed(Good):
    def frame(self, q, i, *place):
        return replace(super().frame(q, i, *place), hfov_deg=90.0)


@fault("controls")
class Bored(Good):
    """Will not turn on the spot."""

    def one(self, q):
        if q.seed == 0 and len(q.plan) == HORIZON and set(q.plan.names) == {"turn_left"}:
            raise RuntimeError("this goes nowhere")
        return super().one(q)


@fault("history.short")
class Remembers(Good):
    def one(self, q):
        if len(q.history) < 2:
            raise IndexError("tuple index out of range")
        return super().one(q)


@fault("history.long")
class Nostalgic(Good):
    def frame(self, q, i, *place):
        seen = super().frame(q, i, *place)
        return replace(seen, rgb=seen.rgb + q.history[0].rgb[:1, :1])


@fault("picture.oblong")
class Square(Good):
    def frame(self, q, i, *place):
        seen = super().frame(q, i, *place)
        side = seen.rgb.shape[1]
        return replace(seen, rgb=np.resize(seen.rgb, (side, side, 3)))


def results(report) -> dict[str, str]:
    return {i.id: i.result for i in report.items}


def test_a_good_model_passes():
    report = check_model(Good(), SCENE)
    assert report.passed, report.to_dict()
    found = results(report)
    assert list(found) == [c.id for c in CHECKS]
    notes = ["seeds", "plan.prefix", "pose.path", "controls", "time", "memory"]
    assert [n for n, r in found.items() if r != "pass"] == notes
    said = {i.id: i.detail for i in report.items}
    assert "another seed, another rollout" in said["seeds"] and "are the same" in said["plan.prefix"]
    assert "0.00 m and 0.0 degrees" in said["pose.path"] and "different" in said["controls"]
    assert report.badge == "worldloop check: good: 20 passed, 0 failed"


def test_the_ids_are_stable():
    assert [c.id for c in CHECKS] == [
        *("card", "reads", "answers", "frames.count", "frames.picture", "frames.arrays", "pose.rigid"),
        *(
            "seed.repeat",
            "batch.single",
            "batch.order",
            "batch.twice",
            "threads",
            "inputs.untouched",
            "seeds",
        ),
        *("control.roundtrip", "plan.one", "plan.double", "plan.prefix", "view", "pose.path", "controls"),
        *("history.short", "history.long", "picture.oblong", "time", "memory"),
    ]


def test_every_check_that_can_fail_has_a_fault_and_advice():
    assert set(FAULTS) == {c.id for c in CHECKS if c.advice}


@pytest.mark.parametrize(
    ("identity", "made"),
    [(k, m) for k, makers in FAULTS.items() for m in makers],
    ids=lambda v: v if isinstance(v, str) else getattr(v, "__name__", ""),
)
def test_each_fault_is_found_by_its_check_alone(identity, made):
    report = check_model(made(), SCENE, HORIZON)
    assert [i for i, r in results(report).items() if r == "fail"] == [identity], report.to_dict()
    item = next(i for i in report.items if i.id == identity)
    assert item.detail and item.advice
    assert not report.passed and "1 failed" in report.badge and "1 failed" in badge_svg(report)


class Particular(Good):
    """Refuses what it was not trained on, and says so."""

    def one(self, q):
        now = q.history[-1]
        if now.rgb.shape[0] != now.rgb.shape[1] or now.hfov_deg != 90 or len(q.plan) > HORIZON:
            raise ModelError("not trained on that")
        return super().one(q)


def test_a_refusal_is_no_fault():
    report = check_model(Particular(), SCENE, HORIZON)
    skipped = {i.id: i.detail for i in report.items if i.result == "skip"}
    assert report.passed and set(skipped) == {"plan.double", "plan.prefix", "view", "picture.oblong"}
    assert skipped["view"] == "refused: not trained on that"


def test_a_view_of_its_own_is_declared():
    class Narrow(Good):
        def frame(self, q, i, *place):
            return replace(super().frame(q, i, *place), hfov_deg=60.0)

    assert results(check_model(Narrow(), SCENE))["view"] == "fail"
    assert results(check_model(Narrow(settings={"hfov_deg": 60.0}), SCENE))["view"] == "pass"


@pytest.mark.parametrize("name", ["oracle", "shuffled", "frozen", "rotate-only", "pointcloud", "none"])
def test_models_of_the_package_pass(name):
    report = check_model(MODELS.create(name), SCENE, 2, 2)
    assert report.passed, report.to_dict()
    assert len(report.items) == len(CHECKS)


def test_the_example_passes():
    assert check_model(MODELS.create("examples.my_model.Slide"), SCENE, 2, 2).passed


def test_the_command_writes_report_and_badge(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    command = ["check", "frozen", "--scene", SCENE, "--report", "out/report.json", "--badge", "out/badge.svg"]
    assert main(command) == 0
    said = capsys.readouterr().out
    assert "frames.count" in said and "0 failed" in said
    told = json.loads((tmp_path / "out/report.json").read_text())
    assert told["passed"] and {i["id"] for i in told["items"]} == {c.id for c in CHECKS}
    svg = ElementTree.fromstring((tmp_path / "out/badge.svg").read_text())
    words = [t.text for t in svg.iter("{http://www.w3.org/2000/svg}text")]
    assert words[0] == "worldloop check" and words[1].endswith(" passed")
    assert main([*command[:4], "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["badge"] == told["badge"]


def test_a_failure_says_what_to_do(capsys, monkeypatch):
    monkeypatch.setattr("worldloop.cli.check.MODELS.create", lambda spec: WideEyed())
    assert main(["check", "wide", "--scene", SCENE]) == 1
    assert "-> pass hfov_deg" in capsys.readouterr().out


def test_questions_that_cannot_be_asked_are_refused():
    for settings in ({"horizon": 0}, {"count": 1}):
        with pytest.raises(InputError):
            check_model(Good(), SCENE, **settings)
