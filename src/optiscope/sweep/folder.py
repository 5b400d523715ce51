"""The folder of a characterization: who may write there, and what it holds.

    OUT/grid.json               what was asked for, the plugins' versions, and the kernels of each model: what --resume
                                compares with; also the schedules that a budget led to, which --resume takes over and
                                never measures again
    OUT/grid.json.lock          who works in the folder now
    OUT/runs/<run_id>.h5        one file a run; beside it, until the run has ended, <run_id>.state and <run_id>.h5.lock
    OUT/index.h5                a row a run, for readers of many
    OUT/characterization.json   the verdicts
    OUT/max-lr.json             the largest stable learning rates, where they were searched for
    OUT/max-lr.svg              their figure
    OUT/report.html             the report

A folder belongs to a characterization if it has a grid.json, and is then touched only by `resume` or `overwrite`. One
that holds any of the others without it is somebody else's, and is not touched at all: a report.html can be anyone's.
"""

from __future__ import annotations

import datetime
import json
from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import MappingProxyType
from typing import Any

import attrs

from optiscope.config import DEFAULT_STEPS, GridConfig, parse_spelling
from optiscope.errors import UsageError
from optiscope.records import PluginInfo
from optiscope.storage import open_grid
from optiscope.storage.files import Lock
from optiscope.whole import telling, write_whole

GROWING = ("optimizers", "model", "reduction", "batch_sizes", "lrs", "seeds", "plugins")
"""Fields that may have more values on `resume`, the axes and files of plugins, and keep all that they had."""
OF_CELLS = ("confidence", "max_seeds")
"""Fields that change no run, but how many seeds a cell gets and what is said of it: `resume` takes any."""
GRID = "grid.json"
RESULTS = ("index.h5", "characterization.json", "max-lr.json", "max-lr.svg", "report.html", "report.md")
FIGURES = ("report-figures", "card-*-figures")
PAGES = ("card-*.html", "card-*.md", *(f"{folder}/*.{end}" for folder in FIGURES for end in ("svg", "csv")))


def default_folder() -> Path:
    """Return a new dated name in the current folder."""
    return Path(f"optiscope-{datetime.datetime.now():%Y%m%d-%H%M%S}")


def check_folder(
    out: Path,
    grid: GridConfig,
    plugins: Iterable[PluginInfo],
    resume: bool = False,
    overwrite: bool = False,
    kernels: Mapping[str, str] = MappingProxyType({}),
    flags: Collection[str] | None = None,
) -> GridConfig:
    """Return what is to be run in `out`: `grid`, with the schedules that are held there if `resume` goes on with them.

    `kernels` says on which each model runs, those with images first; models that are not in it run on the grid's.
    `flags` are the fields that the command has an option for, None for all: others are not told to be given again.
    UsageError if it holds a characterization and neither `resume` nor `overwrite` is given, if `resume` finds a grid
    that differs in more than longer axes, or if files of the same names lie there that are not a characterization's.
    Nothing is written.
    """
    if resume and overwrite:
        raise UsageError("--resume and --overwrite exclude each other: give one of them")
    if out.exists() and not out.is_dir():
        raise UsageError(f"{out} is a file: give --out a folder")
    ours = (out / GRID).exists()
    if not ours and (foreign := _in_the_way(out)):
        raise not_ours(out, foreign, GRID)
    if ours and resume:
        held = read_grid(out)
        if grid.unmeasured and held["grid"].get("budget") == grid.budget:
            grid = attrs.evolve(grid, thin=held["grid"].get("thin"))
        check_resume(out, held, _describe(grid, plugins, kernels), flags)
    elif ours and not overwrite:
        raise UsageError(
            f"{out} already holds a characterization: go on with --resume, replace it with --overwrite, "
            "or choose another --out"
        )
    return grid


def not_ours(out: Path, foreign: str, proof: str) -> UsageError:
    """Return the error for a folder `out` that holds the file `foreign`, but no `proof` that it was begun by us."""
    return UsageError(f"{out} holds {foreign} but no {proof}, so it cannot be told whose it is: choose another --out")


@contextmanager
def held(out: Path) -> Iterator[None]:
    """Keep others from working in `out`, which is made where it is missing; FileError, with its name, if one does."""
    with telling(out):
        out.mkdir(parents=True, exist_ok=True)
        lock = Lock(out / GRID)
    try:
        yield
    finally:
        lock.release()


def open_folder(
    out: Path,
    grid: GridConfig,
    plugins: Iterable[PluginInfo],
    resume: bool = False,
    overwrite: bool = False,
    kernels: Mapping[str, str] = MappingProxyType({}),
) -> Path:
    """Make `out` ready for the runs of `grid` and return the folder of runs.

    UsageError as for `check_folder`; FileError if it cannot be written, or another process is writing there.
    """
    grid = check_folder(out, grid, plugins, resume, overwrite, kernels)
    asked = _describe(grid, plugins, kernels)
    runs = out / "runs"
    with telling(out):
        if overwrite:
            _clear(out)
        runs.mkdir(parents=True, exist_ok=True)
    write_whole(out / GRID, json.dumps(asked, indent=2) + "\n")
    return runs


def read_grid(out: Path) -> dict[str, dict[str, Any]]:
    """Return what grid.json holds: "grid", "plugins" and "kernels"; UsageError if it is damaged."""
    path = out / GRID
    try:
        held = json.loads(path.read_text())
        grid, plugins, kernels = dict(held["grid"]), dict(held["plugins"]), dict(held.get("kernels", {}))
        for name in ("model", "reduction"):  # a single text until grids could have several
            if isinstance(grid[name], str):
                grid[name] = [grid[name]]
        for name in GROWING:
            if not isinstance(grid[name], int if name == "seeds" else list) and (name, grid[name]) != ("seeds", "auto"):
                raise TypeError(name)
        return {"grid": grid, "plugins": plugins, "kernels": kernels}
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UsageError(
            f"{path} is missing or damaged: --resume cannot tell what was begun, use --overwrite or another --out"
        ) from error


def check_resume(
    out: Path, held: Mapping[str, Any], asked: Mapping[str, Any], flags: Collection[str] | None = None
) -> None:
    """Raise UsageError unless `asked` is the grid `held` in `out`, apart from longer axes and what changes no run.

    What is compared is what is meant: steps that nobody gave are the usual ones, learning rates that nobody gave are
    those that were begun, and "auto" seeds are as many as were begun, and go on from all that are there. Kernels are
    those of the models that are there: a network may join problems without images, which run on others. `flags` are
    those of `check_folder`.
    """
    grid, now, versions = held["grid"], asked["grid"], held["plugins"]
    if not (grid.get("epochs") or now["epochs"]):
        grid, now = ({**each, "steps": each.get("steps") or DEFAULT_STEPS} for each in (grid, now))
    for name, value in now.items():
        was: Any = grid.get(name)
        if name == "kernels":
            value, was = _kernels(held, asked)
        if value == was or name in OF_CELLS or (name, value) == ("seeds", "auto"):
            continue
        if name not in GROWING:
            mend = _mend(name, was) if flags is None or name in flags else "use another --out"
            raise UsageError(f"--resume: {name} is {value!r} now and was {was!r} in {out}: {mend}")
        if name == "seeds" and was == "auto":
            was = _seeds_begun(out)
        elif name == "lrs" and not was:
            was = _lrs_begun(out, grid["optimizers"])
        if value >= was if name == "seeds" else all(each in value for each in was):
            continue
        raise UsageError(
            f"--resume: {name} may grow but not lose or replace values, and was {was!r} in {out}, "
            f"not {value!r}: use another --out"
        )
    for name, version in versions.items():
        there = asked["plugins"].get(name, "not there")
        if there != version:
            raise UsageError(f"--resume: plugin {name} was {version} in {out} and is {there} now: use another --out")


def _kernels(held: Mapping[str, Any], asked: Mapping[str, Any]) -> tuple[str, str]:
    """Return on which kernels a model runs now, and ran, where the two differ for one that is there."""
    now, models = asked["kernels"], held["grid"]["model"]
    # Until each model's were kept, there was one name: that of the first with images, or of all where none had any.
    ran = held["kernels"] or {model: held["grid"].get("kernels") for model in [m for m in now if m in models][:1]}
    return next(((now[model], was) for model, was in ran.items() if now.get(model, was) != was), ("", ""))


def _lrs_begun(out: Path, optimizers: Iterable[str]) -> list[float]:
    """Return the learning rates in `out` of those optimizers that spell none of their own."""
    names = {name for name, own in map(parse_spelling, optimizers) if "lr" not in own}
    return sorted({row["lr"] for row in open_grid(out).runs if row.get("optimizer") in names})


def _seeds_begun(out: Path) -> int:
    """Return how many seeds the cell in `out` has that has most."""
    return 1 + max((row["seed"] for row in open_grid(out).runs if "seed" in row), default=-1)


def _mend(name: str, was: Any) -> str:
    """Return how to go on where the field `name` differs: with what it was, where the command line can say so."""
    flag = ""
    if name == "block" and was and isinstance(was, list):
        flag = f"give --no-plugin {' '.join(map(str, was))}, or "
    elif isinstance(was, (str, int, float)) and not isinstance(was, bool):
        flag = f"give --{name.replace('_', '-')} {was}, or "
    return f"{flag}use another --out"


def _describe(grid: GridConfig, plugins: Iterable[PluginInfo], kernels: Mapping[str, str]) -> dict[str, Any]:
    """Return what is compared on `--resume`, as it looks after a round trip through JSON."""
    facts = {
        "grid": attrs.asdict(grid),
        "plugins": {plugin.name: plugin.version for plugin in plugins},
        "kernels": {**kernels, **{model: grid.kernels for model in grid.model if model not in kernels}},
    }
    described: dict[str, Any] = json.loads(json.dumps(facts))
    return described


def _in_the_way(out: Path) -> str:
    """Return the first file in `out` that a characterization would write over; empty where there is none."""
    found = [path for name in RESULTS if (path := out / name).exists()] + sorted(out.glob("runs/*.h5"))
    return found[0].relative_to(out).as_posix() if found else ""


def _clear(out: Path) -> None:
    """Remove what a characterization wrote, except for grid.json, which the next one replaces.

    A lock file is removed by whoever holds it: taking every lock first shows that no other process writes here.
    """
    for lock in out.glob("runs/*.h5.lock"):
        Lock(lock.with_suffix("")).release()
    ours = ("*.h5", "*.state", "*.tmp")
    globs = (*PAGES, *(f"runs/{kind}" for kind in ours))
    for path in [*(out / name for name in RESULTS), *(path for glob in globs for path in out.glob(glob))]:
        path.unlink(missing_ok=True)
