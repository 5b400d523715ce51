"""Tables of results, and what to do next."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from rich.table import Table
from rich.text import Text

if TYPE_CHECKING:
    from optiscope.labels import Cell, Characterization
    from optiscope.records import RunInfo

STYLES = {"stable": "green", "unstable": "bold red", "undecided": "yellow"}


def plain_table(*titles: str, right: Sequence[str] = ()) -> Table:
    """Return a table without lines whose columns named in `right` are numbers."""
    table = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False, header_style="bold")
    for title in titles:
        number = title in right
        table.add_column(title, justify="right" if number else "left", no_wrap=number)
    return table


def verdicts(result: Characterization) -> Table:
    """Return a row a cell: what it is, its verdict, and why in one line."""
    out = plain_table("optimizer", "batch", "lr", "verdict", "why", right=("batch", "lr"))
    for cell in result.cells:
        verdict = Text(cell.verdict, style=STYLES.get(cell.verdict, ""))
        out.add_row(Text(cell.optimizer), str(cell.batch_size), f"{cell.lr:g}", verdict, Text(why(cell)))
    return out


def why(cell: Cell) -> str:
    """Return the reason of the first run that has the cell's verdict, and how many runs share it."""
    sharing = [run for run in cell.runs if run.verdict == cell.verdict] or list(cell.runs)
    if not sharing:
        return "no run"
    reason = " ".join(sharing[0].why.split())
    if len(cell.runs) > 1:
        return f"{len(sharing)} of {len(cell.runs)} runs: {reason}"
    return reason


def what_next(out: Path, page: Path) -> tuple[str, str]:
    """Return two lines: where the files are, and what to do with them."""
    return (
        f"Everything is in {out}: look at {page}.",
        f"Judge again: optiscope label {out}   More seeds: repeat with --seeds 5 --out {out} --resume",
    )


PLAN = ("run_id", "optimizer", "batch_size", "lr", "seed", "steps", "model", "data")
"""What is told of a run before it is made."""


def plan(runs: Sequence[RunInfo]) -> Table:
    """Return a row a run that would be made."""
    out = plain_table(*PLAN, right=("batch_size", "lr", "seed", "steps"))
    for run in runs:
        out.add_row(*(f"{value:g}" if isinstance(value, float) else str(value) for value in _fields(run)))
    return out


def _fields(run: RunInfo) -> list[object]:
    return [getattr(run, name) for name in PLAN]
