"""A grid, from configuration to verdicts: plan, run, label.

Runs go to an executor, longest first. What is finished is never run again; what a killed worker left is a run file
like any other, and its run begins anew on `resume`. Verdicts are formed from the files alone, by `optiscope.labels`.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, wait
from pathlib import Path
from typing import Any

from optiscope.config import GridConfig
from optiscope.engine import Prepared, host_for
from optiscope.errors import OptiscopeError
from optiscope.labels import Characterization, build_analyzers, label_folder
from optiscope.records import RunResult
from optiscope.storage import open_run
from optiscope.sweep.folder import default_folder, open_folder
from optiscope.sweep.grid import plan
from optiscope.sweep.progress import GridProgress
from optiscope.sweep.watch import Watch
from optiscope.sweep.worker import run_to_file

OnProgress = Callable[[GridProgress], None]
LOOK_EVERY = 0.5
"""Seconds between two looks at the files of active runs."""


def characterize(
    grid: GridConfig,
    out: Path | str | None = None,
    *,
    jobs: int | None = None,
    executor: str = "processes",
    resume: bool = False,
    overwrite: bool = False,
    on_progress: OnProgress | None = None,
) -> Characterization:
    """Run every cell of `grid` into the folder `out` (a new dated one, if None) and return the verdicts.

    `jobs` workers run at a time, as many as there are cores for if None; `executor` names a registered executor.
    UsageError before anything is written if the grid asks for what cannot be had; FileError if the folder cannot be
    written to. KeyboardInterrupt leaves everything recorded so far in place, for `resume`.
    """
    host = host_for(grid)
    runs = plan(grid, host)
    workers = host.build("executors", executor, {"jobs": jobs or default_jobs(grid.threads)})
    folder = Path(out) if out is not None else default_folder()
    with workers:
        run_folder = open_folder(folder, grid, host.active, resume, overwrite)
        finished = {run.info.run_id for run in runs if _finished(run_folder / f"{run.info.run_id}.h5")}
        watch = Watch(runs, run_folder)
        watch.skip(finished)
        pending = [run for run in runs if run.info.run_id not in finished]
        pending.sort(key=lambda run: -run.info.steps * run.info.batch_size)
        try:
            _execute(pending, workers, run_folder, watch, on_progress)
        except BaseException:
            workers.shutdown(wait=True, cancel_futures=True)
            raise
    characterization = label_folder(folder, build_analyzers(host, grid.options))
    characterization.write(folder)
    return characterization


def default_jobs(threads: int) -> int:
    """Return how many workers this process's cores have room for."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, cores // threads)


def _execute(
    pending: Sequence[Prepared], workers: Any, folder: Path, watch: Watch, on_progress: OnProgress | None
) -> None:
    names: dict[Future[RunResult], str] = {
        workers.submit(run_to_file, run.config, str(folder)): run.info.run_id for run in pending
    }
    left = set(names)
    while left:
        done, left = wait(left, timeout=LOOK_EVERY, return_when=FIRST_COMPLETED)
        events = [event for future in done for event in _events(names[future], future)]
        if on_progress is not None:
            on_progress(watch.look([names[future] for future in [*done, *left]], events))


def _events(run_id: str, future: Future[RunResult]) -> list[str]:
    """Return a line on a run that did not come to an end of its own; raise what concerns the whole grid.

    A full disk concerns all runs; what a plugin raised, or the death of a worker, its own run only.
    """
    error = future.exception()
    if isinstance(error, OptiscopeError):
        raise error
    if error is not None:
        return [f"{run_id}: its worker failed ({type(error).__name__}: {error}); --resume runs it again"]
    result = future.result()
    return [f"{run_id}: {result.why}"] if result.status == "failed" else []


def _finished(path: Path) -> bool:
    """Say whether a run file holds a run that need not be trained again; one that failed is."""
    if not path.exists():
        return False
    try:
        with open_run(path) as run:
            return run.status in ("completed", "diverged")
    except (OptiscopeError, OSError):
        return False
