"""Where on the axis of learning rates do runs stop being stable? A boundary fitted to the outcomes of runs.

A run at learning rate r is unstable with the probability

    P(r) = 1 / (1 + exp(-(log r - b) / w))

where b is the place of the boundary in log lr and w its width: half of the runs are unstable at b, 5 % at
b - w log 19. Of b nothing is known beforehand but that it lies near the lrs that were tried (within a factor of 4), and
of w hardly its order of magnitude, from 3e-4, which is a step, up to 1. So a problem without chance, whose outcomes
fit a step, is bisected; and where outcomes contradict one another the fit learns by how much.

The posterior is computed on a grid. Its cells in b are the gaps between the lrs that were tried, each cut into
equal parts, since of a step no more can be told than between which two of them it lies.

`next_lrs` says what to run next: at first outwards from the start by factors of 4, until one run is stable and one is
not; then two at a time, where the fit expects a quarter of the runs to be unstable and where it expects three quarters.
Two such runs halve the interval about as fast as bisection does, and from both sides of the boundary its width can be
told. A run that is undecided says nothing about P. The next one keeps away from it, towards the side where runs are
decided.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Literal

import attrs
import numpy as np

Outcome = Literal["stable", "unstable", "undecided"]

STRIDE = 4.0
"""Factor between two lrs while the boundary is not enclosed."""

CELLS = 8
"""Cells of the grid in each gap between two lrs that were tried."""

WIDTHS = np.geomspace(3e-4, 1.0, 13)
PRIOR = WIDTHS**0.5
"""Widths that are tried, and their prior weights: wider ones weigh more, as outcomes may fit a step by luck."""

NOTHING = 1e-7
"""Share of the largest mass below which a cell is left out."""

SHARE = 0.25
"""Share of unstable runs that is expected where the lower of two runs is made; 1 minus it for the upper."""

RETREATS = (1.0, 0.5, 0.25)
"""By how much less of it, after undecided runs."""

DIGITS = 6


@attrs.frozen
class Trial:
    """A run that was made: its learning rate, and whether it was stable."""

    lr: float
    outcome: Outcome


@attrs.frozen(kw_only=True)
class Boundary:
    """What is known of the boundary.

    `lr` is where half of the runs are unstable and `lr_5_percent` where 5 % are (posterior medians); `low` to `high` is
    the credible interval of the former at `confidence`. Where no run was unstable, `low` is the largest lr that was
    stable and there is nothing else; where none was stable, `high` is the smallest that was not.
    """

    confidence: float
    lr: float | None = None
    low: float | None = None
    high: float | None = None
    lr_5_percent: float | None = None

    @property
    def spread(self) -> float:
        """Return high / low - 1; infinite where one of them is missing."""
        return self.high / self.low - 1 if self.low and self.high else math.inf


def locate(trials: Sequence[Trial], confidence: float = 0.9) -> Boundary:
    """Return the boundary that `trials` speak of; ValueError unless 0 < confidence < 1."""
    if not 0 < confidence < 1:
        raise ValueError(f"confidence lies between 0 and 1, not {confidence}")
    if not enclosed(trials):
        stable, unstable = _lrs(trials, "stable"), _lrs(trials, "unstable")
        return Boundary(confidence=confidence, low=max(stable, default=None), high=min(unstable, default=None))
    fit = _Posterior(trials)
    tail = (1 - confidence) / 2
    low, middle, high = (math.exp(fit.quantile(p)) for p in (tail, 0.5, 1 - tail))
    return Boundary(confidence=confidence, lr=middle, low=low, high=high, lr_5_percent=math.exp(fit.five_percent()))


def unstable_share(trials: Sequence[Trial], lrs: Sequence[float]) -> list[float] | None:
    """Return the share of runs that is expected to be unstable at each of `lrs`: the posterior mean of P(lr).

    None where `trials` do not enclose a boundary.
    """
    if not enclosed(trials):
        return None
    fit = _Posterior(trials)
    return [fit.unstable_at(math.log(lr)) for lr in lrs]


def log_evidence(trials: Sequence[Trial]) -> float:
    """Return the log of the mean likelihood of `trials` over all boundaries, but for a constant that all trials share.

    What compares two ways of placing the same runs on the axis. -infinity where they do not enclose a boundary.
    """
    return _Posterior(trials).log_evidence if enclosed(trials) else -math.inf


def next_lrs(trials: Sequence[Trial], start: float, limits: tuple[float, float]) -> tuple[float, ...]:
    """Return the lrs of the next runs, none where more would tell nothing new: `start`, and from there on see above.

    None lies outside of `limits`. They have six digits, so that they are the same on every machine.
    """
    if not trials:
        return (_round(start),)
    found = _outwards(trials, limits) if not enclosed(trials) else _between(trials)
    return tuple(_round(lr) for lr in found)


def enclosed(trials: Sequence[Trial]) -> bool:
    """Say whether some run was stable and some was not."""
    return {"stable", "unstable"} <= {trial.outcome for trial in trials}


def _lrs(trials: Sequence[Trial], outcome: Outcome) -> list[float]:
    return [trial.lr for trial in trials if trial.outcome == outcome]


def _round(lr: float) -> float:
    return float(f"{lr:.{DIGITS}g}")


def _outwards(trials: Sequence[Trial], limits: tuple[float, float]) -> list[float]:
    """Return the next lr in each direction in which an outcome is missing."""
    least, most = min(trial.lr for trial in trials), max(trial.lr for trial in trials)
    found = []
    if not _lrs(trials, "stable") and least > _round(limits[0]):
        found.append(max(least / STRIDE, limits[0]))
    if not _lrs(trials, "unstable") and most < _round(limits[1]):
        found.append(min(most * STRIDE, limits[1]))
    return found


def _between(trials: Sequence[Trial]) -> list[float]:
    """Return the lrs of one run on either side of the boundary; fewer, where all around is undecided."""
    fit = _Posterior(trials)
    undecided = np.log(_lrs(trials, "undecided"))
    near = (fit.where(1 - SHARE) - fit.where(SHARE)) / 10

    def pick(share: Callable[[float], float]) -> list[float]:
        for retreat in RETREATS:
            place = fit.where(share(SHARE * retreat))
            if np.sum(np.abs(undecided - place) < near) < 2:
                return [math.exp(place)]
        return []

    return pick(lambda share: share) + pick(lambda share: 1 - share)


class _Posterior:
    """The posterior of (b, w) on its grid, for trials of which some are stable and some unstable."""

    def __init__(self, trials: Sequence[Trial]) -> None:
        decided = [trial for trial in trials if trial.outcome != "undecided"]
        x = np.log([trial.lr for trial in decided])
        sign = np.array([1.0 if trial.outcome == "unstable" else -1.0 for trial in decided])
        reach = math.log(STRIDE)
        knots = np.unique(np.concatenate(([x.min() - reach], x, [x.max() + reach])))
        parts = np.arange(CELLS) / CELLS
        self._edges = np.append((knots[:-1, None] + np.diff(knots)[:, None] * parts).ravel(), knots[-1])
        places = (self._edges[:-1] + self._edges[1:]) / 2
        z = (x - places[:, None, None]) / WIDTHS[:, None]
        log_likelihood = -np.logaddexp(0, -sign * z).sum(axis=-1)
        mass = np.exp(log_likelihood - log_likelihood.max()) * np.diff(self._edges)[:, None] * PRIOR
        self.log_evidence = float(log_likelihood.max() + math.log(mass.sum()))
        mass /= mass.sum()
        self._below = np.concatenate(([0.0], np.cumsum(mass.sum(axis=1))))
        rows, columns = np.nonzero(mass > NOTHING * mass.max())
        self._places, self._widths, self._mass = places[rows], WIDTHS[columns], mass[rows, columns]

    def quantile(self, p: float) -> float:
        """Return the quantile of b."""
        return float(np.interp(p, self._below, self._edges))

    def five_percent(self) -> float:
        """Return the median of b - w log 19."""
        values = self._places - self._widths * math.log(19)
        order = np.argsort(values, kind="stable")
        below = np.cumsum(self._mass[order])
        return float(values[order][np.searchsorted(below, 0.5 * below[-1])])

    def unstable_at(self, x: float) -> float:
        """Return the share of runs at log lr `x` that is expected to be unstable."""
        z = (x - self._places) / self._widths
        return float(np.sum(self._mass * (0.5 + 0.5 * np.tanh(z / 2))))

    def where(self, share: float) -> float:
        """Return the log lr at which this share of the runs is expected to be unstable, by bisection."""
        low, high = float(self._edges[0]), float(self._edges[-1])
        for _ in range(24):
            middle = (low + high) / 2
            low, high = (middle, high) if self.unstable_at(middle) < share else (low, middle)
        return (low + high) / 2
