"""`optiscope max-lr`: find the largest stable learning rate of each optimizer at each batch size."""

from __future__ import annotations

import contextlib
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Group

from optiscope.cli.app import command
from optiscope.cli.options import JSON, OUTPUT, PIECES, TIME_LIMIT, WHOLE, CommonFlags, check_workers, flag, grid_config
from optiscope.errors import UsageError

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

    from optiscope.sweep import MaxLr

SEARCH = Group("How far a search goes", sort_key=2)
LESS_TELLING = ("runs", "at 5 %", "ratio", "theory")
"""Columns that are left out where the table is too wide, the first one first."""


def max_lr(
    *,
    flags: CommonFlags | None = None,
    confidence: Annotated[float, flag(SEARCH, "That of the interval.", "SHARE", True)] = 0.9,
    tolerance: Annotated[float, flag(SEARCH, "Stop where high / low - 1 is less.", "SHARE", True)] = 0.05,
    max_runs: Annotated[int, flag(SEARCH, "Runs for one optimizer and batch size.", "N", True), WHOLE] = 40,
    between: Annotated[
        tuple[float, float] | None,
        flag(SEARCH, "Begin in the middle and stay inside.", "LOW HIGH", "from the optimizer's own lr"),
    ] = None,
    jobs: Annotated[int | None, flag(PIECES, "Runs at the same time.", "N", "one a core"), WHOLE] = None,
    executor: Annotated[str, flag(PIECES, "What runs them.", "NAME", True)] = "processes",
    time_limit: Annotated[float | None, TIME_LIMIT] = None,
    config: Annotated[
        Path | None, flag(OUTPUT, "A grid without lrs in a TOML file; flags win over it.", "FILE")
    ] = None,
    out: Annotated[Path | None, flag(OUTPUT, "The folder to write.", "DIR", "a new dated folder")] = None,
    resume: Annotated[bool, flag(OUTPUT, "Keep the runs in --out, go on from there.")] = False,
    overwrite: Annotated[bool, flag(OUTPUT, "Replace what is in --out.")] = False,
    json: Annotated[bool, JSON] = False,
) -> None:
    """Find the largest stable learning rate of each optimizer.

    Runs are made where they tell most about the boundary between stable and unstable, until its interval is narrow
    enough. A run is stable or not by its verdict; where the least loss is known, as of 'quadratic', one that
    circles it is not. The closed form stands beside it, where there is one, and OUT/max-lr.svg draws both.

    For example:

      optiscope max-lr --model quadratic --optimizers sgd
      optiscope max-lr --model noisy-quadratic --batch-sizes 1 10
      optiscope max-lr --optimizers adam --max-runs 20
    """
    check_workers(jobs, time_limit)
    if (resume or overwrite) and out is None:
        raise UsageError(f"--{'resume' if resume else 'overwrite'} needs --out DIR: the folder that was begun")
    grid = grid_config(flags or CommonFlags(), config)

    from optiscope import sweep
    from optiscope.cli import console, live
    from optiscope.cli.run import Interrupted
    from optiscope.report import draw_max_lr
    from optiscope.sweep.folder import default_folder
    from optiscope.sweep.search import FILE_NAME

    out = out or default_folder()
    with live.watch(console.stderr()) as watcher, contextlib.redirect_stdout(sys.stderr):
        try:
            found = sweep.max_lr(
                grid,
                out,
                confidence=confidence,
                tolerance=tolerance,
                max_runs=max_runs,
                between=between,
                jobs=jobs,
                executor=executor,
                time_limit=time_limit,
                resume=resume,
                overwrite=overwrite,
                on_progress=watcher,
            )
        except KeyboardInterrupt:
            if not out.exists() or not watcher.runs:
                raise KeyboardInterrupt("nothing was written") from None
            raise Interrupted("the runs that had finished are kept; --resume goes on from there", out) from None
    figure = draw_max_lr(out / FILE_NAME)
    if json:
        sys.stdout.write((out / FILE_NAME).read_text(encoding="utf-8"))
    else:
        show(console.stdout(), found)
    folder = shlex.quote(str(out))
    where = f"Everything is in {folder}: open {shlex.quote(str(figure))}."
    console.show(console.stderr(), *remarks(found), where, f"With the evidence of every run: optiscope report {folder}")


app = command(max_lr)


def show(to: Console, found: Sequence[MaxLr]) -> None:
    """Write the table, without its least telling columns where they do not fit."""
    from optiscope.cli import console

    whole = to.options.update_width(console.UNWRAPPED)
    for left_out in range(len(LESS_TELLING) + 1):
        made = table(found, LESS_TELLING[:left_out])
        if to.measure(made, options=whole).maximum <= to.width:
            break
    console.show(to, made)


def table(found: Sequence[MaxLr], less: Sequence[str] = ()) -> Table:
    """Return a row a result, without the columns named in `less`."""
    from optiscope.cli.tables import plain_table

    rows = [
        {
            "optimizer": name,
            "batch": str(each.batch_size),
            "max lr": _number(each.lr_max),
            "low": _number(each.low),
            "high": _number(each.high),
            "at 5 %": _number(each.lr_5_percent),
            "theory": _number(each.closed_form),
            "ratio": _ratio(each),
            "runs": str(each.runs),
        }
        for name, each in zip(called(found), found, strict=True)
    ]
    titles = [title for title in rows[0] if title not in less]
    made = plain_table(*titles, right=titles[1:])
    for row in rows:
        made.add_row(*(row[title] for title in titles))
    return made


def remarks(found: Sequence[MaxLr]) -> list[str]:
    """Return a line on each result that is not what was asked for, or not what theory says."""
    lines = []
    for called_so, each in zip(called(found), found, strict=True):
        name = f"{called_so}, batch {each.batch_size}"
        if each.why:
            lines.append(f"{name}: {each.why}")
        theory, low, high = each.closed_form, each.low, each.high
        if theory is not None and low is not None and high is not None and not low <= theory <= high:
            lines.append(f"{name}: theory says {_number(theory)}, outside the interval (docs/max-lr.md: why)")
    return lines


def called(found: Sequence[MaxLr]) -> list[str]:
    """Return the name of the optimizer of each result, with what tells its setting from those of the others."""
    from optiscope.names import names_of

    names = ("optimizer", "options", "model", "reduction")
    return names_of([{name: getattr(each, name) for name in names} for each in found])


def _ratio(each: MaxLr) -> str:
    """Return what was measured over what theory says."""
    if each.lr_max is None or each.closed_form is None:
        return "-"
    return f"{each.lr_max / each.closed_form:.3f}"


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.4g}"
