"""The command: measure, list, sanity, cases, coverage; what is asked for wrongly says what to do."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from worldloop.actions import intended_path
from worldloop.cli.main import main
from worldloop.core import Primitive, Vocabulary
from worldloop.engine.measure import sanity as planting
from worldloop.engine.measure.export import commanded
from worldloop.engine.measure.sanity import sanity
from worldloop.metrics.metric import GROUPS

from fakes import look
from toy_metrics import NOISE, NOTHING, RARE, TOYS, registered, toy_case, toy_metric, toy_specs


@pytest.fixture(autouse=True)
def toys(monkeypatch):
    """Metrics are the toys, and cases the toys' cases."""
    monkeypatch.setattr(
        "worldloop.metrics.cases.list_cases", lambda kinds, count, seed=0: toy_specs(count, kinds[0])
    )
    monkeypatch.setattr("worldloop.metrics.cases.build_case", toy_case)
    with registered():
        yield


def command(capsys, *arguments, status=0):
    assert main(list(map(str, arguments))) == status, capsys.readouterr().err
    return capsys.readouterr()


def test_models_are_measured_beside_baselines(tmp_path, capsys):
    ask = [
        "metrics",
        "--model",
        "toy_metrics.Dim",
        "--kinds",
        "walk",
        "--cases",
        3,
        "--out",
        tmp_path / "out",
    ]
    found = json.loads(command(capsys, *ask, "--json").out)
    (table,) = found["tables"]
    assert table["models"] == ["dim", "frozen", "shuffled", "oracle"]
    assert sorted(p.name for p in (tmp_path / "out").iterdir()) == [
        "frozen",
        "oracle",
        "shuffled",
        "toy_metrics.Dim",
    ]
    shown = command(capsys, *ask)
    assert "toy-error" in shown.out and "3/3" in shown.out
    assert json.loads(command(capsys, *ask, "--json").out) == found
    matrix = json.loads(command(capsys, "coverage", tmp_path / "out", "--json").out)
    assert matrix["covered"]["interaction"]["indoor"]["scored"] == 3
    assert matrix["covered"]["long video"]["indoor"]["wanted"] == 0  # the walks are short
    assert "WorldOlympiad" in command(capsys, "coverage", tmp_path / "out").out
    command(capsys, "view", tmp_path / "out", "--html", tmp_path / "page.html")
    assert "toy-error" in (tmp_path / "page.html").read_text()


def test_baselines_are_what_the_command_adds_itself(tmp_path, capsys):
    ask = ["metrics", "--cases", 2, "--json", "--out"]
    (table,) = json.loads(command(capsys, *ask, tmp_path / "a", "--model", "frozen,toy_metrics.Dim").out)[
        "tables"
    ]
    assert table["models"] == ["dim", "frozen", "shuffled", "oracle"] and len(table["baselines"]) == 3
    alone = [*ask, tmp_path / "b", "--no-baselines", "--model", "oracle"]
    (table,) = json.loads(command(capsys, *alone).out)["tables"]
    assert table["models"] == ["oracle"] and not table["baselines"]


def test_a_model_for_which_nothing_works_is_an_error(tmp_path, capsys):
    ask = [
        "metrics",
        "--model",
        "toy_metrics.Sworn",
        "--no-baselines",
        "--cases",
        2,
        "--out",
        tmp_path,
        "--json",
    ]
    command(capsys, *ask, status=1)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ([], "say what to measure"),
        (["--model", "frozen", "--metrics", "toy-eror"], "did you mean 'toy-error'"),
        (["--model", "none"], "imagines nothing"),
        (["--model", "frozen,frozen"], "named twice"),
        (["--model", "frozen", "--bare"], "belong to --videos"),
        (["--model", "frozen", "--chunk", "0"], "--chunk counts"),
        (["--model", "frozen", "--batch", "0"], "a batch has 1 case or more"),
        (["--videos", "nowhere"], "no folder"),
        (["--model", "frozen", "--suite", "physics"], "has no metric yet"),
        (["cases"], "--out DIR"),
    ],
)
def test_bad_commands_say_what_to_do(options, words, tmp_path, capsys):
    out = [] if options == ["cases"] else ["--out", str(tmp_path / "out")]
    assert main(["metrics", *options, *out]) == 2
    assert words in " ".join(capsys.readouterr().err.split())


def test_metrics_are_listed(capsys):
    listed = json.loads(command(capsys, "metrics", "list", "--json").out)
    assert [m["name"] for m in listed] == [m.name for m in sorted(TOYS, key=lambda m: GROUPS.index(m.group))]
    markdown = command(capsys, "metrics", "list", "--markdown").out
    assert "### geometry" in markdown and "toy-deep" in markdown
    assert "Mean absolute difference" in command(capsys, "metrics", "list").out


def test_what_does_not_come_with_the_package_is_measured_only_when_named(tmp_path, capsys):
    with registered([*TOYS, replace(toy_metric(np.ndim), name="far", optional="download it")]):
        shown = command(
            capsys, "metrics", "--model", "frozen", "--no-baselines", "--cases", 2, "--out", tmp_path
        )
    assert "far is left out: download it" in " ".join(shown.err.split())
    header = json.loads((tmp_path / "frozen" / "metrics.json").read_text())
    assert "far" not in {m["name"] for m in header["metrics"]}


def test_weights_that_are_missing_stop_the_command_before_the_first_case(tmp_path, capsys, monkeypatch):
    monkeypatch.delenv("WORLDLOOP_FID_INCEPTION", raising=False)
    far = toy_metric(np.ndim, weights="inception-2015-12-05.pt", optional="download it")
    with registered([*TOYS, far]):
        ask = ["metrics", "--model", "frozen", "--cases", 2, "--metrics", f"toy-error,{far.name}"]
        shown = command(capsys, *ask, "--out", tmp_path / "out", status=2)
    assert "set WORLDLOOP_FID_INCEPTION to" in " ".join(shown.err.split())
    assert not (tmp_path / "out").exists()


def test_cases_are_written_without_the_truth(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr("worldloop.engine.measure.export.build_case", toy_case)
    command(capsys, "metrics", "cases", "--cases", 2, "--out", tmp_path)
    listed = json.loads((tmp_path / "cases.json").read_text())["cases"]
    assert len(listed) == 2 and listed[0]["videos"][0] == listed[0]["id"] + ".mp4"
    place = tmp_path / listed[0]["id"]
    told = json.loads((place / "case.json").read_text())
    assert told["frames"] == 5 and told["plan"]["keys"] == ["W"] * 5 and len(told["plan"]["camera"]) == 6
    assert told["twin"]["actions"] == ["stop"] * 5 and told["camera_to_world"] is None
    assert told["prompt"] == "go forward" and told["width"] == 8
    assert Image.open(place / "start.png").size == (8, 8)
    assert sorted(p.name for p in place.iterdir()) == ["case.json", "start.png"]


def test_the_path_that_is_told_knows_of_no_obstacle(tmp_path):
    plain = toy_case(toy_specs(1)[0])
    moves, start = plain.query.plan, plain.query.simulator.state
    free = np.stack([look(*place).pose for place in intended_path(moves, *start)])
    blocked = np.concatenate([free[:2], np.repeat(free[1:2], len(moves) - 1, axis=0)])
    motion = np.tile([0.2, 0.0, 0.0], (len(moves), 1))
    case = replace(plain, truth=replace(plain.truth, poses=blocked, motion=motion))
    assert np.allclose(commanded(case), free)
    arc = Vocabulary("arcs", (Primitive("arc", forward=0.2, yaw_deg=90.0),)).plan(["arc"] * len(moves))
    path = commanded(replace(case, query=replace(case.query, plan=arc)))
    # First the turn, then ahead, and after four of them back at the start.
    assert np.allclose(path[1:5], np.stack([look(*place).pose for place in intended_path(arc, *start)])[1:5])
    assert np.allclose(path[4], path[0])
    assert commanded(replace(case, truth=replace(case.truth, motion=None))) is None
    still = replace(case.truth, motion=None, poses=np.repeat(free[:1], len(moves) + 1, axis=0))
    assert np.allclose(commanded(replace(case, truth=still)), free[0])


def test_sanity_finds_metrics_that_do_not_do_what_they_claim(monkeypatch):
    monkeypatch.setattr(planting, "build_case", toy_case)
    error = TOYS[0]
    liar = replace(error, name="liar", reacts=("toy-nothing",), ignores=("toy-noise",), tolerance=1.0)
    wishful = replace(error, name="wishful", reacts=("toy-rare",))
    modest = replace(liar, name="modest", unclaimed=("walk",))
    found = sanity([error, liar, wishful, modest], [NOISE, NOTHING, RARE], toy_specs(3))
    verdicts = {(r.metric, r.defect): r.verdict for r in found.responses}
    assert verdicts["modest", "toy-noise"] == verdicts["modest", "toy-nothing"] == "untested"
    assert (
        verdicts["toy-error", "toy-noise"] == "reacts" and verdicts["toy-error", "toy-nothing"] == "ignores"
    )
    assert (
        verdicts["liar", "toy-nothing"] == "fails to react"
        and verdicts["liar", "toy-noise"] == "fails to ignore"
    )
    assert verdicts["wishful", "toy-rare"] == "untested" and not found.passed
    changes = next(r for r in found.responses if r.verdict == "reacts").change
    assert 0 > changes[0] > changes[1] > changes[2]
    assert sanity([error], [NOISE, NOTHING], toy_specs(3)).passed


def test_sanity_from_the_command_line(monkeypatch, capsys):
    monkeypatch.setattr(planting, "build_case", toy_case)
    monkeypatch.setattr(
        "worldloop.metrics.defects.load_defects", lambda: {d.name: d for d in (NOISE, NOTHING, RARE)}
    )
    shown = command(capsys, "metrics", "sanity", "--cases", 3, "--metrics", "toy-error,toy-change")
    assert "toy-noise" in shown.out and "✓" in shown.out
    assert "toy-rare" not in shown.out, "nothing could be planted, so it has no column"
    assert "2 of 2 claims hold" in shown.out
    with registered([replace(TOYS[0], reacts=("toy-nothing",))]):
        shown = command(capsys, "metrics", "sanity", "--cases", 3, status=1)
    assert "fails to react to toy-nothing" in " ".join(shown.out.split())
    assert "0 of 1 claims hold" in shown.out
