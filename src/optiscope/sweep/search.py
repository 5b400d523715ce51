"""The largest stable learning rate of each optimizer at each batch size: runs whose lrs depend on those before them.

A search is a list of rounds of one or two runs. `optiscope.analysis.next_lrs` says what comes next, from the outcomes
alone; the n-th run of a search has the seed n - 1. So the same command makes the same runs, however many at a time,
and `resume` finds the files of those that were made and goes on with the rest. The searches go through their rounds
side by side, and their runs are files like any other grid's, which `label` and `report` read.

A run counts as `optiscope.labels` judges it, with two differences. Where the model knows its minimum, bounded
oscillation is not stable. And to learn nothing is a failure of small learning rates as well as of large ones: it is the
latter where a run at a smaller one was stable, else undecided.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Literal

import attrs

from optiscope.analysis import Analyzer, Boundary, Trial, locate, next_lrs
from optiscope.analysis.boundary import Outcome, enclosed
from optiscope.analysis.dynamics import RULE
from optiscope.config import GridConfig
from optiscope.engine import Prepared, host_for, prepare
from optiscope.errors import OptiscopeError, UsageError
from optiscope.hooks import PluginHost
from optiscope.labels import RunVerdict, build_analyzers, label_folder, label_run
from optiscope.storage import open_run, write_index
from optiscope.storage.schema import layout
from optiscope.sweep.execute import OnProgress, execute
from optiscope.sweep.folder import check_folder, default_folder, held, open_folder
from optiscope.sweep.grid import plan
from optiscope.sweep.run import (
    ending,
    freeze_schedules,
    kernels_of,
    refuse_in_worker,
    remembered,
    unfinished,
    workers_for,
)
from optiscope.sweep.watch import Watch
from optiscope.whole import write_whole

FILE_NAME = "max-lr.json"
FARTHEST = 4.0**10
"""Factor between the lr where a search begins and the farthest that it goes to."""

MOST_AT_ONCE = 2
"""Runs in a round of a search, at most."""

Result = Outcome | Literal["not learned", "failed"]


@attrs.frozen(kw_only=True)
class Made:
    """A run of a search. `result` is what it counts as, or "failed" where it says nothing because it broke.

    "Not learned" is neither, until the search has ended and `settled` says which. `why` is one sentence.
    """

    run_id: str
    lr: float
    seed: int
    result: Result
    why: str


@attrs.frozen(kw_only=True)
class MaxLr:
    """The largest stable learning rate of one optimizer, on one model with one reduction, at one batch size.

    `lr_max` is where half of the runs are unstable, `lr_5_percent` where 5 % are; `low` to `high` is the interval on
    `lr_max`. What could not be found is None, and `why` says the reason. `closed_form` is what theory says, None where
    it does not. `judged_by` names the rule and its version. Of `runs` that were made, `undecided` told nothing.
    """

    optimizer: str
    options: Mapping[str, Any]
    model: str
    model_options: Mapping[str, Any]
    batch_size: int
    reduction: str
    lr_max: float | None
    low: float | None
    high: float | None
    confidence: float
    lr_5_percent: float | None
    runs: int
    undecided: int
    closed_form: float | None
    judged_by: str
    why: str
    evidence: tuple[Made, ...]


@attrs.frozen(kw_only=True)
class Settings:
    """How far a search goes, as `max_lr` was asked."""

    confidence: float
    tolerance: float
    max_runs: int
    between: tuple[float, float] | None

    def __attrs_post_init__(self) -> None:
        """Raise UsageError for what cannot be had."""
        if not 0 < self.confidence < 1:
            raise UsageError(f"--confidence must be above 0 and below 1, not {self.confidence!r}: 0.9, for example")
        if not 1e-3 <= self.tolerance < math.inf:
            raise UsageError(f"--tolerance must be a number >= 0.001, not {self.tolerance!r}: 0.05 is 5 %")
        if self.max_runs < 1:
            raise UsageError(f"--max-runs must be a whole number >= 1, not {self.max_runs!r}")
        if self.between is not None and not 0 < self.between[0] < self.between[1] < math.inf:
            low, high = self.between
            raise UsageError(f"--between takes two learning rates, the smaller first, not {low!r} and {high!r}")


def max_lr(
    grid: GridConfig,
    out: Path | str | None = None,
    *,
    confidence: float = 0.9,
    tolerance: float = 0.05,
    max_runs: int = 40,
    between: tuple[float, float] | None = None,
    jobs: int | None = None,
    executor: str = "processes",
    time_limit: float | None = None,
    resume: bool = False,
    overwrite: bool = False,
    on_progress: OnProgress | None = None,
) -> tuple[MaxLr, ...]:
    """Return the largest stable lr of every optimizer of `grid` at every batch size, and write OUT/max-lr.json.

    There is a search for each model and reduction, too.

    A search ends when the interval at `confidence` is narrower than `tolerance` (high / low - 1), after `max_runs`, or
    where more runs would tell nothing new. It begins at the optimizer's own lr and goes up to 4^10 times away from it;
    with `between` it begins in the middle and stays inside. What else may be given, and what is raised, is as for
    `characterize`; `grid` has no lrs and one seed, UsageError if it has.
    """
    refuse_in_worker("max_lr")
    if grid.lrs or grid.seeds != 1:
        raise UsageError("max-lr chooses learning rates and seeds itself: leave lrs and seeds out")
    settings = Settings(confidence=confidence, tolerance=tolerance, max_runs=max_runs, between=between)
    host = host_for(grid)
    bases = plan(grid, host)
    analyzers = build_analyzers(host, grid.options)
    workers, jobs = workers_for(grid, host, executor, jobs, time_limit, MOST_AT_ONCE * len(bases))
    grid, kernels = remembered(grid, host, bases), kernels_of(bases)
    folder = Path(out) if out is not None else default_folder()
    with workers:
        grid, told = freeze_schedules(check_folder(folder, grid, host.active, resume, overwrite, kernels), bases)
        searches = [_Search(base, host, grid.thin, settings) for base in bases]
        with held(folder):
            runs = open_folder(folder, grid, host.active, resume, overwrite, kernels)
            watch = Watch((), runs, jobs)
            lost: dict[str, str] = {}
            with ending(workers, folder):
                while asked := [(search, run) for search in searches for run in search.next_runs()]:
                    watch.add(run for _, run in asked)
                    pending = unfinished([run for _, run in asked], runs, watch)
                    if on_progress is not None:
                        on_progress(watch.look((), told))
                        told = []
                    formed: dict[str, RunVerdict] = {}
                    take = partial(_note, formed)
                    lost |= execute(pending, workers, jobs + workers.ahead, runs, watch, on_progress, take)
                    for search, run in asked:
                        run_id = run.info.run_id
                        search.take(run, runs / f"{run_id}.h5", analyzers, formed.get(run_id), lost.get(run_id, ""))
            write_index(folder)
            if any(runs.glob("*.h5")):
                known = {run_id: verdict for search in searches for run_id, verdict in search.verdicts.items()}
                label_folder(folder, analyzers, grid.confidence, grid.optimizers, known, lost).write(folder)
            found = tuple(search.result() for search in searches)
            write_whole(folder / FILE_NAME, to_json(found))
    return found


def to_json(found: Sequence[MaxLr]) -> str:
    """Return the document: one object, or a list of them where there are several."""
    plain = [attrs.asdict(each) for each in found]
    return json.dumps(plain[0] if len(plain) == 1 else plain, indent=2, ensure_ascii=False, allow_nan=False) + "\n"


class _Search:
    """One optimizer in one setting at one batch size: the runs that were made, and what follows from them."""

    def __init__(self, base: Prepared, host: PluginHost, thin: Mapping[str, int] | None, settings: Settings) -> None:
        self._base, self._host, self._thin, self._settings = base, host, thin, settings
        self._made: list[Made] = []
        self.verdicts: dict[str, RunVerdict] = {}
        low, high = settings.between or (base.info.lr / FARTHEST, base.info.lr * FARTHEST)
        self._limits = (low, high)
        self._start = math.sqrt(low * high) if settings.between else base.info.lr

    def next_runs(self) -> list[Prepared]:
        """Return the runs of the next round; none at the end of the search."""
        left = self._settings.max_runs - len(self._made)
        if left <= 0 or self._failed() or self._boundary().spread <= self._settings.tolerance:
            return []
        lrs = next_lrs(self._trials(), self._start, self._limits)[:left]
        return [self._prepare(lr, len(self._made) + number) for number, lr in enumerate(lrs)]

    def take(
        self, run: Prepared, path: Path, analyzers: Sequence[Analyzer], formed: RunVerdict | None, lost: str
    ) -> None:
        """Take note of what the file at `path` says of `run`, as its worker `formed` it, or why it was `lost`."""
        result, why, verdict = _outcome(path, analyzers, formed)
        if lost:
            result, why, verdict = "failed", lost, None
        made = Made(run_id=run.info.run_id, lr=run.info.lr, seed=run.info.seed, result=result, why=why)
        self._made.append(made)
        if verdict is not None:
            self.verdicts[run.info.run_id] = verdict

    def result(self) -> MaxLr:
        """Return what was found."""
        info, boundary = self._base.info, self._boundary()
        return MaxLr(
            optimizer=info.optimizer,
            options=dict(info.optimizer_options),
            model=info.model,
            model_options=dict(info.model_options),
            batch_size=info.batch_size,
            reduction=info.reduction,
            lr_max=boundary.lr,
            low=boundary.low,
            high=boundary.high,
            confidence=boundary.confidence,
            lr_5_percent=boundary.lr_5_percent,
            runs=len(self._made),
            undecided=sum(trial.outcome == "undecided" for trial in self._trials()),
            closed_form=info.stable_lr,
            judged_by="verdict" if info.minimum is None else f"dynamics {RULE}",
            why=self._why(boundary),
            evidence=tuple(settled(self._made)),
        )

    def _prepare(self, lr: float, seed: int) -> Prepared:
        config = attrs.evolve(self._base.config, lr=lr, seed=seed, thin=self._thin)
        run = prepare(config, self._host, self._base.images)
        layout(run.info, run.signals)
        return run

    def _trials(self) -> list[Trial]:
        return trials_of(self._made)

    def _boundary(self) -> Boundary:
        return locate(self._trials(), self._settings.confidence)

    def _failed(self) -> Made | None:
        return next((made for made in self._made if made.result == "failed"), None)

    def _why(self, boundary: Boundary) -> str:
        """Return why there is no boundary, or why its interval is too wide; empty where neither is so."""
        runs = f"{len(self._made)} runs"
        if failed := self._failed():
            return f"run {failed.run_id} broke, and the search ended there: {failed.why}"
        if enclosed(self._trials()):
            if boundary.spread <= self._settings.tolerance:
                return ""
            wide = f"the interval is wider than {100 * self._settings.tolerance:g} %"
            if len(self._made) >= self._settings.max_runs:
                return f"{wide} after {runs}: give more of them with --max-runs and --resume"
            return f"{wide}, and the runs inside it are undecided: more --steps may tell"
        least, most = (f"{pick(made.lr for made in self._made):.4g}" for pick in (min, max))
        undecided = [made for made in settled(self._made) if made.result == "undecided"]
        reason = f"; {len(undecided)} were undecided, the first because {undecided[0].why}" if undecided else ""
        if boundary.low is not None:
            return f"every decided one of {runs} is stable, up to {most}: the limit lies above{reason}"
        if boundary.high is not None:
            return f"no one of {runs} is stable, down to {least}: the limit lies below, if there is one{reason}"
        return f"no one of {runs} from {least} to {most} was decided{reason}"


def settled(made: Sequence[Made]) -> list[Made]:
    """Return `made` with what runs that learned nothing count as: see above."""
    least = min((each.lr for each in made if each.result == "stable"), default=math.inf)
    return [
        attrs.evolve(each, result="unstable" if each.lr > least else "undecided")
        if each.result == "not learned"
        else each
        for each in made
    ]


def trials_of(made: Sequence[Made]) -> list[Trial]:
    """Return what the runs say about the boundary."""
    outcomes = [(each.lr, each.result) for each in settled(made)]
    return [Trial(lr, result) for lr, result in outcomes if result != "failed" and result != "not learned"]


def _note(formed: dict[str, RunVerdict], run: Prepared, verdict: RunVerdict | None) -> tuple[Prepared, ...]:
    """Keep the verdict of a run that is over; no other run follows from it before its round has ended."""
    if verdict is not None:
        formed[run.info.run_id] = verdict
    return ()


def _outcome(
    path: Path, analyzers: Sequence[Analyzer], formed: RunVerdict | None
) -> tuple[Result, str, RunVerdict | None]:
    """Return what the run file at `path` says, in a word and in a sentence, and its verdict where it has one."""
    try:
        with open_run(path) as record:
            if record.status not in ("completed", "diverged"):
                return "failed", record.why or f"it is {record.status}", None
            verdict, minimum = formed or label_run(record, analyzers), record.config.get("minimum")
    except (OptiscopeError, OSError) as error:
        return "failed", str(error), None
    result: Result = verdict.verdict
    if verdict.outcome == "not learned":
        result = "not learned"
    elif minimum is not None and verdict.dynamics == "bounded oscillation":
        result = "unstable"
    return result, verdict.why, verdict
