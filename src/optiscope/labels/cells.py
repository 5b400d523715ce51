"""From the verdicts of runs to what is said about a cell: everything that a run was, but for its seed.

Seeds turn verdicts into a probability. Of the runs that were decided some were unstable; the Jeffreys interval on
P(unstable) says how much that tells. A cell is stable or unstable when the interval lies on one side of 0.5, else
undecided. None unstable among three seeds still leaves P(unstable) up to 0.54, so it takes four seeds that agree.
With a single seed there is no interval worth the name: the cell has the run's verdict, and is marked "one seed".
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Literal

import attrs

from optiscope.analysis import jeffreys
from optiscope.labels.verdict import RunVerdict, Verdict

ONE_SEED: Literal["one seed"] = "one seed"


@attrs.frozen(kw_only=True)
class Probability:
    """P(unstable) from `unstable` of `decided` runs: posterior mean under Jeffreys' prior, and interval.

    Without a decided run the mean is 0.5 and the interval (0, 1).
    """

    unstable: int
    decided: int
    undecided: int
    mean: float
    low: float
    high: float


@attrs.frozen(kw_only=True)
class Cell:
    """A cell of the grid. `options` are the optimizer's. `confidence` is that of the interval, or "one seed"."""

    optimizer: str
    options: Mapping[str, Any]
    batch_size: int
    lr: float
    reduction: str
    model: str
    data: str
    verdict: Verdict
    confidence: float | Literal["one seed"]
    p_unstable: Probability
    runs: tuple[RunVerdict, ...]


IDENTITY = ("optimizer", "optimizer_options", "batch_size", "lr", "reduction", "model", "data")
"""What runs of one cell have in common, by the names in their `config`."""


def form_cells(
    labelled: Iterable[tuple[Mapping[str, Any], RunVerdict]], confidence: float = 0.95, order: Sequence[str] = ()
) -> tuple[Cell, ...]:
    """Return the cells of runs, given as their `config` and verdict: by optimizer, lr, batch size; runs by seed.

    Optimizers come in `order`, and after them by name those that it does not hold.
    """
    groups: dict[str, tuple[dict[str, Any], list[RunVerdict]]] = {}
    for config, verdict in labelled:
        what = {key: config[key] for key in IDENTITY}
        groups.setdefault(json.dumps(what, sort_keys=True, default=str), (what, []))[1].append(verdict)
    cells = [_form_cell(what, runs, confidence) for what, runs in groups.values()]

    def place(cell: Cell) -> tuple[int, str, float, int, str]:
        rank = order.index(cell.optimizer) if cell.optimizer in order else len(order)
        return rank, cell.optimizer, cell.lr, cell.batch_size, str(cell.options)

    return tuple(sorted(cells, key=place))


def _form_cell(what: Mapping[str, Any], runs: Iterable[RunVerdict], confidence: float) -> Cell:
    ordered = tuple(sorted(runs, key=lambda run: (run.seed, run.run_id)))
    p = probability(ordered, confidence)
    return Cell(
        optimizer=what["optimizer"],
        options=what["optimizer_options"],
        batch_size=what["batch_size"],
        lr=what["lr"],
        reduction=what["reduction"],
        model=what["model"],
        data=what["data"],
        verdict=ordered[0].verdict if len(ordered) == 1 else _side(p),
        confidence=ONE_SEED if len(ordered) == 1 else confidence,
        p_unstable=p,
        runs=ordered,
    )


def probability(runs: Iterable[RunVerdict], confidence: float = 0.95) -> Probability:
    """Return P(unstable) over the decided ones among `runs`."""
    verdicts = [run.verdict for run in runs]
    unstable, undecided = verdicts.count("unstable"), verdicts.count("undecided")
    decided = len(verdicts) - undecided
    low, high = jeffreys(unstable, decided, confidence)
    mean = (unstable + 0.5) / (decided + 1)
    return Probability(unstable=unstable, decided=decided, undecided=undecided, mean=mean, low=low, high=high)


def _side(p: Probability) -> Verdict:
    if p.low > 0.5:
        return "unstable"
    return "stable" if p.high < 0.5 else "undecided"
