"""Did the loss fall? The rule that separates trained from failed.

The rule compares two medians of the training loss (mean over the batch): that of the last tenth of the steps with
that of the first steps. The run failed if the ratio is 0.9 or more. It is provisional: a rule on the loss over a
fixed subset of the training images, once an epoch, is what it will be validated against.

*First steps* are a hundredth of the run, but at least 5 and at most 20. Five is the least whose median shrugs off
two odd batches; twenty the most of which it is still fair to say that the network was not trained: with a longer
baseline, a run that learns quickly would be compared with itself.

The rule does not know why a loss stayed where it was. A run that diverged and a run whose learning rate is too
small for the number of steps both fail it. The kind tells them apart: "diverged" if the loss ended above its
start, interval included, else "not learned"; and the sentence says so where the loss was still falling.
"""

from __future__ import annotations

import math

import numpy as np

from optiscope.analysis.finding import Finding, Result
from optiscope.analysis.intervals import median_interval
from optiscope.analysis.robust import Floats

RULE = "provisional-1"
LIMIT = 0.9
MIN_STEPS = 50


def first_steps(n_steps: int) -> int:
    """Return how many of `n_steps` count as the first: a hundredth, at least 5, at most 20."""
    return min(max(math.ceil(n_steps / 100), 5), 20)


def last_tenth(n_steps: int) -> int:
    """Return how many of `n_steps` are the last tenth, rounded up."""
    return math.ceil(n_steps / 10)


@np.errstate(over="ignore")  # the median of losses near the largest float may overflow: infinite is right
def outcome(loss: Floats, limit: float = LIMIT) -> Finding:
    """Judge from the training loss, [T], mean over the batch, whether a run trained, or failed from `limit` on.

    The statistic is the ratio of the medians, its interval that of two distribution-free intervals on the medians
    divided, which is cautious. Passing with margin means that the whole interval lies below the limit; a ratio
    below it with an interval across it is borderline, hence undecided.
    """
    n = loss.size
    if n < MIN_STEPS:
        return _finding(
            limit, "undecided", f"{n} steps are too few to say whether the loss fell ({MIN_STEPS} are needed)", n
        )
    first, last = loss[: first_steps(n)], loss[-last_tenth(n) :]
    if not (np.isfinite(first).all() and np.isfinite(last).all()):
        return _finding(limit, "undecided", "the first or the last training losses are not finite", n)
    start, end = float(np.median(first)), float(np.median(last))
    if start <= 0 or first.min() <= 0:
        return _finding(limit, "undecided", "the loss starts at or below zero, so no ratio can be formed", n)
    (first_low, first_high), (last_low, last_high) = median_interval(first), median_interval(last)
    ratio, interval = end / start, (last_low / first_high, last_high / first_low)
    said = f"the training loss went from {start:.4g} to {end:.4g}, a ratio of {ratio:.3g}"
    if ratio >= limit:
        kind = "diverged" if interval[0] > 1 else "not learned"
        falling = " (it was still falling: more steps may tell)" if _still_falling(loss) else ""
        return _finding(limit, "fail", f"{said}, not below {limit}{falling}", n, ratio, interval, kind)
    if interval[1] >= limit:
        return _finding(limit, "undecided", f"{said}, whose interval reaches the limit of {limit}", n, ratio, interval)
    return _finding(limit, "pass", said, n, ratio, interval)


def _still_falling(loss: Floats) -> bool:
    """Say whether the last tenth lies below the tenth in the middle, their median intervals apart."""
    tenth, middle = last_tenth(loss.size), loss.size // 2
    before = loss[middle - tenth // 2 :][:tenth]
    if not np.isfinite(before).all():
        return False
    return median_interval(loss[-tenth:])[1] < median_interval(before)[0]


def _finding(
    limit: float,
    result: Result,
    why: str,
    n_steps: int,
    statistic: float | None = None,
    interval: tuple[float, float] | None = None,
    kind: str = "",
) -> Finding:
    return Finding(
        name="outcome",
        rule_version=RULE,
        result=result,
        statistic=statistic,
        threshold=limit,
        interval=interval,
        steps=(1, n_steps) if n_steps else None,
        kind=kind,
        why=why,
    )
