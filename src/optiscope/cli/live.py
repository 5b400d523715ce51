"""The view of a grid that is running: a row a cell on a terminal, a line a finished cell anywhere else.

`watch` picks one of the two and gives back a callable that takes `GridProgress` values. It is told about twice a
second; a terminal is redrawn as often, and the quiet log writes only when a cell has ended.

Columns are dropped from the least telling on until the rest fits the terminal: 60 columns show every number, wider
ones a bar as well. Rows are dropped when there are more cells than lines: what runs is shown, the rest is counted.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import pairwise
from typing import Literal, NamedTuple

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from optiscope.sweep.progress import CellProgress, GridProgress

BLOCKS, ASCII = "▁▂▃▄▅▆▇█", "_.-=+*#@"
NOT_FINITE = "x"
SIGNAL_WIDTH, BAR_WIDTH = 30, 20
"""Characters that a sparkline and a bar take at most."""

STYLES = {"waiting": "dim", "running": "cyan", "completed": "green", "diverged": "magenta", "failed": "bold red"}
WIDE_GAP = 2
FEW = 8
"""Runs whose verdicts and report are there before anybody wonders what is going on."""


class Watcher:
    """Takes progress; `runs` are in the grid, 0 before it was told.

    `next_up` is said once all runs have ended, where they are more than `FEW`.
    """

    runs = 0

    def __init__(self, console: Console, next_up: str = "") -> None:
        self._console = console
        self._next_up = next_up

    def __call__(self, progress: GridProgress) -> None:
        """Take note of `progress`, and write its events."""
        self.runs = sum(cell.runs for cell in progress.cells)
        for event in progress.events:
            self._console.print(event)

    def _say_next(self, progress: GridProgress) -> None:
        if self._next_up and self.runs > FEW and all(cell.finished == cell.runs for cell in progress.cells):
            self._console.print(self._next_up)
            self._next_up = ""


class LiveWatcher(Watcher):
    """Redraws a table in place."""

    def __init__(self, live: Live, next_up: str = "") -> None:
        super().__init__(live.console, next_up)
        self._live = live

    def __call__(self, progress: GridProgress) -> None:
        """Draw `progress` over what was drawn before, events above it."""
        super().__call__(progress)
        self._say_next(progress)
        console = self._console
        self._live.update(draw(progress, console.width, console.height, console.options.ascii_only), refresh=True)


class QuietWatcher(Watcher):
    """Writes one line when a cell ends."""

    def __init__(self, console: Console, next_up: str = "") -> None:
        super().__init__(console, next_up)
        self._ended: set[int] = set()

    def __call__(self, progress: GridProgress) -> None:
        """Write the events and the cells that ended since the last call."""
        super().__call__(progress)
        for index, cell in enumerate(progress.cells):
            if cell.finished == cell.runs and index not in self._ended:
                self._ended.add(index)
                name = f"{cell.optimizer}, batch {cell.batch_size}, lr {cell.lr:g}"
                steps = f"{cell.step} steps" if cell.runs == 1 else f"{cell.step} steps of {cell.runs} runs"
                what = f"{cell.status} after {steps}, loss {number(cell.loss)}"
                done = f"{len(self._ended)} of {len(progress.cells)} cells, {footer(progress)}"
                self._console.print(f"{name}: {what} ({done})")
        self._say_next(progress)


@contextmanager
def watch(console: Console, next_up: str = "") -> Iterator[Watcher]:
    """Yield what is to be told of progress: a live table on a terminal, a quiet log elsewhere.

    `next_up` is what is said once the runs have ended, where what comes next will last.
    """
    if not console.is_terminal:
        yield QuietWatcher(console, next_up)
        return
    with Live(console=console, auto_refresh=False, transient=True) as live:
        yield LiveWatcher(live, next_up)


def draw(progress: GridProgress, width: int, height: int, ascii_only: bool = False) -> RenderableType:
    """Return the table for a terminal of `width` x `height` characters."""
    cells, left_out = choose(progress.cells, max(1, height - 4))
    columns, gap = fit(columns_of(cells), width - 1)
    table = Table(box=None, padding=(0, gap, 0, 0), collapse_padding=True, pad_edge=False, header_style="bold")
    for column in columns:
        table.add_column(column.title, justify=column.justify, width=column.width, no_wrap=True, overflow="ellipsis")
    for cell in cells:
        table.add_row(*(_entry(column, cell, ascii_only) for column in columns))
    parts: list[RenderableType] = [table]
    if left_out:
        parts.append(Text(left_out, style="dim", no_wrap=True, overflow="ellipsis"))
    parts.append(Text(footer(progress), no_wrap=True, overflow="ellipsis"))
    return Group(*parts)


class Column(NamedTuple):
    """A column of the live table; `rank` 0 is never dropped, the highest is dropped first. It may grow to `most`."""

    title: str
    width: int
    rank: int
    justify: Literal["left", "right"] = "left"
    most: int = 0


def columns_of(cells: Sequence[CellProgress]) -> list[Column]:
    """Return all columns, as narrow as they may be."""
    names = max(len("optimizer"), *(len(cell.optimizer) for cell in cells))
    steps = max(len("step"), *(len(_step(cell)) for cell in cells))
    return [
        Column("optimizer", min(names, 16), 0, most=names),
        Column("batch", 5, 1, "right"),
        Column("lr", max(len("lr"), *(len(f"{cell.lr:g}") for cell in cells)), 4, "right"),
        Column("progress", 10, 6, most=BAR_WIDTH),
        Column("step", steps, 3, "right"),
        Column("loss", 7, 2, "right"),
        Column("signal", 8, 5, most=SIGNAL_WIDTH),
        Column("state", 9, 0),
    ]


def fit(columns: list[Column], width: int) -> tuple[list[Column], int]:
    """Return the columns that fit `width` and the gap between them.

    The bar goes first, then the gap shrinks, then the highest rank goes. Names, the signal and the bar take what is
    left, in this order.
    """

    def total(kept: list[Column], gap: int) -> int:
        return sum(column.width for column in kept) + gap * (len(kept) - 1)

    kept, gap = list(columns), WIDE_GAP
    while total(kept, gap) > width and len(kept) > 2:
        if gap > 1 and not any(column.title == "progress" for column in kept):
            gap = 1
        else:
            kept.remove(max(kept, key=lambda column: column.rank))
    for column in sorted((column for column in kept if column.most), key=lambda column: column.rank):
        wider = min(column.width + width - total(kept, gap), column.most)
        kept[kept.index(column)] = column._replace(width=wider)
    return kept, gap


def choose(cells: Sequence[CellProgress], rows: int) -> tuple[Sequence[CellProgress], str]:
    """Return the cells to show in `rows` lines, in order, and a line on those left out ("" for none)."""
    if len(cells) <= rows:
        return cells, ""
    urgency = {"running": 0, "failed": 1, "diverged": 2, "waiting": 3, "completed": 4}
    order = sorted(range(len(cells)), key=lambda index: (urgency[cells[index].status], index))
    kept, dropped = sorted(order[:rows]), order[rows:]
    states = [cells[index].status for index in dropped]
    counts = ", ".join(f"{states.count(state)} {state}" for state in urgency if state in states)
    return [cells[index] for index in kept], f"and {len(dropped)} cells more: {counts}"


def _entry(column: Column, cell: CellProgress, ascii_only: bool) -> RenderableType:
    match column.title:
        case "optimizer":
            return Text(cell.optimizer)
        case "batch":
            return Text(str(cell.batch_size))
        case "lr":
            return Text(f"{cell.lr:g}")
        case "progress":
            return ProgressBar(total=max(cell.steps, 1), completed=min(cell.step, cell.steps), width=column.width)
        case "step":
            return Text(_step(cell))
        case "loss":
            return Text(number(cell.loss))
        case "signal":
            return Text(sparkline(cell.signal, column.width, ascii_only))
        case _:
            return Text(cell.status, style=STYLES[cell.status])


def _step(cell: CellProgress) -> str:
    return f"{cell.step}/{cell.steps}"


def number(value: float | None) -> str:
    """Write a loss in at most seven characters; "-" for none yet."""
    if value is None:
        return "-"
    text = f"{value:.4g}"
    return text if len(text) <= 7 else f"{value:.1e}"


def footer(progress: GridProgress) -> str:
    """Say how long it has taken and how long it will."""
    remaining, later = progress.remaining, progress.later
    left = "time left unknown" if remaining is None else f"about {duration(remaining)} left"
    more = "" if later is None else f", {duration((remaining or 0) + later)} with the parts to come"
    return f"{duration(progress.elapsed)} elapsed, {left}{more}"


def duration(seconds: float) -> str:
    """Write seconds as m:ss or h:mm:ss."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def sparkline(signal: Sequence[float], width: int, ascii_only: bool = False) -> str:
    """Draw `signal` in at most `width` characters, oldest first.

    Neighbours share a character by their mean where there are more values than room. The lowest value is the lowest
    block and the highest the highest; a signal that does not change is drawn at the bottom; `x` is not finite.
    """
    levels = ASCII if ascii_only else BLOCKS
    values = _resample(signal, width)
    finite = [value for value in values if math.isfinite(value)]
    low, high = min(finite, default=0.0), max(finite, default=0.0)

    def block(value: float) -> str:
        if not math.isfinite(value):
            return NOT_FINITE
        share = (value - low) / (high - low) if math.isfinite(high - low) and high > low else 0.0
        return levels[min(int(share * len(levels)), len(levels) - 1)]

    return "".join(map(block, values))


def _resample(values: Sequence[float], width: int) -> Sequence[float]:
    if len(values) <= width:
        return values
    edges = [round(i * len(values) / width) for i in range(width + 1)]
    return [math.fsum(values[a:b]) / (b - a) for a, b in pairwise(edges)]
