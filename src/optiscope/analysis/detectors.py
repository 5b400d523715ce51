"""Four faults that a series may show, each tested against what the series would do by chance.

    X   spike       max abs(r) / (1.4826 MAD(r))           the largest excursion, in standard deviations
    V   variance    log MAD ratio of halves of r           noise that grows
    D   level       robust CUSUM of x - (a + b log t)      a shift of level
    P   period-2    atanh of the lag-1 correlation of      an oscillation from step to step that grows
                    the differences of r: first half
                    less second half

x is the series after its burn-in, r what is left of it when its running median over 51 steps is taken out. All four
alarm in one direction: V and P upwards only, because what dies down is settling, and P only by its growth, because a
run at the edge of stability swings from step to step and is not unstable.

By chance means: the same statistic of stationary noise with the autocorrelation of the series, through the same steps
(`optiscope.analysis.robust`). What is significant must also matter, or every long run would alarm because no drift is
exactly a + b log t: V and D alarm from half of the smallest fault that must be found, which is a doubled variance and a
shift by 2 standard deviations, and P where the swing is most of what happens from one step to the next.

Nothing is computed before it is asked for: `detect` looks at the other three only where its own is in question.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from functools import cached_property

import attrs
import numpy as np

from optiscope.analysis import robust
from optiscope.analysis.finding import Alarm, Finding, StepRange
from optiscope.analysis.robust import Floats

RULE = "provisional-1"
LEVEL = 0.05
WINDOW = 51
MIN_POINTS = 200
SEED = 20230604
_SMALLEST = 1e-9

LEAST_GROWTH = math.log(2) / 4
LEAST_SHIFT = 1.0
"""V and D alarm from these on: a log ratio of standard deviations, and a jump in standard deviations of r, from the
median over the 51 steps before the change to that over the 51 after it, a + b log t taken out."""

LEAST_SWING = 0.75
"""P alarms where the differences of the second half are anti-correlated by this: an oscillation of 0.7 standard
deviations in white noise, about half of what one has on average that grows to 2 from the middle of a run on."""

NAMES = {"X": "spike", "V": "variance", "D": "level", "P": "period-2"}


@attrs.frozen(eq=False)
class Test:
    """A statistic, what it is by chance, whether its effect is large enough to matter, and the indices it rests on."""

    __test__ = False  # no test of pytest's

    name: str
    statistic: float
    chance: Floats
    matters: bool
    where: StepRange

    @property
    def p_value(self) -> float:
        """The share of chance that is at least as large."""
        return robust.p_value(self.statistic, self.chance)

    def limit(self, level: float) -> float:
        """Return the statistic that chance exceeds with the probability `level`."""
        return float(np.quantile(self.chance, 1 - level))


@attrs.frozen(kw_only=True, eq=False)
class Detectors:
    """The tests of one series; made by `detectors`. `values` [T] are in units of `scale`, `burn` of them are dropped.

    `residual` is r, after the burn-in and in the same units.
    """

    values: Floats
    scale: float
    burn: int
    residual: Floats

    @property
    def size(self) -> int:
        """How many steps are left."""
        return self.residual.size

    @cached_property
    def sigma(self) -> float:
        """1.4826 MAD(r), in units of the scale."""
        return robust.MAD_TO_SIGMA * float(robust.mad(self.residual))

    @cached_property
    def spike(self) -> Test:
        """X. Its noise is Gaussian: a bootstrap of a series with a spike holds the spike, and never finds it odd.

        Its tails are stretched to those that the series has without its few largest values.
        """
        excursion = robust.largest(robust.coarse_residual(self._smooth, WINDOW, self._stride))
        chance = robust.TAIL + (excursion - robust.TAIL) * robust.tail_stretch(self.residual)
        distance = np.abs(self.residual)
        limit = float(np.quantile(chance, 1 - LEVEL / 3))
        far = np.flatnonzero(distance >= min(limit * self.sigma, float(np.max(distance))))
        return Test("X", float(robust.largest(self.residual)), chance, True, (int(far[0]), int(far[-1])))

    @cached_property
    def variance(self) -> Test:
        """V."""
        growth = float(robust.growth(self.residual))
        return Test("V", growth, robust.growth(self.rough), growth >= LEAST_GROWTH, (self.size // 2, self.size - 1))

    @cached_property
    def level(self) -> Test:
        """D."""
        statistic, peak = robust.cusum(self._level, self._basis)
        change = int(peak) + 1
        shift = abs(robust.jump(self._level, change, WINDOW)) / self.sigma
        chance, _ = robust.cusum(self._series[:, : self.size], self._basis)
        where = (change, min(change + WINDOW, self.size) - 1)
        return Test("D", float(statistic), chance, shift >= LEAST_SHIFT, where)

    @cached_property
    def period_2(self) -> Test:
        """P."""
        half = self.size // 2
        chance = robust.swing(self.rough[:, :half]) - robust.swing(self.rough[:, half:])
        before, after = float(robust.swing(self.residual[:half])), float(robust.swing(self.residual[half:]))
        matters = math.tanh(after) <= -LEAST_SWING
        return Test("P", before - after, chance, matters, (half, self.size - 1))

    @cached_property
    def rough(self) -> Floats:
        """What r is of stationary noise like that of the series, [replicates, T - burn]."""
        return robust.coarse_residual(self._series, WINDOW, self._stride)

    @cached_property
    def trend(self) -> float:
        """The drift b of a + b log t, in the units of the series."""
        steps = np.log(np.arange(self.burn + 1, self.values.size + 1, dtype=np.float64))
        return self.scale * float(np.polynomial.polynomial.polyfit(steps, self.values[self.burn :], 1)[1])

    def alarm(self, test: Test, level: float) -> Alarm:
        """Return `test` as an alarm at `level`."""
        return Alarm(
            name=test.name,
            statistic=test.statistic,
            threshold=test.limit(level),
            p_value=test.p_value,
            steps=(self.burn + 1 + test.where[0], self.burn + 1 + test.where[1]),
        )

    def test(self, name: str) -> Test:
        """Return the test X, V, D or P."""
        test: Test = getattr(self, NAMES[name].replace("-", "_"))
        return test

    @cached_property
    def _basis(self) -> Floats:
        return robust.log_trend(np.arange(self.burn + 1, self.values.size + 1, dtype=np.float64))

    @cached_property
    def _level(self) -> Floats:
        return robust.remove_trend(self.values[self.burn :], self._basis)

    @property
    def _long(self) -> bool:
        """Whether every replicate costs so much that there are 99 of them: enough for 0.05 / 4."""
        return self.size > 2000

    @property
    def _stride(self) -> int:
        return 25 if self._long else 10

    @cached_property
    def _drawn(self) -> tuple[Floats, Floats]:
        """Gaussian noise and resampled noise like that of the series, [replicates, T - burn + 50] each."""
        rng, count = np.random.default_rng(SEED), 99 if self._long else 299
        _, peak = robust.cusum(self._level, self._basis)
        noise = robust.remove_step(self._level, peak, self._basis)
        phi, wider = float(robust.lag_one(noise)), self.size + WINDOW - 1
        smooth = robust.gaussian(wider, phi, count, rng)
        return smooth, robust.resample(noise, phi, wider, count, rng)

    @property
    def _smooth(self) -> Floats:
        return self._drawn[0]

    @property
    def _series(self) -> Floats:
        return self._drawn[1]


def centre(values: Floats, burn: int) -> tuple[float, Floats, Floats]:
    """Return the largest of abs(`values`) and, in units of it, the running median, [T], and r, [T - burn]."""
    scale = float(np.max(np.abs(values), initial=0)) or 1.0
    median = robust.running_median(values / scale, WINDOW)
    return scale, median, (values / scale - median)[burn:]


def detectors(values: Floats, burn: int) -> Detectors | None:
    """Return the tests of `values`, [T], finite, after `burn` steps; None where they do not exist.

    They do not exist with fewer than 200 steps left, or where one half of the series does not vary at all.
    """
    size = values.size - burn
    if size < MIN_POINTS:
        return None
    scale, _, residual = centre(values, burn)
    half = size // 2
    if min(float(robust.mad(residual[:half])), float(robust.mad(residual[half:]))) < _SMALLEST:
        return None
    return Detectors(values=values / scale, scale=scale, burn=burn, residual=residual)


def holm(p_values: Mapping[str, float], level: float) -> dict[str, float]:
    """Return the level at which each hypothesis is tested: `level` over how many p-values are at least as large.

    Those of a p-value that comes after one that was not small enough keep its level (Holm, Scand. J. Statist. 1979): a
    hypothesis is rejected where its p-value is at most what is returned and that of no smaller one was too large.
    """
    levels, left, stopped = {}, len(p_values), 0.0
    for name, p_value in sorted(p_values.items(), key=lambda item: item[1]):
        levels[name] = stopped or level / left
        if p_value > levels[name]:
            stopped = levels[name]
        left -= 1
    return levels


def detect(values: Floats, burn: int, name: str, what: str, level: float = LEVEL) -> Finding:
    """Judge one of the four faults, `name` X, V, D or P, of the series `values` [T], which is called `what`.

    It alarms if its p-value is small enough after Holm's correction for all four, at `level` together, and its effect
    is large enough to matter. Only the steps before the first that is not finite are used.
    """
    bad = np.flatnonzero(~np.isfinite(values))
    values = values[: bad[0]] if bad.size else values
    found = detectors(values, burn)
    if found is None:
        too_few = values.size - burn < MIN_POINTS
        why = (
            f"{max(values.size - burn, 0)} finite steps of the {what} after a burn-in of {burn} are too few "
            f"({MIN_POINTS} are needed)"
            if too_few
            else f"the {what} does not vary after burn-in"
        )
        return Finding(name=NAMES[name], rule_version=RULE, result="undecided", why=why)
    test, own = found.test(name), level / len(NAMES)
    if test.p_value <= level:
        own = holm({each: found.test(each).p_value for each in NAMES}, level)[name]
    alarm = found.alarm(test, own)
    significant = test.p_value <= own
    alarms = (alarm,) if significant and test.matters else ()
    said = describe(alarm, bool(alarms))
    small = ", too small an effect to matter" if significant and not test.matters else ""
    return Finding(
        name=NAMES[name],
        rule_version=RULE,
        result="alarm" if alarms else "pass",
        statistic=test.statistic,
        threshold=alarm.threshold,
        p_value=test.p_value,
        steps=(burn + 1, values.size),
        first_step=alarm.steps[0] if alarms else None,
        alarms=alarms,
        why=f"the {what} {said}, with a chance of {test.p_value:.2g} in stationary noise{small}",
    )


_SAID: Mapping[str, Sequence[str]] = {
    "X": (
        "strays by at most {value:.3g} standard deviations",
        "jumps by {value:.3g} standard deviations at step {first}",
    ),
    "V": (
        "is {ratio:.3g} times as noisy in the second half as in the first",
        "grew {ratio:.3g} times as noisy from the first half to the second",
    ),
    "D": ("keeps its level (CUSUM {value:.3g})", "shifts its level at step {first} (CUSUM {value:.3g})"),
    "P": (
        "swings from step to step as before (by {value:.2g} in atanh of the correlation)",
        "begins to swing from step to step (by {value:.2g} in atanh of the correlation)",
    ),
}


def describe(alarm: Alarm, alarms: bool) -> str:
    """Say in words what a test found, without the subject."""
    ratio = math.exp(alarm.statistic) if alarm.name == "V" else 0.0
    return _SAID[alarm.name][alarms].format(value=alarm.statistic, first=alarm.steps[0], ratio=ratio)
