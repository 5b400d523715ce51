"""How many seeds a cell gets, where that depends on what its runs say (`seeds="auto"`).

A cell begins with the fewest seeds that decide it if they agree: four at a confidence of 95 %, three at 90 %. When they
are over it gets one more, and so on, while its interval on P(unstable) has both sides of 0.5, until it has as many as
it may have. A cell whose runs are mostly undecided gets no more (`optiscope.labels.Probability.unsettled`): seeds would
be spent on runs that do not count.

The n-th seed of a cell is n - 1, and whether there is an (n + 1)-th depends on the runs of that cell alone. So the same
grid makes the same runs, however many at a time, and cells do not wait for one another. What was begun in a folder is
brought to its end before more is asked for, whoever asked for it: a grid that was killed goes on as if it had not been,
and one that was made with a number of seeds goes on from all of them.

Looking after every seed decides wrongly more often than looking once, at the end, would. How often, is in
docs/labels.md.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import attrs

from optiscope.analysis import Analyzer
from optiscope.config import GridConfig
from optiscope.engine import Prepared, prepare
from optiscope.errors import OptiscopeError
from optiscope.hooks import PluginHost
from optiscope.labels import Probability, RunVerdict, label_run
from optiscope.storage import open_run
from optiscope.storage.schema import layout
from optiscope.sweep.grid import cell_of


def verdict_of(path: Path, analyzers: Sequence[Analyzer]) -> RunVerdict | None:
    """Return what `analyzers` say of the run in a file; None where it is not there, or cannot be read."""
    try:
        with open_run(path) as run:
            return label_run(run, analyzers)
    except (OptiscopeError, OSError):
        return None


class Seeds:
    """The runs of a grid, cell by cell: those of its plan, and those that are added.

    `judge` says what a file is that no worker of this grid judged. A run without a verdict is undecided.
    """

    def __init__(
        self,
        grid: GridConfig,
        plan: Iterable[Prepared],
        folder: Path,
        host: PluginHost,
        judge: Callable[[Path], RunVerdict | None],
    ) -> None:
        self._grid, self._folder, self._host, self._judge = grid, folder, host, judge
        self._cells: dict[str, list[Prepared]] = {}
        self._to_come: set[str] = set()
        self._verdicts: dict[str, RunVerdict | None] = {}
        for run in plan:
            self._cell_of(run).append(run)
        if grid.seeds == "auto":
            for cell in self._cells.values():
                while self._path(more := self._another(cell)).exists():
                    cell.append(more)

    @property
    def runs(self) -> list[Prepared]:
        """All runs there are so far."""
        return [run for cell in self._cells.values() for run in cell]

    @property
    def verdicts(self) -> dict[str, RunVerdict]:
        """The verdicts that are known so far, by run_id."""
        return {run_id: verdict for run_id, verdict in self._verdicts.items() if verdict is not None}

    def begin(self, unfinished: Iterable[Prepared]) -> list[Prepared]:
        """Return the runs that follow from those that are over before anything is made; `unfinished` are not."""
        self._to_come = {run.info.run_id for run in unfinished}
        return [run for cell in self._cells.values() for run in self._more(cell)]

    def after(self, run: Prepared, verdict: RunVerdict | None) -> list[Prepared]:
        """Return the runs that follow now that `run` is over, however it ended: one or none.

        `verdict` is that of its worker, None where there is none.
        """
        self._to_come.discard(run.info.run_id)
        if verdict is not None:
            self._verdicts[run.info.run_id] = verdict
        return self._more(self._cell_of(run))

    def _more(self, cell: list[Prepared]) -> list[Prepared]:
        if self._grid.seeds != "auto" or any(run.info.run_id in self._to_come for run in cell):
            return []
        if len(cell) >= self._grid.max_seeds or not self._probability(cell).unsettled:
            return []
        cell.append(self._another(cell))
        self._to_come.add(cell[-1].info.run_id)
        return cell[-1:]

    def _cell_of(self, run: Prepared) -> list[Prepared]:
        return self._cells.setdefault(cell_of(run.info), [])

    def _another(self, cell: Sequence[Prepared]) -> Prepared:
        run = prepare(attrs.evolve(cell[0].config, seed=len(cell)), self._host, cell[0].images)
        layout(run.info, run.signals)
        return run

    def _probability(self, cell: Iterable[Prepared]) -> Probability:
        verdicts = [verdict.verdict if verdict else "undecided" for verdict in map(self._verdict, cell)]
        unstable, undecided = verdicts.count("unstable"), verdicts.count("undecided")
        return Probability.of(unstable, len(verdicts) - undecided, undecided, self._grid.confidence)

    def _verdict(self, run: Prepared) -> RunVerdict | None:
        run_id = run.info.run_id
        if run_id not in self._verdicts:
            self._verdicts[run_id] = self._judge(self._path(run))
        return self._verdicts[run_id]

    def _path(self, run: Prepared) -> Path:
        return self._folder / f"{run.info.run_id}.h5"
