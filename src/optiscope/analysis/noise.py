"""The noise of a series: how each step depends on those before it, and how long its tails are.

Noise in a training signal is correlated from step to step, so textbook limits are wrong: at lag-1 correlation 0.9 a
CUSUM limit for independent noise alarms on every healthy run. So the noise is modelled,

    x_t = a_1 x_(t-1) + ... + a_p x_(t-p) + e_t            e = g exp(h g^2 / 2), g standard normal

by an autoregression (the coefficients are Burg's, the order, where it is free, Akaike's), and innovations e whose
tails are those of Tukey's h distribution: h = 0 is the normal, and the larger, the more often something far off is
mere chance. The model serves twice. Faults are looked for in what it leaves unexplained: a shift that drowns in the
slow swings of a correlated series is plain in its innovations. And series drawn from it say what a statistic is by
chance. A bootstrap of the series itself could not: where there is a spike, it would hold the spike.
"""

from __future__ import annotations

import math
from statistics import NormalDist

import attrs
import numpy as np

from optiscope.analysis.robust import Floats

MAX_ORDER = 6
_SETTLE = 100
_MOST_CORRELATED = 0.99
_LEFT_OUT = 2
_LEAST_SCORE, _SCORES = 0.6745, 20
_TINY = 1e-300
_LARGEST = 1 - 1e-6


def reflections(x: Floats, order: int) -> Floats:
    """Return the first `order` reflection coefficients, [..., order], of `x`, [..., T], whose mean is removed.

    They are Burg's (1975): each minimises the errors of predicting forwards and backwards together, and none exceeds 1.
    """
    found = []
    forward, backward = x[..., 1:], x[..., :-1]
    for _ in range(order):
        power = np.sum(forward**2, axis=-1) + np.sum(backward**2, axis=-1)
        k = np.clip(2 * np.sum(forward * backward, axis=-1) / np.where(power > 0, power, 1.0), -_LARGEST, _LARGEST)
        found.append(k)
        k = k[..., None]
        forward, backward = (forward - k * backward)[..., 1:], (backward - k * forward)[..., :-1]
    return np.stack(found, axis=-1) if found else np.empty((*x.shape[:-1], 0))


def predictor(k: Floats) -> Floats:
    """Return the coefficients a of the autoregression, [..., p], that has the reflection coefficients `k`, [..., p]."""
    a = k[..., :0]
    for i in range(k.shape[-1]):
        last = k[..., i : i + 1]
        a = np.concatenate([a - last * a[..., ::-1], last], axis=-1)
    return a


def burg(x: Floats, order: int) -> Floats:
    """Return the coefficients of an autoregression of `x`, [..., T] to [..., order]."""
    return predictor(reflections(x, order))


def whiten(x: Floats, a: Floats) -> Floats:
    """Return the innovations of `x`, [..., T], under the coefficients `a`, [..., p]: [..., T - p]."""
    order, size = a.shape[-1], x.shape[-1]
    e = x[..., order:]
    for i in range(order):
        e = e - a[..., i, None] * x[..., order - 1 - i : size - 1 - i]
    return e


def colour(e: Floats, a: Floats) -> Floats:
    """Return the series, [..., T], whose innovations under `a`, [p], are `e`, [..., T], taken as one period of many."""
    size = e.shape[-1]
    return np.asarray(np.fft.irfft(np.fft.rfft(e) / np.fft.rfft(np.concatenate([[1.0], -a]), size), size))


def tail_weight(e: Floats) -> float:
    """Return h of Tukey's distribution for `e`, [T], centred: how much longer than normal its tails are; 0 to 1.

    The quantiles of abs(e) are those of abs(g) times s exp(h g^2 / 2), so that their ratio's logarithm is a line in
    g^2 / 2 with the slope h (Hoaglin 1985). It is fitted from the median on to where two values are left, or one in
    a hundred: a spike or two do not move it.
    """
    left = max(_LEFT_OUT, e.size / 100)
    most = NormalDist().inv_cdf(1 - left / e.size / 2)
    g = np.linspace(_LEAST_SCORE, most, _SCORES)
    quantiles = np.quantile(np.abs(e), [math.erf(score / math.sqrt(2)) for score in g])
    slope = np.polynomial.polynomial.polyfit(g**2 / 2, np.log(np.maximum(quantiles, _TINY) / g), 1)[1]
    return float(np.clip(slope, 0.0, 1.0))


@attrs.frozen(kw_only=True, eq=False)
class Noise:
    """Noise with the coefficients `a`, [p], and the tail weight `h`."""

    a: Floats
    h: float

    def draw(self, size: int, count: int, rng: np.random.Generator) -> Floats:
        """Return `count` series of `size` steps, [count, size]."""
        g = rng.standard_normal((count, size + _SETTLE))
        return colour(g * np.exp(self.h / 2 * g**2), self.a)[:, _SETTLE:]


def order_of(x: Floats) -> int:
    """Return the order, at most 6, of the autoregression of `x`, [T], that Akaike's criterion takes."""
    gains = x.size * np.cumsum(np.log1p(-(reflections(x, MAX_ORDER) ** 2)))
    return int(np.argmin(np.concatenate([[0.0], gains + 2 * np.arange(1, MAX_ORDER + 1)])))


def unbiased(k: Floats, size: int) -> Floats:
    """Return the reflection coefficients `k`, [p], with the first corrected for its bias in `size` steps.

    The least-squares estimate of a lag-1 correlation is too small by about (1 + 3 phi) / T (Kendall, Biometrika 1954).
    """
    first = k[:1] + (1 + 3 * k[:1]) / size
    return np.concatenate([np.clip(first, -_MOST_CORRELATED, _MOST_CORRELATED), k[1:]])
