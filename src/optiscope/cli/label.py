"""`optiscope label OUT`: judge again from the files, without training."""

from __future__ import annotations

import contextlib
import json as json_module
import sys
from pathlib import Path
from typing import Annotated, Any

import attrs
from cyclopts import Parameter

from optiscope.cli.app import command
from optiscope.cli.options import BLOCK, FILES, JSON, SET, STRICT, lay_over, parse_options
from optiscope.config import GridConfig
from optiscope.errors import UsageError


def label(
    out: Annotated[
        Path, Parameter(help="A folder that 'optiscope characterize' wrote, or that runs were recorded in.")
    ],
    /,
    *,
    options: Annotated[tuple[str, ...], SET] = (),
    files: Annotated[tuple[str, ...], FILES] = (),
    block: Annotated[tuple[str, ...], BLOCK] = (),
    strict: Annotated[bool, STRICT] = False,
    json: Annotated[bool, JSON] = False,
) -> None:
    """Judge a grid of runs again from its files, without training.

    Use it when the rules have changed, with other options of an analyzer, or with a plugin that brings one.
    characterization.json is written anew; the recordings stay as they are, and so does report.html until
    'optiscope report OUT'.
    """
    from optiscope.cli import console, tables
    from optiscope.engine import host_for
    from optiscope.hooks import discovery
    from optiscope.labels import FILE_NAME, build_analyzers, label_folder

    grid = read_folder(out)
    there = tuple(path for path in grid.plugins if Path(path).is_file())
    for path in sorted(set(grid.plugins) - set(there)):
        console.show(console.stderr(), f"The plugin file {path} is not there any more; judging without it.")
    installed = {plugin.name for plugin in (*discovery.entry_points(), *map(discovery.from_file, there + files))}
    changes: dict[str, Any] = {
        "options": lay_over(grid.options, parse_options(options)),
        "plugins": tuple(dict.fromkeys(there + files)),
        "block": (*filter(installed.__contains__, grid.block), *block),
        "strict": strict,
    }
    grid = attrs.evolve(grid, **changes)
    with contextlib.redirect_stdout(sys.stderr):  # what a plugin prints is no result
        label_folder(out, build_analyzers(host_for(grid), grid.options), order=grid.optimizers).write(out)
    tables.show_verdicts(out, json)
    console.show(console.stderr(), f"Written to {out / FILE_NAME}; draw it again: optiscope report {out}")


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
