"""`optiscope file ...`: look into run files, check them, save them, and hand them on to other tools."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Parameter

from optiscope.cli import app as commands
from optiscope.cli.app import command
from optiscope.cli.options import JSON
from optiscope.errors import FileError, UsageError

if TYPE_CHECKING:
    from optiscope.storage import Grid


def info(
    path: Annotated[Path, Parameter(help="A run file, OUT/runs/NAME.h5; it may still be written.")],
    /,
    *,
    json: Annotated[bool, JSON] = False,
) -> None:
    """Say what run a file holds, how far it has come, what was recorded, and what that cost.

    For example:

      optiscope file info OUT/runs/NAME.h5
    """
    from optiscope.cli import console, tables
    from optiscope.report import observer_rows
    from optiscope.storage import guard, open_run
    from optiscope.storage.files import holder
    from optiscope.storage.notebook import ABANDONED

    with open_run(path) as run, guard.reading(path):
        config, wall_time = run.config, run.attrs.get("wall_time", math.nan)
        facts: dict[str, Any] = {
            "run_id": run.run_id,
            "status": run.status,
            "writer": holder(path),
            "why": run.why,
            "steps": run.n_steps,
            "steps_asked": config["steps"],
            "epochs": run.n_epochs,
            **{name: config[name] for name in ("optimizer", "batch_size", "lr", "seed", "model", "data")},
            **{name: config["config"].get(name, "") for name in ("kernels", "threads")},
            "blas": dict(config.get("blas", {})),
            "versions": run.versions,
            "wall_time": wall_time if math.isfinite(wall_time) else None,
            "observer_time": run.observer_time,
            "signals": {
                "step": list(run.steps),
                "probe": list(run.probe),
                "epoch": list(run.epochs),
                **{recorder: list(rows) for recorder, rows in run.plugins.items()},
            },
        }
    if json:
        console.write_json(facts)
        return
    signals = {f"signals of {name}": ", ".join(names) for name, names in facts.pop("signals").items()}
    blas, order = facts["blas"], ("name", "version", "architecture", "threads")
    facts["blas"] = ", ".join(f"{name} {blas[name]}" for name in order if blas.get(name))
    facts["versions"] = ", ".join(f"{name} {version}" for name, version in facts["versions"].items())
    rows = [row.words for row in observer_rows([(facts.pop("observer_time"), facts["wall_time"] or 0.0)])]
    times = {f"time of {name}": f"{took}, {share} of the run" for name, took, share in rows}
    if facts["status"] == "running" and not facts["writer"]:
        facts["why"] = ABANDONED
    facts["wall_time"] = "" if facts["wall_time"] is None else f"{wall_time:.3g} s"
    table = tables.plain_table("what", "value")
    table.show_header = False
    for name, value in (facts | times | signals).items():
        if value != "":
            table.add_row(name.replace("_", " "), str(value))
    console.show(console.stdout(), table)


def verify(
    paths: Annotated[list[Path], Parameter(help="Run files, or folders of them.", json_list=False)],
    /,
    *,
    json: Annotated[bool, JSON] = False,
) -> None:
    """Compare finished run files with the checksum that was stored at their end.

    A file that is not as it was written, or that cannot be read, makes the exit code 2.

    For example:

      optiscope file verify OUT
      optiscope file verify OUT/runs/NAME.h5
    """
    from optiscope.cli import console, tables
    from optiscope.storage import Verification, open_grid
    from optiscope.storage import verify as verify_file
    from optiscope.storage.header import check_there

    for place in paths:
        if not place.is_dir():
            check_there(place)
    found: list[tuple[str, Verification]] = []
    for path in (file for place in paths for file in (_in(open_grid(place)) if place.is_dir() else [place])):
        try:
            each = verify_file(path)
            found.append((STATES[each.intact], each))
        except FileError as error:
            found.append((UNREADABLE, Verification(path=path, intact=False, why=str(error))))
    if not found:
        raise UsageError(f"there are no run files in {', '.join(map(str, paths))}: give an output folder, or files")
    if json:
        console.write_json({"files": [{"path": str(f.path), "intact": f.intact, "why": f.why} for _, f in found]})
    else:
        table = tables.plain_table("file", "state", "why")
        for state, each in found:
            table.add_row(str(each.path), state, "" if each.intact else each.why)
        console.show(console.stdout(), table)
    bad = sum(each.intact is False for _, each in found)
    if bad:
        raise FileError(
            f"{bad} of {len(found)} files {'is' if bad == 1 else 'are'} damaged or cannot be read: "
            "see what 'optiscope file recover' can save, or run them again"
        )


def recover(
    path: Annotated[Path, Parameter(help="A run file that was left behind, or is damaged.")],
    /,
    *,
    to: Annotated[Path | None, Parameter(help="Where to save it; in its place, if the file is sound.")] = None,
    json: Annotated[bool, JSON] = False,
) -> None:
    """Make a finished run file of one that was left behind or damaged.

    The file of a run whose process is gone becomes a finished one, with the status 'interrupted'; --resume then begins
    that run anew. What can still be read of a damaged file is saved to another one with --to.

    For example:

      optiscope file recover OUT/runs/NAME.h5
      optiscope file recover NAME.h5 --to saved.h5
    """
    from optiscope.cli import console
    from optiscope.storage import recover as recover_file

    found = recover_file(path, to)
    if json:
        facts = {"path": str(found.path), "steps": found.n_steps, "epochs": found.n_epochs, "lost": found.lost}
        console.write_json(facts)
        return
    lost = [f"lost: {part}" for part in found.lost]
    console.show(console.stdout(), f"{found.path}: {found.n_steps} steps, {found.n_epochs} epochs", *lost)


def export(
    path: Annotated[Path, Parameter(help="A run file; it may still be written.")],
    /,
    *,
    to: Annotated[Path, Parameter(help="The table to write or replace: NAME.csv or NAME.parquet.")],
    group: Annotated[str, Parameter(help="step, probe, epoch or plugins/NAME.")] = "step",
) -> None:
    """Write the signals of a run as a table that other tools read, a row a step.

    For example:

      optiscope file export OUT/runs/NAME.h5 --to steps.csv
      optiscope file export OUT/runs/NAME.h5 --to epochs.parquet --group epoch
    """
    from optiscope.cli import console
    from optiscope.storage import open_run, table

    with open_run(path) as run:
        table.export(run, to, group)
    console.show(console.stdout(), str(to))


STATES = {True: "intact", None: "not ended", False: "damaged"}
UNREADABLE = "unreadable"
"""Of what is no run file, or has a newer schema, it cannot be said whether it is damaged."""


def _in(grid: Grid) -> list[Path]:
    return [row["path"] for row in grid.runs]


app = commands.group("file", "Look into run files, check them, save them, or export them.")
app.command(command(info))
app.command(command(verify))
app.command(command(recover))
app.command(command(export))
