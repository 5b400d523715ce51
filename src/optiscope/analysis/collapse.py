"""Did the network stop saying anything? A check that comes before every other one on the signal.

A network whose hidden units died puts out the same logits for every image. Its signal is then perfectly flat, so
every measure of roughness calls it steady, and if its loss had first shot up, the ratio of losses calls it
trained. What gives it away is the spread of its logits, their inter-quartile range (IQR), which falls and stays near
nothing. Of the spread is left

    c = end * (end / peak)      end    median IQR of the last tenth of the steps, in logits
                                peak   largest running median of the IQR over 5 steps

so that it must be small, and have fallen. And it must have fallen suddenly: the log of the running median, over 5
steps, by `LIMITS.fall` within ten steps. A network that learns slowly loses most of its spread too, while it unlearns
its random guesses, but over some hundred steps. Both limits are fitted to runs across divergence (docs/labels.md).

It must have lasted 200 steps in all, too, by the running median over 51 steps: networks that look dead for a hundred
steps may learn well after, so before that it is undecided.

A loss below log 2 is no collapse: outputs that do not depend on the image cannot have one under the entropy of the
labels, which is log 2 for two balanced classes; a well-trained network whose wrong logits are all alike, or a
quadratic at its minimum, has.
"""

from __future__ import annotations

import math

import numpy as np

from optiscope.analysis.finding import Finding, Result
from optiscope.analysis.outcome import MIN_STEPS, last_tenth
from optiscope.analysis.robust import Floats, running_median
from optiscope.analysis.thresholds import LIMITS

RULE = LIMITS.version
WINDOW, LONG = 5, 51
SUDDEN, LASTING = 10, 200
LEAST_LOSS = math.log(2)


@np.errstate(over="ignore")  # the median of a spread near the largest float may overflow: infinite is right
def collapse(iqr: Floats, loss: Floats) -> Finding:
    """Judge from the IQR of the logits and the loss, both [T], whether the network's output collapsed.

    The statistic is c, in logits. The first step of a failure is the first with a running median below the limit.
    """
    n = iqr.size
    if n != loss.size or n < MIN_STEPS:
        return _finding(
            "undecided", f"{min(n, loss.size)} steps of logits and loss are too few to look for a collapse", n
        )
    tenth = last_tenth(n)
    if not (np.isfinite(iqr).all() and np.isfinite(loss[-tenth:]).all()):
        return _finding("undecided", "the spread of the logits is not finite throughout", n)
    if iqr.min() < 0:
        return _finding("undecided", "the spread of the logits is negative, which no spread is", n)
    levels = running_median(iqr, WINDOW)
    left = _remains(iqr, levels)
    said = f"the spread of the logits (IQR) ends at {np.median(iqr[-tenth:]):.3g}, after at most {levels.max():.3g}"
    if left > LIMITS.collapse:
        return _finding("pass", said, n, left)
    if float(np.median(loss[-tenth:] / LEAST_LOSS)) < 1:
        return _finding("pass", f"{said}, with a loss too small for a network that says nothing", n, left)
    if _steepest(levels) < LIMITS.fall:
        return _finding("pass", f"{said}, without a sudden fall", n, left)
    narrow = _left(running_median(iqr, LONG), levels.max()) <= LIMITS.collapse
    first, lasted = int(np.argmax(narrow)) + 1, int(np.sum(narrow))
    if lasted < LASTING:
        why = f"{said}, which has lasted only {lasted} steps ({LASTING} are needed): the network may come back"
        return _finding("undecided", why, n, left, first)
    return _finding("fail", f"{said}: the output hardly depends on the input", n, left, first)


def remains(iqr: Floats) -> float:
    """Return c, what is left of the spread at the end, in logits, from the IQR of the logits, [T], finite and >= 0."""
    return _remains(iqr, running_median(iqr, WINDOW))


def steepest(iqr: Floats) -> float:
    """Return the largest fall within ten steps of the log spread, from the IQR of the logits, [T], finite and >= 0.

    Infinite where the spread vanishes, as it does when all units die in one step or never lived.
    """
    return _steepest(running_median(iqr, WINDOW))


def _remains(iqr: Floats, levels: Floats) -> float:
    end = np.asarray(np.median(iqr[-last_tenth(iqr.size) :]))
    return float(_left(end, levels.max()))


def _steepest(levels: Floats) -> float:
    if levels.min() <= 0:
        return math.inf
    logs = np.log(levels)
    return float(np.max(logs[:-SUDDEN] - logs[SUDDEN:]))


def _left(end: Floats, peak: np.float64) -> Floats:
    with np.errstate(invalid="ignore"):  # a spread that never was, or is beyond the largest float
        return np.nan_to_num(end * np.minimum(end / peak, 1.0), nan=0.0, posinf=np.inf)


def _finding(
    result: Result, why: str, n_steps: int, statistic: float | None = None, first_step: int | None = None
) -> Finding:
    return Finding(
        name="collapse",
        rule_version=RULE,
        result=result,
        kind="collapsed" if result == "fail" else "",
        statistic=statistic,
        threshold=LIMITS.collapse,
        direction="below",
        steps=(1, n_steps) if n_steps else None,
        first_step=first_step,
        why=why,
    )
