"""What others look at, and the best that could be: scores of a series that are larger where something is wrong.

    spike score    how many standard deviations the farthest value lies from the mean of those before it: the largest
                   limit at which the spike score of OLMo 2 is not zero (the plugin optiscope-spike-score)
    KPSS           statistic of Kwiatkowski et al. (1992) for stationarity about a line, from statsmodels
    eye            standard deviation over the mean's size: what one sees of a plot

The ceiling of a fault's test is the power of one that is told everything but where the fault is: that the noise is
normal, its correlation, size and drift, and which fault it may be; and it has the whole level to itself.
"""

from __future__ import annotations

import bisect
import warnings
from functools import cache

import numpy as np
from optiscope_spike_score import spikes
from series import BURN, FAULTS, STEPS, Floats

LIMITS = np.arange(2.0, 20.0, 0.1)


def spike_score(values: Floats) -> float:
    """Return the largest limit, of those from 2 to 20, beyond which a value lies after the burn-in."""
    first = bisect.bisect_left(LIMITS, True, key=lambda limit: not spikes(values, limit)[BURN:].any())
    return float(LIMITS[first - 1]) if first else 0.0


def stationarity(values: Floats) -> float:
    """Return the KPSS statistic after the burn-in."""
    from statsmodels.tools.sm_exceptions import InterpolationWarning  # of the group oracle, which not all tests need
    from statsmodels.tsa.stattools import kpss

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", InterpolationWarning)  # the p-value is not used
        return float(kpss(values[BURN:], regression="ct", nlags="auto", result_object=False)[0])


def eye(values: Floats) -> float:
    """Return the standard deviation over the size of the mean, after the burn-in."""
    return float(np.std(values[BURN:]) / abs(np.mean(values[BURN:])))


BASELINES = {"spike score": spike_score, "KPSS": stationarity, "eye": eye}


def auc(healthy: list[float], faulty: list[float]) -> float:
    """Return the chance that a faulty series scores higher than a healthy one, ties counted half."""
    one, other = np.asarray(healthy), np.asarray(faulty)[:, None]
    return float(np.mean((other > one) + (other == one) / 2))


@cache
def _bank(kind: str, phi: float) -> Floats:
    """Return the shapes that a fault may have, whitened, drift taken out, of unit length: [places, 299]."""
    t = np.arange(STEPS - BURN)
    shapes = {
        "X": np.eye(t.size)[1:],
        "D": (t >= np.arange(25, t.size - 24)[:, None]).astype(float),
        "P": ((t + 1) / t.size * (-1.0) ** t)[None],
    }[kind]
    drift = np.stack([np.ones(t.size), np.log(t + BURN + 1.0)])
    whitened = [shape[:, 1:] - phi * shape[:, :-1] for shape in (shapes, drift)]
    base = np.linalg.qr(whitened[1].T)[0]
    bank = whitened[0] - whitened[0] @ base @ base.T
    return np.asarray(bank / np.linalg.norm(bank, axis=1, keepdims=True))


def _best(noise: Floats, kind: str, phi: float) -> Floats:
    """Return the statistic that the ceiling rests on for each series of `noise`, [B, 400]."""
    after = noise[:, BURN:]
    e = (after[:, 1:] - phi * after[:, :-1]) / np.sqrt(1 - phi**2)
    if kind == "V":
        half = (STEPS - BURN) // 2
        return np.asarray(np.std(e[:, half - 1 :], axis=1) / np.std(e[:, : half - 1], axis=1))
    return np.asarray(np.max(np.abs(e @ _bank(kind, phi).T), axis=1))


def ceiling(fault: str, phi: float, level: float, trials: int, seed: int) -> float:
    """Return the power at `level` of a test that is told all but the place, of `trials` normal AR(1) series."""
    kind, put_in = FAULTS[fault]
    rng = np.random.default_rng((seed, 4))
    noise = rng.standard_normal((2 * trials, STEPS))
    noise[:, 1:] *= np.sqrt(1 - phi**2)
    for t in range(1, STEPS):
        noise[:, t] += phi * noise[:, t - 1]
    limit = np.quantile(_best(noise[:trials], kind, phi), 1 - level)
    faulty = np.stack([put_in(one) for one in noise[trials:]])
    return float(np.mean(_best(faulty, kind, phi) > limit))
