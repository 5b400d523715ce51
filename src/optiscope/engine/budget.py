"""A budget for recorders: what each costs is measured once, before a run, and what costs too much is thinned.

    measure(prepared)     a few throw-away steps -> what each recorder takes of a step, and how much it must be thinned
    schedules(measured)   the same as `RunConfig.thin`, which decides from then on

Clocks differ from one machine and one minute to the next, so what they say must not reach a file by itself: the factors
are written into the configuration, and who has the configuration has the schedules. A factor k leaves every k-th of
the rows that a recorder declares. Factors are 1, 2, 5, 10, 20, 50 ..., which a slightly other timing seldom changes.

The steps are those of a run of its own, with parameters and recorders that are thrown away. Each recorder is measured
alone, with all quantities that it needs, so that it is never charged less than in a run, where it may share them. Its
share is its time in a whole run over that of the bare training steps: forward, backward and update, nobody watching.
Plugins' hooks are not called, since they may keep what they see for good; no schedule could spare them anyhow. Rows at
the end of an epoch are not counted: there is nothing to lengthen.
"""

from __future__ import annotations

import itertools
import statistics
import time
from collections.abc import Iterable, Iterator
from contextlib import closing

import attrs
import numpy as np
import numpy.typing as npt

from optiscope.engine import blas
from optiscope.engine.evaluate import Evaluator
from optiscope.engine.prepare import Prepared, is_essential, prepare
from optiscope.engine.quantities import Recording
from optiscope.engine.step import Pass, Trainer
from optiscope.errors import PluginError
from optiscope.records import Recorder, Signal

WARM_UP = 2
"""Steps that are taken before any is timed: they make the buffers."""

STEPS, REPEATS = 5, 3
"""Timed steps, and timed calls of a recorder for each set of its signals that is due together; medians count."""


@attrs.frozen(kw_only=True)
class Measured:
    """What one recorder costs.

    `share` is the part of a training step that it takes as declared, in percent, and `rows` how often it is asked in
    a run; `thinned_share` and `thinned_rows` are what is left of them with `factor`. `budget` is in percent.
    """

    recorder: str
    essential: bool
    budget: float
    share: float
    rows: int
    factor: int
    thinned_share: float
    thinned_rows: int

    @property
    def told(self) -> str:
        """One sentence for the user; empty where the recorder is within the budget."""
        if self.share <= self.budget:
            return ""
        over = f"recorder {self.recorder} takes {self.share:.1f} % of a step, more than --budget {self.budget:g}"
        if self.essential:
            return f"{over}, and is not thinned: it needs every row"
        left = f"{over}: of its {self.rows} rows in a run it takes {self.thinned_rows}"
        return left if self.thinned_share <= self.budget else f"{left}, which is still {self.thinned_share:.1f} %"


def measure(run: Prepared) -> tuple[Measured, ...]:
    """Return what each recorder of `run` costs that records at steps; `run` itself is not touched, and has a budget.

    PluginError where a piece raises.
    """
    budget = run.config.budget
    assert budget is not None
    run = prepare(run.config, run.host, run.images)
    try:
        with blas.one_thread(), np.errstate(all="ignore"), closing(Trainer(run)) as trainer:
            step, calls = _timed(run, trainer)
    except PluginError as error:
        raise PluginError(f"--budget cannot be measured: {error}") from error
    return tuple(_within(budget, step, each) for each in calls)


def schedules(measured: Iterable[Measured]) -> dict[str, int]:
    """Return recorder -> factor of those that are to be thinned, for `RunConfig.thin`."""
    return {each.recorder: each.factor for each in measured if each.factor > 1}


class _Calls:
    """Calls one recorder at throw-away steps, as if it were the only one; `spent` gathers seconds by set of signals.

    Sets are numbers: bit i says that signals with the i-th period are due. A call is made under the number of a step
    of the run at which just these are due, whatever step is being trained.
    """

    def __init__(self, run: Prepared, recorder: Recorder, trainer: Trainer, evaluator: Evaluator) -> None:
        signals = tuple(signal for signal in run.signals[recorder.name] if signal.every != "epoch")
        alone = attrs.evolve(run, recorders=(recorder,), signals={recorder.name: signals})
        self.recorder = recorder
        self.due = _due_sets(signals, run.info.steps)
        self.spent: dict[int, list[float]] = {int(due): [] for due in np.unique(self.due) if due}
        self._recording = Recording(alone, trainer, evaluator)
        places = {due: itertools.cycle(np.flatnonzero(self.due == due)[: REPEATS + 1] + 1) for due in self.spent}
        order = [int(self.due[0]), *(due for _ in range(REPEATS) for due in self.spent)]
        self._plan = [(due, int(next(places[due]))) for due in order]

    def __len__(self) -> int:
        return len(self._plan)

    def before_update(self, number: int) -> None:
        """Make call `number` (from 0), if there is one, as far as it comes before the update."""
        if number < len(self._plan):
            self._recording.before_update(self._plan[number][1], ends_epoch=False)

    def after_step(self, number: int, done: Pass) -> None:
        """Make the rest of call `number`; the first is not counted."""
        if number < len(self._plan):
            due, step = self._plan[number]
            before = self._recording.spent[self.recorder.name]
            self._recording.after_step(step, False, done)
            if number > 0:
                self.spent[due].append(self._recording.spent[self.recorder.name] - before)

    def seconds(self) -> npt.NDArray[np.float64]:
        """Return what the recorder takes at each step of a run, [T]."""
        cost = np.zeros(int(self.due.max()) + 1)
        for due, spent in self.spent.items():
            cost[due] = statistics.median(spent)
        return cost[self.due]


def _due_sets(signals: Iterable[Signal], steps: int) -> npt.NDArray[np.int64]:
    """Return for each step of a run the set of periods that are due, as a number, [T]."""
    index = np.arange(steps)
    periods = sorted({signal.every for signal in signals if signal.every != "epoch"})
    return sum(((index % period == 0).astype(np.int64) << bit for bit, period in enumerate(periods)), 0 * index)


def _timed(run: Prepared, trainer: Trainer) -> tuple[float, list[_Calls]]:
    """Take throw-away steps of `run`; return the median seconds of a bare one, and the recorders that were called."""
    evaluator = Evaluator(run.model, run.config.kernels)
    calls = [
        _Calls(run, recorder, trainer, evaluator)
        for recorder in run.recorders
        if any(signal.every != "epoch" for signal in run.signals[recorder.name])
    ]
    times = []
    for number in range(max(WARM_UP + STEPS, *map(len, calls), 0)):
        step = 1 + number % run.info.steps
        began = time.perf_counter()
        done = trainer.forward(step)
        trainer.backward(step)
        taken = time.perf_counter() - began
        for each in calls:
            each.before_update(number)
        began = time.perf_counter()
        trainer.update(step)
        times.append(taken + time.perf_counter() - began)
        for each in calls:
            each.after_step(number, done)
    return statistics.median(times[WARM_UP:]), calls


def _within(budget: float, step: float, calls: _Calls) -> Measured:
    """Return the smallest factor that keeps a recorder within `budget`, or else the one that leaves as little."""
    total = np.cumsum(calls.seconds())
    steps = len(total)
    essential = is_essential(calls.recorder)

    def share(factor: int) -> float:
        # every factor-th row of all steps costs what all rows of the first steps / factor do
        return float(100 * total[-(-steps // factor) - 1] / (steps * step))

    def rows(factor: int) -> int:
        return int(np.count_nonzero(calls.due[: -(-steps // factor)]))

    enough = 1 if essential else next(factor for factor in _factors() if share(factor) <= max(budget, share(steps)))
    return Measured(
        recorder=calls.recorder.name,
        essential=essential,
        budget=budget,
        share=share(1),
        rows=rows(1),
        factor=enough,
        thinned_share=share(enough),
        thinned_rows=rows(enough),
    )


def _factors() -> Iterator[int]:
    """Yield 1, 2, 5, 10, 20, 50 ..."""
    for decade in itertools.count():
        for digit in (1, 2, 5):
            yield digit * 10**decade
