"""Model cards: complete, the same for people and programs, and honest about what was not measured."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest

from worldloop.core import ModelCard, Observation, Rollout
from worldloop.training.video import card as module
from worldloop.training.video.card import FILES, open_loop, sparkline, write_card

FACTS = {
    "steps": 100,
    "batch": 8,
    "seconds": 12.5,
    "device": "cpu x 2",
    "precision": "no",
    "losses": [(i + 1, 2.0 / (i + 1)) for i in range(50)],
    "loop": {"steps": 100, "learning_rate": 1e-3},
    "trained_parameters": 12_000,
    "parameters": 1_000_000,
    "data": ["data|1", "more\ndata"],
    "scenes": 12,
    "styles": ["A", "B"],
    "weights_hash": "0123456789abcdef",
}
SCORE = {
    "trials": 48,
    "actions": 4,
    "steps_counted": 170,
    "split": "val",
    "scenes": 24,
    "distance": "ST-LPIPS",
    "chance_of_recovery": 0.3333,
    "models": {
        "this model": {"controllability": 0.71, "recovered_actions": 0.9, "psnr": 18.25},
        "frozen": {"controllability": 0.5, "recovered_actions": None, "psnr": 14.0},
    },
}
EXTRA = {
    "vae": {"psnr": 27.5, "l1": 0.03},
    "video": {},
    "sft": {"control": "code", "rank": 6, "base": "fedcba"},
    "distil": {
        "control": "code",
        "levels": [1.0, 0.5, 0.0],
        "distance_to_teacher": {"student": 0.01, "teacher_in_as_many_steps": 0.2},
    },
}


@pytest.mark.parametrize("kind", FILES)
def test_both_files_tell_the_same(tmp_path, kind):
    card = write_card(tmp_path, kind, {**FACTS, **EXTRA[kind]}, SCORE)
    assert json.loads((tmp_path / "card.json").read_text()) == card
    assert sorted(p.name for p in tmp_path.iterdir()) == ["card.json", "card.md"]
    page = (tmp_path / "card.md").read_text()
    wanted = [
        "small",
        "12 scenes",
        "styles A, B",
        "100, each of 8",
        "12.5 on cpu x 2",
        "1.20 %",
        "0123456789abcdef",
    ]
    wanted += ["Apache-2.0", "CC-BY-3.0", "NOTICE", "from 2 to 0.04", "precision fp32", FILES[kind]]
    wanted += {"vae": ["27.5 dB"], "distil": ["0.01", "1, 0.5, 0"], "sft": ["rank", "fedcba"], "video": []}[
        kind
    ]
    if kind != "vae":
        wanted += ["| this model | 0.71 | 0.9 | 18.25 |", "| frozen | 0.5 | - | 14 |", "24 validation scenes"]
    for text in wanted:
        assert text in page, text
    assert card["trained_share"] == 0.012 and "small" in card["what"].lower()
    rows = [line for line in page.splitlines() if line.startswith("|")]
    first = rows[: next(i for i, r in enumerate(rows) if r.startswith("| step"))]
    assert all(r.replace("\\|", "").count("|") == 3 for r in first)


def test_a_card_without_a_score_says_so(tmp_path):
    assert write_card(tmp_path, "sft", FACTS)["open_loop"] is None
    assert "Not scored." in (tmp_path / "card.md").read_text()
    write_card(tmp_path, "sft", FACTS, SCORE)
    assert "Not scored." not in (tmp_path / "card.md").read_text()
    assert "Open loop" not in module.markdown(write_card(tmp_path, "vae", {**FACTS, **EXTRA["vae"]}))


def test_numbers_that_are_none_are_refused(tmp_path):
    with pytest.raises(ValueError, match="JSON"):
        write_card(tmp_path, "video", {**FACTS, "seconds": math.nan})
    assert not list(tmp_path.iterdir())


def test_sparklines():
    assert sparkline([0.0, 7.0, 3.5]) == "▁█▅" and sparkline([2.0, 2.0]) == "▁▁"
    assert module._loss_table([(1, 5.0)]).splitlines()[2] == "| loss | 5 |"
    assert module._loss_table([(i, 1.0) for i in range(1, 51)]).splitlines()[0].count("|") == 10


class Truth:
    """Runs the simulator; the best score there is."""

    card = ModelCard("truth", "the simulator", "code", privileges=("simulator",))

    def simulate(self, queries):
        return [Rollout(tuple(Observation(o.rgb) for o in q.simulator.rollout(q.plan))) for q in queries]


def test_scores_stand_beside_the_controls(monkeypatch):
    drawn = []
    monkeypatch.setattr(
        module,
        "draw_trials",
        lambda n, h: drawn.append((n, h)) or draw(n, horizon=h, scenes=1, styles=("A",)),
    )
    from worldloop.metrics import draw_trials as draw

    score = open_loop({"truth": Truth()}, trials=3, horizon=2)
    assert drawn == [(3, 2)] and (module.TRIALS, module.HORIZON) == (48, 4)
    assert list(score["models"]) == ["truth", "frozen", "rotate-only"]
    assert score["models"]["truth"]["controllability"] == 1.0 and score["models"]["truth"]["psnr"] > 60
    assert score["models"]["frozen"]["controllability"] < 0.95
    assert score["steps_counted"] <= 6 and score["chance_of_recovery"] == pytest.approx(1 / 3, abs=1e-3)
    assert json.loads(json.dumps(score, allow_nan=False)) == score
    assert module._mean(np.array([np.nan]), 2) is None
