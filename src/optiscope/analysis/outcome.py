"""Did the loss fall? The rule that says whether a run learned.

The rule compares two levels of the training loss (mean over the batch): the median of the last tenth of the steps, and
the loss of a network that knows nothing. The latter is the least of

    the median loss of the first steps
    the very first loss, because a run may blow up within its first steps
    log K, where it is known that the outputs are logits of K classes: the loss of guessing. Networks often begin above
    it, and to learn to guess is not to learn.

*First steps* are a hundredth of the run, but at least 5 and at most 20. Five is the least whose median shrugs off
two odd batches; twenty the most of which it is still fair to say that the network was not trained: with a longer
baseline, a run that learns quickly would be compared with itself.

    pass        the loss ended below 0.9 of that of one that knows nothing, interval included
    fail        it ended above its start and above guessing, interval included: "diverged"
    undecided   anything else; from 0.9 on the kind is "not learned"

A loss that stayed where it was is no instability by itself. A network that collapsed has such a loss, which
`optiscope.analysis.collapse` sees; but so has one whose learning rate is too small for the number of steps.
"""

from __future__ import annotations

import math

import numpy as np

from optiscope.analysis.finding import Finding, Result
from optiscope.analysis.intervals import median_interval
from optiscope.analysis.robust import Floats

RULE = "provisional-2"
LIMIT = 0.9
MIN_STEPS = 50


def first_steps(n_steps: int) -> int:
    """Return how many of `n_steps` count as the first: a hundredth, at least 5, at most 20."""
    return min(max(math.ceil(n_steps / 100), 5), 20)


def untrained(loss: Floats, chance: float | None = None) -> float | None:
    """Return the loss of a network that knows nothing, from that of every step, [T], and `chance`, that of guessing.

    None where it is not finite and above zero.
    """
    if not loss.size or not np.isfinite(loss[0]):
        return None
    found = min(float(loss[0]), float(np.median(loss[: first_steps(loss.size)])), *([] if chance is None else [chance]))
    return found if math.isfinite(found) and found > 0 else None


def last_tenth(n_steps: int) -> int:
    """Return how many of `n_steps` are the last tenth, rounded up."""
    return math.ceil(n_steps / 10)


@np.errstate(over="ignore")  # the median of losses near the largest float may overflow: infinite is right
def outcome(loss: Floats, chance: float | None = None, limit: float = LIMIT) -> Finding:
    """Judge from the training loss, [T], mean over the batch, whether a run learned, or did not from `limit` on.

    `chance` is the loss of guessing, where it is known. The statistic is the ratio of the two levels, its interval that
    of two distribution-free intervals on the medians divided, which is cautious.
    """
    n = loss.size
    if n < MIN_STEPS:
        return _finding(
            limit, "undecided", f"{n} steps are too few to say whether the loss fell ({MIN_STEPS} are needed)", n
        )
    first, last = loss[: first_steps(n)], loss[-last_tenth(n) :]
    if not (np.isfinite(first).all() and np.isfinite(last).all()):
        return _finding(limit, "undecided", "the first or the last training losses are not finite", n)
    start, end = untrained(loss, chance), float(np.median(last))
    if start is None or first.min() <= 0:
        return _finding(limit, "undecided", "the loss starts at or below zero, so no ratio can be formed", n)
    (first_low, first_high), (last_low, last_high) = median_interval(first), median_interval(last)
    ratio, interval = end / start, (last_low / max(first_high, chance or 0.0), last_high / min(first_low, start))
    said = f"the training loss ended at {end:.4g}, {ratio:.3g} of the untrained"
    if interval[0] > 1:
        return _finding(limit, "fail", f"{said}: above its start", n, ratio, interval, "diverged")
    if ratio >= limit:
        falling = " (it was still falling: more steps may tell)" if _still_falling(loss) else ""
        why = f"{said}, not below {limit}{falling}"
        return _finding(limit, "undecided", why, n, ratio, interval, "not learned")
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
