"""A grid, from configuration to verdicts: plan, measure what has a budget, run, label.

Runs go to an executor, longest first and a few at a time; what `optiscope.sweep.seeds` adds to them goes next. What is
finished is never run again; what a killed worker left is taken up on `resume` after its last whole epoch, and comes to
the same bits as if nothing had happened. Verdicts are formed from the files alone, by `optiscope.labels`; a run that
left no file is named, as no verdict can tell of it.

A budget is measured once for all runs, in this process, on the run whose share of observing is the largest: that with
the smallest batch, and the first optimizer among those. So all files of a grid have rows at the same multiples of what
is declared. `resume` takes the schedules from the folder.
"""

from __future__ import annotations

import multiprocessing
import os
import warnings
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, BrokenExecutor, Future, wait
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import attrs

from optiscope.config import GridConfig
from optiscope.engine import Prepared, host_for, measure, schedules
from optiscope.errors import FileError, NotRepeatedError, OptiscopeError, PluginError, UsageError
from optiscope.hooks import PluginHost
from optiscope.labels import Characterization, build_analyzers, label_folder
from optiscope.records import RunResult
from optiscope.storage import checkpoint, open_run, write_index
from optiscope.sweep.folder import check_folder, default_folder, held, open_folder
from optiscope.sweep.grid import plan
from optiscope.sweep.progress import GridProgress
from optiscope.sweep.seeds import Seeds, verdict_of
from optiscope.sweep.watch import Watch
from optiscope.sweep.worker import run_to_file

OnProgress = Callable[[GridProgress], None]
LOOK_EVERY = 0.5
"""Seconds between two looks at the files of active runs."""

AHEAD = 2
"""Runs that are queued beyond those that are trained, so that no worker waits for its next one."""

GUARD = "in a script, {} must be called under if __name__ == '__main__'"


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

    `jobs` workers run at a time, as many as there are cores for if None; `executor` names a registered executor. More
    threads than this machine has cores are allowed, and an event of `on_progress` says so.
    The workers of "processes" are spawned and import the calling script first: a script must call this under
    `if __name__ == "__main__":`.

    A budget is measured before anything is written, and an event names each recorder that is beyond it.

    UsageError or PluginError before anything is written if the grid asks for what cannot be had; FileError if the
    folder cannot be written to, or if no run left a file. A run whose worker failed costs itself only: it is an event
    of `on_progress`, and a RuntimeWarning names it if it left no file and nobody is told of progress.
    KeyboardInterrupt leaves every file in place: `resume` keeps the finished runs and goes on with the others.
    """
    refuse_in_worker("characterize")
    host = host_for(grid)
    runs = plan(grid, host)
    grid = attrs.evolve(grid, kernels=runs[0].config.kernels, block=runs[0].config.block)
    analyzers = build_analyzers(host, grid.options)
    workers, jobs = workers_for(grid, host, executor, jobs)
    folder = Path(out) if out is not None else default_folder()
    with workers:
        asked = grid
        grid, told = freeze_schedules(check_folder(folder, grid, host.active, resume, overwrite), runs)
        if grid is not asked:
            runs = plan(grid, host, runs[0].images)
        with held(folder):
            run_folder = open_folder(folder, grid, host.active, resume, overwrite)
            seeds = Seeds(grid, runs, run_folder, host, lambda path: verdict_of(path, analyzers))
            watch = Watch(seeds.runs, run_folder)
            pending = unfinished(seeds.runs, run_folder, watch)
            watch.add(more := seeds.begin(pending))
            pending += more
            if executor == "processes":
                told += _crowd(min(jobs, len(pending)), grid.threads)
            with ending(workers, folder):
                if on_progress is not None:
                    on_progress(watch.look((), told))
                error = execute(pending, workers, jobs + AHEAD, run_folder, watch, on_progress, seeds.after)
            _name_missing([run.info.run_id for run in seeds.runs], run_folder, error, watch, on_progress)
            write_index(folder)
            characterization = label_folder(folder, analyzers, grid.confidence, grid.optimizers)
            characterization.write(folder)
    return characterization


def refuse_in_worker(name: str) -> None:
    """Raise UsageError where a worker that imports the calling script would call `name` again."""
    if getattr(multiprocessing.current_process(), "_inheriting", False):
        raise UsageError(f"a worker that is starting called {name} again: {GUARD.format(name)}")


def workers_for(grid: GridConfig, host: PluginHost, executor: str, jobs: int | None) -> tuple[Any, int]:
    """Return the executor of that name, and how many jobs it has: `jobs`, or what its options say, or one a core."""
    options: dict[str, Any] = {"jobs": default_jobs(grid.threads), **grid.options.get(executor, {})}
    if jobs is not None:
        options["jobs"] = jobs
    return host.build("executors", executor, options), max(1, int(options["jobs"]))


def unfinished(runs: Sequence[Prepared], folder: Path, watch: Watch) -> list[Prepared]:
    """Return those of `runs` that are still to be trained, the longest first, and have `watch` skip the others."""
    finished = {run.info.run_id for run in runs if is_finished(folder / f"{run.info.run_id}.h5")}
    for run_id in finished:  # killed between its end and the removal of this
        checkpoint.remove(checkpoint.path_of(folder / f"{run_id}.h5"))
    watch.skip(finished)
    pending = [run for run in runs if run.info.run_id not in finished]
    return sorted(pending, key=lambda run: -run.info.steps * run.info.batch_size)


@contextmanager
def ending(workers: Any, folder: Path) -> Iterator[None]:
    """End the `workers` with whatever ends the block early, and leave an index of what there is."""
    try:
        yield
    except BaseException:
        workers.shutdown(wait=True, cancel_futures=True)
        with suppress(FileError):  # what ended the grid is what matters; an index can be made at any time
            write_index(folder)
        raise


def freeze_schedules(grid: GridConfig, runs: Sequence[Prepared]) -> tuple[GridConfig, list[str]]:
    """Return `grid` with the schedules that its budget leads to, and a line on each recorder beyond the budget."""
    if not grid.unmeasured:
        return grid, []
    measured = measure(min(runs, key=lambda run: run.info.batch_size))
    return attrs.evolve(grid, thin=schedules(measured)), [each.told for each in measured if each.told]


def default_jobs(threads: int) -> int:
    """Return how many workers of so many threads this process's cores have room for."""
    return max(1, _cores() // threads)


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _crowd(jobs: int, threads: int) -> list[str]:
    """Return a line, if threads have to wait for a core."""
    cores = _cores()
    if jobs * threads <= cores:
        return []
    return [
        f"{jobs} run{'s' * (jobs > 1)} at a time on {threads} thread{'s' * (threads > 1)} each share {cores} "
        f"core{'s' * (cores > 1)}: fewer --jobs or --threads would be as fast"
    ]


def execute(
    pending: Sequence[Prepared],
    workers: Any,
    in_flight: int,
    folder: Path,
    watch: Watch,
    on_progress: OnProgress | None,
    after: Callable[[Prepared], Sequence[Prepared]] = lambda run: (),
) -> BaseException | None:
    """Run `pending`, at most `in_flight` handed over at a time; return what the last worker that failed raised.

    A run that is over is told of before the next is handed over: an executor that trains in `submit` itself shows
    progress as well, and nothing is begun after Ctrl-C. An executor that breaks down gets no more runs. `after` says
    which runs follow from one that is over; they are the next.
    """
    queue = list(reversed(pending))
    active: dict[Future[RunResult], Prepared] = {}
    last: BaseException | None = None
    while queue or active:
        while queue and len(active) < in_flight and not any(future.done() for future in active):
            run = queue.pop()
            try:
                active[workers.submit(run_to_file, run.config, str(folder))] = run
            except BrokenExecutor as error:
                last = error
                queue.clear()
        done, _ = wait(active, timeout=LOOK_EVERY, return_when=FIRST_COMPLETED)
        last = next((raised for future in done if (raised := future.exception())), last)
        events = [event for future in done for event in _events(active[future].info.run_id, future)]
        following = [more for future in done for more in after(active[future])]
        watch.add(following)
        queue += following
        if on_progress is not None:
            on_progress(watch.look([run.info.run_id for run in active.values()], events))
        for future in done:
            del active[future]
    return last


def _events(run_id: str, future: Future[RunResult]) -> list[str]:
    """Return a line on a run that did not come to an end of its own; raise what concerns the whole grid.

    A full disk concerns all runs, and so does Ctrl-C, which a run that is trained in this process takes for itself;
    what a plugin raised, a run that does not repeat itself, or the death of a worker, its own run only.
    """
    error = future.exception()
    if isinstance(error, NotRepeatedError):
        return [f"{run_id}: {error}"]
    if isinstance(error, OptiscopeError) and not isinstance(error, PluginError):
        raise error
    if error is not None:
        return [f"{run_id}: its worker failed ({_told(error)}); --resume runs it again"]
    result = future.result()
    if result.status == "interrupted":
        raise KeyboardInterrupt
    told = [f"{run_id}: {result.why}"] if result.status == "failed" else []
    if result.taken_up:
        told.append(f"{run_id}: taken up after step {result.taken_up}, {_steps(result.repeated)} computed again")
    elif result.repeated:
        told.append(f"{run_id}: begun anew, {_steps(result.repeated)} computed again")
    return told


def _steps(count: int) -> str:
    return f"{count} step{'s' * (count != 1)}"


def _name_missing(
    run_ids: Sequence[str], folder: Path, error: BaseException | None, watch: Watch, on_progress: OnProgress | None
) -> None:
    """Tell which runs left no file; FileError where none left one."""
    missing = [run_id for run_id in run_ids if not (folder / f"{run_id}.h5").exists()]
    if not missing:
        return
    if len(missing) == len(run_ids):
        raise FileError(
            f"none of the {len(run_ids)} runs left a file in {folder} (the last worker's error: {_told(error)}): "
            f"the executor in-process shows where it comes from; {GUARD.format('characterize')}"
        )
    sentence = (
        f"{len(missing)} of {len(run_ids)} runs left no file, and the verdicts are formed without them: "
        f"{', '.join(missing)}; --resume runs them again"
    )
    if on_progress is not None:
        on_progress(watch.look((), [sentence]))
    else:
        warnings.warn(sentence, RuntimeWarning, stacklevel=3)


def _told(error: BaseException | None) -> str:
    """Return an error in one line."""
    return "none" if error is None else " ".join(f"{type(error).__name__}: {error}".split())


def is_finished(path: Path) -> bool:
    """Say whether a run file holds a run that need not be trained again; one that failed is."""
    if not path.exists():
        return False
    try:
        with open_run(path) as run:
            return run.status in ("completed", "diverged")
    except (OptiscopeError, OSError):
        return False
