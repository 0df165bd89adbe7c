"""Tables that are wider than the terminal lose nothing."""

import io

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console
from rich.table import Table

from worldloop.view.leaderboard import leaderboard
from worldloop.view.wide import Wide

from report_runs import handmade


def printed(widths, console_width):
    def build(which):
        table = Table(title="Title")
        table.add_column("key")
        for i in which:
            table.add_column(f"h{i}", justify="right", no_wrap=True)
        for row in ("a", "b"):
            table.add_row(row, *(f"{row}{i}".ljust(widths[i], ".") for i in which))
        return table

    text = io.StringIO()
    Console(file=text, width=console_width).print(Wide(build, len(widths)))
    return text.getvalue()


@given(st.lists(st.integers(3, 20), min_size=1, max_size=12), st.integers(32, 120))
def test_every_cell_is_printed_once_with_its_key(widths, console_width):
    text = printed(widths, console_width)
    assert max(map(len, text.splitlines())) <= console_width
    for i, width in enumerate(widths):
        for row in ("a", "b"):
            assert text.count(f" {row}{i}".ljust(width + 1, ".") + " ") == 1
    assert text.count("Title") == 1
    assert text.count("│ a ") == text.count("┃ key") == text.count("┏")


def test_what_fits_stands_side_by_side():
    assert printed([4] * 5, 80).count("key") == 1
    assert printed([4] * 5, 30).count("key") > 1


@pytest.mark.parametrize("width", [60, 80, 100])
def test_a_leaderboard_shows_its_verdicts_in_any_terminal(width, tmp_path):
    outcomes = {
        "none": [0] * 12 + [1] * 12,
        "oracle": [1] * 24,
        "a-model-with-a-rather-long-name": [0, 1] * 12,
    }
    board = leaderboard([handmade(tmp_path, name, success) for name, success in outcomes.items()])
    text = io.StringIO()
    Console(file=text, width=width).print(board.to_rich())
    assert "verdict" in text.getvalue() and "baseline" in text.getvalue() and "…" not in text.getvalue()
