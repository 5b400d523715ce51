"""Is what a batch size does to SGD an effect of the effective step?

With the gradient summed over a batch of B, SGD moves by lr times B times the mean gradient. So if nothing but the size
of a step mattered, two cells with the same B x lr would behave alike, whatever their batch sizes, while two with the
same lr would not. Three mean distances say how far that goes, between runs that differ

    seeds     in nothing but the seed: how far any two runs are apart
    along     in the batch size, at the same B x lr
    across    in the batch size, at the same lr

The hypothesis holds as far as `along` is smaller than `across`, and altogether where `along` is no larger than `seeds`.
What is compared is one number a run (the loss at the end, the roughness of the signal...). The intervals of the two
ratios are bootstraps over cells, because runs of one cell are not independent of one another.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import attrs
import numpy as np
import numpy.typing as npt

REPLICATES = 1000
SEED = 20230430
Floats = npt.NDArray[np.float64]
Interval = tuple[float, float]


@attrs.frozen
class Point:
    """A run of SGD under "sum": where it stands, and the number that describes its behaviour."""

    batch_size: int
    lr: float
    value: float


@attrs.frozen(kw_only=True)
class EffectiveStep:
    """Mean absolute differences between runs; None where no two runs differ in this way.

    `share` is along / across and `excess` along / seeds, with intervals at 95 %: (0, infinity) where there is none.
    """

    seeds: float | None
    along: float | None
    across: float | None
    share: float | None
    share_interval: Interval
    excess: float | None
    excess_interval: Interval

    @property
    def says(self) -> str:
        """What follows, in a word: "effective step", "partly", "more than the step" or "undecided"."""
        if self.share is None or self.share_interval[1] >= 1:
            if self.share is not None and self.share_interval[0] > 1:
                return "more than the step"
            return "undecided"
        return "effective step" if self.excess is not None and self.excess_interval[0] <= 1 else "partly"


def effective_step(points: Sequence[Point]) -> EffectiveStep:
    """Compare runs along lines of equal B x lr with runs at equal lr; points that are not finite are left out."""
    points = [point for point in points if np.isfinite(point.value)]
    cells = sorted({(point.batch_size, point.lr) for point in points})
    pairs = [_pairs(points, cells, kind) for kind in ("seeds", "along", "across")]
    every = np.ones((1, len(cells)))
    seeds, along, across = (_mean(pair, every) for pair in pairs)
    rng = np.random.default_rng(SEED)
    count = len(cells)
    weights = rng.multinomial(count, np.full(count, 1 / count), size=REPLICATES) if count else every
    drawn = [_mean(pair, np.asarray(weights, np.float64)) for pair in pairs]
    share, share_interval = _ratio(along, across, drawn[1], drawn[2])
    excess, excess_interval = _ratio(along, seeds, drawn[1], drawn[0])
    return EffectiveStep(
        seeds=_number(seeds),
        along=_number(along),
        across=_number(across),
        share=share,
        share_interval=share_interval,
        excess=excess,
        excess_interval=excess_interval,
    )


def _pairs(
    points: Sequence[Point], cells: Sequence[tuple[int, float]], kind: str
) -> tuple[Floats, npt.NDArray[np.intp], npt.NDArray[np.intp]]:
    """Return the distances of the pairs of a kind, and the numbers of their two cells."""
    place = {cell: number for number, cell in enumerate(cells)}
    found = []
    for one, other in itertools.combinations(points, 2):
        alike = one.batch_size == other.batch_size
        same_lr = one.lr == other.lr
        same_step = np.isclose(one.lr * one.batch_size, other.lr * other.batch_size, rtol=1e-9, atol=0)
        if {"seeds": alike and same_lr, "along": not alike and same_step, "across": not alike and same_lr}[kind]:
            first, second = (place[point.batch_size, point.lr] for point in (one, other))
            found.append((abs(one.value - other.value), first, second))
    columns = np.array(found, dtype=np.float64).reshape(-1, 3).T
    return columns[0], columns[1].astype(np.intp), columns[2].astype(np.intp)


def _mean(pairs: tuple[Floats, npt.NDArray[np.intp], npt.NDArray[np.intp]], weights: Floats) -> Floats:
    """Return the mean distance where cells count as often as `weights` [R, cells] says, [R]; NaN without a pair."""
    distances, first, second = pairs
    weight = np.where(first == second, weights[:, first], weights[:, first] * weights[:, second])
    total = weight.sum(axis=1)
    return np.asarray(np.divide(weight @ distances, total, out=np.full(len(weights), np.nan), where=total > 0))


def _ratio(above: Floats, below: Floats, drawn_above: Floats, drawn_below: Floats) -> tuple[float | None, Interval]:
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio, drawn = above / below, drawn_above / drawn_below
    drawn = drawn[~np.isnan(drawn)]
    if not np.isfinite(ratio[0]) or not drawn.size:
        return None, (0.0, np.inf)
    low, high = np.quantile(drawn, (0.025, 0.975))
    return float(ratio[0]), (float(low), float(high))


def _number(value: Floats) -> float | None:
    return float(value[0]) if np.isfinite(value[0]) else None
