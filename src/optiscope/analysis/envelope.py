"""Is the lower envelope of the signal steady? The seed paper's idea, made exact.

The paper looks at the lower bound of the signal that flows into the output and calls a run stable where that bound
looks stable. Here the bound is the 5 % quantile of the logits of 50 images of the step's batch, and "looks stable"
is four numbers. Cross-entropy drives the logits apart for ever in healthy training: their quantile sinks, their
spread and with it the size of every fluctuation grows, and none of that may be judged. So the quantile is taken in
units of the signal's own spread at the time,

    e_t = 5 % quantile_t / s_t,     s_t = running median over 51 steps of the inter-quartile range (IQR),

which in healthy runs settles to a constant. A burn-in is dropped: an epoch, a tenth of the steps, or the steps before
the spread has grown to half of what it is later (what a network does before it learns is no part of its dynamics),
whichever is most. With fewer than 200 steps left there is no answer. With b_t the running median of e over 51 steps
and r_t = e_t - b_t:

    R = 1.4826 MAD(r)                  roughness, in units of the spread
    X, V, D                            a spike, noise that grows, a shift of level: `optiscope.analysis.detectors`

X, V and D alarm each at a third of 5 % (Bonferroni), upwards only where going down is settling. R has no null
distribution: its limit is a matter of scale, and fitted to runs that trained. "With margin" means that the bootstrap
interval of R lies below the limit as a whole.
"""

from __future__ import annotations

import math

import attrs
import numpy as np

from optiscope.analysis import robust
from optiscope.analysis.detectors import LEVEL, MIN_POINTS, WINDOW, centre, detectors
from optiscope.analysis.finding import Alarm, Finding, Result, StepRange
from optiscope.analysis.robust import Floats
from optiscope.analysis.thresholds import LIMITS

RULE = LIMITS.version
ROUGHNESS_LIMIT = LIMITS.roughness
"""The limit of R. Drawing 50 images alone moves their 5 % quantile: by 0.07 IQR if all 500 logits of a normal
distribution were independent, by 0.22 IQR if only the images were."""

ONSET = 0.5
"""The share of the later spread from which on a network is said to learn."""


@attrs.frozen(kw_only=True)
class Envelope:
    """The statistics of one series after burn-in; `steps` are the first and last step (from 1) that were used.

    `sigma` is 1.4826 MAD(r) in the units of the series, `sigma_interval` its 95 % bootstrap interval. `p_values`
    belong to X, V and D, in this order, and `alarms` are those of them that alarm. `trend` is b in a + b log t: what
    drift there was, reported and not judged.
    """

    steps: StepRange
    sigma: float
    sigma_interval: tuple[float, float]
    excursion: float
    growth: float
    shift: float
    p_values: tuple[float, float, float]
    alarms: tuple[Alarm, ...]
    trend: float


def burn_in(n_steps: int, steps_per_epoch: int, spread: Floats | None = None) -> int:
    """Return how many steps are dropped: the most of an epoch, a tenth of the steps, and those before learning began.

    Learning has begun where the running `spread` of the signal, [T], has come up to half of its median over the second
    half; that counts up to half of the steps. Without `spread` the first two count.
    """
    least = max(steps_per_epoch, math.ceil(n_steps / 10))
    if spread is None or not spread.size:
        return least
    with np.errstate(over="ignore"):  # the median of a spread near the largest float may overflow
        begun = spread >= ONSET * np.median(spread[spread.size // 2 :])
    return max(least, min(int(np.argmax(begun)), n_steps // 2))


@attrs.frozen(kw_only=True, eq=False)
class LowerBound:
    """The lower bound of the signal at every step up to the first that is not finite, [T], as it is judged.

    `values` is e, the 5 % quantile in units of `spread`, which is s, in logits. Not all of `values` are finite where
    the signal has no spread. The first `burn` steps are not judged.
    """

    values: Floats
    spread: Floats
    burn: int

    def band(self, sigmas: float) -> tuple[Floats, Floats, Floats]:
        """Return b - `sigmas` sigma, b and b + `sigmas` sigma, each times s: [T - burn], in logits.

        sigma is 1.4826 MAD(r), the roughness R. All are empty where nothing follows the burn-in.
        """
        if self.values.size <= self.burn:
            return self.values[:0], self.values[:0], self.values[:0]
        scale, median, residual = centre(self.values, self.burn)
        margin = sigmas * robust.MAD_TO_SIGMA * float(robust.mad(residual))
        with np.errstate(over="ignore"):
            b, s = median[self.burn :], scale * self.spread[self.burn :]
            return (b - margin) * s, b * s, (b + margin) * s


def lower_bound(q05: Floats, iqr: Floats, steps_per_epoch: int) -> LowerBound:
    """Return the lower bound of a signal from its 5 % quantile and inter-quartile range, both [T]."""
    n = min(q05.size, iqr.size)
    bad = np.flatnonzero(~(np.isfinite(q05[:n]) & np.isfinite(iqr[:n])))
    used = int(bad[0]) if bad.size else n
    with np.errstate(all="ignore"):  # a spread of zero, or logits near the largest float
        spread = robust.running_median(iqr[:used], WINDOW)
        return LowerBound(values=q05[:used] / spread, spread=spread, burn=burn_in(n, steps_per_epoch, spread))


def measure(values: Floats, burn: int) -> Envelope | None:
    """Return X, V and D of `values`, [T], finite, after `burn` steps; None where they do not exist.

    They do not exist with fewer than 200 steps left, or where one half of the series does not vary at all.
    """
    found = detectors(values, burn)
    if found is None:
        return None
    tests = (found.spike, found.variance, found.level)
    chance = robust.mad(found.rough)
    low, high = np.quantile(chance / np.median(chance), (0.025, 0.975))
    sigma = found.sigma * found.scale
    return Envelope(
        steps=(burn + 1, values.size),
        sigma=sigma,
        sigma_interval=(sigma * float(low), sigma * float(high)),
        excursion=tests[0].statistic,
        growth=tests[1].statistic,
        shift=tests[2].statistic,
        p_values=(tests[0].p_value, tests[1].p_value, tests[2].p_value),
        alarms=tuple(found.alarm(test, LEVEL / 3) for test in tests if test.matters and test.p_value <= LEVEL / 3),
        trend=found.trend,
    )


def envelope(q05: Floats, iqr: Floats, steps_per_epoch: int, limit: float = ROUGHNESS_LIMIT) -> Finding:
    """Judge whether the lower envelope of the signal is steady: rough from an R of `limit` on.

    `q05` and `iqr`, both [T], are the 5 % quantile and the inter-quartile range of the signal at every step. Only
    the steps before the first that is not finite are used. The statistic is R; the p-value the smallest of those of
    X, V and D times three. The steps of alarm D are the 51 from the change on.
    """
    bound = lower_bound(q05, iqr, steps_per_epoch)
    burn, used = bound.burn, bound.values.size
    if used - burn < MIN_POINTS:
        why = f"{max(used - burn, 0)} finite steps after a burn-in of {burn} are too few ({MIN_POINTS} are needed)"
        return Finding(name="envelope", rule_version=RULE, result="undecided", why=why)
    measured = measure(bound.values, burn) if np.isfinite(bound.values).all() else None
    if measured is None:
        why = "the signal does not vary after burn-in, so its steadiness says nothing"
        return Finding(name="envelope", rule_version=RULE, result="undecided", steps=(burn + 1, used), why=why)
    roughness, (_, high) = measured.sigma, measured.sigma_interval
    alarms = measured.alarms
    if roughness >= limit:
        rough = Alarm(name="R", statistic=roughness, threshold=limit, p_value=None, steps=measured.steps)
        alarms = (rough, *alarms)
    said = f"the lower envelope moves by {roughness:.3g} of the spread of the signal (R)"
    result: Result
    if alarms:
        result, why = "alarm", f"{said}; {'; '.join(_describe(alarm) for alarm in alarms)}"
    elif high >= limit:
        result, why = "undecided", f"{said}, whose interval reaches the limit of {limit}"
    else:
        result, why = "pass", f"the lower envelope is steady: it moves by {roughness:.3g} of the signal's spread (R)"
    return Finding(
        name="envelope",
        rule_version=RULE,
        result=result,
        statistic=roughness,
        threshold=limit,
        p_value=min(1.0, 3 * min(measured.p_values)),
        interval=measured.sigma_interval,
        steps=measured.steps,
        first_step=min((alarm.steps[0] for alarm in alarms), default=None),
        alarms=alarms,
        why=why,
    )


_WORDS = {
    "R": "that is rough (R, limit {limit:.3g})",
    "X": "it jumps by {value:.3g} standard deviations (X, limit {limit:.3g}) at step {first}",
    "V": "its noise grew {ratio:.3g} times from the first half to the second (V)",
    "D": "its level shifts (D {value:.3g}, limit {limit:.3g}) at step {first}",
}


def _describe(alarm: Alarm) -> str:
    ratio = math.exp(alarm.statistic) if alarm.name == "V" else 0.0
    return _WORDS[alarm.name].format(value=alarm.statistic, limit=alarm.threshold, first=alarm.steps[0], ratio=ratio)
