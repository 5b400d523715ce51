"""`optiscope label`: judge runs again from their files, compare rules on them, judge series of one's own."""

from __future__ import annotations

import contextlib
import json as json_module
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import attrs
from cyclopts import Parameter

from optiscope.cli.app import command
from optiscope.cli.options import BLOCK, FILES, JSON, PIECES, SET, STRICT, evolved, flag, lay_over, parse_options
from optiscope.config import GridConfig
from optiscope.errors import OptiscopeError, UsageError, unknown

if TYPE_CHECKING:
    from optiscope.analysis import Analyzer


ANALYZERS = flag(
    PIECES,
    "Judge by these analyzers alone, or by 'all', and compare with the verdicts that are recorded; nothing is written.",
    "NAME...",
)
CONFIDENCE = flag(
    PIECES, "That of the intervals on P(unstable), which decide on cells.", "SHARE", "that of the folder's own grid"
)


def label(
    out: Annotated[
        Path,
        Parameter(
            help="A folder that 'optiscope characterize' wrote or runs were recorded in, a run file, or a CSV file."
        ),
    ],
    /,
    *,
    analyzers: Annotated[tuple[str, ...], ANALYZERS] = (),
    confidence: Annotated[float | None, CONFIDENCE] = None,
    options: Annotated[tuple[str, ...], SET] = (),
    files: Annotated[tuple[str, ...], FILES] = (),
    block: Annotated[tuple[str, ...], BLOCK] = (),
    strict: Annotated[bool, STRICT] = False,
    json: Annotated[bool, JSON] = False,
) -> None:
    """Judge runs again from their files, without training.

    Use it when the rules have changed, with other options of an analyzer, or with a plugin that brings one.
    characterization.json is written anew; the recordings stay as they are, and so does report.html until
    'optiscope report OUT'. With --analyzers nothing is written: a table shows where other rules would call runs by
    another word.

    A CSV file has a row a step and a column 'loss'; 'grad_norm', 'logits_q05' and 'logits_iqr' are judged too.

    For example:

      optiscope label study
      optiscope label study --analyzers all --set envelope.limit=0.4
      optiscope label losses.csv
    """
    from optiscope.cli import console, tables
    from optiscope.hooks import discovery
    from optiscope.labels import FILE_NAME, Characterization, compare, label_folder

    if confidence is not None and (analyzers or out.is_file()):
        raise UsageError("--confidence decides on the cells of a folder: leave it out with --analyzers and for a file")
    if out.is_file():
        with contextlib.redirect_stdout(sys.stderr):  # what a plugin prints is no result
            rules = _rules(GridConfig(), analyzers, options, files, block, strict)[1]
        _label_file(out, rules, json)
        return
    grid = read_folder(out)
    there = tuple(path for path in grid.plugins if Path(path).is_file())
    for path in sorted(set(grid.plugins) - set(there)):
        console.show(console.stderr(), f"The plugin file {path} is not there any more; judging without it.")
    installed = {plugin.name for plugin in (*discovery.entry_points(), *map(discovery.from_file, there + files))}
    grid = attrs.evolve(grid, plugins=there, block=tuple(filter(installed.__contains__, grid.block)))
    if confidence is not None:
        grid = evolved(grid, confidence=confidence)
    recorded = Characterization.read(out) if analyzers else None
    with contextlib.redirect_stdout(sys.stderr):
        grid, rules = _rules(grid, analyzers, options, files, block, strict)
        judged = label_folder(out, rules, grid.confidence, grid.optimizers, lost=_lost(out))
    if recorded is not None:
        tables.show_comparison(compare(recorded, judged), json)
        return
    judged.write(out)
    tables.show_verdicts(out, json)
    console.show(console.stderr(), f"Written to {out / FILE_NAME}; draw it again: optiscope report {out}")


def _lost(out: Path) -> Mapping[str, str]:
    """Return what the folder's characterization, if there is one, says of runs that came to no end."""
    from optiscope.labels import Characterization

    try:
        return Characterization.read(out).lost
    except OptiscopeError:
        return {}


def _rules(
    grid: GridConfig,
    names: tuple[str, ...],
    options: tuple[str, ...],
    files: tuple[str, ...],
    block: tuple[str, ...],
    strict: bool,
) -> tuple[GridConfig, list[Analyzer]]:
    """Return `grid` with what was given on top, and its analyzers: all, or those called `names`."""
    from optiscope.engine import host_for
    from optiscope.labels import build_analyzers

    changes: dict[str, Any] = {
        "options": lay_over(grid.options, parse_options(options)),
        "plugins": tuple(dict.fromkeys(grid.plugins + files)),
        "block": grid.block + block,
        "strict": strict,
    }
    grid = attrs.evolve(grid, **changes)
    rules = build_analyzers(host_for(grid), grid.options)
    known = [rule.name for rule in rules]
    for name in sorted(set(names) - {"all", *known}):
        raise unknown("analyzer in --analyzers", name, known)
    return grid, [rule for rule in rules if not names or "all" in names or rule.name in names]


def _label_file(path: Path, rules: list[Analyzer], json: bool) -> None:
    """Judge one run file, or a CSV file, and show what every analyzer says."""
    from optiscope.cli import tables
    from optiscope.labels import label_run, read_series
    from optiscope.storage import open_run

    if path.suffix.lower() == ".csv":
        verdict = label_run(read_series(path), rules)
    else:
        with open_run(path) as run:
            verdict = label_run(run, rules)
    tables.show_run(verdict, json)


def read_folder(out: Path) -> GridConfig:
    """Return the grid that was asked for when `out` was made; UsageError if it is no such folder.

    Runs that were recorded elsewhere (`optiscope.Recording`) are of no grid, and judged as those of the default one.
    """
    from optiscope.cli.config_file import structure_grid
    from optiscope.sweep.folder import GRID

    if not (out / GRID).exists() and any(out.glob("runs/*.h5")):
        return GridConfig()
    try:
        document = json_module.loads((out / GRID).read_text(encoding="utf-8"))["grid"]
    except (OSError, ValueError, KeyError, TypeError):
        raise UsageError(f"{out} is not a folder that 'optiscope characterize' wrote: check the path") from None
    return structure_grid(document, str(out / GRID))


app = command(label)
