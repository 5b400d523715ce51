"""A shift of level in correlated noise: the best of all steps that least squares can fit.

In noise of lag-1 correlation 0.9 a shift by two standard deviations hardly shows in the sums of a CUSUM, since 300
such steps are worth about 16 independent ones. Yet at one step it is a jump of 4.6 standard deviations of what is new
at each. So the series, the trend and the step are all whitened by the noise's autoregression, and the step is fitted
to what is new: generalised least squares, for every step that there could be. A step whitened is c_0, c_1, ..., c_p,
c_p, c_p, ... with c_i = 1 - a_1 - ... - a_i: the jump first, then what lasts of it.

A real shift passes for correlation while the noise is being estimated, and would hide itself. So the noise is estimated
with the best step taken out that ordinary least squares finds. It finds all that could pass for correlation.
"""

from __future__ import annotations

import attrs
import numpy as np
import numpy.typing as npt

from optiscope.analysis.noise import burg, order_of, whiten
from optiscope.analysis.robust import Floats, remove_trend

MARGIN = 25
"""A step has so many values before it and after it; with fewer it is a spike or the end of one."""
_EXACT, _TINY = 1e-20, 1e-300


@attrs.frozen(kw_only=True, eq=False)
class Shift:
    """The best step of each `series`, [..., T].

    Its `statistic` is t of its `height`; `first` the index of its first value. `order` is that
    of the autoregression that the series and the `trend` were whitened by.
    """

    statistic: Floats
    first: npt.NDArray[np.intp]
    height: Floats
    order: int
    series: Floats
    trend: Floats

    @property
    def noise(self) -> Floats:
        """The series without trend and step, [..., T]."""
        step = (np.arange(self.series.shape[-1]) >= self.first[..., None]) * self.height[..., None]
        return remove_trend(self.series - step, self.trend)


def _products(x: Floats, a: Floats) -> Floats:
    """Return the inner products of `x`, [..., m], with the whitened steps that begin at each of its indices."""
    lasts = 1 - np.sum(a, axis=-1)[..., None]
    found = lasts * np.cumsum(x[..., ::-1], axis=-1)[..., ::-1]
    beyond = np.sum(a, axis=-1)[..., None]
    for i in range(a.shape[-1]):
        found[..., : x.shape[-1] - i] += beyond * x[..., i:]
        beyond = beyond - a[..., i, None]
    return np.asarray(found)


def _squares(size: int, a: Floats) -> Floats:
    """Return the squared lengths, [..., m], of the whitened steps that begin at each of `size` indices."""
    c = 1 - np.concatenate([np.zeros((*a.shape[:-1], 1)), np.cumsum(a, axis=-1)], axis=-1)
    found = c[..., -1:] ** 2 * np.arange(size, 0, -1)
    for i in range(a.shape[-1]):
        found[..., : size - i] += c[..., i, None] ** 2 - c[..., -1:] ** 2
    return np.asarray(found)


def best_step(y: Floats, trend: Floats, a: Floats) -> Shift:
    """Return the best step in `y`, [..., T], beside the orthonormal `trend`, [T, k], in noise of `a`, [..., p]."""
    order, size = a.shape[-1], y.shape[-1]
    base = whiten(trend.T, a[..., None, :])
    base = np.swapaxes(np.linalg.qr(np.swapaxes(base, -1, -2))[0], -1, -2)
    e = whiten(y, a)
    e = e - np.sum(base * np.sum(base * e[..., None, :], axis=-1, keepdims=True), axis=-2)
    products = _products(e, a)
    squares = _squares(size - order, a) - np.sum(_products(base, a[..., None, :]) ** 2, axis=-2)
    gains = products**2 / squares
    inner = slice(MARGIN - order, size - order - MARGIN + 1)
    peak = np.argmax(gains[..., inner], axis=-1) + inner.start
    at = peak[..., None]
    gain, height = (np.take_along_axis(x, at, axis=-1) for x in (gains, products / squares))
    left = np.maximum(np.sum(e**2, axis=-1, keepdims=True) - gain, _EXACT * gain) + _TINY
    t = np.sqrt(gain / left * (size - order - trend.shape[-1] - 1))
    return Shift(statistic=t[..., 0], first=peak + order, height=height[..., 0], order=order, series=y, trend=trend)


def shift(y: Floats, trend: Floats, order: int | None = None) -> Shift:
    """Return the best step in `y`, [..., T], beside the orthonormal `trend`, [T, k], in noise of `order`.

    A single series, [T], needs no order: Akaike's criterion then takes it.
    """
    noise = best_step(y, trend, np.empty(0)).noise
    return best_step(y, trend, burg(noise, order_of(noise) if order is None else order))


def local_height(y: Floats, at: int, a: Floats, window: int) -> float:
    """Return the height of the step at index `at` of `y`, [T], by the `window` values on either side of it alone."""
    start = max(at - window, 0)
    near = y[start : at + window]
    columns = np.stack([np.ones(near.size), np.arange(start, start + near.size) >= at])
    fitted = np.linalg.lstsq(whiten(columns, a).T, whiten(near, a), rcond=None)[0]
    return float(fitted[1])
