"""How far a grid is, read from the run files themselves.

A live file can be opened at any moment, by anybody: so progress needs no channel between workers and host, and is the
same whether a run is trained in this process, in a worker or on another machine that shares the folder. A file that
was there before its run began (it failed, or was killed) says nothing, until the run replaces it or goes on in it; what
it held then was not done by this grid, and says nothing about its pace.
"""

from __future__ import annotations

import math
import os
import time
from collections.abc import Iterable
from pathlib import Path

import attrs

from optiscope.engine import Prepared
from optiscope.errors import OptiscopeError
from optiscope.records import RunInfo
from optiscope.storage import open_run
from optiscope.sweep.progress import CellProgress, CellStatus, GridProgress

TAIL = 200
"""Steps of the signal that a glimpse holds, at most."""


@attrs.frozen(kw_only=True)
class Glimpse:
    """What a run file said when it was last looked at."""

    status: str = "waiting"
    step: int = 0
    loss: float | None = None
    signal: tuple[float, ...] = ()


class Watch:
    """Looks at the files of a grid's runs whenever it is asked to; made before the runs begin."""

    def __init__(self, plan: Iterable[Prepared], runs: Path) -> None:
        self._began = time.monotonic()
        self._infos: dict[str, RunInfo] = {}
        self._runs = runs
        self._seen: dict[str, Glimpse] = {}
        self._stale: dict[str, tuple[int, int] | None] = {}
        self._done_before = 0.0
        self.add(plan)

    def add(self, plan: Iterable[Prepared]) -> None:
        """Watch these runs as well, from now on."""
        for run in plan:
            run_id = run.info.run_id
            self._infos[run_id] = run.info
            self._seen[run_id] = Glimpse()
            self._stale[run_id] = self._identity(run_id)

    def skip(self, run_ids: Iterable[str]) -> None:
        """Count these runs as finished before the clock started."""
        for run_id in run_ids:
            self._stale[run_id] = None
            self._seen[run_id] = self._look(run_id)
            self._done_before += self._work_of(self._infos[run_id])

    def look(self, active: Iterable[str], events: Iterable[str] = ()) -> GridProgress:
        """Return how far the grid is, after a look at the files of `active` runs."""
        for run_id in active:
            before = self._seen[run_id]
            self._seen[run_id] = self._look(run_id)
            if before.status == "waiting" and self._taken_up(run_id):
                self._done_before += self._work_of(self._infos[run_id])
        elapsed = time.monotonic() - self._began
        done, total = self._work_done(), sum(map(_work, self._infos.values()))
        worked = done - self._done_before
        remaining = elapsed * (total - done) / worked if worked > 0 else None
        return GridProgress(cells=self._cells(), elapsed=elapsed, remaining=remaining, events=tuple(events))

    def _look(self, run_id: str) -> Glimpse:
        path = self._runs / f"{run_id}.h5"
        before = self._seen[run_id]
        identity = self._identity(run_id)
        if identity is None or identity == self._stale[run_id]:
            return before
        try:
            with open_run(path) as run:
                steps = run.n_steps
                return Glimpse(
                    status=run.status,
                    step=steps,
                    loss=float(run.h5["step/loss"][steps - 1]) if steps else None,
                    signal=tuple(map(float, run.h5["step/logits_q05"][max(0, steps - TAIL) : steps])),
                )
        except (OptiscopeError, OSError):
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

    def _work_done(self) -> float:
        return sum(map(self._work_of, self._infos.values()))

    def _work_of(self, info: RunInfo) -> float:
        seen = self._seen[info.run_id]
        return _work(info) if _ended(seen) else _work(info) * seen.step / info.steps

    def _cells(self) -> tuple[CellProgress, ...]:
        cells: dict[tuple[str, int, float], list[RunInfo]] = {}
        for info in self._infos.values():
            cells.setdefault((info.optimizer, info.batch_size, info.lr), []).append(info)
        return tuple(self._cell(infos) for infos in cells.values())

    def _cell(self, infos: list[RunInfo]) -> CellProgress:
        seen = [self._seen[info.run_id] for info in infos]
        started = [glimpse for glimpse in seen if glimpse.status != "waiting"]
        latest = next((glimpse for glimpse in started if not _ended(glimpse)), started[-1] if started else Glimpse())
        return CellProgress(
            optimizer=infos[0].optimizer,
            batch_size=infos[0].batch_size,
            lr=infos[0].lr,
            runs=len(infos),
            finished=sum(map(_ended, seen)),
            step=sum(glimpse.step for glimpse in seen),
            steps=sum(info.steps for info in infos),
            loss=latest.loss if latest.loss is None or math.isfinite(latest.loss) else None,
            signal=latest.signal,
            status=_status(seen),
        )


def _status(seen: list[Glimpse]) -> CellStatus:
    if all(map(_ended, seen)):
        return next(
            (kind for kind in ("failed", "diverged") if kind in {glimpse.status for glimpse in seen}), "completed"
        )
    return "running" if any(glimpse.status != "waiting" for glimpse in seen) else "waiting"


def _ended(glimpse: Glimpse) -> bool:
    return glimpse.status in ("completed", "diverged", "failed")


def _work(info: RunInfo) -> float:
    """Return how much work a run is, in images."""
    return float(info.steps * info.batch_size)
