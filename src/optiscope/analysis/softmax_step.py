"""How far does one step move the logits? The step in the space in which the softmax is curved.

A step moves the logits z of an image by dz. What softmax makes of it depends on max_k dz_k - min_k dz_k alone, and the
expansion that gradient descent rests on is safe up to a spread of pi (arXiv 2603.13552). In units of that,

    r_t = median over the probe images of (max_k dz_k - min_k dz_k) / pi

is one scale for all optimizers: in a pilot of 30 runs, all whose r stayed below 1 over the first 50 steps trained, all
that came above 5 failed, and in between both happened.

r_t needs the logits of the same images before and after one step. A run file has them every k steps (64 at batch
size 100), because each costs a forward pass. Over k steps the spreads of single images add up at most, so the spread
over k steps, divided by k, is a *lower bound* of the typical step and hence of the largest: enough to alarm, never
enough to pass.
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from optiscope.analysis.finding import Finding, Result
from optiscope.analysis.robust import Floats

RULE = "provisional-1"
SAFE, FATAL = 1.0, 5.0
FIRST = 50
"""Steps of the beginning that are looked at: there the pilot's runs were told apart."""


@np.errstate(over="ignore", invalid="ignore")  # beyond the largest float a step is infinite
def steps_in_softmax(logits: npt.NDArray[np.floating], steps: npt.NDArray[np.integer]) -> Floats:
    """Return r per step between one row of `logits`, [n, P, K] at `steps` [n], and the next: [n - 1].

    It is r itself between neighbouring steps, and a lower bound of the typical step where there are more between.
    """
    moved = np.diff(np.asarray(logits, dtype=np.float64), axis=0)
    spread = np.median(np.nan_to_num(np.ptp(moved, axis=2), nan=np.inf, posinf=np.inf), axis=1) / math.pi
    return np.asarray(spread / np.diff(steps))


def softmax_step(logits: npt.NDArray[np.floating], steps: npt.NDArray[np.integer]) -> Finding:
    """Judge the first 50 steps from the `logits` of the same images, [n, P, K], after each of `steps`, [n].

    The statistic is the largest r, or the largest bound.
    """
    bad = np.flatnonzero(~np.isfinite(logits).all(axis=tuple(range(1, logits.ndim))))
    usable = int(bad[0]) if bad.size else len(logits)
    usable = min(usable, max(int(np.searchsorted(steps, FIRST + 1)) + 1, 2))
    if usable < 2 or logits.ndim != 3 or not logits.shape[2]:
        why = "the logits of the same images at two steps are needed to see how far a step moves them"
        return Finding(name="softmax-step", rule_version=RULE, result="undecided", why=why)
    steps = steps[:usable]
    r = steps_in_softmax(logits[:usable], steps)
    at, every = int(np.argmax(r)), int(np.max(np.diff(steps)))
    largest, where = float(r[at]), f"{int(steps[at])} to {int(steps[at + 1])}"
    covered = (int(steps[0]), int(steps[-1]))
    first_step: int | None = None
    result: Result
    if every == 1:
        said = f"a step moves the logits by at most {largest:.3g} of what softmax bears (steps {where})"
    else:
        said = f"over steps {where} the logits move by at least {largest:.3g} a step of what softmax bears"
    if largest > FATAL:
        result, first_step = "alarm", int(steps[at]) + 1
        why = f"{said}, and no run of the pilot came through more than {FATAL:g}"
    elif every > 1:
        result = "info"
        why = f"{said}; single steps are not in the record, which has these logits every {every} steps"
    elif largest < SAFE:
        result, why = "pass", said
    else:
        result, why = "undecided", f"{said}: between {SAFE:g} and {FATAL:g} runs trained and failed"
    return Finding(
        name="softmax-step",
        rule_version=RULE,
        result=result,
        statistic=largest,
        threshold=FATAL if every > 1 else SAFE,
        steps=covered,
        first_step=first_step,
        why=why,
    )
