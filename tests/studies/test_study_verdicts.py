"""Planted outcomes end in the sentences they deserve."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from worldloop.studies.result import CONTROLLABILITY, RECOVERED
from worldloop.studies.verdicts import Sample, beats, best_of, contrast, estimate, headline, rises, shown

from planted import SCENES, SUCCESS, N, distances, successes

DOSES = (0, 400, 2000, 20000)
RATES = {
    "rising": (0.2, 0.35, 0.5, 0.65),
    "flat": (0.5, 0.5, 0.5, 0.5),
    "falling": (0.65, 0.5, 0.35, 0.2),
    "up and down": (0.5, 0.8, 0.2, 0.62),
}


def arms(make, rates) -> dict[str, Sample]:
    return {f"{d} examples" if d else "the base": make(r, i) for i, (d, r) in enumerate(zip(DOSES, rates))}


@pytest.mark.parametrize(
    ("kind", "status", "words", "word"),
    [
        ("rising", "shown", "image-goal success rises with the dose: Spearman +1.00", "reproduced: "),
        ("flat", "not shown", "image-goal success is not shown to rise with the dose", "not shown: "),
        ("falling", "opposite", "image-goal success falls with the dose: Spearman -1.00", "contradicted: "),
        ("up and down", "not shown", "the order in between is not settled", "not shown: "),
    ],
)
def test_trends_of_success(kind, status, words, word):
    found = rises(SUCCESS, arms(successes, RATES[kind]), DOSES, "the dose")
    assert found.status == status and words in found.sentence
    assert headline([found]) == word + found.sentence
    first = found.contrasts[0]
    assert (first.minuend, first.subtrahend) == ("20000 examples", "the base")
    assert [c.minuend for c in found.contrasts] == ["20000 examples", "2000 examples", "400 examples"]
    assert shown(SUCCESS, first.difference, signed=True) in found.sentence
    gap = RATES[kind][-1] - RATES[kind][0]
    assert first.difference.low <= gap <= first.difference.high


@pytest.mark.parametrize(
    ("kind", "status"), [("rising", "shown"), ("flat", "not shown"), ("falling", "opposite")]
)
def test_trends_of_controllability_leave_out_what_says_nothing(kind, status):
    found = rises(CONTROLLABILITY, arms(distances, RATES[kind]), DOSES, "the dose")
    assert found.status == status and found.contrasts[0].difference.n == N - 1
    assert found.trend.method == "two-stage bootstrap"


def test_noise_alone_is_rarely_called_a_trend():
    rng, alarms = np.random.default_rng(5), 0
    for _ in range(60):
        samples = {str(d): Sample((rng.random(60) < 0.5).astype(float), SCENES[:60]) for d in DOSES}
        alarms += rises(SUCCESS, samples, DOSES, "the dose").status != "not shown"
    assert alarms <= 5


def test_pairs():
    better, worse = ("adapted", successes(0.6)), ("large", successes(0.4))
    assert beats(SUCCESS, better, worse).status == "shown"
    assert "adapted beats large in image-goal success: +" in beats(SUCCESS, better, worse).sentence
    assert beats(SUCCESS, worse, better).sentence.startswith("large is worse than adapted")
    assert beats(SUCCESS, better, ("same", successes(0.6))).status == "not shown"
    assert "[" in beats(SUCCESS, better, ("same", successes(0.6))).sentence  # ties have Newcombe's interval
    blocked = Sample(np.full(N, np.nan), SCENES)
    nothing = beats(CONTROLLABILITY, ("a", blocked), ("b", distances(0.5)))
    assert nothing.status == "not measured" and nothing.contrasts[0].difference.n == 0


def test_styles_are_told_apart():
    whole = Sample(np.arange(N, dtype=float), SCENES)
    parts = [whole.only(s) for s in "ABC"]
    assert [len(p.values) for p in parts] == [N // 3] * 3 and not np.isin(
        parts[0].values, parts[2].values
    ).any()
    gain = beats(
        SUCCESS, ("b", successes(0.7).only("C")), ("a", successes(0.4).only("C")), " on style C (unseen)"
    )
    assert "image-goal success on style C (unseen): +" in gain.sentence
    assert gain.contrasts[0].difference.n == N // 3


def test_the_best_must_beat_every_other_one():
    found = best_of(SUCCESS, {"text": successes(0.2), "code": successes(0.7), "camera": successes(0.4)})
    assert found.status == "shown" and found.sentence.startswith(
        "code is best in image-goal success: code minus "
    )
    assert len(found.contrasts) == 3 and found.contrasts[0].difference.confidence == pytest.approx(
        1 - 0.05 / 3
    )
    close = best_of(SUCCESS, {"text": successes(0.2), "code": successes(0.5), "camera": successes(0.5, 1)})
    assert close.status == "not shown" and close.sentence.startswith("none is shown to be best")


def test_an_arm_that_never_finished_is_no_evidence():
    crashed = replace(successes(0.0), failed="out of memory")
    for found in (
        rises(SUCCESS, {"a": crashed, "b": successes(0.9)}, (0, 1), "the dose"),
        beats(SUCCESS, ("b", successes(0.9)), ("a", crashed)),
        best_of(SUCCESS, {"a": crashed, "b": successes(0.9)}),
    ):
        assert found.status == "not measured" and "out of memory" in found.sentence
        assert headline([found]).startswith("not measured: ")


def test_headlines_weigh_all_deciding_findings():
    up = rises(SUCCESS, arms(successes, RATES["rising"]), DOSES, "x")
    flat = rises(SUCCESS, arms(successes, RATES["flat"]), DOSES, "x")
    down = rises(SUCCESS, arms(successes, RATES["falling"]), DOSES, "x")
    heads = {
        (up, up): "reproduced",
        (up, flat): "reproduced in part",
        (up, down): "mixed",
        (flat, down): "contradicted",
        (flat, flat): "not shown",
        (up, replace(down, deciding=False)): "reproduced",
    }
    for findings, word in heads.items():
        assert headline(findings).split(":")[0] == word
    open_loop = rises(RECOVERED, arms(distances, RATES["rising"]), DOSES, "x")
    assert headline([open_loop]).startswith("reproduced (open loop only): action recovery rises")


def test_estimates_count_what_counts():
    assert estimate(SUCCESS, successes(0.5)).n == N and estimate(SUCCESS, successes(0.5)).method == "wilson"
    assert estimate(CONTROLLABILITY, distances(0.5)).n == N - 1
    assert estimate(CONTROLLABILITY, Sample(np.array([np.nan]), ("house/test/A/0000",))).value is None
    found = contrast(CONTROLLABILITY, ("a", distances(0.6)), ("b", distances(0.5)))
    assert found.difference.value == pytest.approx(0.1, abs=0.02)
