"""Measuring: nothing is dropped, nothing is repeated, and no score depends on how it was measured."""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from dataclasses import replace

import numpy as np
import pytest

from worldloop.core import (
    InputError,
    MissingExtraError,
    Observation,
    Rollout,
    RunFolderError,
    SplitError,
)
from worldloop.engine.measure import BASELINES, MeasureSettings, ModelSubject, measure
from worldloop.engine.measure.weights import FILES, REFERENCES, check_weights
from worldloop.metrics.cases import KINDS, VERSIONS
from worldloop.metrics.clip import Clip
from worldloop.metrics.metric import load_metrics
from worldloop.metrics.shared import mscn
from worldloop.models import MODELS
from worldloop.runs.scores import read_scores

from toy_metrics import TOYS, Dim, Moody, Seer, Sworn, Trained, toy_case, toy_metric, toy_specs

SETTINGS = MeasureSettings(batch=2, workers=2, build=toy_case)
ERROR, CHANGE, EFFECT, BROKEN, DEEP, SPREAD = TOYS


def measured(folder, model=None, metrics=TOYS, specs=None, settings=SETTINGS, **more):
    subject = ModelSubject(model or Dim(), chunk=2)
    measure([(subject, folder)], specs or toy_specs(), metrics, settings, **more)
    return read_scores(folder)


def by(scores, metric):
    return {r.case: r for r in scores.of(metric.name)}


def test_every_case_and_metric_has_a_row(tmp_path):
    scores = measured(tmp_path / "dim")
    assert scores.complete and len(scores.rows) == 6 * 5 + 1
    statuses = {m.name: [r.status for r in scores.of(m.name)] for m in TOYS}
    assert statuses["toy-deep"] == ["lacking"] * 6
    assert statuses["toy-error"] == ["scored"] * 4 + ["nothing", "scored"]
    assert statuses["toy-effect"] == ["scored"] * 6
    assert statuses["toy-spread"] == ["scored"]
    assert all(r.seconds >= 0 and (r.value is None) == (r.status != "scored") for r in scores.rows)
    failed = measured(tmp_path / "bright", metrics=[replace(BROKEN, compute=lambda clip: 1 / 0)])
    assert {(r.status, r.error) for r in failed.rows} == {("failed", "ZeroDivisionError: division by zero")}


def test_what_a_model_cannot_be_asked_is_unfit_and_what_goes_wrong_failed(tmp_path):
    scores = measured(tmp_path / "moody", Moody())
    rows = by(scores, ERROR)
    found = {case.split(".")[2]: (r.status, r.error) for case, r in rows.items() if not case.endswith(".4")}
    assert found == {
        "forward": ("scored", ""),
        "left": ("unfit", "it was never shown this"),
        "right": ("failed", "it dislikes the right"),
    }
    # It cannot be asked to do nothing, so there is no effect that could be scored, also where the plan failed.
    assert {r.status for r in by(scores, EFFECT).values()} == {"unfit"}
    assert [r.status for r in scores.of(SPREAD.name)] == ["failed"]
    for model, words in ((Seer(), "reads panorama"), (Sworn(), "is not its language")):
        rows = measured(tmp_path / model.card.name, model).of(ERROR.name)
        assert {r.status for r in rows} == {"unfit"} and words in rows[0].error


def test_oracle_and_frozen_are_as_they_should_be(tmp_path):
    names = ["dim", *BASELINES]
    subjects = [(ModelSubject(Dim() if n == "dim" else MODELS.create(n)), tmp_path / n) for n in names]
    headers = measure(subjects[:1], toy_specs(), [ERROR, CHANGE], SETTINGS, baselines=subjects[1:])
    assert [h.baseline for h in headers] == [False, True, True, True]
    found = {n: read_scores(tmp_path / n) for n in names}
    assert all(r.value == 0 for r in found["oracle"].of(ERROR.name) if r.status == "scored")
    assert all(r.value == 0 for r in found["frozen"].of(CHANGE.name))
    assert {h.cases_hash for h in headers} == {headers[0].cases_hash}


def test_nothing_depends_on_batches_threads_or_order(tmp_path):
    whole = measured(tmp_path / "a")
    one = measured(tmp_path / "b", settings=replace(SETTINGS, batch=1, workers=1))
    six = measured(tmp_path / "c", settings=replace(SETTINGS, batch=6, workers=3, keep=-1))
    assert whole.digest() == one.digest() == six.digest()
    turned = measured(tmp_path / "d", specs=toy_specs()[::-1])
    assert {c: r.value for c, r in by(turned, ERROR).items()} == {
        c: r.value for c, r in by(whole, ERROR).items()
    }


def test_only_what_is_new_is_computed(tmp_path):
    asked, scored = [], []

    class Counted(Dim):
        def simulate(self, queries):
            asked.extend(queries)
            return super().simulate(queries)

    def counted(clip):
        scored.append(1)
        return ERROR.compute(clip)

    error = replace(ERROR, compute=counted)
    folder = tmp_path / "dim"
    first = measured(folder, Counted(), [error])
    assert len(scored) == 6 and asked
    asked.clear()
    again = measured(folder, Counted(), [error])
    assert not asked and len(scored) == 6 and again.digest() == first.digest() and not again.header.resumed
    # Another metric: the first case's frames were kept, the others are imagined again, and nothing is scored twice.
    both = measured(folder, Counted(), [error, CHANGE])
    assert len(asked) == 5 * 3 and "stop" not in {q.plan.names[0] for q in asked} and len(scored) == 6
    assert both.complete and len(both.rows) == 12 and by(both, ERROR) == by(first, ERROR)
    # A metric that compares with doing nothing: now the model is asked for that, too.
    asked.clear()
    three = measured(folder, Counted(), [error, CHANGE, EFFECT])
    assert (
        len(asked) == 6 * 2 * 3
        and len(scored) == 6
        and {r.status for r in three.of(EFFECT.name)} == {"scored"}
    )
    # Twins are nothing to a set whose metric reads none: it stays scored.
    asked.clear()
    four = measured(tmp_path / "sets", Counted(), [error, SPREAD])
    five = measured(tmp_path / "sets", Counted(), [error, SPREAD, EFFECT])
    asked.clear()
    assert measured(tmp_path / "sets", Counted(), [error, SPREAD, EFFECT]).complete and not asked
    assert four.of(SPREAD.name) == five.of(SPREAD.name)
    scored.clear()
    # Fewer metrics than before: there is nothing to do, and none of the others is lost.
    fewer = measured(folder, Counted(), [CHANGE])
    assert fewer.digest() == three.digest() and fewer.header == three.header and not scored
    # Another version: scored again.
    newer = measured(folder, Counted(), [replace(error, version=2)])
    assert len(scored) == 6 and {r.version for r in newer.of(ERROR.name)} == {2}
    assert {r.metric for r in newer.rows} == {ERROR.name, CHANGE.name, EFFECT.name} and newer.complete


def test_what_fails_or_is_unfit_again_keeps_its_other_scores(tmp_path):
    measured(tmp_path / "parts", Moody(), [ERROR, EFFECT])
    parts = measured(tmp_path / "parts", Moody(), [CHANGE])
    assert parts.complete and {r.metric for r in parts.rows} == {ERROR.name, EFFECT.name, CHANGE.name}
    whole = measured(tmp_path / "whole", Moody(), [ERROR, EFFECT, CHANGE])
    assert parts.digest() == whole.digest()


def test_metrics_that_not_every_case_has_are_left_out(tmp_path, caplog):
    def stop(clip):
        raise KeyboardInterrupt

    folder = tmp_path / "dim"
    with pytest.raises(KeyboardInterrupt):
        measured(folder, Dim(), [ERROR, replace(CHANGE, compute=stop)])
    found = measured(folder, Dim(), [ERROR])
    assert found.complete and {r.metric for r in found.rows} == {ERROR.name}
    assert f"left out: {CHANGE.name}" in caplog.text
    assert (
        measured(folder, Dim(), [ERROR, CHANGE]).digest()
        == measured(tmp_path / "new", Dim(), [ERROR, CHANGE]).digest()
    )


def test_frames_of_the_first_cases_are_kept(tmp_path):
    specs = [*toy_specs(2), *toy_specs(2, "loop")]
    folder = tmp_path / "dim"
    measured(folder, specs=specs)
    lines = [json.loads(line) for line in (folder / "journal.jsonl").read_text().splitlines()]
    kept = {e["case"]: e["frames"] for e in lines if e["frames"]}
    assert set(kept) == {specs[0].id, specs[2].id}
    found = read_scores(folder)
    assert found.frame(kept[specs[0].id][0]).shape == (8, 8, 3)


def test_failures_can_be_tried_again(tmp_path):
    folder = tmp_path / "m"

    class Ill(Dim):
        ill = True

        def one(self, query):
            if self.ill and "move_forward" in query.plan.names:
                raise RuntimeError("out of memory")
            return super().one(query)

    model = Ill()
    assert {r.status for r in measured(folder, model, [CHANGE]).rows} == {"scored", "failed"}
    model.ill = False
    assert {r.status for r in measured(folder, model, [CHANGE]).rows} == {"scored", "failed"}
    well = measured(folder, model, [CHANGE], settings=replace(SETTINGS, retry_failed=True))
    assert {r.status for r in well.rows} == {"scored"}
    assert well.digest() == measured(tmp_path / "n", model, [CHANGE]).digest()


class Crashing(Dim):
    """Runs out of memory when it is asked to do nothing, in some places."""

    crashes = True
    limit = np.median([toy_case(s).query.history[-1].rgb.mean() for s in toy_specs()])

    def one(self, query):
        if self.crashes and "stop" in query.plan.names and query.history[-1].rgb.mean() > self.limit:
            raise RuntimeError("CUDA out of memory")
        return super().one(query)


def test_a_twin_that_fails_counts_as_the_worst_and_is_tried_again(tmp_path):
    model, folder = Crashing(), tmp_path / "m"

    def together(clips):
        """How far all plans lead away from doing nothing."""
        return float(np.mean([EFFECT.compute(c) for c in clips]))

    twinned = toy_metric(together, "interaction", ("twin",), over="set")
    found = measured(folder, model, [ERROR, EFFECT, twinned])
    statuses = [r.status for r in found.of(EFFECT.name)]
    assert set(statuses) == {"scored", "failed"}
    assert "CUDA" in found.of(EFFECT.name)[statuses.index("failed")].error
    assert {r.status for r in found.of(ERROR.name)} == {"scored", "nothing"}  # the plan itself went well
    assert [r.status for r in found.of(twinned.name)] == ["failed"]
    # A failure is remembered as what it is also by metrics that come later, from frames that were kept.
    keeping = replace(SETTINGS, keep=-1)
    measured(tmp_path / "k", model, [ERROR, EFFECT], settings=keeping)
    later = measured(tmp_path / "k", model, [ERROR, EFFECT, replace(EFFECT, name="later")], settings=keeping)
    assert [r.status for r in later.of("later")] == statuses
    model.crashes = False
    well = measured(folder, model, [ERROR, EFFECT, twinned], settings=replace(SETTINGS, retry_failed=True))
    assert {r.status for r in well.of(EFFECT.name)} == {"scored"} == {r.status for r in well.of(twinned.name)}
    assert well.digest() == measured(tmp_path / "n", model, [ERROR, EFFECT, twinned]).digest()


def test_scores_of_another_twin_are_not_gone_on_with(tmp_path):
    model, folder = Dim(), tmp_path / "m"
    before = by(measured(folder, model, [ERROR, EFFECT]), EFFECT)
    nothing = model.one

    def brighter(query):
        rollout = nothing(query)
        if "stop" not in query.plan.names:
            return rollout
        return Rollout(tuple(Observation(255 - f.rgb) for f in rollout.frames))

    model.one = brighter
    after = measured(folder, model, [ERROR, EFFECT, CHANGE, replace(EFFECT, name="other")])
    assert {c: r.value for c, r in by(after, EFFECT).items()} == {
        c: r.value for c, r in by(after, replace(EFFECT, name="other")).items()
    }
    # All but the first case, whose frames were kept, were asked again.
    assert sum(by(after, EFFECT)[c].value != before[c].value for c in before) == 5
    # Who asks for no twin takes nothing from what is known of it.
    less = measured(folder, model, [ERROR, CHANGE, DEEP])
    assert less.complete
    again = measured(folder, model, [ERROR, EFFECT])
    assert by(again, EFFECT) == by(after, EFFECT)


def test_cases_that_another_version_built_are_other_cases(tmp_path, monkeypatch):
    first = measured(tmp_path / "a", metrics=[ERROR])
    assert first.header.case_versions == {"walk": VERSIONS["walk"]}
    monkeypatch.setitem(VERSIONS, "walk", VERSIONS["walk"] + 1)
    with pytest.raises(RunFolderError, match="differs in case_versions"):
        measured(tmp_path / "a", metrics=[ERROR])
    assert measured(tmp_path / "b", metrics=[ERROR]).header.cases_hash != first.header.cases_hash
    assert set(VERSIONS) == set(KINDS)


def test_scores_by_other_weights_are_other_scores(tmp_path, monkeypatch):
    file, tries = tmp_path / "weights", []
    monkeypatch.setitem(FILES, "toy", lambda: [file])

    def weighed(clip):
        """Gives what its file says."""
        tries.append(1)
        return float(file.read_text())

    metric = toy_metric(weighed, weights="toy")
    folder = tmp_path / "m"
    with pytest.raises(InputError, match=r"'toy-weighed' cannot be measured: .* cannot be read"):
        measured(folder, metrics=[ERROR, metric])
    assert not folder.exists()
    for content, times in (("1", 6), ("1", 6), ("2", 12)):
        file.write_text(content)
        found = measured(folder, metrics=[ERROR, metric])
        assert {r.value for r in found.of("toy-weighed")} == {float(content)} and len(tries) == times
    infos = {m.name: m.weights for m in found.header.infos()}
    assert len(infos["toy-weighed"]) == 32 and infos["toy-error"] == ""


def test_all_shipped_weights_are_known_by_their_content(monkeypatch):
    for variable in (v for v in os.environ if v.startswith("WORLDLOOP_")):
        monkeypatch.delenv(variable)
    metrics = load_metrics()
    for metric in metrics.values():
        assert not metric.weights or metric.weights in FILES
        if metric.optional:
            with pytest.raises(InputError, match=f"'{metric.name}' cannot be measured: .*WORLDLOOP_"):
                check_weights([metric])
    found = check_weights([m for m in metrics.values() if not m.optional])
    known = {n for n, digest in found.items() if digest}
    assert known == {n for n, m in metrics.items() if m.weights and not m.optional} | set(REFERENCES)
    assert found["mscn_naturalness"] == found["start_end_contrast"] != found["st_lpips"]


def test_metrics_that_read_fitted_numbers_say_so(monkeypatch):
    def closed():
        raise InputError("closed")

    monkeypatch.setattr(mscn, "shipped_reference", closed)
    random = np.random.default_rng(0)
    frames = random.integers(0, 256, (4, 32, 32, 3), dtype=np.uint8)
    clip = Clip(frames=frames, start=frames[0], truth=frames, hfov_deg=90.0)
    reading = set()
    for metric in load_metrics().values():
        if metric.over == "clip" and not metric.weights and metric.applies(clip):
            try:
                metric.score(clip)
            except InputError as error:
                reading |= {metric.name} if str(error) == "closed" else set()
    assert reading == set(REFERENCES)


def test_what_cannot_be_measured_is_refused(tmp_path):
    with pytest.raises(SplitError, match="trained on 1 of these scenes, such as 'toy-1'"):
        measured(tmp_path / "t", Trained())
    with pytest.raises(InputError, match="imagines nothing"):
        ModelSubject(MODELS.create("none"))
    measured(tmp_path / "dim")
    with pytest.raises(RunFolderError, match="differs in cases"):
        measured(tmp_path / "dim", specs=toy_specs(3))
    with pytest.raises(RunFolderError, match=r"spec\.model"):
        measured(tmp_path / "dim", Sworn())

    def absent(clip):
        """Needs what is not installed."""
        raise MissingExtraError("optical flow", "metrics")

    with pytest.raises(MissingExtraError, match=r"worldloop\[metrics\]"):
        measured(tmp_path / "m", metrics=[toy_metric(absent)])
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "thesis.tex").touch()
    with pytest.raises(RunFolderError, match=r"thesis\.tex"):
        measured(tmp_path / "other")


def test_damage_is_told(tmp_path):
    first = measured(tmp_path / "dim")
    path, header = tmp_path / "dim" / "scores.parquet", tmp_path / "dim" / "metrics.json"
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(RunFolderError, match=r"damaged.*set the status in metrics.json to running"):
        read_scores(tmp_path / "dim")
    header.write_text(header.read_text().replace('"status": "complete"', '"status": "running"'))
    assert measured(tmp_path / "dim").digest() == first.digest()
    (tmp_path / "dim" / "metrics.json").write_text('{"spec": {}}')
    with pytest.raises(RunFolderError, match="lacks"):
        read_scores(tmp_path / "dim")


@pytest.mark.skipif(not hasattr(os, "fork") or sys.platform == "darwin", reason="needs fork and SIGKILL")
def test_killed_and_resumed(tmp_path):
    def slow(spec):
        time.sleep(0.02)
        return toy_case(spec)

    whole = measured(tmp_path / "whole", Moody(), specs=toy_specs(12))
    rng, folder = np.random.default_rng(0), tmp_path / "killed"
    settings = replace(SETTINGS, build=slow)
    for kill in range(8):
        child = os.fork()
        if child == 0:
            try:
                measured(folder, Moody(), specs=toy_specs(12), settings=settings)
            finally:
                os._exit(0)
        time.sleep(rng.uniform(0.02, 0.15))
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        journal = folder / "journal.jsonl"
        if journal.exists() and kill == 3:  # a torn last line, as a crash of the machine leaves it
            with journal.open("ab") as file:
                file.write(b'{"case": "indoor.wa')
    killed = measured(folder, Moody(), specs=toy_specs(12))
    assert killed.complete and killed.digest() == whole.digest()
    assert sorted(p.name for p in (folder / "frames").rglob("*.png")) == sorted(
        p.name for p in (tmp_path / "whole" / "frames").rglob("*.png")
    )
