"""What a grid will cost, before it is run: seconds and bytes, from a few steps of each kind of run in it.

The steps are those of a real run, with all recorders and a run file in a temporary folder, one kind after the other in
this process. Runs of one kind (see `optiscope.sweep.forecast`) cost the same a step. Preparing, evaluating and
filing are measured on the first run of a model, and are the same for all of it. A run that diverges ends early, and
costs less.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

import attrs

from optiscope.config import GridConfig
from optiscope.engine import Prepared, host_for, prepare, rehearse
from optiscope.params import Parameters
from optiscope.records import RunInfo, RunResult
from optiscope.storage import RunWriter
from optiscope.storage.schema import layout
from optiscope.sweep.execute import is_finished
from optiscope.sweep.folder import check_folder
from optiscope.sweep.forecast import Kind, kind_of, makespan
from optiscope.sweep.grid import most_runs, plan
from optiscope.sweep.run import jobs_for, kernels_of, remembered

STEPS = 11
"""Steps that are taken of each kind; all but the first are timed."""


@attrs.frozen(kw_only=True)
class Cost:
    """What is still to be run, `jobs` at a time, and what that costs; `finished` runs of the grid are there already.

    `seconds` maps run_id to the time of a run, `total` is that of all. `most_bytes` will not be exceeded on the disk:
    run files are compressed at the end, and only runs under way have a state beside them.
    """

    pending: tuple[RunInfo, ...]
    finished: int
    jobs: int
    seconds: Mapping[str, float]
    total: float
    most_bytes: int


def foresee(
    grid: GridConfig,
    out: Path | None = None,
    *,
    jobs: int | None = None,
    executor: str = "processes",
    time_limit: float | None = None,
    resume: bool = False,
    overwrite: bool = False,
) -> Cost:
    """Return what `characterize` with these arguments would run, and what it costs.

    Errors are those of `characterize`, and PluginError where a piece raises in its first steps.
    """
    host = host_for(grid)
    runs = plan(grid, host)
    if out is not None:
        check_folder(out, remembered(grid, host, runs), host.active, resume, overwrite, kernels_of(runs))
    pending = [run for run in runs if not (resume and out and is_finished(out / "runs" / f"{run.info.run_id}.h5"))]
    jobs = jobs_for(grid, host, executor, jobs, time_limit, most_runs(grid, len(runs)))
    return estimate(pending, max(1, jobs), len(runs) - len(pending))


def estimate(pending: Sequence[Prepared], jobs: int, finished: int = 0) -> Cost:
    """Return what the `pending` runs cost, `jobs` at a time."""
    kinds: dict[Kind, Prepared] = {}
    for run in pending:
        kinds.setdefault(kind_of(run.info), run)
    found: dict[Kind, _Rehearsed] = {}
    firsts: dict[str, _Rehearsed] = {}
    with tempfile.TemporaryDirectory() as folder:
        for kind, run in kinds.items():
            found[kind] = _rehearse(run, Path(folder), first=run.info.model not in firsts)
            firsts.setdefault(run.info.model, found[kind])
    seconds = {}
    for run in pending:
        first, info = firsts[run.info.model], run.info
        seconds[info.run_id] = first.overhead + info.steps * found[kind_of(info)].step + info.epochs * first.evaluation
    files = sum(_rows(run) + firsts[run.info.model].metadata for run in pending)
    return Cost(
        pending=tuple(run.info for run in pending),
        finished=finished,
        jobs=jobs,
        seconds=seconds,
        total=makespan(seconds.values(), jobs),
        most_bytes=files + 2 * jobs * max(map(_state, kinds.values()), default=0),
    )


@attrs.frozen(kw_only=True)
class _Rehearsed:
    """Seconds of a step, of an evaluation and of all else, and the bytes of a run file that are not rows."""

    step: float
    evaluation: float
    overhead: float
    metadata: int


def _rehearse(run: Prepared, folder: Path, first: bool) -> _Rehearsed:
    """Begin with `run`; the `first` is prepared as in a worker, which loads the data."""
    began = time.perf_counter()
    config = attrs.evolve(run.config, steps=min(STEPS, run.info.steps), epochs=None, budget=None)
    short = prepare(config) if first else prepare(config, run.host, run.images)
    with RunWriter.create(folder / f"{short.info.run_id}.h5", short.info, short.signals) as writer:
        metadata = writer.path.stat().st_size - _rows(short)
        inside = time.perf_counter()
        step, evaluation = rehearse(short, writer, short.info.steps, evaluate=first)
        inside = time.perf_counter() - inside
        writer.finish(RunResult(run_id=short.info.run_id, status="interrupted", steps=short.info.steps))
    overhead = time.perf_counter() - began - inside
    return _Rehearsed(step=step, evaluation=evaluation, overhead=overhead, metadata=metadata)


def _rows(run: Prepared) -> int:
    """Return the bytes of all rows in the live file of a run."""
    return sum(dataset.nbytes for dataset in layout(run.info, run.signals) if dataset.every is not None)


def _state(run: Prepared) -> int:
    """Return the bytes of what a run is taken up from."""
    params = Parameters(dict(run.info.parameters))
    return int(params.flat.nbytes + sum(array.nbytes for array in run.optimizer.init(params).values()))
