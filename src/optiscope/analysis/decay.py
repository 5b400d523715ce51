"""Does a run come to rest at a minimum that is known, does it grow, or does it oscillate?

The rule is for problems whose least loss is zero but for noise (`Model.noise_floor`). It compares the first loss with
two medians, those of the second and of the last quarter of the run:

    grows        a number was not finite; or the last quarter lies 100 times above the first loss, and twice above the
                 second quarter
    decays       the last quarter lies 100 times below the first loss, and twice below the second quarter; or it has
                 arrived: at 1e-12 of the first loss, where float32 ends, or within 1000 times what noise leaves
    oscillates   neither, and the last quarter is within twice the second, with at least a tenth of its losses above
                 the loss before: the run goes up and down and gets nowhere
    undecided    anything else: too slow to say, or too short

On a quadratic a loss falls or rises by the same factor at every step, so that 100 times in 400 steps is decided from
0.3 % off the limit on. The allowance of 1000 above noise is for SGD within 0.1 % of its limit, where noise
is amplified by so much; an oscillation as small as that is taken for noise. The rule sees the steps that a run has and
no further: a method with a long memory may come to rest within them and begin to oscillate when it has forgotten.
"""

from __future__ import annotations

import numpy as np

from optiscope.analysis.finding import Finding, Result
from optiscope.analysis.robust import Floats

RULE = "1"
MIN_STEPS = 40
FACTOR = 100.0
LEVEL = 2.0
REST = 1e-12
ABOVE_NOISE = 1000.0
RISES = 0.1


@np.errstate(over="ignore", invalid="ignore")  # losses near the largest float: infinite is right
def decay(loss: Floats, noise_floor: float = 0.0, diverged: bool = False) -> Finding:
    """Judge from the training loss, [T]: "pass" decays, "fail" grows or oscillates (its kind), else "undecided".

    `noise_floor` is the loss that noise leaves, 0 without; `diverged` says that the run ended because a number was not
    finite. The statistic is the median of the last quarter over the first loss.
    """
    n = loss.size
    if diverged or not np.isfinite(loss).all():
        return _finding("fail", f"a number was not finite at step {n}", n, kind="grows")
    if n < MIN_STEPS:
        return _finding("undecided", f"{n} steps are too few to see a loss decay ({MIN_STEPS} are needed)", n)
    loss = np.abs(loss)  # noise may tilt a loss a little below zero
    first, second, last = loss[0], np.median(loss[n // 4 : n // 2]), np.median(loss[n - n // 4 :])
    rest = max(REST * first, ABOVE_NOISE * noise_floor)
    ratio = float(last / first) if first > 0 else None
    said = f"the loss went from {first:.3g} over {second:.3g} to {last:.3g}"
    if last > FACTOR * max(first, rest) and last > LEVEL * second:
        return _finding("fail", f"{said}: it grows", n, ratio, "grows")
    if last <= rest:
        return _finding("pass", f"{said}: it came to rest", n, ratio)
    if last < first / FACTOR and last < second / LEVEL:
        return _finding("pass", f"{said}: it decays", n, ratio)
    rises = float(np.mean(np.diff(loss[n - n // 4 :]) > 0))
    if second / LEVEL <= last <= second * LEVEL and rises >= RISES:
        return _finding("fail", f"{said}: it oscillates", n, ratio, "oscillates")
    return _finding("undecided", f"{said}: {n} steps are too few to say where it goes", n, ratio)


def _finding(result: Result, why: str, n_steps: int, statistic: float | None = None, kind: str = "") -> Finding:
    return Finding(
        name="decay",
        rule_version=RULE,
        result=result,
        statistic=statistic,
        threshold=FACTOR,
        steps=(1, n_steps) if n_steps else None,
        kind=kind,
        why=why,
    )
