import numpy as np
import pytest

from optiscope.analysis.noise import Noise
from optiscope.analysis.robust import log_trend
from optiscope.analysis.shift import MARGIN, best_step, local_height, shift

T = np.arange(101, 301.0)
TREND = log_trend(T)


def noise(a, seed, size=200):
    return Noise(a=np.array(a), h=0.0).draw(size, 1, np.random.default_rng(seed))[0]


def whitened(x, a):
    return x[len(a) :] - sum(c * x[len(a) - 1 - i : len(x) - 1 - i] for i, c in enumerate(a))


@pytest.mark.parametrize("a", [[], [0.7], [0.6, 0.2], [0.4, -0.3, 0.1]])
def test_the_best_step_is_that_of_least_squares_one_by_one(a):
    y = noise(a, 0) + 2 - 0.5 * np.log(T)
    fits = {}
    for first in range(max(MARGIN, len(a)), 200 - MARGIN + 1):
        design = np.stack([whitened(x, a) for x in (np.ones(200), np.log(T), np.arange(200.0) >= first)], axis=1)
        e = whitened(y, a)
        coefficients, (left,), *_ = np.linalg.lstsq(design, e, rcond=None)
        error = np.sqrt(left / (len(e) - 3) * np.linalg.inv(design.T @ design)[2, 2])
        fits[first] = abs(coefficients[2]) / error, coefficients[2]
    first = max(fits, key=lambda at: fits[at][0])
    found = best_step(y, TREND, np.array(a))
    assert int(found.first) == first
    assert (float(found.statistic), float(found.height)) == pytest.approx(fits[first])


def test_many_series_are_judged_as_each_alone():
    y = np.stack([noise([0.5], seed) for seed in range(3)])
    many = shift(y, TREND, 2)
    for i, one in enumerate(y):
        alone = shift(one, TREND, 2)
        assert float(many.statistic[i]) == pytest.approx(float(alone.statistic))
        assert many.first[i] == alone.first


def test_a_trend_and_a_step_leave_nothing():
    y = 7 - 3 * np.log(T) + 5.0 * (T >= 200)
    found = shift(y, TREND)
    assert (int(found.first), float(found.height)) == (99, pytest.approx(5))
    np.testing.assert_allclose(found.noise, 0, atol=1e-9)


@pytest.mark.parametrize(("phi", "height"), [(0.0, 1.5), (0.5, 2.0), (0.9, 3.0)])
def test_a_step_in_correlated_noise_is_found_where_it_is(phi, height):
    y = noise([phi], 2) * (1 - phi**2) ** 0.5 + height * (np.arange(200) >= 120)
    found = shift(y, TREND)
    assert int(found.first) == pytest.approx(120, abs=3)
    assert float(found.statistic) > 5


def test_a_large_step_does_not_pass_for_correlation():
    y = noise([], 3) + 10 * (np.arange(200) >= 80)
    found = shift(y, TREND)
    assert found.order == 0
    assert float(found.statistic) > 25  # a height of 10 has an error of about 0.25 beside the trend


def test_the_local_height_is_the_difference_of_means_in_white_noise():
    y = noise([], 4)
    assert local_height(y, 100, np.empty(0), 30) == pytest.approx(y[100:130].mean() - y[70:100].mean())
    assert local_height(y, 20, np.empty(0), 30) == pytest.approx(y[20:50].mean() - y[:20].mean())


def test_the_local_height_in_strong_correlation_is_near_the_jump_of_one_step():
    y = np.cumsum(np.random.default_rng(5).standard_normal(200))
    assert local_height(y, 100, np.array([0.999]), 30) == pytest.approx(y[100] - y[99], abs=0.3)
