"""How much an optimizer's stability depends on learning rate and batch size, from the verdicts of a map.

The stable region of a batch size is the widest run of neighbouring learning rates whose cells are stable. Its ends are
known no better than the grid is fine: it reaches at least from the smallest to the largest of them, and at most to the
nearest ones outside that are unstable. A cell that is undecided says nothing of where it ends, and is named.

How its upper end moves with the batch size is a power, batch^s: s = 0 where the batch size plays no part, s = -1 where
batch x lr decides, as it does for plain gradient descent on a loss that is summed over the batch.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

import attrs
import numpy as np

from optiscope.analysis import jeffreys
from optiscope.report.inputs import Cell
from optiscope.report.maps import lr_of
from optiscope.report.tables import NOTHING, number

Neighbours = tuple[tuple[float, str], ...]
"""Learning rates with their verdicts."""


@attrs.frozen(kw_only=True)
class Tolerance:
    """The stable region of one batch size, from `low` to `high`; None where no cell of those `tried` is stable.

    `below` and `above` are the learning rates outside it, with their verdicts, the nearest first, up to the first that
    is unstable. Of the cells `undecided` are.
    """

    batch_size: int
    tried: int
    undecided: int = 0
    low: float | None = None
    high: float | None = None
    below: Neighbours = ()
    above: Neighbours = ()

    @property
    def decades(self) -> tuple[float, float] | None:
        """Its width in powers of ten: at least, and at most (infinite where no end was found)."""
        if self.low is None or self.high is None:
            return None
        least = math.log10(self.high / self.low)
        ends = [lr for side in (self.below, self.above) for lr, verdict in side if verdict == "unstable"]
        return least, math.log10(ends[1] / ends[0]) if len(ends) == 2 else math.inf

    @property
    def edge(self) -> float | None:
        """The upper end: half-way, in log lr, between `high` and the next lr; None where that is not unstable."""
        if self.high is None or not self.above or self.above[0][1] != "unstable":
            return None
        return math.sqrt(self.high * self.above[0][0])

    @property
    def words(self) -> tuple[str, str, str, str]:
        """The region, its width in decades, and what lies below and above it."""
        if self.low is None or self.decades is None:
            if self.undecided:
                return f"cannot be said: {self.undecided} of {self.tried} undecided", NOTHING, NOTHING, NOTHING
            return f"none of {self.tried}", "0", NOTHING, NOTHING
        least, most = self.decades
        region = number(self.low) if self.low == self.high else f"{number(self.low)} to {number(self.high)}"
        width = f"{least:.2g} to {most:.2g}" if math.isfinite(most) else f"{least:.2g} or more"
        return region, width, _told(self.below), _told(self.above)

    @property
    def told(self) -> str:
        """The region and its width in a few words, and what is undecided beside it."""
        region, width, *_ = self.words
        if self.low is None:
            return region
        beside = [number(lr) for side in (self.below, self.above) for lr, verdict in side if verdict == "undecided"]
        return f"{region}, {width} decades" + (f" (undecided at {' and '.join(beside)})" if beside else "")


def _told(found: Neighbours) -> str:
    return ", ".join(f"{verdict} at {number(lr)}" for lr, verdict in found) or "not tried"


def _up_to_unstable(found: Sequence[tuple[float, str]]) -> Neighbours:
    ends = [at for at, (_, verdict) in enumerate(found, start=1) if verdict == "unstable"]
    return tuple(found[: ends[0]] if ends else found)


def tolerance(batch_size: int, row: Sequence[Cell]) -> Tolerance:
    """Return the stable region of a batch size from its cells, by learning rate."""
    told = [(lr_of(cell), str(cell.judged.get("verdict"))) for cell in row]
    best: tuple[int, int] | None = None
    begin = 0
    for at, (_, verdict) in enumerate(told):
        if verdict != "stable":
            begin = at + 1
        elif best is None or _width(told, begin, at) > _width(told, *best):
            best = begin, at
    undecided = sum(verdict == "undecided" for _, verdict in told)
    if best is None:
        return Tolerance(batch_size=batch_size, tried=len(told), undecided=undecided)
    first, last = best
    return Tolerance(
        batch_size=batch_size,
        tried=len(told),
        undecided=undecided,
        low=told[first][0],
        high=told[last][0],
        below=_up_to_unstable(told[:first][::-1]),
        above=_up_to_unstable(told[last + 1 :]),
    )


def _width(told: Sequence[tuple[float, str]], first: int, last: int) -> float:
    return told[last][0] / told[first][0]


def edge_power(found: Iterable[Tolerance]) -> float | None:
    """Return s of edge = c batch^s by least squares on logarithms; None with fewer than two edges."""
    known = [(math.log(each.batch_size), math.log(each.edge)) for each in found if each.edge is not None]
    if len(known) < 2:
        return None
    sizes, edges = np.array(known).T
    centred = sizes - sizes.mean()
    return float(centred @ edges / (centred @ centred))


@attrs.frozen(kw_only=True)
class Pooled:
    """P(unstable) of the cells of one batch size at the learning rates that all batch sizes share."""

    batch_size: int
    unstable: int
    decided: int
    low: float
    high: float


def pooled(rows: dict[int, tuple[Cell, ...]]) -> tuple[Pooled, ...]:
    """Return P(unstable) of each batch size over the learning rates that were tried at all of them."""
    shared = set.intersection(*({lr_of(cell) for cell in row} for row in rows.values())) if rows else set()
    found = []
    for size, row in sorted(rows.items()):
        counts = [cell.judged.get("p_unstable") or {} for cell in row if lr_of(cell) in shared]
        unstable, decided = (sum(int(count.get(name) or 0) for count in counts) for name in ("unstable", "decided"))
        low, high = jeffreys(unstable, decided)
        found.append(Pooled(batch_size=size, unstable=unstable, decided=decided, low=low, high=high))
    return tuple(found) if shared else ()
