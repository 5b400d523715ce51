import itertools
import math

import numpy as np
import pytest

from optiscope.analysis import (
    beta_cdf,
    beta_quantile,
    fewest_deciding,
    jeffreys,
    mean_interval,
    median_interval,
    rise_interval,
    rise_p_value,
)


@pytest.mark.parametrize("x", [0.001, 0.2, 0.5, 0.77, 0.999])
def test_the_beta_cdf_agrees_with_closed_forms(x):
    assert beta_cdf(x, 1, 1) == pytest.approx(x, rel=1e-12)
    assert beta_cdf(x, 3, 1) == pytest.approx(x**3, rel=1e-12)
    assert beta_cdf(x, 1, 4) == pytest.approx(1 - (1 - x) ** 4, rel=1e-12)
    assert beta_cdf(x, 0.5, 0.5) == pytest.approx(2 / math.pi * math.asin(math.sqrt(x)), rel=1e-12)


@pytest.mark.parametrize(("k", "n"), [(1, 5), (7, 10), (40, 100), (400, 1000)])
@pytest.mark.parametrize("p", [0.05, 0.4, 0.9])
def test_the_beta_cdf_is_a_binomial_tail(k, n, p):
    tail = math.fsum(math.comb(n, i) * p**i * (1 - p) ** (n - i) for i in range(k, n + 1))
    assert beta_cdf(p, k, n - k + 1) == pytest.approx(tail, rel=1e-9, abs=1e-14)


@pytest.mark.parametrize(("a", "b"), [(0.5, 0.5), (0.5, 20.5), (3, 7), (200.5, 0.5)])
@pytest.mark.parametrize("p", [0.0, 0.025, 0.5, 0.975, 1.0])
def test_the_quantile_inverts_the_cdf(a, b, p):
    assert beta_cdf(beta_quantile(p, a, b), a, b) == pytest.approx(p, abs=1e-9)


@pytest.mark.parametrize(("n", "bound"), [(3, 0.54), (5, 0.38), (10, 0.22), (20, 0.12), (30, 0.08)])
def test_none_in_n_still_leaves_an_upper_bound(n, bound):
    low, high = jeffreys(0, n)
    assert low == 0
    assert round(high, 2) == bound


@pytest.mark.parametrize(("confidence", "fewest"), [(0.5, 1), (0.63, 1), (0.64, 2), (0.9, 3), (0.95, 4), (0.99, 6)])
def test_so_many_have_to_agree(confidence, fewest):
    """P(B < 0.5) of Beta(1/2, n + 1/2) is 0.8183, 0.9244, 0.9669, 0.9850, 0.9931, 0.9968 for n = 1 to 6 (DLMF 8.17)."""
    assert fewest_deciding(confidence) == fewest


def test_jeffreys_is_symmetric_and_knows_its_ends():
    low, high = jeffreys(3, 10)
    other_low, other_high = jeffreys(7, 10)
    assert (low, high) == (pytest.approx(1 - other_high), pytest.approx(1 - other_low))
    assert jeffreys(5, 5)[1] == 1
    assert jeffreys(0, 0) == (0, 1)


def test_jeffreys_agrees_with_a_published_value():
    # Brown, Cai, DasGupta 2001, table 5: n = 10, x = 3, 95 %
    assert jeffreys(3, 10) == (pytest.approx(0.093, abs=5e-4), pytest.approx(0.606, abs=5e-4))


@pytest.mark.parametrize(("k", "n", "confidence"), [(-1, 3, 0.95), (4, 3, 0.95), (1, 3, 0.0), (1, 3, 1.0)])
def test_jeffreys_refuses_nonsense(k, n, confidence):
    with pytest.raises(ValueError, match=r"must lie|lies between"):
        jeffreys(k, n, confidence)


@pytest.mark.parametrize(("a", "b", "p"), [(0, 1, 0.5), (1, -1, 0.5), (1, 1, 1.5)])
def test_the_quantile_refuses_nonsense(a, b, p):
    with pytest.raises(ValueError, match=r"beta distribution|probability"):
        beta_quantile(p, a, b)


@pytest.mark.parametrize("n", [6, 11, 40, 2000])
def test_the_interval_on_a_median_covers_it(n):
    rng = np.random.default_rng(n)
    bounds = np.array([median_interval(rng.exponential(size=n)) for _ in range(400)])
    covered = np.mean((bounds[:, 0] <= math.log(2)) & (bounds[:, 1] >= math.log(2)))
    assert 0.93 <= covered <= (0.995 if n < 20 else 0.975)


def test_few_values_give_their_range():
    assert median_interval(np.array([3.0, 1.0, 2.0])) == (1.0, 3.0)


def test_the_tasting_of_tea():
    """Fisher 1935: three of four cups told right among eight; 17 of 70 ways are as good or better."""
    assert rise_p_value((1, 4), (3, 4)) == pytest.approx(17 / 70)
    assert rise_p_value((0, 4), (4, 4)) == pytest.approx(1 / 70)


@pytest.mark.parametrize(("before", "after"), [((0, 3), (0, 3)), ((2, 2), (5, 5)), ((0, 0), (3, 3)), ((1, 2), (0, 0))])
def test_what_did_not_rise_has_no_small_p_value(before, after):
    assert rise_p_value(before, after) == 1


def test_the_p_value_counts_every_way_to_share_out_the_successes():
    for was, now in itertools.product(range(4), range(6)):
        cells = [1] * (was + now) + [0] * (8 - was - now)
        ways = [sum(after) for after in itertools.combinations(cells, 5)]
        assert rise_p_value((was, 3), (now, 5)) == pytest.approx(np.mean([count >= now for count in ways]))


def test_the_interval_of_a_rise_holds_it_and_turns_round():
    rise, low, high = rise_interval((1, 10), (6, 10))
    assert (rise, low < rise < high) == (0.5, True)
    back = rise_interval((6, 10), (1, 10))
    assert back == (pytest.approx(-rise), pytest.approx(-high), pytest.approx(-low))
    assert low == pytest.approx(0.5 - math.hypot(0.6 - jeffreys(6, 10)[0], jeffreys(1, 10)[1] - 0.1))
    assert rise_interval((0, 0), (3, 3)) == (0, -1, 1)


def test_the_interval_of_a_rise_covers_the_truth():
    """Exactly, by summing over all outcomes of two sides of five runs: 95 % on average, never less than 90 %."""
    n, grid = 5, np.linspace(0.02, 0.98, 9)
    inside = {(k, m): rise_interval((k, n), (m, n)) for k in range(n + 1) for m in range(n + 1)}
    chance = {p: [math.comb(n, k) * p**k * (1 - p) ** (n - k) for k in range(n + 1)] for p in grid}
    covered = [
        sum(chance[p][k] * chance[q][m] for (k, m), (_, low, high) in inside.items() if low <= q - p <= high)
        for p, q in itertools.product(grid, grid)
    ]
    assert np.mean(covered) == pytest.approx(0.95, abs=0.015)
    assert min(covered) > 0.9


@pytest.mark.parametrize(("n", "quantile"), [(2, 12.7062), (3, 4.30265), (10, 2.26216), (31, 2.04227)])
def test_the_interval_of_a_mean_is_students(n, quantile):
    """Quantiles of t from the tables."""
    values = np.linspace(-1, 2, n)
    mean, low, high = mean_interval(values)
    half = quantile * values.std(ddof=1) / math.sqrt(n)
    assert (mean, low, high) == (pytest.approx(0.5), pytest.approx(0.5 - half, rel=1e-5), pytest.approx(0.5 + half))


def test_one_value_has_no_interval():
    assert mean_interval(np.array([3.0])) == (3.0, -math.inf, math.inf)
