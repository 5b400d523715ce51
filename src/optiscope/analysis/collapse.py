"""Did the network stop saying anything? A check that comes before every other one on the signal.

A network whose hidden units died puts out the same logits for every image. Its signal is then perfectly flat, so
every measure of roughness calls it steady, and if its loss had first shot up, the ratio of losses calls it
trained. What gives it away is the spread of its logits, which falls and stays near nothing. In the pilot the
median inter-quartile range (IQR) of failed runs was 0.32, of healthy ones 5.3.

Three things must come together, for each alone happens to healthy runs:

- the median IQR of the last tenth is at most 1.3, the geometric mean of the pilot's two values (a slow run too is
  small, at the start);
- it is at most a quarter of the largest running median over 5 steps before it, by the same reasoning on the ratio of
  the two values (the spread of a slow run halves at first, while the network unlearns its random guesses);
- the median loss of the last tenth is at least log 2 (outputs that do not depend on the image cannot have a loss
  under the entropy of the labels, log 2 for two balanced classes; a well-trained network whose wrong logits are
  all alike, or a quadratic at its minimum, has a smaller one).
"""

from __future__ import annotations

import math

import numpy as np

from optiscope.analysis.finding import Finding, Result
from optiscope.analysis.outcome import MIN_STEPS, last_tenth
from optiscope.analysis.robust import Floats, running_median

RULE = "provisional-1"
LIMIT = 1.3
FALL = 0.25
WINDOW = 5
LEAST_LOSS = math.log(2)


@np.errstate(over="ignore")  # the median of a spread near the largest float may overflow: infinite is right
def collapse(iqr: Floats, loss: Floats) -> Finding:
    """Judge from the IQR of the logits and the loss, both [T], whether the network's output collapsed.

    The statistic is the median IQR of the last tenth of the steps, in logits.
    """
    n = iqr.size
    if n != loss.size or n < MIN_STEPS:
        return _finding(
            "undecided", f"{min(n, loss.size)} steps of logits and loss are too few to look for a collapse", n
        )
    tenth = last_tenth(n)
    if not (np.isfinite(iqr).all() and np.isfinite(loss[-tenth:]).all()):
        return _finding("undecided", "the spread of the logits is not finite throughout", n)
    levels = running_median(iqr, WINDOW)
    end, peak = float(np.median(iqr[-tenth:])), float(levels[:-tenth].max())
    said = f"the spread of the logits (IQR) ends at {end:.3g}, after at most {peak:.3g} before"
    if end > LIMIT or end > FALL * peak:
        return _finding("pass", said, n, end)
    if float(np.median(loss[-tenth:])) < LEAST_LOSS:
        return _finding("pass", f"{said}, with a loss too small for a network that says nothing", n, end)
    wide = np.flatnonzero(levels > min(LIMIT, FALL * peak))
    first = int(wide[-1]) + 2 if wide.size else 1
    return _finding("fail", f"{said}: the output hardly depends on the input", n, end, first)


def _finding(
    result: Result, why: str, n_steps: int, statistic: float | None = None, first_step: int | None = None
) -> Finding:
    return Finding(
        name="collapse",
        rule_version=RULE,
        result=result,
        kind="collapsed" if result == "fail" else "",
        statistic=statistic,
        threshold=LIMIT,
        direction="below",
        steps=(1, n_steps) if n_steps else None,
        first_step=first_step,
        why=why,
    )
