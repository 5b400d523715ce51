"""Does a run approach a minimum that is known, leave it, or circle it?

Where the least possible loss is known, a run needs no judge of its signal: what is left of the loss above the minimum
says all. Its logarithm goes down in a straight line below the largest stable learning rate and up above it, and stays
where it is when an adaptive method has settled in a bounded oscillation. Verdicts rest on it, and `optiscope max-lr`.

The last three quarters of the record are cut into 15 blocks. The *level* of a block is log max(loss - minimum) over its
steps: a maximum, because a run with momentum passes close to the minimum on its way through. From the levels come

    m    mean change of the level per block: what a single run does (almost surely)
    v    variance of that change, from changes over two blocks: mean((D_(b+2) - D_b)^2) / 4, D_b = Y_(b+2) - Y_b.
         Differences of differences, so that a decay which slows down is no variance.

When the curvature that a batch shows is itself random, single runs can shrink while their mean square grows. A change
that is a sum of many independent parts is normal, its exponential log-normal with the mean exp(m + v / 2), and so

    growing               m > 0 with its interval: almost surely; or the loss was not finite
    decaying              m + v / 2 < 0 with its interval (Cox's method: Zhou and Gao, Statist. Med. 1997): in the mean
                          square
    bounded oscillation   up and down in a band of a factor of e^2 for half of the run, after it came there from afar
    unclear               anything else, the stretch between the two limits among them

Steps after which nothing is left of the loss say no more, and are not used. A run that has come down to the noise of
its gradients can come no further, and is decaying too; so is one whose loss never rises again, and one that stays at
the precision of its numbers, or came down to it without a rise on its way. An oscillation is told from a slow descent
by what the second half adds to the first: a descent at a steady rate goes on.
"""

from __future__ import annotations

import math
from typing import Literal

import attrs
import numpy as np

from optiscope.analysis.finding import StepRange
from optiscope.analysis.robust import Floats

RULE = "2"
MIN_STEPS = 40
BLOCKS = 15
Z = 2.0
"""Standard errors on either side of an interval."""

LEAST_CHANGE = 0.05
"""What a level must move by to go up or down: 5 % of what is left of the loss."""

LEAST_DESCENT = 1e-3
"""What it must go down by where it never goes up: a run exactly at the limit does so too, by rounding."""

BAND = 2.0
"""The most by which the levels of the second half of a bounded oscillation differ, and the least way that led there."""

RISES = 0.1
"""The least share of steps at which the loss of an oscillation rises."""

STILL = 0.25
"""A descent has ended whose second half is less than a quarter of its first."""

NOISE_FACTOR = 30.0
"""A gradient norm up to thirty times that of its noise is noise: SGD at 99.9 % of its limit is at thirty times."""

PRECISION = 1e-13
"""What is left of the largest excess where float32 ends: about the square of its resolution."""

_SMALLEST = 1e-300

Kind = Literal["decaying", "growing", "bounded oscillation", "unclear"]


@attrs.frozen(kw_only=True)
class Dynamics:
    """What a run does about the minimum.

    `rate` is m per step: the slope of log(loss - minimum); None where it does not exist. `interval` is from the almost
    sure slope less, to the mean-square slope plus, two standard errors: growing if all of it is above zero, decaying if
    all is below. `steps` are the first and last step that the finding rests on, None where there were none.
    """

    kind: Kind
    rate: float | None
    interval: tuple[float, float] | None
    steps: StepRange | None
    why: str


@attrs.frozen
class _Slope:
    """The change of the level per block: its mean, and the ends of the interval."""

    mean: float
    low: float
    high: float


@np.errstate(over="ignore", invalid="ignore")  # numbers near the largest float may overflow: infinite is right
def dynamics(loss: Floats, minimum: float = 0.0, grad_norm: Floats | None = None, noise: float = 0.0) -> Dynamics:
    """Judge from the loss of every step, [T], mean over the batch, what a run does about the known `minimum`.

    `noise` is the root mean square norm of what chance adds to a step's gradient at the minimum, and `grad_norm` [T]
    the norm of the whole gradient. Without them a run that has come down to its noise, and moves about in it, is taken
    for a bounded oscillation.
    """
    n = loss.size
    bad = np.flatnonzero(~np.isfinite(loss))
    if bad.size:
        return Dynamics(
            kind="growing",
            rate=None,
            interval=None,
            steps=(1, n),
            why=f"the loss of a problem with a known minimum is not finite at step {int(bad[0]) + 1}",
        )
    if n < MIN_STEPS:
        why = f"{n} steps are too few to say whether the loss decays or grows ({MIN_STEPS} are needed)"
        return Dynamics(kind="unclear", rate=None, interval=None, steps=(1, n) if n else None, why=why)
    excess = loss - minimum
    left = np.flatnonzero(excess > 0)
    reached = int(left[-1]) + 1 if left.size else 0
    if reached < MIN_STEPS:
        why = f"the loss came down to its minimum by step {reached + 1}, and nothing is left of it"
        return Dynamics(kind="decaying", rate=None, interval=None, steps=(1, n), why=why)
    excess, n = excess[:reached], reached
    length = 3 * n // 4 // BLOCKS
    first = n - length * BLOCKS
    tops = np.max(excess[first:].reshape(BLOCKS, length), axis=1)
    levels = np.log(np.maximum(tops, _SMALLEST))
    slope = _slope(levels)
    if grad_norm is None or grad_norm.size != loss.size:
        grad_norm = np.empty(0)
    kind, why = _kind(excess, levels, slope, grad_norm[:n], noise)
    return Dynamics(
        kind=kind,
        rate=slope.mean / length,
        interval=(slope.low / length, slope.high / length),
        steps=(first + 1, n),
        why=f"{why}: what is left of the loss changes by {slope.mean / length:.3g} a step, as a logarithm",
    )


def _slope(levels: Floats) -> _Slope:
    changes = levels.size - 1
    mean = float(levels[-1] - levels[0]) / changes
    twice = levels[2:] - levels[:-2]
    variance = float(np.mean((twice[2:] - twice[:-2]) ** 2)) / 4
    near = math.sqrt(variance / changes)
    far = math.sqrt(variance / changes + variance**2 / (2 * (changes - 1)))
    return _Slope(mean, mean - Z * near, mean + variance / 2 + Z * far)


def _kind(excess: Floats, levels: Floats, slope: _Slope, grad_norm: Floats, noise: float) -> tuple[Kind, str]:
    change = float(levels[-1] - levels[0])
    half = excess.size // 2
    rises = float(np.mean(np.diff(excess[half:]) > 0))
    if slope.low > 0 and change > LEAST_CHANGE:
        return "growing", "the loss grows away from its minimum"
    if noise > 0 and grad_norm.size and float(np.median(grad_norm[half:])) <= NOISE_FACTOR * noise:
        return "decaying", "the gradient has come down to its noise"
    if _arrived(excess, levels):
        return "decaying", "the loss has come down to its minimum, as far as the precision of its numbers goes"
    if rises >= RISES and _settled(excess, levels):
        return "bounded oscillation", "the loss neither decays nor grows but stays in a band above its minimum"
    if slope.high < 0 and change < -LEAST_CHANGE:
        return "decaying", "the loss decays towards its minimum"
    if not rises and change < -LEAST_DESCENT:
        return "decaying", "the loss never rises in the second half"
    return "unclear", "the loss neither decays nor grows for certain"


def _arrived(excess: Floats, levels: Floats) -> bool:
    """Say whether the run stays at the precision of its numbers, or came down to it without a rise on its way."""
    floor = math.log(PRECISION) + math.log(float(np.max(excess)))  # the product may be too small for a float
    late, above = levels[BLOCKS // 2 :], np.maximum(levels, floor)
    stays = np.max(late) <= floor and np.ptp(late) <= 2 * BAND
    came = levels[0] > floor >= levels[-1] and np.max(np.diff(above)) <= LEAST_CHANGE
    return bool(stays or came)


def _settled(excess: Floats, levels: Floats) -> bool:
    """Say whether the run came into a band, from above or below, and goes on no further."""
    middle = BLOCKS // 2
    early, late = levels[: middle + 1], levels[middle:]
    came = max(math.log(float(np.max(excess))) - np.max(late), np.min(late) - np.min(early))
    return bool(came > BAND and np.ptp(late) <= BAND and late[-1] - late[0] >= -STILL * came)
