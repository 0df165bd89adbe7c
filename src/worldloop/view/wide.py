"""Tables that are wider than the terminal."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from rich.console import Console, ConsoleOptions, RenderResult
from rich.measure import Measurement
from rich.table import Table

_ENOUGH = 100_000
"""Characters, more than any table takes."""


class Wide:
    """A table whose columns go on below, under its first one again, where the console is too narrow for all of them.

    build: the table with those of `count` columns, beside the first one, whose numbers it is given.
    """

    def __init__(self, build: Callable[[Sequence[int]], Table], count: int) -> None:
        self.build, self.count = build, count

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        first = 0
        while first < self.count:
            last = first + 1
            while last < self.count and self._width(console, options, first, last + 1) <= options.max_width:
                last += 1
            table = self.build(range(first, last))
            if first:
                table.title = None
            yield table
            first = last

    def _width(self, console: Console, options: ConsoleOptions, first: int, last: int) -> int:
        table = self.build(range(first, last))
        return Measurement.get(console, options.update(width=_ENOUGH), table).maximum
