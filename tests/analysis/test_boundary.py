"""The boundary against outcomes that are simulated: whether the interval holds what it promises."""

import math
import os

import numpy as np
import pytest

from optiscope.analysis import Trial, locate, next_lrs, unstable_share

LIMITS = (1e-8, 1e4)


def search(place, width, rng, max_runs=40, tolerance=0.05, undecided=0.0):
    """Search a boundary at log lr `place`; return what is known of it at the end, and the runs."""
    trials = []
    while len(trials) < max_runs and locate(trials).spread > tolerance:
        for lr in next_lrs(trials, 0.01, LIMITS):
            far = (math.log(lr) - place) / width if width else math.copysign(math.inf, math.log(lr) - place)
            outcome = "unstable" if rng.random() < 0.5 + 0.5 * math.tanh(far / 2) else "stable"
            trials.append(Trial(lr, "undecided" if rng.random() < undecided else outcome))
    return locate(trials), trials


TRIALS = int(os.environ.get("OPTISCOPE_TRIALS", "60"))


@pytest.mark.parametrize("undecided", [0.0, 0.2])
def test_intervals_of_90_percent_cover_at_least_85(undecided):
    """Searches of boundaries of all widths, a step among them; with OPTISCOPE_TRIALS, of more."""
    rng = np.random.default_rng(3)
    covered, errors = [], []
    for trial in range(TRIALS):
        place, width = rng.uniform(-6, 1), (0.0, 0.01, 0.03, 0.1)[trial % 4]
        found, _ = search(place, width, rng, undecided=undecided)
        covered.append(found.low <= math.exp(place) <= found.high)
        errors.append(math.log(found.lr) - place)
    print(f"{np.mean(covered):.3f} of {TRIALS} intervals cover")
    assert np.mean(covered) >= 0.85
    assert abs(np.median(errors)) <= 0.01


def test_a_step_is_bisected():
    for place in np.linspace(-5, 0, 7):
        found, trials = search(place, 0.0, np.random.default_rng(0), tolerance=0.01)
        assert len(trials) <= 34
        assert found.lr == pytest.approx(math.exp(place), rel=0.01)
        assert found.lr_5_percent == pytest.approx(found.lr, rel=0.01), "a step has no width"


def test_where_5_percent_are_unstable():
    """200 runs spread evenly over a boundary of width 0.2: 5 % lie log 19 widths below its middle."""
    rng = np.random.default_rng(5)
    lrs = np.exp(np.linspace(-1, 1, 200))
    shares = 1 / (1 + np.exp(-np.log(lrs) / 0.2))
    trials = [
        Trial(lr, "unstable" if rng.random() < share else "stable") for lr, share in zip(lrs, shares, strict=True)
    ]
    found = locate(trials)
    assert found.lr == pytest.approx(1.0, rel=0.1)
    assert math.log(found.lr_5_percent) == pytest.approx(-0.2 * math.log(19), abs=0.2)


def test_the_posterior_of_a_few_runs_is_that_of_an_integral():
    """Two runs, by brute force over a fine grid: uniform in b, prior weights w^0.5 on the widths."""
    trials = [Trial(1.0, "stable"), Trial(2.0, "unstable")]
    b = np.linspace(-math.log(4), math.log(8), 20_001)[:, None]
    w = np.geomspace(3e-4, 1, 13)
    with np.errstate(over="ignore"):
        mass = 1 / (1 + np.exp(-b / w)) / (1 + np.exp((b - math.log(2)) / w)) * w**0.5
        unstable = [np.sum(mass / (1 + np.exp(-(math.log(lr) - b) / w))) for lr in (1.2, 1.7)]
    below = np.cumsum(mass.sum(axis=1)) / mass.sum()
    found = locate(trials, 0.8)
    for value, p in ((found.low, 0.1), (found.lr, 0.5), (found.high, 0.9)):
        assert math.log(value) == pytest.approx(np.interp(p, below, b.ravel()), abs=0.02)
    assert unstable_share(trials, [1.2, 1.7]) == pytest.approx(unstable / mass.sum(), abs=0.02)
    assert unstable_share(trials[:1], [1.2, 1.7]) is None


def test_one_side_only_gives_one_bound():
    stable = locate([Trial(0.1, "stable"), Trial(0.4, "stable"), Trial(9.0, "undecided")])
    assert (stable.lr, stable.low, stable.high, stable.spread) == (None, 0.4, None, math.inf)
    unstable = locate([Trial(0.1, "unstable"), Trial(0.4, "unstable")])
    assert (unstable.lr, unstable.low, unstable.high) == (None, None, 0.1)
    assert locate([]).low is None


@pytest.mark.parametrize("confidence", [0.0, 1.0, -1, 2, math.nan])
def test_a_confidence_is_between_0_and_1(confidence):
    with pytest.raises(ValueError, match="confidence lies between 0 and 1"):
        locate([], confidence)


def test_the_search_goes_outwards_until_the_boundary_is_enclosed():
    assert next_lrs([], 0.01, LIMITS) == (0.01,)
    assert next_lrs([Trial(0.01, "stable")], 0.01, LIMITS) == (0.04,)
    assert next_lrs([Trial(0.01, "unstable")], 0.01, LIMITS) == (0.0025,)
    assert next_lrs([Trial(0.01, "undecided")], 0.01, LIMITS) == (0.0025, 0.04)


def test_it_stays_inside_the_limits_and_ends_there():
    assert next_lrs([Trial(0.01, "stable")], 0.01, (0.005, 0.02)) == (0.02,)
    assert next_lrs([Trial(0.01, "stable"), Trial(0.02, "stable")], 0.01, (0.005, 0.02)) == ()


def test_two_runs_a_round_on_both_sides():
    low, high = next_lrs([Trial(1.0, "stable"), Trial(4.0, "unstable")], 1.0, LIMITS)
    assert 1 < low < 2 < high < 4


def test_it_keeps_away_from_where_runs_are_undecided_and_ends_where_all_are():
    """A band without answers from 0.9 to 1.1: both of its edges are found, and then there is nothing left to do."""
    trials = []
    while lrs := next_lrs(trials, 0.5, LIMITS):
        assert len(trials) < 60
        trials += [Trial(lr, "stable" if lr < 0.9 else "unstable" if lr > 1.1 else "undecided") for lr in lrs]
    found = locate(trials)
    assert found.low < 0.95
    assert found.high > 1.05
    assert found.spread < 0.4


def test_lrs_have_six_digits():
    trials = [Trial(1.0, "stable"), Trial(3.0, "unstable")]
    for _ in range(4):
        for lr in next_lrs(trials, 1.0, LIMITS):
            assert float(f"{lr:.6g}") == lr
            trials.append(Trial(lr, "stable" if lr < math.e / 2 else "unstable"))
