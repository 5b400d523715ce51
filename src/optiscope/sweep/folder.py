"""The folder of a characterization: who may write there, and what it holds.

    OUT/grid.json               what was asked for, and the plugins' versions: what --resume compares with
    OUT/runs/<run_id>.h5        one file a run
    OUT/characterization.json   the verdicts
    OUT/report.html             the report

A folder that holds any of these belongs to a characterization, and is touched only by `resume` or `overwrite`.
"""

from __future__ import annotations

import datetime
import json
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import attrs

from optiscope.config import GridConfig
from optiscope.errors import FileError, UsageError
from optiscope.records import PluginInfo

AXES = ("optimizers", "batch_sizes", "lrs", "seeds")
GRID = "grid.json"
OURS = (GRID, "characterization.json", "report.html", "index.h5")


def default_folder() -> Path:
    """Return a new dated name in the current folder."""
    return Path(f"optiscope-{datetime.datetime.now():%Y%m%d-%H%M%S}")


def open_folder(
    out: Path, grid: GridConfig, plugins: Iterable[PluginInfo], resume: bool = False, overwrite: bool = False
) -> Path:
    """Make `out` ready for the runs of `grid` and return the folder of runs.

    UsageError if it holds a characterization and neither `resume` nor `overwrite` is given, or if `resume` finds a
    grid that differs in more than longer axes; FileError if it cannot be written.
    """
    if resume and overwrite:
        raise UsageError("--resume and --overwrite exclude each other: give one of them")
    asked = _describe(grid, plugins)
    if out.exists() and not out.is_dir():
        raise UsageError(f"{out} is a file: give --out a folder")
    if _taken(out):
        if resume:
            check_resume(out, asked)
        elif overwrite:
            _clear(out)
        else:
            raise UsageError(
                f"{out} already holds a characterization: go on with --resume, replace it with --overwrite, "
                "or choose another --out"
            )
    runs = out / "runs"
    try:
        runs.mkdir(parents=True, exist_ok=True)
        write_text(out / GRID, json.dumps(asked, indent=2) + "\n")
    except OSError as error:
        raise FileError(f"cannot write to {out} ({error.strerror}): choose another --out or mend the folder") from error
    return runs


def check_resume(out: Path, asked: Mapping[str, Any]) -> None:
    """Raise UsageError unless `asked` is the grid in `out`, apart from longer axes."""
    path = out / GRID
    try:
        held = json.loads(path.read_text())
        grid, versions = held["grid"], held["plugins"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UsageError(
            f"{path} is missing or damaged: --resume cannot tell what was begun, use --overwrite"
        ) from error
    for name, value in asked["grid"].items():
        if value == grid.get(name):
            continue
        if name not in AXES:
            raise UsageError(
                f"--resume: {name} is {value!r} now and was {grid.get(name)!r} in {out}: use another --out"
            )
        if name == "seeds" and value >= grid[name]:
            continue
        if name != "seeds" and grid[name] and set(grid[name]) <= set(value):
            continue
        raise UsageError(
            f"--resume: {name} may grow but not lose or replace values, and was {grid[name]!r} in {out}, not {value!r}"
        )
    for name, version in versions.items():
        now = asked["plugins"].get(name, "not there")
        if now != version:
            raise UsageError(f"--resume: plugin {name} was {version} in {out} and is {now} now: use another --out")


def write_text(path: Path, text: str) -> None:
    """Write a file whole or not at all."""
    temporary = path.with_name(path.name + ".tmp")
    temporary.write_text(text)
    os.replace(temporary, path)


def _describe(grid: GridConfig, plugins: Iterable[PluginInfo]) -> dict[str, Any]:
    """Return what is compared on `--resume`, as it looks after a round trip through JSON."""
    described: dict[str, Any] = json.loads(
        json.dumps({"grid": attrs.asdict(grid), "plugins": {plugin.name: plugin.version for plugin in plugins}})
    )
    return described


def _taken(out: Path) -> bool:
    return any((out / name).exists() for name in OURS) or any(out.glob("runs/*.h5"))


def _clear(out: Path) -> None:
    for path in [*(out / name for name in OURS), *out.glob("runs/*.h5*"), *out.glob("runs/*.state")]:
        path.unlink(missing_ok=True)
