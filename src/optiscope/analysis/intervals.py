"""Intervals on a proportion, on a rise of one, on a median and on a mean, without scipy.

The Jeffreys interval needs quantiles of the beta distribution. They are found by bisection on the regularised
incomplete beta function, which is evaluated by its continued fraction (DLMF 8.17.22) with the modified Lentz
method: a hundred evaluations of a few dozen terms, exact to about 1e-13 and fast enough for tables.
"""

from __future__ import annotations

import itertools
import math
from statistics import NormalDist

import numpy as np
import numpy.typing as npt

_TINY = 1e-300


def _continued_fraction(x: float, a: float, b: float) -> float:
    """Evaluate DLMF 8.17.22's fraction; it converges quickly for x < (a + 1) / (a + b + 2)."""
    c, d = 1.0, 1.0 - (a + b) * x / (a + 1)
    d = 1.0 / (d if abs(d) > _TINY else _TINY)
    value = d
    for m in range(1, 1000):
        even = m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m))
        odd = -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1))
        for term in (even, odd):
            d = 1.0 + term * d
            c = 1.0 + term / c
            d = 1.0 / (d if abs(d) > _TINY else _TINY)
            c = c if abs(c) > _TINY else _TINY
            value *= c * d
        if abs(c * d - 1.0) < 1e-15:
            break
    return value


def beta_cdf(x: float, a: float, b: float) -> float:
    """Return P(B <= x) for B ~ Beta(a, b), a and b above zero: the regularised incomplete beta function."""
    if a <= 0 or b <= 0:
        raise ValueError(f"a beta distribution needs parameters above zero, not ({a}, {b})")
    if x <= 0:
        return 0.0
    if x >= 1:
        return 1.0
    log_front = math.lgamma(a + b) - math.lgamma(a) - math.lgamma(b) + a * math.log(x) + b * math.log1p(-x)
    if x < (a + 1) / (a + b + 2):
        return math.exp(log_front) * _continued_fraction(x, a, b) / a
    return 1.0 - math.exp(log_front) * _continued_fraction(1 - x, b, a) / b


def beta_quantile(p: float, a: float, b: float) -> float:
    """Return x with P(B <= x) = p for B ~ Beta(a, b); 0 <= p <= 1."""
    if not 0 <= p <= 1:
        raise ValueError(f"a probability lies between 0 and 1, not {p}")
    low, high = 0.0, 1.0
    while True:
        middle = 0.5 * (low + high)
        if middle in (low, high):
            return middle
        if beta_cdf(middle, a, b) < p:
            low = middle
        else:
            high = middle


def jeffreys(successes: int, trials: int, confidence: float = 0.95) -> tuple[float, float]:
    """Return the equal-tailed Jeffreys interval on a proportion after `successes` in `trials`.

    Quantiles of Beta(k + 1/2, n - k + 1/2); as usual the lower end is 0 where k = 0 and the upper end 1 where
    k = n (Brown, Cai, DasGupta, "Interval estimation for a binomial proportion", Statist. Sci. 2001). Without
    trials nothing is known: (0, 1).
    """
    if not 0 <= successes <= trials:
        raise ValueError(f"successes must lie between 0 and {trials} trials, not {successes}")
    if not 0 < confidence < 1:
        raise ValueError(f"confidence lies between 0 and 1, not {confidence}")
    tail = (1 - confidence) / 2
    a, b = successes + 0.5, trials - successes + 0.5
    low = 0.0 if successes == 0 else beta_quantile(tail, a, b)
    high = 1.0 if successes == trials else beta_quantile(1 - tail, a, b)
    return low, high


def fewest_deciding(confidence: float = 0.95) -> int:
    """Return how many trials it takes, if all have the same outcome, to put their Jeffreys interval beyond 0.5."""
    return next(trials for trials in itertools.count(1) if jeffreys(0, trials, confidence)[1] < 0.5)


def median_interval(values: npt.NDArray[np.float64], confidence: float = 0.95) -> tuple[float, float]:
    """Return the distribution-free interval on the median of independent `values` ([N], N >= 1).

    It runs from the k-th smallest to the k-th largest value, k from the normal approximation to the binomial
    (Conover, "Practical Nonparametric Statistics", 3.2). Under six values not even the whole range reaches 95 %; the
    range is returned then.
    """
    ordered = np.sort(values)
    n = ordered.size
    z = NormalDist().inv_cdf((1 + confidence) / 2)
    rank = max(math.floor((n + 1) / 2 - z * math.sqrt(n) / 2), 1)
    return float(ordered[rank - 1]), float(ordered[n - rank])


def rise_interval(
    before: tuple[int, int], after: tuple[int, int], confidence: float = 0.95
) -> tuple[float, float, float]:
    """Return by how much a proportion rose, and an interval on that; each side is (successes, trials).

    The interval is put together from the Jeffreys intervals of both sides: its ends are as far from the difference as
    the root of the sum of squares of theirs (Zou and Donner, "Construction of confidence limits about effect measures",
    Statist. Med. 2008). At 95 % it covers the truth in 95 % of the cases on average over both proportions, and in no
    less than 90 %, for 3 to 12 trials a side. Where a side has no trials nothing is known: 0 (-1 to 1).
    """
    if not before[1] or not after[1]:
        return 0.0, -1.0, 1.0
    was, now = before[0] / before[1], after[0] / after[1]
    (was_low, was_high), (now_low, now_high) = jeffreys(*before, confidence), jeffreys(*after, confidence)
    rise = now - was
    return rise, rise - math.hypot(now - now_low, was_high - was), rise + math.hypot(now_high - now, was - was_low)


def rise_p_value(before: tuple[int, int], after: tuple[int, int]) -> float:
    """Return the p-value of "the proportion did not rise": Fisher's exact test, one-sided; 1 without trials.

    Of all ways to share out the successes over both sides, the probability of those with as many of them after, or
    more (Fisher, "The logic of inductive inference", 1935). It never alarms more often than it says.
    """
    (was, trials), (now, more) = before, after
    if not trials or not more:
        return 1.0
    successes, ways = was + now, math.comb(trials + more, was + now)
    least, most = max(now, successes - trials), min(successes, more)
    return sum(math.comb(more, k) * math.comb(trials, successes - k) for k in range(least, most + 1)) / ways


def mean_interval(values: npt.NDArray[np.float64], confidence: float = 0.95) -> tuple[float, float, float]:
    """Return the mean of independent `values` ([N], N >= 1) and Student's interval on it; infinite for a single one.

    The quantile of t with v degrees of freedom follows from that of a beta distribution: P(abs(T) > t) is
    P(B <= v / (v + t^2)) for B ~ Beta(v / 2, 1 / 2) (Abramowitz and Stegun 26.5.27).
    """
    mean, v = float(np.mean(values)), values.size - 1
    if v < 1:
        return mean, -math.inf, math.inf
    x = beta_quantile(1 - confidence, v / 2, 0.5)
    half = math.sqrt(v * (1 - x) / x) * float(np.std(values, ddof=1)) / math.sqrt(v + 1)
    return mean, mean - half, mean + half
