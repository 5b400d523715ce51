"""How much an optimizer's stability depends on learning rate and batch size, from the verdicts of a map.

The stable region of a batch size is the widest run of neighbouring learning rates whose cells are stable. Its ends are
known no better than the grid is fine: it reaches at least from the smallest to the largest of them, and at most to the
nearest ones outside that were tried and are not stable.

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


@attrs.frozen(kw_only=True)
class Tolerance:
    """The stable region of one batch size, from `low` to `high`; None where no cell is stable.

    `below` and `above` are the nearest learning rates outside it, with their verdicts, None where there is none.
    """

    batch_size: int
    tried: int
    low: float | None = None
    high: float | None = None
    below: tuple[float, str] | None = None
    above: tuple[float, str] | None = None

    @property
    def decades(self) -> tuple[float, float] | None:
        """Its width in powers of ten: at least, and at most (infinite where no end was found)."""
        if self.low is None or self.high is None:
            return None
        least = math.log10(self.high / self.low)
        most = math.log10(self.above[0] / self.below[0]) if self.below and self.above else math.inf
        return least, most

    @property
    def edge(self) -> float | None:
        """The upper end: half-way, in log lr, between `high` and `above`; None where it is not between two cells."""
        return math.sqrt(self.high * self.above[0]) if self.high is not None and self.above else None

    @property
    def words(self) -> tuple[str, str, str, str]:
        """The region, its width in decades, and what lies below and above it."""
        if self.low is None or self.decades is None:
            return f"none of {self.tried}", "0", NOTHING, NOTHING
        least, most = self.decades
        region = number(self.low) if self.low == self.high else f"{number(self.low)} to {number(self.high)}"
        width = f"{least:.2g} to {most:.2g}" if math.isfinite(most) else f"{least:.2g} or more"
        return region, width, _neighbour(self.below), _neighbour(self.above)

    @property
    def told(self) -> str:
        """The region and its width in a few words."""
        region, width, *_ = self.words
        return region if self.low is None else f"{region}, {width} decades"


def _neighbour(found: tuple[float, str] | None) -> str:
    return f"{found[1]} at {number(found[0])}" if found else "not tried"


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
    if best is None:
        return Tolerance(batch_size=batch_size, tried=len(told))
    first, last = best
    return Tolerance(
        batch_size=batch_size,
        tried=len(told),
        low=told[first][0],
        high=told[last][0],
        below=told[first - 1] if first else None,
        above=told[last + 1] if last + 1 < len(told) else None,
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
