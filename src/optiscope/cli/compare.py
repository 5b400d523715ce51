"""`optiscope compare OUT_A OUT_B`: what changed between two characterizations."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from optiscope.cli.app import command
from optiscope.cli.options import JSON

if TYPE_CHECKING:
    from rich.table import Table
    from rich.text import Text

    from optiscope.report import CellChange, Changes
    from optiscope.report.changes import Difference

STYLES = {"regression": "bold red", "improvement": "green", "changed": "yellow", "moved": ""}
NOUNS = ("regression", "improvement")
SAME = "same"
LABELS = 10
"""Columns of what a line is about."""


def compare(
    before: Annotated[Path, Parameter(help="A folder that 'optiscope characterize' wrote.")],
    after: Annotated[Path, Parameter(help="Another one, of the same optimizers and axes.")],
    /,
    *,
    json: Annotated[bool, JSON] = False,
) -> int:
    """Say what changed between two characterizations.

    Of two versions of an optimizer, say. The same cells are compared: their verdicts, P(unstable), and loss and
    accuracy seed by seed. The exit code is 1 if there is a regression: a cell that was stable and is unstable, whose
    P(unstable) rose (Fisher's exact test at 5 %, with Holm's correction for all cells), or of which a seed failed or
    was lost that had not before.

    For example:

      optiscope compare before after
      optiscope compare before after --json
    """
    from optiscope.cli import console
    from optiscope.report import compare_folders

    found = compare_folders(before, after)
    if json:
        console.write_json(found.plain())
    else:
        console.show(console.stdout(), *_shown(found))
        for line in found.differs:
            console.show(console.stderr(), f"Differs too: {line}")
        for line in found.unread:
            console.show(console.stderr(), f"Left out of loss and accuracy: {line}")
        for line in found.lost:
            console.show(console.stderr(), f"Lost in the second: {line}")
    return 1 if found.regressions else 0


app = command(compare)


def _shown(found: Changes) -> Iterator[str | Text | Table]:
    """Yield the counts, and a few lines on each cell that is not the same; but for reasons none has over 60 columns."""
    from rich.table import Column, Table
    from rich.text import Text

    kinds = [cell.kind for cell in found.cells]
    counts = [
        f"{(n := kinds.count(kind))} {kind}{_s(n) if kind in NOUNS else ''}"
        for kind in (*STYLES, SAME)
        if kind in kinds
    ]
    yield f"{len(kinds)} cell{_s(len(kinds))} in both: {', '.join(counts)}"
    for where, names in (("first", found.only_before), ("second", found.only_after)):
        if names:
            yield f"{len(names)} only in the {where}:"
            yield from (f"  {name}" for name in names)
    for cell in sorted(found.cells, key=lambda cell: [*STYLES, SAME].index(cell.kind)):
        if cell.kind != SAME:
            yield ""
            yield Text.assemble((cell.kind, STYLES[cell.kind]), f": {cell.name}")
            lines = Table.grid(Column(width=2 + LABELS), Column(overflow="fold"))
            for label, words in _lines(cell):
                lines.add_row(f"  {label}", words)
            yield lines


def _lines(cell: CellChange) -> Iterator[tuple[str, str]]:
    (was, of), (now, of_now) = cell.unstable_before, cell.unstable_after
    yield "verdict", cell.before if cell.before == cell.after else f"{cell.before} -> {cell.after}"
    yield "unstable", f"{was} of {of} -> {now} of {of_now}"
    yield "", f"{cell.rise:+.2f} ({cell.low:+.2f} to {cell.high:+.2f}), p = {cell.p_value:.2g}"
    (failed, runs), (failing, runs_now) = cell.failed_before, cell.failed_after
    if failed or failing:
        yield "failed", f"{failed} of {runs} -> {failing} of {runs_now}"
        yield "why", cell.why
    if cell.loss:
        yield "loss", _told(cell.loss, "{:+.3g}", "")
    if cell.accuracy:
        yield "accuracy", _told(cell.accuracy, "{:+.1f}", " %", 100)


def _told(found: Difference, form: str, unit: str, factor: float = 1) -> str:
    words = form.format(factor * found.mean)
    if found.low is not None and found.high is not None:
        words += f" ({form.format(factor * found.low)} to {form.format(factor * found.high)})"
    seeds = f"{found.seeds} seed{_s(found.seeds)}"
    return f"{words}{unit}, {seeds}" + (f", {found.lost} not finite" if found.lost else "")


def _s(count: int) -> str:
    return "" if count == 1 else "s"
