"""Robust statistics of one series, and what they would be by chance alone.

Noise in a training signal is correlated from step to step, so textbook limits are wrong: at lag-1 correlation 0.9 a
CUSUM limit for independent noise alarms on every healthy run. Limits therefore come from a bootstrap of the series
itself. A plain block bootstrap needs blocks much longer than the correlation, of which 300 points hold too few. So
the series is prewhitened first: its AR(1) part is taken out, blocks of what is left are resampled, and the AR(1)
part is put back (Davison and Hinkley, "Bootstrap Methods and their Application", 8.2). The blocks then only have
to carry what AR(1) misses, and can be short.

Every generator is seeded with a number that is part of the rule, so a run is always judged alike.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]

MAD_TO_SIGMA = 1.4826
"""The standard deviation of a normal distribution over its median absolute deviation."""

TAIL, _FAR = 1.6449, 2.2414
"""The 90 % and 97.5 % quantiles of the absolute value of a standard normal variable."""

BLOCK = 10
_SETTLE = 50
_MAX_PHI = 0.98
_SWING_END = 1 - 1e-9


def mad(x: Floats, axis: int = -1) -> Floats:
    """Return the median absolute deviation from the median along `axis`."""
    return np.asarray(np.median(np.abs(x - np.median(x, axis=axis, keepdims=True)), axis=axis))


def running_median(x: Floats, window: int = 51) -> Floats:
    """Return the median over a centred window of odd length, [T] to [T].

    Within half a window of either end the window is held at that end, so that every value is a median of `window`
    points. A shorter series has one median.
    """
    if window % 2 == 0 or window < 1:
        raise ValueError(f"a centred window has an odd length, not {window}")
    if x.size <= window:
        return np.full(x.shape, np.median(x)) if x.size else x.copy()
    inner = np.median(np.lib.stride_tricks.sliding_window_view(x, window), axis=-1)
    return np.asarray(np.pad(inner, window // 2, mode="edge"))


def coarse_residual(x: Floats, window: int = 51, stride: int = 10) -> Floats:
    """Return `x`, [B, T + window - 1], less its running median, [B, T], for many bootstrap series at once.

    The median is taken at every `stride`-th step and joined by straight lines, which is `stride` times cheaper and
    leaves the null distributions of `largest` and `growth` unchanged within their sampling error.
    """
    knots = np.median(np.lib.stride_tricks.sliding_window_view(x, window, axis=1)[:, ::stride], axis=-1)
    inner = x[:, window // 2 : x.shape[1] - window // 2]
    at = np.arange(inner.shape[1]) / stride
    left = np.minimum(at.astype(np.intp), knots.shape[1] - 1)
    right = np.minimum(left + 1, knots.shape[1] - 1)
    share = at - left
    return np.asarray(inner - knots[:, left] * (1 - share) - knots[:, right] * share)


def log_trend(t: Floats) -> Floats:
    """Return an orthonormal basis, [T, 2], of a + b log t at the steps `t` > 0."""
    basis, _ = np.linalg.qr(np.stack([np.ones_like(t), np.log(t)], axis=1))
    return np.asarray(basis)


def remove_trend(x: Floats, basis: Floats) -> Floats:
    """Return `x`, [..., T], less its least-squares fit by the orthonormal `basis`, [T, k]."""
    return np.asarray(x - (x @ basis) @ basis.T)


def lag_one(x: Floats) -> Floats:
    """Return the lag-1 autocorrelation of `x`, [..., T] (mean taken as removed), corrected for its bias.

    The least-squares estimate is too small by about (1 + 3 phi) / T (Kendall, Biometrika 1954). Kept within +-0.98.
    """
    power = np.sum(x[..., :-1] ** 2, axis=-1)
    phi = np.sum(x[..., 1:] * x[..., :-1], axis=-1) / np.where(power > 0, power, 1.0)
    return np.asarray(np.clip(phi + (1 + 3 * phi) / x.shape[-1], -_MAX_PHI, _MAX_PHI))


def recolour(innovations: Floats, phi: float) -> Floats:
    """Return the AR(1) series x_t = phi x_(t-1) + e_t for `innovations` e, [B, T + 50]; the first 50 are dropped."""
    x = np.ascontiguousarray(innovations.T)
    for t in range(1, len(x)):
        x[t] += phi * x[t - 1]
    return np.ascontiguousarray(x[_SETTLE:].T)


def resample(x: Floats, phi: float, size: int, count: int, rng: np.random.Generator) -> Floats:
    """Return `count` series of `size` steps that are like `x` ([T]) but stationary: prewhitened moving blocks."""
    innovations = x[1:] - phi * x[:-1]
    innovations = innovations - np.mean(innovations)
    length = size + _SETTLE
    blocks = -(-length // BLOCK)
    starts = rng.integers(0, innovations.size - BLOCK + 1, size=(count, blocks))
    picked = innovations[starts[:, :, None] + np.arange(BLOCK)].reshape(count, -1)
    return recolour(picked[:, :length], phi)


def gaussian(size: int, phi: float, count: int, rng: np.random.Generator) -> Floats:
    """Return `count` Gaussian AR(1) series, [count, size]."""
    return recolour(rng.standard_normal((count, size + _SETTLE)), phi)


def largest(r: Floats) -> Floats:
    """Return max abs(r) over its robust standard deviation along the last axis: an excursion, in sigmas."""
    return np.asarray(np.max(np.abs(r), axis=-1) / (MAD_TO_SIGMA * mad(r)))


def tail_stretch(r: Floats) -> float:
    """Return how much longer the tails of `r`, [T], are than a normal distribution's, at least 1.

    It is the distance between the 90 % and the 97.5 % quantile of abs(r), in robust standard deviations, over that of
    a normal distribution. A handful of spikes does not move it.
    """
    near, far = np.quantile(np.abs(r), (0.9, 0.975)) / (MAD_TO_SIGMA * mad(r))
    return max(1.0, float(far - near) / (_FAR - TAIL))


def growth(r: Floats) -> Floats:
    """Return the log ratio of the MAD in the second half to that in the first, along the last axis."""
    half = r.shape[-1] // 2
    return np.asarray(np.log(mad(r[..., half:]) / mad(r[..., :half])))


def swing(r: Floats) -> Floats:
    """Return atanh of the lag-1 correlation of the differences of `r`, [..., T], along the last axis.

    The correlation is -1 where the series swings to and fro from step to step, -1/2 for white noise, about 0 for a
    smooth series; its atanh has the same scatter everywhere (Fisher 1915).
    """
    steps = np.diff(r, axis=-1)
    power = np.sum(steps**2, axis=-1)
    correlation = np.sum(steps[..., 1:] * steps[..., :-1], axis=-1) / np.where(power > 0, power, 1.0)
    return np.asarray(np.arctanh(np.clip(correlation, -_SWING_END, _SWING_END)))


def remove_step(y: Floats, peak: npt.NDArray[np.intp], basis: Floats) -> Floats:
    """Return `y`, [..., T], less its least-squares fit by `basis` and a step after index `peak`, [...], together."""
    y = remove_trend(y, basis)
    step = remove_trend((np.arange(y.shape[-1]) > np.asarray(peak)[..., None]).astype(np.float64), basis)
    height = np.sum(y * step, axis=-1, keepdims=True) / np.sum(step**2, axis=-1, keepdims=True)
    return np.asarray(y - height * step)


def cusum(y: Floats, basis: Floats) -> tuple[Floats, npt.NDArray[np.intp]]:
    """Return the autocorrelation-robust CUSUM of `y`, [..., T], less its trend, and where it peaks.

    D = max_t abs(sum_(i <= t) u_i) / (s sqrt(T)), u the residual of the fit by the orthonormal `basis`, [T, k]
    (a constant is in its span), s^2 = sigma_e^2 / (1 - phi)^2 the long-run variance of an AR(1) process, estimated
    with a step at the peak fitted too: a real step would otherwise pass for correlation and hide itself. The peak is
    the last index before the change.
    """
    sums = np.abs(np.cumsum(remove_trend(y, basis), axis=-1))[..., :-1]
    peak = np.argmax(sums, axis=-1)
    height = np.take_along_axis(sums, peak[..., None], axis=-1)[..., 0]
    rest = remove_step(y, peak, basis)
    phi = lag_one(rest)
    noise = rest[..., 1:] - phi[..., None] * rest[..., :-1]
    long_run = np.sqrt(np.mean(noise**2, axis=-1)) / (1 - phi)
    return height / (long_run * np.sqrt(y.shape[-1])), peak


def jump(y: Floats, at: int, window: int = 51) -> float:
    """Return the median of `y`, [T], over the `window` values from index `at` on, less that over those before it."""
    return float(np.median(y[at : at + window]) - np.median(y[max(at - window, 0) : at]))


def p_value(statistic: float, null: Floats) -> float:
    """Return the one-sided bootstrap p-value: the share at least as large of `null` and the statistic itself."""
    return float((1 + np.count_nonzero(null >= statistic)) / (1 + null.size))
