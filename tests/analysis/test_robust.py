import numpy as np
import pytest

from optiscope.analysis import robust


def test_the_running_median_of_a_line_is_the_line_inside_and_held_at_the_ends():
    x = np.arange(100.0)
    smooth = robust.running_median(x, 51)
    np.testing.assert_array_equal(smooth[25:75], x[25:75])
    assert np.all(smooth[:25] == 25)
    assert np.all(smooth[75:] == 74)


def test_the_running_median_ignores_a_spike():
    x = np.zeros(80)
    x[40] = 1e6
    assert not robust.running_median(x, 51).any()


def test_a_short_series_has_one_median():
    np.testing.assert_array_equal(robust.running_median(np.array([3.0, 1.0, 2.0]), 51), [2, 2, 2])
    assert robust.running_median(np.empty(0), 51).size == 0


def test_an_even_window_is_refused():
    with pytest.raises(ValueError, match="odd"):
        robust.running_median(np.zeros(9), 4)


def test_coarse_residuals_with_stride_one_are_the_residuals():
    x = np.random.default_rng(0).standard_normal((3, 120))
    expected = [(row - robust.running_median(row, 51))[25:-25] for row in x]
    np.testing.assert_allclose(robust.coarse_residual(x, 51, 1), expected, atol=1e-14)


def test_the_mad_of_normal_noise_is_its_standard_deviation():
    x = 3 * np.random.default_rng(0).standard_normal(200_000)
    assert robust.MAD_TO_SIGMA * float(robust.mad(x)) == pytest.approx(3, rel=0.01)


def test_a_log_trend_is_removed_whole():
    t = np.arange(50, 400.0)
    rest = robust.remove_trend(7 - 3 * np.log(t), robust.log_trend(t))
    np.testing.assert_allclose(rest, 0, atol=1e-11)


@pytest.mark.parametrize("phi", [-0.5, 0.0, 0.5, 0.9])
def test_the_lag_one_correlation_is_unbiased(phi):
    x = robust.gaussian(200, phi, 1000, np.random.default_rng(3))
    x -= x.mean(axis=1, keepdims=True)  # which biases the plain estimate by -0.0185 at 0.9
    assert np.mean(robust.lag_one(x)) == pytest.approx(phi, abs=0.006)


@pytest.mark.parametrize("phi", [0.0, 0.9])
def test_resampled_series_keep_variance_and_correlation(phi):
    x = robust.gaussian(4000, phi, 1, np.random.default_rng(4))[0]
    again = robust.resample(x, phi, 1000, 200, np.random.default_rng(5))
    assert again.shape == (200, 1000)
    assert np.mean(robust.lag_one(again)) == pytest.approx(phi, abs=0.03)
    assert np.std(again) == pytest.approx(np.std(x), rel=0.1)


def constant(size):
    return np.full((size, 1), size**-0.5)


def test_a_trend_and_a_step_are_removed_together():
    t = np.arange(50, 400.0)
    y = 7 - 3 * np.log(t) + 5 * (t >= 200)
    rest = robust.remove_step(y, np.array(149), robust.log_trend(t))
    np.testing.assert_allclose(rest, 0, atol=1e-10)


def test_cusum_finds_where_a_step_is():
    y = np.random.default_rng(6).standard_normal(300)
    y[180:] += 2
    statistic, peak = robust.cusum(y, constant(300))
    assert 175 <= int(peak) <= 183
    assert float(statistic) > 3


@pytest.mark.parametrize("phi", [0.0, 0.6])
def test_cusum_of_noise_follows_the_brownian_bridge(phi):
    # sup of the absolute Brownian bridge: median 0.828, 95 % quantile 1.358 (Kolmogorov)
    y = robust.gaussian(2000, phi, 1000, np.random.default_rng(7))
    statistic, _ = robust.cusum(y, constant(2000))
    assert np.median(statistic) == pytest.approx(0.828, rel=0.04)
    assert np.quantile(statistic, 0.95) == pytest.approx(1.358, rel=0.05)


def test_growth_and_largest_by_hand():
    r = np.concatenate([np.tile([-1.0, 1.0], 50), np.tile([-3.0, 3.0], 50)])
    assert float(robust.growth(r)) == pytest.approx(np.log(3))
    spiked = np.append(np.tile([-1.0, 1.0], 50), [8.0, -7.0])
    assert float(robust.largest(spiked)) == pytest.approx(8 / 1.4826, rel=1e-6)


def test_a_p_value_counts_the_statistic_itself():
    assert robust.p_value(10.0, np.arange(9.0)) == 0.1
    assert robust.p_value(-1.0, np.arange(9.0)) == 1.0


def test_tails_are_stretched_only_where_they_are_longer_than_normal():
    rng = np.random.default_rng(8)
    assert robust.tail_stretch(rng.standard_normal(100_000)) == pytest.approx(1, abs=0.03)
    assert robust.tail_stretch(rng.uniform(-1, 1, 10_000)) == 1
    # Laplace: quantiles of the absolute value are ln 10 and ln 40, the MAD is ln 2
    expected = np.log(4) / (1.4826 * np.log(2)) / (2.2414 - 1.6449)
    assert robust.tail_stretch(rng.laplace(size=100_000)) == pytest.approx(expected, rel=0.03)


def test_a_few_spikes_do_not_stretch_the_tails():
    r = np.random.default_rng(9).standard_normal(300)
    before = robust.tail_stretch(r)
    r[[100, 150]] = 1000
    assert robust.tail_stretch(r) < before + 0.5


def test_a_jump_is_the_difference_of_medians_on_both_sides():
    y = np.concatenate([np.full(100, 2.0), np.full(100, 5.0)])
    assert robust.jump(y, 100) == 3
    assert robust.jump(y, 150) == 0
    assert robust.jump(y, 10) == 0
