"""The leaderboard: what it says, what it refuses, and how it looks."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console

from worldloop.core import InputError
from worldloop.runs import EpisodeRecord, RunHeader, RunWriter, read_run
from worldloop.stats import mcnemar_exact, wilson
from worldloop.view.leaderboard import leaderboard

SCENES, EACH = 12, 4
N = SCENES * EACH
SPEC = {"task": "image_goal", "agent": "heuristic", "split": "test", "seed": 0, "rollouts": 3, "horizon": 4}


def make(
    folder: Path,
    model: str,
    success: Sequence[bool],
    *,
    spec: dict | None = None,
    statuses: dict[int, str] | None = None,
    keep: int | None = None,
    metrics: bool = True,
    **header: object,
) -> Path:
    """A run whose outcomes are given; `keep` writes only the first episodes and does not finish."""
    ids = tuple(f"e{i}" for i in range(len(success)))
    values = {
        "spec": SPEC | {"model": model} | (spec or {}),
        "episode_ids": ids,
        "episodes_hash": "h",
    } | header
    with RunWriter.open(folder / f"{model}-{len(list(folder.glob('*')))}", RunHeader(**values)) as writer:
        for i, ok in enumerate(success[:keep]):
            status = (statuses or {}).get(i, "finished")
            ok = bool(ok) and status == "finished"
            record = EpisodeRecord(
                episode_id=ids[i],
                index=i,
                scene=f"house-{i // EACH}",
                seed=i,
                status=status,
                success=ok,
                score=float(ok),
                steps=10 + i % 3,
                decisions=3,
                path_length=1.0 + i % 4,
                metrics={"spl": 0.5 * ok} if metrics and status == "finished" else {},
            )
            writer.write_episode(record)
        if keep is None:
            writer.finish()
    return writer.folder


def outcomes(rate: float, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).permutation(np.arange(N) < rate * N)


@pytest.fixture
def runs(tmp_path: Path) -> Path:
    luck = np.random.default_rng(0).permutation(N) / N
    make(tmp_path, "none", luck < 0.25)
    make(tmp_path, "oracle", luck < 0.9, privileges=("simulator",))
    make(tmp_path, "video", luck < 0.65, privileges=("true_depth", "house_rules"))
    make(tmp_path, "blind", luck < 0.27)
    make(tmp_path, "shuffled", luck < 0.02)
    return tmp_path


def by_label(board) -> dict:
    return {r.label: r for r in board.tasks[0].rows}


def test_rows_verdicts_and_numbers(runs: Path) -> None:
    board = leaderboard([runs])
    rows = by_label(board)
    assert list(rows) == ["oracle", "video", "blind", "none", "shuffled"]
    assert {k: r.verdict for k, r in rows.items()} == {
        "oracle": "better",
        "video": "better",
        "blind": "no difference shown",
        "none": "baseline",
        "shuffled": "worse",
    }
    video = rows["video"]
    assert video.success_rate == wilson(video.successes, N)
    wins = video.successes - rows["none"].successes
    assert (video.difference.wins, video.difference.losses) == (wins, 0)
    assert video.p_value == mcnemar_exact(wins, 0) <= video.p_holm <= 4 * video.p_value
    span = rows["oracle"].successes - rows["none"].successes
    assert video.utility.value == pytest.approx(wins / span)
    assert 0 < video.utility.low < video.utility.value < video.utility.high < 1
    assert (rows["none"].utility.value, rows["oracle"].utility.value) == (0, 1)
    assert rows["none"].difference is None
    assert video.spl.value == pytest.approx(0.5 * video.success_rate.value) and video.steps == 11
    assert video.path_length.value == 2.5 and video.score is None
    assert board.tasks[0].scenes == SCENES and board.tasks[0].episodes == N


def test_json_has_everything(runs: Path) -> None:
    data = json.loads(json.dumps(leaderboard([runs]).to_dict(), allow_nan=False))
    row = data["tasks"][0]["rows"][1]
    assert row["label"] == "video" and row["difference"]["wins"] == 20 and row["utility"]["method"]
    assert data["tasks"][0]["settings"]["split"] == "test"


def rendered(board) -> str:
    console = Console(width=120, record=True, file=open("/dev/null", "w"), color_system=None)  # noqa: SIM115, PTH123
    console.print(board.to_rich())
    return console.export_text()


def test_the_terminal_table_fits_and_shows_all(runs: Path) -> None:
    text = rendered(leaderboard([runs]))
    assert max(map(len, text.splitlines())) <= 120 and "…" not in text
    for part in (
        "oracle¹",
        "video²˒³",
        "32/48",
        "66.7",
        "better",
        "SR - none",
        "[1] simulator",
        "by definition.",
    ):
        assert part in text, part
    assert "house_rules" in text  # a privilege of somebody's own is still named


def test_markdown(runs: Path) -> None:
    text = leaderboard([runs]).to_markdown()
    table = [line for line in text.splitlines() if line.startswith("|")]
    assert len(table) == 7 and len({line.count("|") for line in table}) == 1
    assert "video<sup>2,3</sup>" in text and "**better**" in text and "- \\[1\\] simulator: runs" in text


def test_a_label_cannot_break_the_tables(runs: Path) -> None:
    make(runs, "evil", outcomes(0.5), spec={"model": "a|b\n<script>[bold]\x1b[31m`x`"})
    board = leaderboard([runs])
    text = board.to_markdown()
    assert "<script>" not in text and "a\\|b &lt;script>" in text
    shown = rendered(board)
    assert "[bold]" in shown and "\x1b" not in shown + text


def test_crashes_are_failures(tmp_path: Path) -> None:
    make(tmp_path, "none", outcomes(0.3))
    make(tmp_path, "oracle", outcomes(0.9))
    make(tmp_path, "video", [True] * N, statuses=dict.fromkeys(range(6), "crashed") | {7: "timed_out"})
    board = leaderboard([tmp_path])
    video = by_label(board)["video"]
    assert video.n == N and video.successes == N - 7
    assert video.not_finished == {"crashed": 6, "timed_out": 1}
    assert video.spl.value == pytest.approx(0.5 * (N - 7) / N)
    assert "41/48, 6 crashed, 1 timed out" in board.to_markdown()
    assert any("count as failures" in note for note in board.tasks[0].footnotes)


def test_an_unfinished_run_has_no_rate_and_no_verdict(runs: Path) -> None:
    make(runs, "late", [True] * N, keep=10)
    make(runs, "begun", [True] * N, keep=0)
    board = leaderboard([runs])
    late = board.tasks[0].rows[-1]
    assert (late.label, late.verdict, late.n, late.total) == ("late", "incomplete", 10, N)
    assert late.success_rate is late.difference is late.utility is late.p_holm is None
    video = by_label(board)["video"]
    assert video.p_holm <= 4 * video.p_value  # the unfinished are not in Holm's family
    assert "10 of 48 run" in rendered(board) and "0 of 48 run" in board.to_markdown()


@pytest.mark.parametrize("gone", ["none", "oracle"])
def test_controls_are_required(tmp_path: Path, gone: str) -> None:
    for model in {"none", "oracle", "video"} - {gone}:
        make(tmp_path, model, outcomes(0.5, len(model)))
    with pytest.raises(InputError, match=f"no run of the control '{gone}'.*allow missing"):
        leaderboard([tmp_path])
    board = leaderboard([tmp_path], allow_missing_controls=True)
    row = by_label(board)["video"]
    assert row.utility is None and (row.difference is None) == (gone == "none")
    assert any(f"The run of {gone} is missing" in note for note in board.tasks[0].footnotes)
    rendered(board), board.to_markdown()


def test_an_unfinished_baseline_means_no_comparison(tmp_path: Path) -> None:
    make(tmp_path, "none", outcomes(0.5), keep=3)
    make(tmp_path, "oracle", outcomes(0.9))
    board = leaderboard([tmp_path])
    assert by_label(board)["oracle"].verdict == "not compared"
    assert "The run of none is incomplete: no model is compared." in board.tasks[0].footnotes


def test_utility_is_undefined_with_the_reason_below(tmp_path: Path) -> None:
    make(tmp_path, "none", outcomes(0.5, 1))
    make(tmp_path, "oracle", outcomes(0.5, 2))
    make(tmp_path, "video", outcomes(0.6, 3))
    board = leaderboard([tmp_path])
    assert by_label(board)["video"].utility.value is None
    notes = [n for n in board.tasks[0].footnotes if n.startswith("utility undefined")]
    assert len(notes) == 1 and "even the oracle" in notes[0]
    assert "utility |" not in board.to_markdown()


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"spec": {"split": "train"}}, 'differ in split: "test" in .* "train" in'),
        ({"spec": {"seed": 1}}, "differ in seed: 0 in .* 1 in .*compare them separately"),
        ({"spec": {"rollouts": 9}}, "differ in rollouts"),
        ({"spec": {"agent": "vlm"}}, "differ in agent"),
        ({"spec": {"new": True}}, "differ in new: null"),
        ({"episode_ids": tuple(f"x{i}" for i in range(N)), "keep": 0}, "differ in the list of episodes"),
        (
            {"episode_ids": tuple(f"e{i}" for i in range(N))[::-1], "keep": 0},
            "differ in the list of episodes",
        ),
        ({"episodes_hash": "other"}, "differ in the content of the episodes"),
    ],
)
def test_runs_that_cannot_be_compared_are_refused(runs: Path, change: dict, text: str) -> None:
    make(runs, "other", outcomes(0.5), **change)
    with pytest.raises(InputError, match=text):
        leaderboard([runs])


def test_one_model_with_two_settings_gives_two_rows(runs: Path) -> None:
    for steps, weights in ((4, "aaaa"), (50, "aaaa"), (50, "bbbb")):
        make(
            runs,
            "dream",
            outcomes(0.5),
            spec={"model_settings": {"steps": steps, "size": 1}},
            weights_hash=weights,
        )
    labels = list(by_label(leaderboard([runs])))
    with pytest.raises(InputError, match="several runs of the control 'dream'"):
        leaderboard([runs], ceiling="dream")
    assert {x for x in labels if x.startswith("dream")} == {
        "dream:steps=4,weights=aaaa",
        "dream:steps=50,weights=aaaa",
        "dream:steps=50,weights=bbbb",
    }


@pytest.mark.parametrize(
    ("model", "text"), [("video", "two runs of model 'video'"), ("none", "two runs of model 'none'")]
)
def test_two_runs_of_one_model_are_refused(runs: Path, model: str, text: str) -> None:
    make(runs, model, outcomes(0.5))
    with pytest.raises(InputError, match=text):
        leaderboard([runs])


def test_tasks_stand_apart_and_runs_may_be_given_read(runs: Path, tmp_path: Path) -> None:
    for model in ("none", "oracle"):
        make(runs, model, outcomes(0.5, len(model)), spec={"task": "qa", "split": "x"}, metrics=False)
    board = leaderboard([read_run(p) for p in sorted(runs.iterdir())])
    assert [t.task for t in board.tasks] == ["image_goal", "qa"]
    assert board.tasks[1].rows[0].spl is None
    assert board == leaderboard(runs) or board.to_dict() == leaderboard(runs).to_dict()
    with pytest.raises(InputError, match="there is no run"):
        leaderboard([])


def test_what_a_reader_should_beware_of(tmp_path: Path) -> None:
    make(tmp_path, "none", outcomes(0.3), versions={"torch": "2.6"})
    make(tmp_path, "oracle", outcomes(0.9), versions={"torch": "2.7"}, git_revision="abc")
    folder = make(tmp_path, "video", outcomes(0.5), statuses={0: "crashed"}, versions={"torch": "2.7"})
    with RunWriter.open(folder, read_run(folder).header, retry_failed=True) as writer:
        old = read_run(folder).records()[0].episode
        writer.write_episode(EpisodeRecord(**(old.to_dict() | {"status": "finished"})))
        writer.finish()
    notes = "\n".join(leaderboard(tmp_path).tasks[0].footnotes)
    assert "different versions of torch (2.6, 2.7)" in notes and "different source revisions" in notes
    assert "1 episodes of video that had not finished were run again" in notes


@pytest.mark.parametrize(
    ("scenes", "words"),
    [
        (1, "with one scene, only differences have one, too"),
        (3, "Student's t over 3 scenes, too few to resample"),
        (8, "cluster bootstrap over 8 scenes"),
    ],
)
def test_the_footnote_says_how_the_intervals_were_made(scenes: int, words: str, tmp_path: Path) -> None:
    make(tmp_path, "none", [False] * EACH * scenes)
    make(tmp_path, "oracle", [i % EACH > i // EACH % 2 for i in range(EACH * scenes)])
    (board,) = leaderboard([tmp_path]).tasks
    assert words in board.footnotes[0]
    (oracle,) = [r for r in board.rows if r.model == "oracle"]
    assert oracle.difference.defined and (oracle.spl.defined or scenes == 1)
    assert ("It has no interval" in " ".join(board.footnotes)) == (scenes == 3)
