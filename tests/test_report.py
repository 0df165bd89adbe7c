"""The report: valid, self-contained, safe against hostile runs, honest in its sentences, within its size."""

from __future__ import annotations

import json
import logging
import re
from collections import Counter
from html.parser import HTMLParser
from pathlib import Path

import pytest

from worldloop.core import InputError, RunFolderError
from worldloop.engine import RunSettings, run
from worldloop.models.controls import Frozen, NoModel, Oracle
from worldloop.runs import Run, read_run
from worldloop.view.report import write_report
from worldloop.view.report_pictures import ENCODINGS, Pictures
from worldloop.view.report_replay import make_replay, pick_episodes

from fakes import FakeModel, FakeTask, fake_agent
from report_runs import handmade

VOID = {"meta", "input", "link", "br", "img", "hr"}
HOSTILE = "</script><script>alert(1)</script><img src=x onerror=alert(2)>\"'`{{7*7}}"


class Page(HTMLParser):
    """Checks that tags are balanced and keeps every element with its attributes."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.text: list[str] = []
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        assert len(attrs) == len(dict(attrs)), f"{tag} repeats an attribute"
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        assert self.open and self.open.pop() == tag, f"</{tag}> closes another element"

    def handle_data(self, data):
        if not self.open or self.open[-1] not in ("script", "style"):
            self.text.append(data)

    @property
    def words(self) -> str:
        return " ".join(" ".join(self.text).split())

    def all(self, tag: str, **attributes: str) -> list[dict[str, str | None]]:
        wanted = {k.rstrip("_"): v for k, v in attributes.items()}
        return [a for t, a in self.elements if t == tag and wanted.items() <= a.items()]


def report(folder: Path, runs: list[Run], **options) -> Page:
    path = folder / "out" / "report.html"
    write_report(runs, path, **options)
    return Page(path.read_text(encoding="utf-8"))


def play(folder: Path, model, name: str, *, task: FakeTask | None = None, answers=False, **settings) -> Run:
    settings = {"task": "fake", "model": name, "keep_frames": 3, **settings}
    run(task or FakeTask(count=8), model, fake_agent(answers), RunSettings(**settings), folder / name)
    return read_run(folder / name)


@pytest.fixture(scope="module")
def runs(tmp_path_factory) -> list[Run]:
    logging.disable(logging.CRITICAL)
    folder, task = tmp_path_factory.mktemp("runs"), FakeTask(count=8, crash=(1,))
    models = {"none": NoModel(), "oracle": Oracle(), "frozen": Frozen()}
    models["fake"] = FakeModel(privileges=("simulator", "true_depth"))
    found = [play(folder, model, name, task=task) for name, model in models.items()]
    logging.disable(logging.NOTSET)
    return found


def test_valid_and_complete(tmp_path, runs):
    page = report(tmp_path, runs)
    ids = [a["id"] for _, a in page.elements if "id" in a]
    assert max(Counter(ids).values()) == 1
    for tag, attributes in page.elements:
        for name in ("aria-controls", "aria-labelledby"):
            assert attributes.get(name) is None or attributes[name] in ids
        if (attributes.get("href") or "").startswith("#"):
            assert attributes["href"][1:] in ids, (tag, attributes)
    assert len(page.all("h1")) == 1 and len(page.all("article")) == 2  # of three, one crashed at reset
    assert len(page.all("button", role="tab")) == 8
    selected = [a["aria-selected"] for a in page.all("button", role="tab")]
    assert selected.count("true") == 2
    for svg in page.all("svg"):
        assert (svg.get("role") == "img" and svg["aria-label"]) or svg.get("aria-hidden") == "true"
    for text in (
        "How to read this",
        "Here, for example: episode fake-",
        "what the agent sees first",
        "the goal picture",
        "chosen",
        "Reason: closest",
        "what really came",
        "Provenance",
        "1 crashed",
        "this start is inside a wall",
    ):
        assert text in page.words


def test_self_contained(tmp_path, runs):
    path = tmp_path / "report.html"
    write_report(runs, path)
    text = path.read_text()
    for tag, attributes in Page(text).elements:
        for name in ("src", "href", "xlink:href", "data", "srcset", "poster", "action"):
            value = attributes.get(name) or ""
            outside = value and not value.startswith(("#", "data:image/"))
            assert not outside or (tag == "a" and value.startswith("https://")), (tag, value)
    style = re.search(r"<style>(.*?)</style>", text, re.S).group(1)
    script = re.search(r"<script>(.*?)</script>", text, re.S).group(1)
    assert "url(" not in style and "@import" not in style
    assert "http" not in style + script and "fetch" not in script and "innerHTML" not in script
    assert "default-src 'none'" in text


def test_every_picture_is_embedded_once(tmp_path, runs):
    page = report(tmp_path, runs)
    stored, used = page.all("image"), {a["href"] for a in page.all("use")}
    assert {f"#{a['id']}" for a in stored} == used and len(used) == len(stored) > 20
    assert len(page.all("use")) > len(stored)
    assert all(a["href"].startswith("data:image/png;base64,") for a in stored)


def test_equal_runs_give_equal_files(tmp_path, runs):
    for name in ("a.html", "b.html"):
        write_report([read_run(r.folder) for r in runs], tmp_path / name)
    assert (tmp_path / "a.html").read_bytes() == (tmp_path / "b.html").read_bytes()


def test_episodes_on_which_models_differ_come_first(runs):
    outcomes = [dict(zip(*(r.episodes[c].to_pylist() for c in ("episode_id", "success")))) for r in runs]
    picked = pick_episodes(runs, 8)
    differ = [len({o[e] for o in outcomes}) > 1 for e in picked]
    assert set(picked) == {"fake-000", "fake-002"} and differ == sorted(differ, reverse=True)
    assert pick_episodes(runs, 1) == picked[:1]


def test_what_was_promised_is_set_beside_what_came(runs):
    oracle = next(r for r in runs if r.header.spec["model"] == "oracle")
    replay = make_replay("fake", "fake-000", [("oracle", oracle)], Pictures())
    assert replay is not None and replay.goal is not None and replay.goal_text == "reach the point"
    turns = replay.plays[0].turns
    assert all(t.expected.picture.key == t.came.picture.key for t in turns[:-1])  # the oracle is right
    assert turns[-1].came is None
    assert {(s.symbol, s.words) for s in replay.steps()} >= {("↑", "forward"), ("↶", "turn left")}


def test_the_size_is_kept_by_compressing_and_then_by_leaving_out(tmp_path, monkeypatch):
    monkeypatch.setattr("fakes.SIZE", 48)
    models = {"none": NoModel(), "oracle": Oracle()}
    noisy = [play(tmp_path, m, n, task=FakeTask(count=3)) for n, m in models.items()]
    sizes, kinds, articles = [], [], []
    for largest in (15_000_000, 300_000, 170_000, 20_000):
        page = report(tmp_path, noisy, largest=largest)
        sizes.append((tmp_path / "out" / "report.html").stat().st_size)
        kinds.append({a["href"].split(";")[0] for a in page.all("image")})
        articles.append(len(page.all("article")))
        assert sizes[-1] <= largest or not articles[-1]
        assert ("left out" in page.words) == (articles[-1] < 3)
    assert kinds[:2] == [{"data:image/png"}, {"data:image/webp"}] and kinds[3] == set()
    assert articles[0] == articles[1] == 3 > articles[2] > articles[3] == 0
    assert ENCODINGS[0].note == "" and "compressed" in ENCODINGS[1].note


def test_runs_without_frames_say_so(tmp_path):
    found = [play(tmp_path, m, n, keep_frames=0) for n, m in (("none", NoModel()), ("oracle", Oracle()))]
    page = report(tmp_path, found)
    assert "No episode can be watched" in page.words and not page.all("article") and not page.all("image")
    moved = play(tmp_path, Frozen(), "frozen")
    (moved.folder / "frames").rename(tmp_path / "elsewhere")
    assert "No episode can be watched" in report(tmp_path, [*found, moved]).words


def test_replays_can_be_turned_off(tmp_path, runs):
    page = report(tmp_path, runs, replays=0)
    assert not page.all("article") and not page.all("image") and "for example" not in page.words
    with pytest.raises(InputError, match="at least 0"):
        report(tmp_path, runs, replays=-1)


def test_one_model_alone(tmp_path, runs):
    alone = [r for r in runs if r.header.spec["model"] == "fake"]
    with pytest.raises(InputError, match="control 'none'"):
        report(tmp_path, alone)
    page = report(tmp_path, alone, allow_missing_controls=True)
    assert "Whether it helped cannot be said" in page.words and "raised" not in page.words


def test_damaged_frames_and_records_are_refused(tmp_path):
    found = [play(tmp_path, m, n) for n, m in (("none", NoModel()), ("oracle", Oracle()))]
    key = found[1].decisions["frame"][0].as_py()
    paths = [r.folder / "frames" / key[:2] / f"{key}.png" for r in found]
    for path in paths:
        path.write_bytes(path.read_bytes()[:-30])
    with pytest.raises(RunFolderError, match="damaged"):
        report(tmp_path, found)
    for path in paths:
        path.unlink()
    with pytest.raises(RunFolderError, match="could not read"):
        report(tmp_path, found)


def test_a_place_that_cannot_be_written(tmp_path, runs):
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError):
        write_report(runs, tmp_path / "file" / "report.html")
    (tmp_path / "folder").mkdir()
    with pytest.raises(InputError):
        write_report(runs, tmp_path / "folder")


@pytest.mark.parametrize(
    "details",
    [
        "not json",
        "[1]",
        "[" * 5000,
        '{"box": "x", "boxes": 3, "goal_text": [1], "goal_frame": {}}',
        '{"box": [NaN, 0, 1, 1], "boxes": [[1, 2], null, [1e999, 0, 0, 0]]}',
        '{"box": [true, null, 2, 3], "boxes": [{}, "x"]}',
        '{"box": [' + "9" * 400 + ", 0, 1, 1]}",
        json.dumps({"goal_text": HOSTILE, "box": [-5, 1, 3, 99]}),
    ],
)
def test_hostile_runs_are_escaped(tmp_path, details):
    hostile = dict(text=HOSTILE, details=details, privileges=(HOSTILE,))
    found = [handmade(tmp_path, m, [True, False] * 4, **hostile) for m in ("none", "oracle", HOSTILE)]
    path = tmp_path / "report.html"
    write_report(found, path)
    page = Page(path.read_text(encoding="utf-8"))
    assert len(page.all("script")) == 1 and not page.all("img")
    assert not any(name.startswith("on") for _, a in page.elements for name in a)
    assert HOSTILE.split(">")[0] not in path.read_text().replace("</script>\n</body>", "")
    assert "{{7*7}}" in page.words and "49" not in page.all("button", role="tab")[0]["id"]
    boxes = page.all("rect", class_="box")
    assert bool(boxes) == details.endswith("99]}")
    assert all(b["y"] == "1.0" and b["height"] == "5.0" and b["x"] == "0.0" for b in boxes)


def test_incomplete_run_in_the_page(tmp_path):
    found = [handmade(tmp_path, "none", [True] * 4), handmade(tmp_path, "oracle", [True] * 4)]
    page = report(tmp_path, [*found, handmade(tmp_path, "slow", [True] * 4, keep=2)])
    assert "has not finished: 2 of 4" in page.words and "running, 2 of 4 episodes" in page.words
