"""Is what a batch size does to SGD an effect of the effective step?

With the gradient summed over a batch of B, SGD moves by lr times B times the mean gradient. So if nothing but the size
of a step mattered, two cells with the same B x lr would behave alike, whatever their batch sizes, while two with the
same lr would not. Three mean distances say how far that goes, between runs that differ

    seeds     in nothing but the seed: how far any two runs are apart
    along     in the batch size, at the same B x lr
    across    in the batch size, at the same lr

The hypothesis holds as far as `along` is smaller than `across`, and altogether where `along` is no larger than `seeds`.
What is compared is one number a run (the loss at the end, the roughness of the signal). The intervals of the two
ratios are bootstraps over cells, because runs of one cell are not independent of one another.

Verdicts are no such numbers: far from the boundary all are alike, whatever the batch size. What the hypothesis says of
them is where the boundary lies. Let half of the runs be unstable at lr x (B / 100)^k = c, with a width and c that are
not known (`optiscope.analysis.boundary`). Then k = 1 is an effect of the effective step alone, and with k = 0 the batch
size has none. Before the runs k is anything from -0.5 to 2.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence

import attrs
import numpy as np
import numpy.typing as npt

from optiscope.analysis.boundary import Outcome, Trial, log_evidence

REPLICATES = 1000
SEED = 20230430
MANY = 1_000_000
EXPONENTS = np.linspace(-0.5, 2.0, 51)
BATCH = 100
LARGEST = 700.0
"""Log of odds from which on they are infinite, as no float holds them; a few thousand runs lead there."""
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


@attrs.frozen(kw_only=True)
class Exponent:
    """What is known of k, see above: the posterior median, and the interval at 95 %; None where no run tells of it.

    `odds` is by how much likelier k = 1 makes what was seen than k = 0 does. `why` says why nothing is known.
    """

    k: float | None = None
    low: float | None = None
    high: float | None = None
    odds: float | None = None
    why: str = ""

    @property
    def says(self) -> str:
        """What follows, in a word: "effective step", "partly", "more than the step", "no effect" or "undecided"."""
        if self.low is None or self.high is None or (self.low <= 0 and self.high >= 1):
            return "undecided"
        if self.low <= 0:
            return "no effect"
        return "more than the step" if self.low > 1 else "effective step" if self.high >= 1 else "partly"

    @property
    def told(self) -> str:
        """The same as a sentence."""
        if self.k is None or self.odds is None:
            return f"The verdicts do not tell, as {self.why}."
        odds = f"{self.odds:.2g}" if self.odds < 10 else f"{self.odds:,.0f}" if self.odds < MANY else f"over {MANY:,}"
        return (
            f"Half of the runs are unstable at an lr (of sums) in proportion to 1 / B^k, k = {self.k:.2f} "
            f"(95 %: {self.low:.2f} to {self.high:.2f}): {self.says}. "
            f"The effective step, k = 1, is {odds} times as likely as k = 0."
        )


def boundary_exponent(runs: Sequence[tuple[int, float, Outcome]]) -> Exponent:
    """Return how the boundary of stability moves with the batch size, from runs: batch size, learning rate, verdict."""
    if why := _why_unknown(runs):
        return Exponent(why=why)

    def evidence(k: float) -> float:
        return log_evidence([Trial(lr * (size / BATCH) ** k, outcome) for size, lr, outcome in runs])

    logs = np.array([evidence(k) for k in EXPONENTS])
    mass = np.exp(logs - logs.max())
    below = np.cumsum(mass) - mass / 2
    low, middle, high = (float(np.interp(p * mass.sum(), below, EXPONENTS)) for p in (0.025, 0.5, 0.975))
    return Exponent(k=middle, low=low, high=high, odds=_odds(evidence(1.0) - evidence(0.0)))


def _odds(log: float) -> float:
    return math.exp(log) if log < LARGEST else math.inf


def _why_unknown(runs: Sequence[tuple[int, float, Outcome]]) -> str:
    """Return why `runs` tell nothing of k; empty where they do."""
    sizes = {size for size, _, outcome in runs if outcome != "undecided"}
    outcomes = {outcome for _, _, outcome in runs} - {"undecided"}
    if not sizes:
        return "no run was decided"
    if len(sizes) == 1:
        return f"every run that was decided has batch size {sizes.pop()}"
    missing = {"stable", "unstable"} - outcomes
    return f"no run was {missing.pop()}" if missing else ""


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
    low, high = np.quantile(drawn, (0.025, 0.975), method="inverted_cdf")  # some are infinite: nothing lies between
    return float(ratio[0]), (float(low), float(high))


def _number(value: Floats) -> float | None:
    return float(value[0]) if np.isfinite(value[0]) else None
