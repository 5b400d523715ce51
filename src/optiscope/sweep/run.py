"""A grid, from configuration to verdicts: plan, measure what has a budget, run, label.

Runs go to an executor, the most work first and a few at a time; what `optiscope.sweep.seeds` adds to them goes next.
What is finished is never run again; what a killed worker left is taken up on `resume` after its last whole epoch, and
comes to the same bits as if nothing had happened. Verdicts are formed from the files alone, by `optiscope.labels`: each
by the worker that made the run, and here for files that were there before. A run that left no file is named, as no
verdict can tell of it.

A budget is measured once for all runs, in this process, on the run of each model whose share of observing is largest:
that with the smallest batch, and the first optimizer among those. So all files of a grid have rows at the same
multiples of what is declared. `resume` takes the schedules from the folder.
"""

from __future__ import annotations

import math
import multiprocessing
import os
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any

import attrs

from optiscope.config import GridConfig
from optiscope.engine import Prepared, blas, host_for, measure, prepare, schedules
from optiscope.engine.blame import called
from optiscope.errors import FileError, UsageError
from optiscope.hooks import PluginHost
from optiscope.labels import Characterization, build_analyzers, label_folder
from optiscope.records import RunInfo
from optiscope.storage import checkpoint, write_index
from optiscope.sweep.execute import OnProgress, Workers, execute, is_finished
from optiscope.sweep.folder import check_folder, default_folder, held, open_folder
from optiscope.sweep.grid import most_runs, plan, without_executors
from optiscope.sweep.seeds import Seeds, verdict_of
from optiscope.sweep.watch import Watch

GUARD = "in a script, {} must be called under if __name__ == '__main__'"


def characterize(
    grid: GridConfig,
    out: Path | str | None = None,
    *,
    jobs: int | None = None,
    executor: str = "processes",
    time_limit: float | None = None,
    resume: bool = False,
    overwrite: bool = False,
    on_progress: OnProgress | None = None,
) -> Characterization:
    """Run every cell of `grid` into the folder `out` (a new dated one, if None) and return the verdicts.

    `jobs` workers run at a time, as many as there are cores for if None, and no more than there can be runs;
    `executor` names a registered executor, and `time_limit` says how many seconds a run may take there (None: any; not
    every executor has such a limit). More threads than this machine has cores are allowed, and an event of
    `on_progress` says so.
    The workers of "processes" are spawned and import the calling script first: a script must call this under
    `if __name__ == "__main__":`.

    A budget is measured before anything is written, and an event names each recorder that is beyond it.

    UsageError or PluginError before anything is written if the grid asks for what cannot be had; FileError if the
    folder cannot be written to, or if no run left a file. A worker that dies, runs out of memory or takes too long
    costs its run only, which is tried once more; if it fails again it is in `lost` of what is returned. Both are events
    of `on_progress`, and a RuntimeWarning names the run if it left no file and nobody is told of progress.
    KeyboardInterrupt leaves every file in place: `resume` keeps the finished runs and goes on with the others.
    """
    refuse_in_worker("characterize")
    host = host_for(grid)
    runs = plan(grid, host)
    analyzers = build_analyzers(host, grid.options)
    workers, jobs = workers_for(grid, host, executor, jobs, time_limit, most_runs(grid, len(runs)))
    grid, kernels = remembered(grid, host, runs), kernels_of(runs)
    folder = Path(out) if out is not None else default_folder()
    with workers:
        asked = grid
        grid, told = freeze_schedules(check_folder(folder, grid, host.active, resume, overwrite, kernels), runs)
        if grid is not asked:
            runs = tuple(prepare(attrs.evolve(run.config, thin=grid.thin), host, run.images) for run in runs)
        with held(folder):
            run_folder = open_folder(folder, grid, host.active, resume, overwrite, kernels)
            seeds = Seeds(grid, runs, run_folder, host, lambda path: verdict_of(path, analyzers))
            watch = Watch(seeds.runs, run_folder, jobs)
            pending = unfinished(seeds.runs, run_folder, watch)
            watch.add(more := seeds.begin(pending))
            pending += more
            if executor == "processes":
                told += _crowd(min(jobs, len(pending)), grid.threads)
            with ending(workers, folder):
                if on_progress is not None:
                    on_progress(watch.look((), told))
                lost = execute(pending, workers, jobs + workers.ahead, run_folder, watch, on_progress, seeds.after)
            _name_missing([run.info.run_id for run in seeds.runs], run_folder, lost, watch, on_progress)
            write_index(folder)
            characterization = label_folder(folder, analyzers, grid.confidence, grid.optimizers, seeds.verdicts, lost)
            characterization.write(folder)
    return characterization


def refuse_in_worker(name: str) -> None:
    """Raise UsageError where a worker that imports the calling script would call `name` again."""
    if getattr(multiprocessing.current_process(), "_inheriting", False):
        raise UsageError(f"a worker that is starting called {name} again: {GUARD.format(name)}")


def workers_for(
    grid: GridConfig, host: PluginHost, executor: str, jobs: int | None, time_limit: float | None, most: int
) -> tuple[Workers, int]:
    """Return the executor of that name, and how many jobs it has: see `jobs_for`."""
    jobs = jobs_for(grid, host, executor, jobs, time_limit, most)
    options: dict[str, Any] = {**grid.options.get(executor, {}), "jobs": jobs}
    if time_limit is not None:
        options["time_limit"] = time_limit
    build = partial(host.build, "executors", executor, options)
    return Workers(build, called(host, "executors", executor)), jobs


def jobs_for(
    grid: GridConfig, host: PluginHost, executor: str, jobs: int | None, time_limit: float | None, most: int
) -> int:
    """Return how many runs the executor of that name has at a time: `jobs`, or what its options say, or one a core.

    Never more than `most`, the runs that there can be: what has nothing to do would be started for nothing. UsageError
    where there is no such executor, or its options, `time_limit` among them, cannot be.
    """
    asked: Any = {"jobs": default_jobs(grid.threads), **grid.options.get(executor, {})}
    asked |= {} if jobs is None else {"jobs": jobs}
    host.check("executors", executor, asked)
    found = host.find("executors", executor)
    if time_limit is not None and found is not None and "time_limit" not in found.parameters:
        raise UsageError(
            f"--time-limit: the executor {executor} cannot end a run that takes too long: choose another executor, or "
            "leave it out"
        )
    return min(int(asked["jobs"]), most)


def remembered(grid: GridConfig, host: PluginHost, runs: Sequence[Prepared]) -> GridConfig:
    """Return `grid` as its folder remembers it: with what planning made of it, as `runs` show.

    The kernels are those of the runs that have images, if there are any: others have no use for them.
    """
    kernels = next(iter(kernels_of(runs).values()))
    return attrs.evolve(without_executors(grid, host), kernels=kernels, block=runs[0].config.block)


def kernels_of(runs: Sequence[Prepared]) -> dict[str, str]:
    """Return on which kernels each model of `runs` runs, those with images first."""
    return {run.info.model: run.config.kernels for run in sorted(runs, key=lambda run: run.images is None)}


def unfinished(runs: Sequence[Prepared], folder: Path, watch: Watch) -> list[Prepared]:
    """Return those of `runs` that are still to be trained, the most work first, and have `watch` skip the others.

    Work is steps times batch size times parameters: no time, but in the same order for most grids of several models.
    """
    finished = {run.info.run_id for run in runs if is_finished(folder / f"{run.info.run_id}.h5")}
    for run_id in finished:  # killed between its end and the removal of this
        checkpoint.remove(checkpoint.path_of(folder / f"{run_id}.h5"))
    watch.skip(finished)
    pending = [run for run in runs if run.info.run_id not in finished]
    return sorted(pending, key=lambda run: -work_of(run.info))


def work_of(run: RunInfo) -> int:
    """Return how much there is to do in a run: steps times batch size times parameters."""
    return run.steps * run.batch_size * sum(math.prod(shape) for _, shape in run.parameters)


@contextmanager
def ending(workers: Workers, folder: Path) -> Iterator[None]:
    """End the `workers` with whatever ends the block early, and leave an index of what there is.

    The BLAS keeps to one thread meanwhile: of runs on threads of this process, each would give back what it found.
    """
    with blas.one_thread():
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
    cheapest: dict[str, Prepared] = {}
    for run in sorted(runs, key=lambda run: run.info.batch_size):
        cheapest.setdefault(run.info.model, run)
    measured = [each for run in cheapest.values() for each in measure(run)]
    worst = {each.recorder: each for each in sorted(measured, key=lambda each: (each.factor, each.share))}
    return attrs.evolve(grid, thin=schedules(worst.values())), [each.told for each in worst.values() if each.told]


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


def _name_missing(
    run_ids: Sequence[str], folder: Path, lost: Mapping[str, str], watch: Watch, on_progress: OnProgress | None
) -> None:
    """Tell which runs left no file; FileError where none left one."""
    missing = [run_id for run_id in run_ids if not (folder / f"{run_id}.h5").exists()]
    if not missing:
        return
    if len(missing) == len(run_ids):
        why = [*lost.values()][-1] if lost else "no reason is known"
        raise FileError(
            f"none of the {len(run_ids)} runs left a file in {folder}, the last because {why}; "
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
