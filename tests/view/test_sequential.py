"""Verdicts of runs that may be stopped: what is printed of them."""

from worldloop.stats import SequentialVerdict
from worldloop.view.sequential import SequentialBoard, SequentialRow, boards_markdown

OPEN = SequentialVerdict("undecided", 4, 1, 0.25, -0.5, 0.75, 1.0)


def test_names_cannot_break_the_markdown():
    board = SequentialBoard("task", "none", 12, 0.95, [SequentialRow("a|b<i>*c*", OPEN, 7)])
    text = boards_markdown([board])
    assert "| a\\|b&lt;i>\\*c\\* | undecided | 4 of 12 | +25.0 (-50, +75) |" in text
    assert "- a\\|b&lt;i>\\*c\\*: 3 more episodes are done" in text and "<i>" not in text
    assert board.saved == 0 and "not needed" not in text
