"""Videos in a folder: what is there is scored, what is missing or unfit fails, and nothing is passed over in silence."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from worldloop.core import InputError, MissingExtraError
from worldloop.engine.measure import MeasureSettings, measure
from worldloop.engine.measure.videos import (
    BareVideos,
    VideoFolder,
    bare_cases,
    build_bare,
    fitted,
    list_videos,
    read_video,
)
from worldloop.models import mp4
from worldloop.runs.scores import read_scores
from worldloop.view.metric_table import metric_tables

from toy_metrics import TOYS, toy_case, toy_metric, toy_specs

SPECS = toy_specs(6)
SETTINGS = MeasureSettings(build=toy_case)


@pytest.fixture
def folder(tmp_path):
    """The truth as an array, pictures and a short array; one video that is none, one missing, one of nobody."""
    place = tmp_path / "made"
    place.mkdir()
    truth = [toy_case(s).truth.frames for s in SPECS]
    np.save(place / f"{SPECS[0].id}.npy", truth[0])
    np.save(place / f"{SPECS[0].id}.twin.npy", np.repeat(truth[0][:1], 5, axis=0))
    (place / SPECS[1].id).mkdir()
    for i, frame in enumerate(truth[1]):
        Image.fromarray(frame).save(place / SPECS[1].id / f"{i:03d}.png")
    np.save(place / f"{SPECS[2].id}.npy", truth[2][:3])
    (place / f"{SPECS[3].id}.mp4").write_bytes(b"no video at all")
    np.save(place / "stray.npy", truth[5])
    (place / "notes.txt").touch()
    (place / f"{SPECS[4].id}.webm").touch()
    (place / f"{SPECS[5].id}").mkdir()
    return place


def test_each_video_is_scored_or_fails_with_a_reason(folder, tmp_path):
    pytest.importorskip("av")
    videos = VideoFolder(folder, SPECS)
    assert videos.unknown == ["stray"] and videos.name == "made"
    assert videos.unread == sorted([f"{SPECS[4].id}.webm", SPECS[5].id])
    measure([(videos, tmp_path / "out")], SPECS, TOYS[:3], SETTINGS)
    scores = read_scores(tmp_path / "out")
    rows = scores.of("toy-error")
    assert [(r.status, r.value) for r in rows[:2]] == [("scored", 0.0)] * 2
    assert [r.status for r in rows[2:]] == ["failed"] * 4
    assert "has 3 frames of 8 x 8, not 5 of 8 x 8" in rows[2].error and "--resample" in rows[2].error
    assert "cannot be read" in rows[3].error and "there is no video" in rows[4].error
    effect = scores.of("toy-effect")
    assert [r.status for r in effect[:2]] == ["scored", "failed"] and "doing nothing" in effect[1].error


def scored(folder, out, metrics=TOYS[:3]):
    measure([(VideoFolder(folder, SPECS), out)], SPECS, metrics, SETTINGS)
    found = read_scores(out)
    assert found.complete
    return {name: [r.status for r in found.of(f"toy-{name}")] for name in ("error", "effect", "spread")}


def test_a_folder_of_good_twins_alone_wins_nothing(tmp_path):
    place = tmp_path / "made"
    place.mkdir()
    for spec in SPECS:
        np.save(place / f"{spec.id}.npy", toy_case(spec).truth.frames)
    # None was asked to do nothing: the metrics that compare with it say nothing of these videos.
    assert scored(place, tmp_path / "a")["effect"] == ["unfit"] * 6
    (table,) = metric_tables([read_scores(tmp_path / "a")])
    words = "made: 6 cases cannot be asked (toy-effect): no video of this folder shows doing nothing (CASE.twin.mp4)"
    assert words in table.notes
    # That does not depend on what became of the video itself.
    (place / f"{SPECS[2].id}.npy").rename(place / "kept")
    without = scored(place, tmp_path / "without")
    assert without["effect"] == ["unfit"] * 6 and without["error"].count("failed") == 1
    (place / "kept").rename(place / f"{SPECS[2].id}.NPY")  # suffixes may be in capitals
    # One twin is there: those that are not, or are none, are failures.
    np.save(place / f"{SPECS[0].id}.twin.npy", np.repeat(toy_case(SPECS[0]).truth.frames[:1], 5, axis=0))
    (place / f"{SPECS[1].id}.twin.npy").write_bytes(b"no video at all")
    assert scored(place, tmp_path / "a")["effect"] == ["scored"] + ["failed"] * 5
    (table,) = metric_tables([read_scores(tmp_path / "a")])
    cell = next(x for x in table.lines if x.info.name == "toy-effect").cells[0]
    (value,) = [r.value for r in read_scores(tmp_path / "a").of("toy-effect") if r.value is not None]
    assert cell.coverage == "1/6" and cell.mean.value == pytest.approx(value / 6)


def test_videos_can_be_added_and_exchanged(tmp_path):
    place, out, tries = tmp_path / "made", tmp_path / "out", []
    place.mkdir()
    for spec in SPECS[:5]:
        np.save(place / f"{spec.id}.npy", toy_case(spec).truth.frames // 2)

    def error(clip):
        """How far from the truth."""
        tries.append(1)
        return float(np.abs(clip.frames.astype(float) - clip.truth).mean())

    metrics = [toy_metric(error), TOYS[5]]
    first = scored(place, out, metrics)
    assert first["error"] == ["scored"] * 5 + ["failed"] and first["spread"] == ["failed"] and len(tries) == 5
    np.save(place / f"{SPECS[5].id}.npy", toy_case(SPECS[5]).truth.frames // 2)
    both = scored(place, out, metrics)
    assert both["error"] == ["scored"] * 6 and both["spread"] == ["scored"] and len(tries) == 6
    before = read_scores(out)
    np.save(place / f"{SPECS[0].id}.npy", toy_case(SPECS[0]).truth.frames)
    scored(place, out, metrics)
    after = read_scores(out)
    assert len(tries) == 7 and after.of("toy-error")[0].value == 0 and before.of("toy-error")[0].value > 0
    # The set is scored anew, because one of its clips is another.
    assert after.of("toy-spread")[0].value != before.of("toy-spread")[0].value
    fresh = tmp_path / "fresh"
    scored(place, fresh, metrics)
    assert after.digest() == read_scores(fresh).digest()


def test_what_is_not_installed_is_no_fault_of_a_video(tmp_path, monkeypatch):
    (tmp_path / "made").mkdir()
    (tmp_path / "made" / f"{SPECS[0].id}.mp4").write_bytes(b"some video")

    def absent():
        raise MissingExtraError("pictures as mp4", "video")

    monkeypatch.setattr(mp4, "load_av", absent)
    with pytest.raises(MissingExtraError):
        scored(tmp_path / "made", tmp_path / "out")


def test_videos_are_resampled_only_when_told(folder, tmp_path):
    measure([(VideoFolder(folder, SPECS, resample=True), tmp_path / "out")], SPECS, TOYS[:1], SETTINGS)
    assert [r.status for r in read_scores(tmp_path / "out").rows[:3]] == ["scored"] * 3
    frames = np.arange(8, dtype=np.uint8)[:, None, None, None] * np.ones((8, 6, 4, 3), np.uint8)
    assert fitted(frames, (4, 6, 4, 3), True)[:, 0, 0, 0].tolist() == [1, 3, 5, 7]
    assert fitted(frames, (8, 12, 8, 3), True).shape == (8, 12, 8, 3)


def test_a_start_picture_is_dropped_only_when_told():
    frames = np.arange(9, dtype=np.uint8)[:, None, None, None] * np.ones((9, 6, 4, 3), np.uint8)
    for resample in (False, True):
        with pytest.raises(InputError, match="one more than the 8 actions: give --has-start"):
            fitted(frames, (8, 6, 4, 3), resample)
        assert fitted(frames, (8, 6, 4, 3), resample, True)[:, 0, 0, 0].tolist() == [*range(1, 9)]
    assert fitted(frames, (4, 6, 4, 3), True, True)[:, 0, 0, 0].tolist() == [2, 4, 6, 8]
    with pytest.raises(InputError, match="give --resample, and --has-start"):
        fitted(frames, (4, 6, 4, 3))
    with pytest.raises(
        InputError, match=r"it has 7 frames of 6 x 4 beside the start picture.*leave out --has-start"
    ):
        fitted(frames[:8], (8, 6, 4, 3), has_start=True)
    with pytest.raises(InputError, match=r"not 4 of 6 x 4; give --resample$"):
        fitted(frames, (4, 6, 4, 3), has_start=True)
    with pytest.raises(InputError, match="no frame beside the start picture"):
        fitted(frames[:1], (8, 6, 4, 3), True, True)


def test_pictures_are_not_stretched():
    frames = np.zeros((5, 480, 832, 3), np.uint8)
    with pytest.raises(
        InputError, match=r"1.73 times as wide as high.* cut them to 128:128 around the middle"
    ):
        fitted(frames, (5, 128, 128, 3), True)
    assert fitted(frames, (5, 90, 160, 3), True).shape == (
        5,
        90,
        160,
        3,
    )  # 16:9, but for rounding to whole blocks


def test_bare_videos_are_scored_by_what_needs_frames_alone(folder, tmp_path):
    specs = bare_cases(folder)
    assert len(specs) == 6 and len({s.id for s in specs}) == 6
    settings = MeasureSettings(build=build_bare)
    measure([(BareVideos(folder), tmp_path / "out")], specs, TOYS[:3], settings)
    scores = read_scores(tmp_path / "out")
    change = {r.case: r.status for r in scores.of("toy-change")}
    assert change.pop(SPECS[3].id) == "failed" and set(change.values()) == {"scored"}
    assert {r.status for r in scores.of("toy-error")} == {"lacking"}


def test_videos_are_read_whole(tmp_path):
    frames = np.random.default_rng(0).integers(0, 255, (4, 6, 8, 3), dtype=np.uint8)
    if mp4.available():
        (tmp_path / "a.mp4").write_bytes(mp4.encode(list(frames)))
        assert read_video(tmp_path / "a.mp4").shape == frames.shape
    np.save(tmp_path / "b.npy", frames.astype(np.float32))
    np.save(tmp_path / "c.npy", np.array([{"no": "pickle"}], object))
    (tmp_path / "d").mkdir()
    (tmp_path / "d" / "0.png").write_bytes(b"no picture")
    for name, words in (
        ("b.npy", "uint8"),
        ("c.npy", "no array"),
        ("d", "no usable picture"),
        ("e.npy", "cannot be read"),
    ):
        with pytest.raises(InputError, match=words):
            read_video(tmp_path / name)
    np.save(tmp_path / "a.npy", frames)
    if mp4.available():
        with pytest.raises(InputError, match="two videos 'a'"):
            list_videos(tmp_path)
    with pytest.raises(InputError, match="no folder"):
        list_videos(tmp_path / "nowhere")
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match="has no video"):
        bare_cases(tmp_path / "empty")
    with pytest.raises(InputError, match=r"such as indoor\.walk"):
        VideoFolder(tmp_path / "empty", SPECS)


@pytest.mark.parametrize(
    ("names", "order"),
    [
        ([f"{i}" for i in range(12)], range(12)),
        ([f"{i:04d}" for i in range(12)], range(12)),
        ([f"shot2_frame{i}_left" for i in range(8, 12)], range(4)),
        (["a", "b", "c"], range(3)),
        (["2026-01-31_10-00", "2026-02-01_09-00"], range(2)),
        (["1", "01", "2"], None),
        (["0.5", "0.25", "0.125"], None),
        (["a9b1", "a10b2", "a11b0"], None),
        (["frame9", "view10", "frame11"], None),
    ],
)
def test_pictures_come_in_the_order_of_their_numbers(names, order, tmp_path):
    (tmp_path / "v").mkdir()
    for i, name in enumerate(names):
        Image.fromarray(np.full((4, 4, 3), i, np.uint8)).save(tmp_path / "v" / f"{name}.png")
    if order is None:
        with pytest.raises(InputError, match="in which order its pictures come; number them"):
            read_video(tmp_path / "v")
    else:
        assert read_video(tmp_path / "v")[:, 0, 0, 0].tolist() == list(order)
