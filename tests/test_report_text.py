"""The report's sentences and drawings, from runs whose outcomes are given."""

from __future__ import annotations

from worldloop.runs import Run
from worldloop.tasks import TASKS
from worldloop.view.leaderboard import leaderboard
from worldloop.view.report_paths import path_bounds, path_plot
from worldloop.view.report_replay import Step, step
from worldloop.view.report_text import TASKS_EXPLAINED, task_summary, verdicts

from report_runs import handmade


def sentences(*found: Run) -> list[str]:
    board = leaderboard(found, allow_missing_controls=True).tasks[0]
    return [str(v.sentence.striptags()).replace("\u00a0", " ") for v in verdicts(board)]


def test_verdicts_claim_no_more_than_the_table(tmp_path):
    n = 48
    low, high = [i % 4 == 0 for i in range(n)], [i % 4 != 3 for i in range(n)]
    none = handmade(tmp_path, "none", low)
    oracle = handmade(tmp_path, "oracle", [True] * n)
    better = handmade(tmp_path, "good", [(i % 8 < 6 and i % 8 != 3) or a for i, a in enumerate(low)])
    first, scale = sentences(none, oracle, better)
    assert "good raised the success rate from 25 % to 62.5 % (paired difference +37.5 points" in first
    assert "48 episodes)" in first and "perfect imagination (oracle) succeeded in 100 %" in scale
    same = handmade(tmp_path, "same", low[::-1])
    assert "made no difference that these episodes can show" in sentences(none, oracle, same)[0]
    assert "points better would fit what was seen" in sentences(none, oracle, same)[0]
    unfinished = handmade(tmp_path, "slow", high, keep=5)
    assert "has not finished: 5 of 48 episodes" in sentences(none, oracle, unfinished)[0]
    worse = handmade(tmp_path, "worse", [i == 0 for i in range(n)])
    useless = handmade(tmp_path, "oracle", low)
    found = sentences(none, useless, worse)
    assert "worse lowered the success rate from 25 % to 2.1 %" in found[0]
    assert "cannot tell a good world model from a bad one" in found[1]
    helped = handmade(tmp_path, "helped", high, privileges=("true_depth",))
    assert "It had help: it reads the simulator's depth." in sentences(none, oracle, helped)[0]


def test_paths():
    assert path_bounds([]) is None and path_bounds([(0.0, 0.0, 0.0)] * 3) is None
    assert path_bounds([(0.0, 0.0, 0.0), (1e300, 0.0, 0.0)]) is None
    bounds = path_bounds([(0.0, 0.0, 0.0), (2.0, 1.0, 90.0)])
    assert bounds is not None and bounds[:2] == (1.0, 0.5) and bounds[2] > 2
    svg = str(path_plot([(0.0, 0.0, 0.0), (2.0, 1.0, 90.0)], bounds, "<name>"))
    assert svg.count("data-step") == 2 and "&lt;name&gt;" in svg and "0.5 m" in svg


def test_actions_in_words():
    assert step("turn_left") == Step("↶", "turn left")
    assert step("gripper-waypoint(0.401907, -3.19279, 0, 1)").words == "0.402  −3.19  0  1"
    for odd in ("wave", "wave(a, b)", "wave()", "(1)", ""):
        assert step(odd) == Step("", odd)


def test_every_registered_task_is_explained():
    assert all(task_summary(name) == TASKS_EXPLAINED[name] for name in TASKS.names())
    assert task_summary("no-such-task") == ""
