"""`optiscope characterize`: train a grid of runs, record them, judge them, show the verdicts."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from optiscope.cli.app import command
from optiscope.cli.options import JSON, OUTPUT, PIECES, TIME_LIMIT, WHOLE, GridFlags, check_workers, flag, grid_config
from optiscope.errors import UsageError

if TYPE_CHECKING:
    from optiscope.config import GridConfig


CONFIG = flag(
    OUTPUT, "The options above in a TOML file, but for --jobs, --executor and --time-limit; flags win over it.", "FILE"
)
NEXT_UP = "The runs have ended: index, verdicts and report are made."


def characterize(
    *,
    flags: GridFlags | None = None,
    jobs: Annotated[int | None, flag(PIECES, "Runs at the same time.", "N", "one a core"), WHOLE] = None,
    executor: Annotated[str, flag(PIECES, "What runs them.", "NAME", True)] = "processes",
    time_limit: Annotated[float | None, TIME_LIMIT] = None,
    config: Annotated[Path | None, CONFIG] = None,
    out: Annotated[Path | None, flag(OUTPUT, "The folder to write.", "DIR", "a new dated folder")] = None,
    resume: Annotated[bool, flag(OUTPUT, "Keep the finished runs in --out, go on with the others.")] = False,
    overwrite: Annotated[bool, flag(OUTPUT, "Replace what is in --out.")] = False,
    dry_run: Annotated[bool, flag(OUTPUT, "List what would run, and its cost; write nothing.")] = False,
    json: Annotated[bool, JSON] = False,
) -> None:
    """Train a grid of runs, record them and judge them.

    Every optimizer runs on every model, at every batch size and learning rate. What flows through the network is
    recorded, and each cell of the grid gets a verdict (stable, unstable or undecided) with the evidence. Without
    arguments: SGD and Adam at four batch sizes, on made-up images, in about a minute.

    For example:

      optiscope characterize
      optiscope characterize --optimizers adam --lrs 0.001 0.01
      optiscope characterize --optimizers adam 'adam(beta1=0.8)'
      optiscope characterize --data cifar10 --model paper-cnn
      optiscope characterize --seeds auto --confidence 0.9
    """
    check_workers(jobs, time_limit)
    if (resume or overwrite) and out is None:
        raise UsageError(f"--{'resume' if resume else 'overwrite'} needs --out DIR: the folder that was begun")
    grid = grid_config(flags or GridFlags(), config)
    how = {"jobs": jobs, "executor": executor, "time_limit": time_limit, "resume": resume, "overwrite": overwrite}
    (_foresee if dry_run else _run)(grid, out, how, json)


app = command(characterize)


def _run(grid: GridConfig, out: Path | None, how: Mapping[str, Any], json: bool) -> None:
    from optiscope import report, sweep
    from optiscope.cli import console, live, tables
    from optiscope.cli.run import Interrupted
    from optiscope.sweep.execute import is_finished
    from optiscope.sweep.folder import default_folder

    out = out or default_folder()
    with live.watch(console.stderr(), NEXT_UP) as watcher, contextlib.redirect_stdout(sys.stderr):
        try:
            sweep.characterize(grid, out, **how, on_progress=watcher)
        except KeyboardInterrupt:
            if not out.exists() or not watcher.runs:
                raise KeyboardInterrupt("nothing was written") from None
            finished = sum(map(is_finished, out.glob("runs/*.h5")))
            kept = f"{finished} of {watcher.runs} runs had finished and are kept; --resume goes on with the others"
            raise Interrupted(kept, out) from None
    tables.show_verdicts(out, json)
    page = report.write_report(out)
    if grid.budget is not None:
        console.show(console.stderr(), *tables.observers(out, grid.budget))
    console.show(console.stderr(), *tables.not_ended(out), *tables.what_next(out, page))


def _foresee(grid: GridConfig, out: Path | None, how: Mapping[str, Any], json: bool) -> None:
    from optiscope import sweep
    from optiscope.cli import console, live, tables
    from optiscope.sweep.cost import foresee

    with contextlib.redirect_stdout(sys.stderr):
        cost = foresee(grid, out, **how)
    if json:
        runs = [{**tables.planned(run), "seconds": cost.seconds[run.run_id]} for run in cost.pending]
        whole = {"finished": cost.finished, "jobs": cost.jobs, "seconds": cost.total, "most_bytes": cost.most_bytes}
        console.write_json({"runs": runs, **whole})
        return
    console.show(console.stdout(), tables.plan(cost.pending))
    most = (len(cost.pending) + cost.finished) // sweep.first_seeds(grid) * grid.max_seeds
    more = f" to begin with, and at most {most}" if grid.seeds == "auto" else ""
    more += f", {cost.finished} more are finished" if cost.finished else ""
    took = f"about {live.duration(cost.total)} with {cost.jobs} at a time"
    size = f"at most {cost.most_bytes / 1e6:.1f} MB on the disk"
    count = f"{len(cost.pending)} run{'s' * (len(cost.pending) != 1)}"
    console.show(console.stderr(), f"{count}{more}: {took}, and {size}; nothing was written")
