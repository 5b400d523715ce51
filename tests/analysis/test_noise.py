import numpy as np
import pytest

from optiscope.analysis.noise import (
    Noise,
    burg,
    colour,
    order_of,
    predictor,
    reflections,
    tail_weight,
    unbiased,
    whiten,
)


def drawn(a, size=4000, count=1, h=0.0, seed=0):
    return Noise(a=np.array(a), h=h).draw(size, count, np.random.default_rng(seed))


@pytest.mark.parametrize(
    ("k", "a"), [([], []), ([0.5], [0.5]), ([0.6, 0.3], [0.6 * (1 - 0.3), 0.3]), ([0.8, -0.5], [1.2, -0.5])]
)
def test_the_predictor_of_reflection_coefficients_by_hand(k, a):
    np.testing.assert_allclose(predictor(np.array(k)), a)


@pytest.mark.parametrize("a", [[], [0.9], [-0.4], [1.2, -0.6], [0.3, 0.2, 0.1]])
def test_the_coefficients_of_long_series_are_found_for_one_and_for_many(a):
    x = drawn(a, 20_000, 2)
    found = burg(x, len(a))
    np.testing.assert_allclose(found, [a, a], atol=0.03)
    np.testing.assert_array_equal(found[1], burg(x[1], len(a)))


def test_a_pure_swing_is_predicted_and_nothing_is_divided_by_zero():
    assert burg((-1.0) ** np.arange(50), 1) == pytest.approx(-1, abs=1e-5)
    assert not burg(np.zeros(50), 3).any()


@pytest.mark.parametrize("a", [[], [0.9], [1.2, -0.6]])
def test_whitening_takes_out_what_colouring_put_in(a):
    e = np.random.default_rng(1).standard_normal((3, 500))
    np.testing.assert_allclose(whiten(colour(e, np.array(a)), np.array(a)), e[:, len(a) :], atol=1e-12)


def test_a_coloured_impulse_is_the_impulse_response():
    impulse = (np.arange(200) == 10).astype(float)
    np.testing.assert_allclose(colour(impulse, np.array([0.8]))[10:], 0.8 ** np.arange(190), atol=1e-12)


def test_order_zero_is_taken_for_white_noise_and_two_for_two_lags():
    def orders(a):
        return [order_of(x) for x in drawn(a, 400, 40, seed=2)]

    assert np.median(orders([])) == 0
    assert np.median(orders([0.5, 0.3])) == 2
    assert min(orders([0.5, 0.3])) >= 1


@pytest.mark.parametrize("phi", [-0.5, 0.0, 0.5, 0.9])
def test_the_lag_one_correlation_is_unbiased(phi):
    x = drawn([phi], 200, 1500, seed=3)
    x -= x.mean(axis=1, keepdims=True)  # which biases the plain estimate by -0.0185 at 0.9
    found = [unbiased(k, 200)[0] for k in reflections(x, 1)]
    assert np.mean(found) == pytest.approx(phi, abs=0.008)


@pytest.mark.parametrize("h", [0.0, 0.1, 0.3])
def test_the_tail_weight_of_what_is_drawn_is_that_of_the_model(h):
    assert tail_weight(drawn([], 60_000, h=h)[0]) == pytest.approx(h, abs=0.015)


def test_short_tails_have_none_and_a_spike_or_two_give_none():
    rng = np.random.default_rng(4)
    assert tail_weight(rng.uniform(-1, 1, 10_000)) == 0
    r = rng.standard_normal(300)
    before = tail_weight(r)
    r[[100, 150]] = 1000
    assert tail_weight(r) < before + 0.05


def test_what_is_drawn_has_the_correlation_of_the_model():
    x = drawn([0.9], 2000, 200, seed=5)
    assert x.shape == (200, 2000)
    assert np.std(x) == pytest.approx((1 - 0.81) ** -0.5, rel=0.03)
    assert np.mean(x[:, 1:] * x[:, :-1]) / np.mean(x**2) == pytest.approx(0.9, abs=0.01)
