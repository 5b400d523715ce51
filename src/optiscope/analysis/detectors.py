"""Four faults that a series may show, each tested against what the series would do by chance.

    X   spike       max of abs(r) and abs(z), each in its   the largest excursion, in standard deviations
                    own standard deviations
    V   variance    log ratio of the standard deviations    noise that grows
                    of the halves of e, or of r
    D   level       t of the best step beside a + b log t   a shift of level
    P   period-2    atanh of the lag-1 correlation of       an oscillation from step to step that grows
                    the differences of r: first half
                    less second half

x is the series after its burn-in, r what is left of it when its running median over 51 steps is taken out, and e what
of r an autoregression does not foresee (`optiscope.analysis.noise`). It has one coefficient, since more would take an
oscillation that grows for correlation; for D it has as many as the noise asks for. z is how far r lies from what its
neighbours on both sides tell: of a single odd value that is the best witness. X and V look at r too, because a fault
that comes slowly is foreseen step by step. D is looked for with everything whitened (`optiscope.analysis.shift`), and
not in the first 30 % of a run.

All four alarm in one direction: V and P upwards only, because what dies down is settling, and P only by its growth,
because a run at the edge of stability swings from step to step and is not unstable.

By chance means: the same statistic of series that are drawn from the model of the noise. What is significant must also
matter, or every long run would alarm because no drift is exactly a + b log t: each test has a least effect. These and
the other constants are fitted (`optiscope.analysis.thresholds`).

Nothing is computed before it is asked for: `detect` looks at the other three only where its own is in question. Nor is
it twice: what looks at one series after the other, as the rules of a verdict do, shares its tests.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from functools import cached_property, lru_cache

import attrs
import numpy as np

from optiscope.analysis import robust
from optiscope.analysis.finding import Alarm, Finding, StepRange
from optiscope.analysis.noise import Noise, order_of, predictor, reflections, tail_weight, unbiased, whiten
from optiscope.analysis.robust import Floats
from optiscope.analysis.shift import Shift, local_height, shift
from optiscope.analysis.thresholds import FITTED, Thresholds

RULE = FITTED.version
LEVEL = 0.05
WINDOW = 51
MIN_POINTS = 200
SEED = 20230604
BEGINNING = 0.3
"""The share of a run in which its level is not judged: what a network learns first is many a sudden shift."""

_SMALLEST = 1e-9
_FAR, _ODD = 4.0, 2.0

NAMES = {"X": "spike", "V": "variance", "D": "level", "P": "period-2"}


@attrs.frozen(eq=False)
class Test:
    """A statistic, what it is by chance, its effect, and the indices it rests on.

    It matters if the `effect` is as large as `least`.
    """

    __test__ = False  # no test of pytest's

    name: str
    statistic: float
    chance: Floats
    effect: float
    least: float
    where: StepRange

    @property
    def matters(self) -> bool:
        """Whether the effect is large enough."""
        return self.effect >= self.least

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
    thresholds: Thresholds = FITTED

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
        """X."""
        excursion = excursions(self.residual, self._a)
        chance = np.max(np.abs(excursions(self.rough, self._a)), axis=-1)
        most = float(np.max(np.abs(excursion)))
        limit = min(float(np.quantile(chance, 1 - LEVEL / 3)), most)
        far = np.flatnonzero(np.abs(excursion) >= limit)
        return Test("X", most, chance, most, self.thresholds.least["X"], (int(far[0]), int(far[-1])))

    @cached_property
    def variance(self) -> Test:
        """V. What r grows by counts less than what e does, by as much as it varies more by chance."""
        of_r, of_e = robust.growth(self.rough), robust.growth(whiten(self.rough, self._a))
        less = float(np.std(of_e) / np.std(of_r))
        chance = np.maximum(of_e, less * of_r)
        own = robust.growth(whiten(self.residual, self._a)), less * robust.growth(self.residual)
        growth = float(max(own))
        return Test("V", growth, chance, growth, self.thresholds.least["V"], (self.size // 2, self.size - 1))

    @cached_property
    def level(self) -> Test:
        """D."""
        k = reflections(self._noise, order_of(self._noise))
        height = local_height(self._noise + self._step, self._change, predictor(k), WINDOW)
        drawn = self._averages(self._draw(k, self._steps.size))
        chance = shift(drawn, self._basis, self._shift.order).statistic
        first = self._change + self.size - self._steps.size
        where = (first, min(first + WINDOW, self.size) - 1)
        effect = abs(height) / self.sigma
        return Test("D", float(self._shift.statistic), chance, effect, self.thresholds.least["D"], where)

    @cached_property
    def period_2(self) -> Test:
        """P."""
        half = self.size // 2
        chance = robust.swing(self.rough[:, :half]) - robust.swing(self.rough[:, half:])
        before, after = float(robust.swing(self.residual[:half])), float(robust.swing(self.residual[half:]))
        effect = -math.tanh(after)
        return Test("P", before - after, chance, effect, self.thresholds.least["P"], (half, self.size - 1))

    @cached_property
    def rough(self) -> Floats:
        """What r is of noise like that of the series, [replicates, T - burn]."""
        drawn = self._draw(self._k, self.size + WINDOW - 1)
        return robust.coarse_residual(drawn, WINDOW, 25 if self._long else 10)

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

    def _averages(self, x: Floats) -> Floats:
        """Return `x`, [..., S], averaged over so many steps that some thousand are left."""
        group = self._group
        used = x[..., : x.shape[-1] // group * group]
        return np.asarray(np.mean(used.reshape(*x.shape[:-1], -1, group), axis=-1)) if group > 1 else x

    @property
    def _group(self) -> int:
        return max(1, self._steps.size // 1000)

    @cached_property
    def _steps(self) -> Floats:
        """The steps, from 1, at which the level is judged, [S]."""
        first = max(self.burn, math.ceil(BEGINNING * self.values.size)) + 1
        return np.arange(first, self.values.size + 1, dtype=np.float64)

    @cached_property
    def _level(self) -> Floats:
        """The series without its trend, [S], and with what strays farther cut to 4 sigma: a spike is no shift."""
        cut = np.clip(self.residual, -_FAR * self.sigma, _FAR * self.sigma) - self.residual
        after = self.values[self.burn :] + cut
        return robust.remove_trend(after[-self._steps.size :], robust.log_trend(self._steps))

    @cached_property
    def _basis(self) -> Floats:
        return robust.log_trend(self._averages(self._steps))

    @cached_property
    def _shift(self) -> Shift:
        return shift(self._averages(self._level), self._basis)

    @property
    def _change(self) -> int:
        """The index of the best step's first value among the steps at which the level is judged."""
        return int(self._shift.first) * self._group

    @cached_property
    def _step(self) -> Floats:
        return np.where(np.arange(self._steps.size) >= self._change, float(self._shift.height), 0.0)

    @cached_property
    def _noise(self) -> Floats:
        """The series less its best step, and then its trend."""
        return robust.remove_trend(self._level - self._step, robust.log_trend(self._steps))

    @cached_property
    def _k(self) -> Floats:
        return reflections(self._noise, 1)

    @cached_property
    def _a(self) -> Floats:
        return predictor(self._k)

    @property
    def _long(self) -> bool:
        """Whether every replicate costs so much that there are 99 of them: enough for 0.05 / 4."""
        return self.size > 2000

    def _draw(self, k: Floats, size: int) -> Floats:
        """Return noise with the reflection coefficients `k`, [replicates, size]."""
        tail = tail_weight(whiten(self.residual, self._a))
        noise = Noise(a=predictor(unbiased(k, self._steps.size)), h=self.thresholds.tail_stretch * tail)
        count = 99 if self._long else 319
        return noise.draw(size, count, np.random.default_rng(SEED))


def excursions(r: Floats, a: Floats) -> Floats:
    """Return how far each value of `r`, [..., T], strays, in standard deviations and with its sign: the larger of two.

    One is r itself, the other z = sum_i c_i e_(t+i) with c = 1, -a_1, ..., -a_p: the height that least squares finds
    for a single odd value at t in noise of the coefficients `a`, [p], up to a constant. It counts where r itself strays
    that way by two: an odd value makes its neighbours look odd too, the other way.
    """
    e = whiten(r, a)
    z = e.copy()
    for i, weight in enumerate(a, start=1):
        z[..., :-i] -= weight * e[..., i:]
    found = r / robust.scale(r)[..., None]
    z /= robust.scale(z)[..., None]
    rest = found[..., a.size :]
    rest[...] = np.where((np.abs(rest) >= _ODD) & (z * rest > rest**2), z, rest)
    return found


def centre(values: Floats, burn: int) -> tuple[float, Floats, Floats]:
    """Return the largest of abs(`values`) and, in units of it, the running median, [T], and r, [T - burn]."""
    scale = float(np.max(np.abs(values), initial=0)) or 1.0
    median = robust.running_median(values / scale, WINDOW)
    return scale, median, (values / scale - median)[burn:]


def detectors(values: Floats, burn: int) -> Detectors | None:
    """Return the tests of `values`, [T], finite, after `burn` steps; None where they do not exist.

    They do not exist with fewer than 200 steps left, or where one half of the series does not vary at all.
    """
    if values.size - burn < MIN_POINTS:
        return None
    return _detectors(values.astype(np.float64).tobytes(), burn)


@lru_cache(maxsize=1)
def _detectors(series: bytes, burn: int) -> Detectors | None:
    """Return the tests of a series that is given by its bytes: float64, which nobody can change afterwards."""
    values = np.frombuffer(series)
    size = values.size - burn
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
    "D": (
        "keeps its level (t of the best step {value:.3g})",
        "shifts its level at step {first} (t of the step {value:.3g})",
    ),
    "P": (
        "swings from step to step as before (by {value:.2g} in atanh of the correlation)",
        "begins to swing from step to step (by {value:.2g} in atanh of the correlation)",
    ),
}


def describe(alarm: Alarm, alarms: bool) -> str:
    """Say in words what a test found, without the subject."""
    ratio = math.exp(alarm.statistic) if alarm.name == "V" else 0.0
    return _SAID[alarm.name][alarms].format(value=alarm.statistic, first=alarm.steps[0], ratio=ratio)
