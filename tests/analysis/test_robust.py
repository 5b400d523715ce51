import numpy as np
import pytest

from optiscope.analysis import robust


@pytest.mark.parametrize("size", [1, 2, 5, 6, 51, 400])
def test_the_median_is_numpys_to_the_last_bit(size):
    rng = np.random.default_rng(size)
    drawn = rng.standard_normal((40, size)) * 10.0 ** rng.integers(-300, 300, (40, 1))
    special = rng.choice([np.inf, -np.inf, np.nan, 0.0, -1.0, 1.0], (80, size), p=[0.1, 0.1, 0.02, 0.2, 0.38, 0.2])
    with np.errstate(invalid="ignore"):  # the middle of both infinities
        for x in (drawn, special, drawn[:, ::-1], np.lib.stride_tricks.sliding_window_view(special, 3, axis=0)):
            np.testing.assert_array_equal(robust.median(x), np.median(x, axis=-1))
    np.testing.assert_array_equal(robust.median(drawn[0]), np.median(drawn[0]))


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


def test_a_p_value_counts_the_statistic_itself():
    assert robust.p_value(10.0, np.arange(9.0)) == 0.1
    assert robust.p_value(-1.0, np.arange(9.0)) == 1.0


def test_the_scale_of_normal_noise_is_its_standard_deviation_and_spikes_hardly_move_it():
    x = 3 * np.random.default_rng(1).standard_normal((4, 100_000))
    assert robust.scale(x) == pytest.approx([3, 3, 3, 3], rel=0.01)
    x = x[0, :300]
    before = float(robust.scale(x))
    x[[50, 200]] = 1e6
    assert float(robust.scale(x)) == pytest.approx(before, rel=0.03)


def test_the_scale_scatters_two_thirds_as_much_as_the_mad():
    x = np.random.default_rng(2).standard_normal((4000, 150))
    assert np.std(np.log(robust.scale(x))) / np.std(np.log(robust.mad(x))) == pytest.approx(2 / 3, abs=0.07)


def test_growth_by_hand():
    r = np.concatenate([np.tile([-1.0, 1.0], 50), np.tile([-3.0, 3.0], 50)])
    assert float(robust.growth(r)) == pytest.approx(np.log(3))
