"""Tables: failures count as worst, coverage stands beside each score, and no model's numbers depend on another's."""

from __future__ import annotations

import io
import json
from dataclasses import replace

import numpy as np
import pytest

from worldloop.core import InputError, ModelCard, UnaskableError
from worldloop.engine.measure import BASELINES, MeasureSettings, ModelSubject, measure
from worldloop.engine.measure.videos import VideoFolder
from worldloop.metrics.normalisers import read_normalisers
from worldloop.models import MODELS
from worldloop.runs.scores import read_scores
from worldloop.stats import normalise, under_scenes, under_weights
from worldloop.view.composite import composite
from worldloop.view.coverage import coverage
from worldloop.view.coverage import to_markdown as to_coverage_markdown
from worldloop.view.metric_table import metric_tables
from worldloop.view.metric_text import number, to_markdown, to_rich
from worldloop.view.report import write_report

from report_runs import handmade
from toy_metrics import TOYS, Dim, Moody, toy_case, toy_metric, toy_specs

MODELS_HERE = {"dim": Dim, "moody": Moody}
METRICS = [m for m in TOYS if m.name != "toy-broken"]


@pytest.fixture(scope="module")
def scores(tmp_path_factory):
    """Two models and the baselines on six cases in three scenes."""
    folder = tmp_path_factory.mktemp("scores")
    asked = [(ModelSubject(m()), folder / n) for n, m in MODELS_HERE.items()]
    beside = [(ModelSubject(MODELS.create(n)), folder / n) for n in BASELINES]
    measure(asked, toy_specs(), METRICS, MeasureSettings(build=toy_case), baselines=beside)
    return {n: read_scores(folder / n) for n in (*MODELS_HERE, *BASELINES)}


class WalksOnly(Dim):
    """Was never shown a table."""

    card = ModelCard("refused", "a toy", "none")

    def one(self, query):
        if query.history[-1].hfov_deg == 60:
            raise UnaskableError("it was never shown a table")
        return super().one(query)


def walk_or_table(spec):
    """Tables are seen through a longer lens."""
    case = toy_case(spec)
    if spec.kind == "walk":
        return case
    return replace(case, query=replace(case.query, history=(replace(case.query.history[-1], hfov_deg=60),)))


def line(table, metric):
    return next(x for x in table.lines if x.info.name == metric)


def test_failures_count_as_worst_and_coverage_is_told(scores):
    (table,) = metric_tables(list(scores.values()))
    assert table.models == ["dim", "moody", "frozen", "shuffled", "oracle"]
    error = line(table, "toy-error")
    cell = table.cell(error, "moody")
    # Two walks ahead were scored, two turns to the right failed, two to the left could not be asked.
    scored = [r.value for r in scores["moody"].of("toy-error") if r.status == "scored"]
    assert len(scored) == 2 and cell.coverage == "2/6" and cell.counts == {"failed": 2, "unfit": 2}
    assert cell.mean.value == pytest.approx((sum(scored) + 2 * 255) / 4)
    assert table.cell(line(table, "toy-deep"), "dim").coverage == "0/0"
    assert table.cell(error, "oracle").mean.value == 0
    notes = " ".join(table.notes)
    assert "moody: 2 cases failed (toy-error, toy-change): it dislikes the right" in notes
    assert (
        "moody: 6 cases cannot be asked (toy-error, toy-change, toy-effect): it was never shown this" in notes
    )
    assert "Do not apply to any of these cases: toy-deep." in notes
    assert table.cell(error, "dim").differences["oracle"].value > 0
    assert error.verdict(table.cell(error, "dim"), "oracle") == "worse"


def test_a_frozen_picture_that_fools_a_metric_is_named(tmp_path):
    """By its steadiness alone, a frozen picture beats the truth."""

    def steady(clip):
        """Mean absolute difference from frame to frame."""
        return float(np.abs(np.diff(clip.frames.astype(float), axis=0)).mean())

    subjects = [(ModelSubject(MODELS.create(n)), tmp_path / n) for n in ("frozen", "oracle")]
    metrics = [toy_metric(steady), TOYS[0]]
    measure([], toy_specs(), metrics, MeasureSettings(build=toy_case), baselines=subjects)
    (table,) = metric_tables([read_scores(folder) for _, folder in subjects])
    assert "A frozen picture is as good as the oracle by toy-steady: never read these alone." in table.notes


def test_what_is_called_like_a_baseline_is_none(tmp_path):
    specs, settings = toy_specs(), MeasureSettings(build=toy_case)
    place = tmp_path / "oracle"
    place.mkdir()
    for spec in specs:
        np.save(place / f"{spec.id}.npy", toy_case(spec).truth.frames // 2)
    asked = [(VideoFolder(place, specs), tmp_path / "out" / "videos-oracle")]
    beside = [(ModelSubject(MODELS.create(n)), tmp_path / "out" / n) for n in ("frozen", "oracle")]
    headers = measure(asked, specs, [TOYS[0]], settings, baselines=beside)
    assert [(h.name, h.baseline) for h in headers] == [("oracle", False), ("frozen", True), ("oracle", True)]
    (table,) = metric_tables([read_scores(folder) for _, folder in (*asked, *beside)])
    assert table.models == ["videos-oracle", "frozen", "oracle"] and table.baselines == ["frozen", "oracle"]
    cell = line(table, "toy-error").cells[0]
    assert cell.differences["oracle"].value == cell.mean.value > 0 and "frozen" in cell.differences
    assert table.compared == [("videos-oracle", "frozen"), ("videos-oracle", "oracle")]
    # A model that was measured by itself becomes the baseline of those that come later, and stays it.
    measure(beside[:1], specs, [TOYS[1]], settings)
    assert read_scores(tmp_path / "out" / "frozen").header.baseline
    measure([(ModelSubject(MODELS.create("shuffled")), tmp_path / "s")], specs, [TOYS[0]], settings)
    measure(
        [], specs, [TOYS[0]], settings, baselines=[(ModelSubject(MODELS.create("shuffled")), tmp_path / "s")]
    )
    assert read_scores(tmp_path / "s").header.baseline and read_scores(tmp_path / "s").complete


def test_numbers_do_not_depend_on_who_else_is_there(scores):
    (alone,) = metric_tables([scores["dim"]])
    (beside,) = metric_tables(list(scores.values()))
    for a, b in zip(alone.lines, beside.lines):
        assert a.cells[0].mean == b.cells[0].mean and a.cells[0].coverage == b.cells[0].coverage


def test_tables_are_printed(scores):
    from rich.console import Console

    tables = metric_tables(list(scores.values()))
    console = Console(width=140, record=True, file=io.StringIO())
    console.print(to_rich(tables))
    text, markdown = console.export_text(), to_markdown(tables)
    for words in ("toy-error ↓", "toy-change ↑", "dim - frozen", "indoor.walk"):
        assert words in text and words in markdown
    assert all(row.count("|") == markdown.splitlines()[2].count("|") for row in markdown.splitlines()[2:8])
    json.dumps([t.to_dict() for t in tables], allow_nan=False)
    assert [number(v) for v in (0.0, 0.00123, 1.234, 123.4, 98765.4)] == [
        "0",
        "0.00123",
        "1.23",
        "123",
        "98765",
    ]


def test_scores_that_do_not_belong_together_are_told_apart(scores, tmp_path):
    subject = ModelSubject(Dim())
    measure([(subject, tmp_path / "dim")], toy_specs(3), METRICS, MeasureSettings(build=toy_case))
    other = read_scores(tmp_path / "dim")
    assert len(metric_tables([*scores.values(), other])) == 2
    with pytest.raises(InputError, match="two folders of scores of 'dim'"):
        metric_tables([scores["dim"], scores["dim"]])
    with pytest.raises(InputError, match="there are no scores"):
        metric_tables([])


def test_the_page_shows_metrics(scores, tmp_path):
    path = tmp_path / "page.html"
    write_report([], path, metrics=metric_tables(list(scores.values())))
    page = path.read_text()
    assert 'id="metrics"' in page and "toy-error" in page and 'id="methods"' not in page
    runs = [handmade(tmp_path, name, [1, 0, 1, 1, 0, 1]) for name in ("none", "oracle")]
    write_report(runs, path, metrics=metric_tables([scores["dim"]]))
    both = path.read_text()
    assert all(f'id="{part}"' in both for part in ("metrics", "methods", "reading", "provenance"))


def normaliser_file(path, kinds):
    scales = {
        kind: {
            n: {"version": 1, "low": a, "high": b, "low_from": "x", "high_from": "y"}
            for n, (a, b) in metrics.items()
        }
        for kind, metrics in kinds.items()
    }
    path.write_text(json.dumps({"measured": {"command": "c", "date": "d"}, "kinds": scales}))
    return path


def test_the_composite_is_a_mean_of_frozen_scales_or_nothing(scores, tmp_path):
    walks = {"toy-error": (100.0, 0.0), "toy-change": (0.0, 50.0)}
    scales = read_normalisers(normaliser_file(tmp_path / "n.json", {"walk": walks}))
    found = composite(list(scores.values()), scales)
    rows = {r.model: r for r in found.rows}
    (table,) = metric_tables(list(scores.values()))
    error, change = (table.cell(line(table, n), "dim").mean.value for n in ("toy-error", "toy-change"))
    assert rows["dim"].score == pytest.approx(50 * ((100 - error) / 100 + change / 50))
    assert rows["moody"].score is None and "unfit" in rows["moody"].undefined["walk"]
    assert rows["moody"].raw["walk"]["toy-error"] is not None
    assert found.rows[-1].model == "moody" and found.weights.draws == 2000 and 0 <= found.scenes.same <= 1
    assert composite([scores["dim"]], scales).rows[0] == rows["dim"]
    missing = normaliser_file(tmp_path / "m.json", {"walk": {"toy-error": (100.0, 0.0), "lost": (0.0, 1.0)}})
    assert {r.score for r in composite(list(scores.values()), read_normalisers(missing)).rows} == {None}
    deep = normaliser_file(tmp_path / "d.json", {"walk": {**walks, "toy-deep": (1.0, 0.0)}})
    quiet = composite(list(scores.values()), read_normalisers(deep))
    assert quiet.silent == ["toy-deep in walk"] and quiet.rows[0].score == found.rows[0].score
    other = normaliser_file(tmp_path / "o.json", {"table": walks})
    with pytest.raises(InputError, match="no kind of these cases has a scale: walk"):
        composite(list(scores.values()), read_normalisers(other))
    with pytest.raises(InputError, match="has no length"):
        read_normalisers(normaliser_file(tmp_path / "l.json", {"walk": {"toy-error": (1.0, 1.0)}}))
    with pytest.raises(InputError, match="make_normalisers"):
        read_normalisers(tmp_path / "none.json")


def test_each_kind_of_case_counts_alike_in_the_composite(tmp_path):
    """However many metrics have a scale in it; a kind that one model was not asked in costs it the score, and no other."""
    half = [s for kind in ("walk", "table") for s in toy_specs(3, kind)]
    found = {}
    for name, model in {"dim": Dim(), "frozen": MODELS.create("frozen"), "refused": WalksOnly()}.items():
        settings = MeasureSettings(build=walk_or_table, keep=0)
        measure([(ModelSubject(model), tmp_path / name)], half, METRICS, settings)
        found[name] = read_scores(tmp_path / name)
    walks, tables = {"toy-error": (100.0, 0.0), "toy-change": (0.0, 50.0)}, {"toy-error": (10.0, 0.0)}
    scales = normaliser_file(tmp_path / "n.json", {"walk": walks, "table": tables})
    both = composite(list(found.values()), read_normalisers(scales))
    rows = {r.model: r for r in both.rows}
    assert rows["dim"].score == pytest.approx(np.mean(list(rows["dim"].kinds.values())))
    assert rows["dim"].kinds["table"] < rows["dim"].kinds["walk"]
    assert rows["refused"].score is None and rows["refused"].kinds["walk"] == rows["dim"].kinds["walk"]
    assert any("--kinds walk gives one" in note for note in both.notes())
    assert both.weights.draws == 2000 and both.without == []


def test_rankings_are_as_firm_as_their_gaps():
    far = np.array([[0.9, 0.8, 0.9], [0.2, 0.1, 0.3], [0.5, 0.5, 0.4]])
    firm = under_weights(far)
    assert firm.same == 1.0 and firm.tau == 1.0
    near = np.array([[0.9, 0.1], [0.1, 0.9]])
    assert 0 <= under_weights(near).same < 0.05  # a tie stays one under hardly any weights
    split = np.array([[0.9, 0.11], [0.1, 0.9]])
    assert 0.3 < under_weights(split).same < 0.8
    assert under_weights(split, np.array([10.0, 1.0])).same == 1.0  # the first metric decides
    rng = np.random.default_rng(0)
    cases = rng.normal(0, 0.01, (2, 1, 12)) + np.array([0.8, 0.2])[:, None, None]
    ends = np.zeros(1), np.ones(1)
    assert under_scenes(cases, [i // 2 for i in range(12)], *ends).same == 1.0
    noisy = rng.normal(0.5, 0.3, (2, 1, 12))
    noisy[0, 0, 3] = np.nan
    loose = under_scenes(noisy, [i // 2 for i in range(12)], *ends)
    assert loose.same < 1.0 and loose == under_scenes(noisy, [i // 2 for i in range(12)], *ends)
    assert normalise(np.array([5.0, -1.0]), np.array([10.0, 0.0]), np.array([0.0, 1.0])).tolist() == [
        0.5,
        0.0,
    ]
    with pytest.raises(InputError, match="one scene only"):
        under_scenes(cases, ["a"] * 12, *ends)
    with pytest.raises(InputError, match="two models"):
        under_weights(far[:1])


def test_coverage_counts_what_was_really_scored(tmp_path):
    specs = [*toy_specs(6, "long"), *toy_specs(3, "walk")]
    models = {"dim": Dim(), "moody": Moody(), "oracle": MODELS.create("oracle")}
    subjects = {n: (ModelSubject(m), tmp_path / n) for n, m in models.items()}
    settings = MeasureSettings(build=toy_case)
    measure([subjects[n] for n in MODELS_HERE], specs, METRICS, settings, baselines=[subjects["oracle"]])
    scores = {n: read_scores(tmp_path / n) for n in models}
    found = coverage(list(scores.values()))
    cell = found.cells["long video"]["indoor"]
    # Metrics of the group apply to short clips, which are no long videos.
    assert cell.metrics == {"toy-change"} and cell.models == {"dim", "moody"} and len(cell.cases) == 6
    rows = [r for n in MODELS_HERE for r in scores[n].of("toy-change") if r.kind == "long"]
    assert cell.scored == sum(r.status == "scored" for r in rows) and cell.wanted == 12
    assert not found.cells["physical"]["robotics"].filled and not found.unfinished
    assert found.elsewhere == [
        "metrics of quality belong to no axis here",
        "metrics of long on cases of walk, which are short, belong to no axis here",
    ]
    json.dumps(found.to_dict())
    # Cut off after two cases, as by kill -9: what is missing stays wanted.
    folder = tmp_path / "dim"
    header = json.loads((folder / "metrics.json").read_text()) | {"status": "running"}
    (folder / "metrics.json").write_text(json.dumps(header))
    lines = (folder / "journal.jsonl").read_text().splitlines(keepends=True)
    (folder / "journal.jsonl").write_text("".join(lines[:2]))
    cut = coverage([read_scores(folder)])
    cell = cut.cells["long video"]["indoor"]
    assert (cell.scored, cell.wanted) == (2, 6)
    assert "dim is unfinished: 8 of 38 scores" in cut.unfinished[0]
    assert "dim is unfinished" in to_coverage_markdown(cut)
