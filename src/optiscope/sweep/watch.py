"""How far a grid is, read from the run files themselves.

A live file can be opened at any moment, by anybody: so progress needs no channel between workers and host, and is the
same whether a run is trained in this process, in a worker or on another machine that shares the folder. A file that
was there before its run began (it failed, or was killed) says nothing, until the run replaces it or goes on in it; what
it held then was not done by this grid, and says nothing about its pace.

The time left follows from the pace of what was done, by `optiscope.sweep.forecast`. A run's own clock, which its file
holds, knows nothing of the start of workers, or of runs beside it. A run that ended early, because it diverged,
says that the other seeds of its cell will. What a run costs apart from its steps is the least that one cost, but for
the first ones, as many as there are workers: they pay for the imports of all.
"""

from __future__ import annotations

import math
import os
import statistics
import time
from collections.abc import Iterable
from pathlib import Path

import attrs

from optiscope.engine import Prepared
from optiscope.errors import OptiscopeError
from optiscope.names import names_of
from optiscope.records import RunInfo, RunResult
from optiscope.storage import guard
from optiscope.storage.header import STATUSES, counts, open_h5
from optiscope.sweep.forecast import Kind, Pace, kind_of, makespan
from optiscope.sweep.grid import cell_of
from optiscope.sweep.progress import CellProgress, CellStatus, GridProgress

TAIL = 200
"""Steps of the signal that a glimpse holds, at most."""


@attrs.frozen(kw_only=True)
class Glimpse:
    """What a run file said when it was last looked at; `clock` is the run's own at its last step, in seconds.

    `since` is the first step, and the clock at it, that say something about the pace of this grid.
    """

    status: str = "waiting"
    step: int = 0
    clock: float = 0.0
    since: tuple[int, float] = (0, 0.0)
    loss: float | None = None
    signal: tuple[float, ...] = ()

    @property
    def ended(self) -> bool:
        """Whether the run is over."""
        return self.status in ("completed", "diverged", "failed")

    @property
    def timed(self) -> tuple[int, float]:
        """Steps that this grid made, and the seconds that they took."""
        return self.step - self.since[0], self.clock - self.since[1]


@attrs.frozen(kw_only=True)
class Tally:
    """What the runs of a cell come to: steps that this grid made, the seconds that they took, and what is left.

    `under_way` has the steps that are left of each run that has begun; `waiting` have not, and will make `steps` each.
    """

    kind: Kind
    made: int
    took: float
    under_way: tuple[float, ...]
    waiting: int
    steps: float


class Watch:
    """Looks at the files of a grid's runs whenever it is asked to; made before the runs begin. `jobs` run at a time."""

    def __init__(self, plan: Iterable[Prepared], runs: Path, jobs: int = 1) -> None:
        self._began = time.monotonic()
        self._jobs = jobs
        self._infos: dict[str, RunInfo] = {}
        self._runs = runs
        self._seen: dict[str, Glimpse] = {}
        self._stale: dict[str, tuple[int, int] | None] = {}
        self._before: set[str] = set()
        self._lost: set[str] = set()
        self._overheads: list[float] = []
        self._members: dict[str, list[str]] = {}
        self._cells: dict[str, CellProgress] = {}
        self._tallies: dict[str, Tally] = {}
        self._cell_of: dict[str, str] = {}
        self._called: dict[str, str] = {}
        self.add(plan)

    def add(self, plan: Iterable[Prepared]) -> None:
        """Watch these runs as well, from now on."""
        for run in plan:
            run_id = run.info.run_id
            self._infos[run_id] = run.info
            self._seen[run_id] = Glimpse()
            self._stale[run_id] = self._identity(run_id)
            self._cell_of[run_id] = cell = cell_of(run.info)
            self._members.setdefault(cell, []).append(run_id)
            self._forget(cell)
        self._called = self._call()

    def skip(self, run_ids: Iterable[str]) -> None:
        """Count these runs as finished before the clock started."""
        for run_id in run_ids:
            self._stale[run_id] = None
            self._before.add(run_id)
            self._note(run_id, self._look(run_id))

    def take(self, result: RunResult) -> None:
        """Take note of a run that is over. Its file is opened only if its cell shows it."""
        self._overheads.append(result.overhead)
        before, steps, clock = self._seen[result.run_id], result.steps, result.wall_time
        since = before.since
        if since == (0, 0.0) and steps:
            since = result.taken_up, clock * result.taken_up / steps
        glimpse = attrs.evolve(before, status=result.status, step=steps, clock=clock, since=since, loss=None)
        self._note(result.run_id, glimpse)

    def lose(self, run_id: str) -> None:
        """Count a run as failed, whatever its file says."""
        self._lost.add(run_id)
        self._note(run_id, attrs.evolve(self._seen[run_id], status="failed"))

    def look(self, active: Iterable[str], events: Iterable[str] = ()) -> GridProgress:
        """Return how far the grid is, after a look at the files of `active` runs."""
        for run_id in active:
            if run_id not in self._lost:
                self._note(run_id, self._look(run_id))
        elapsed = time.monotonic() - self._began
        cells = tuple(self._cell(name) for name in self._members)
        return GridProgress(cells=cells, elapsed=elapsed, remaining=self._remaining(), events=tuple(events))

    def _note(self, run_id: str, glimpse: Glimpse) -> None:
        self._seen[run_id] = glimpse
        self._forget(self._cell_of[run_id])

    def _forget(self, cell: str) -> None:
        """Work out anew what is known of a cell when it is asked for: at each look most cells are as they were."""
        self._cells.pop(cell, None)
        self._tallies.pop(cell, None)

    def _look(self, run_id: str) -> Glimpse:
        path = self._runs / f"{run_id}.h5"
        before = self._seen[run_id]
        identity = self._identity(run_id)
        if identity is None or identity == self._stale[run_id]:
            return before
        try:
            with guard.reading(path), open_h5(path) as file:
                steps, _, code, _ = counts(file, path)
                clock, loss, signal = (file[f"step/{name}"] for name in ("wall_time", "loss", "logits_q05"))
                last = float(clock[steps - 1]) if steps else 0.0
                since = before.since
                if steps and since == (0, 0.0):
                    since = (steps, last) if self._taken_up(run_id) else (1, float(clock[0]))
                return Glimpse(
                    status=STATUSES[code],
                    step=steps,
                    clock=last,
                    since=since,
                    loss=float(loss[steps - 1]) if steps else None,
                    signal=tuple(map(float, signal[max(0, steps - TAIL) : steps])),
                )
        except OptiscopeError:
            return before

    def _identity(self, run_id: str) -> tuple[int, int] | None:
        """Return what tells a run's file from the one that takes its place; None where there is none."""
        try:
            found = os.stat(self._runs / f"{run_id}.h5")
        except OSError:
            return None
        return found.st_ino, found.st_mtime_ns

    def _taken_up(self, run_id: str) -> bool:
        """Return whether a run that is going on goes on in the file that an earlier one left."""
        left, found = self._stale[run_id], self._identity(run_id)
        return left is not None and found is not None and left[0] == found[0] and left != found

    def _remaining(self) -> float | None:
        """Return in how many seconds all runs will be over; None where nothing is known of their pace."""
        tallies = [self._tally(cell) for cell in self._members]
        pace = self._pace(tallies)
        under_way: list[float] = []
        waiting: list[float] = []
        for tally in tallies:
            if not tally.under_way and not tally.waiting:
                continue
            step = pace.of(tally.kind)
            if step is None:
                return None
            under_way += [steps * step for steps in tally.under_way]
            waiting += [tally.steps * step + pace.run] * tally.waiting
        return makespan(waiting, self._jobs, under_way)

    def _tally(self, cell: str) -> Tally:
        if cell not in self._tallies:
            members = self._members[cell]
            info = self._infos[members[0]]
            seen = [self._seen[run_id] for run_id in members]
            timed = [self._seen[run_id].timed for run_id in members if run_id not in self._before]
            ended = [each.step for each in seen if each.status in ("completed", "diverged")]
            steps = min(info.steps, statistics.fmean(ended)) if ended else info.steps
            open_runs = [each.step for each in seen if not each.ended]
            self._tallies[cell] = Tally(
                kind=kind_of(info),
                made=sum(made for made, _ in timed if made > 0),
                took=sum(took for made, took in timed if made > 0),
                under_way=tuple(min(info.steps, max(step, steps)) - step for step in open_runs if step),
                waiting=open_runs.count(0),
                steps=steps,
            )
        return self._tallies[cell]

    def _pace(self, tallies: Iterable[Tally]) -> Pace:
        """Return the pace of what this grid did so far."""
        made: dict[Kind, int] = {}
        took: dict[Kind, float] = {}
        for tally in tallies:
            if tally.made:
                made[tally.kind] = made.get(tally.kind, 0) + tally.made
                took[tally.kind] = took.get(tally.kind, 0.0) + tally.took
        return Pace(
            step={kind: took[kind] / steps for kind, steps in made.items()},
            run=min(self._overheads[self._jobs :], default=0.0),
            images=any(info.data != "none" for info in self._infos.values()),
        )

    def _call(self) -> dict[str, str]:
        """Return what the optimizer of each cell is called."""
        firsts = [self._infos[members[0]] for members in self._members.values()]
        settings = [
            {"optimizer": info.optimizer, "options": info.optimizer_options}
            | {"model": info.model, "reduction": info.reduction}
            for info in firsts
        ]
        return dict(zip(self._members, names_of(settings), strict=True))

    def _cell(self, name: str) -> CellProgress:
        if name in self._cells:
            return self._cells[name]
        members = self._members[name]
        infos = [self._infos[run_id] for run_id in members]
        started = [run_id for run_id in members if self._seen[run_id].status != "waiting"]
        shown = next((run_id for run_id in started if not self._seen[run_id].ended), started[-1] if started else None)
        if shown is not None and self._seen[shown].loss is None and self._seen[shown].ended:
            self._seen[shown] = attrs.evolve(self._look(shown), status=self._seen[shown].status)
        latest = self._seen[shown] if shown is not None else Glimpse()
        seen = [self._seen[run_id] for run_id in members]
        self._cells[name] = CellProgress(
            optimizer=self._called[name],
            batch_size=infos[0].batch_size,
            lr=infos[0].lr,
            runs=len(infos),
            finished=sum(glimpse.ended for glimpse in seen),
            step=sum(glimpse.step for glimpse in seen),
            steps=sum(info.steps for info in infos),
            loss=latest.loss if latest.loss is None or math.isfinite(latest.loss) else None,
            signal=latest.signal,
            status=_status(seen),
        )
        return self._cells[name]


def _status(seen: list[Glimpse]) -> CellStatus:
    if all(glimpse.ended for glimpse in seen):
        return next(
            (kind for kind in ("failed", "diverged") if kind in {glimpse.status for glimpse in seen}), "completed"
        )
    return "running" if any(glimpse.status != "waiting" for glimpse in seen) else "waiting"
