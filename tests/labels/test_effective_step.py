import itertools
import math

import numpy as np
import pytest

from optiscope.labels.effective_step import Point, boundary_exponent, effective_step

SIZES, LRS = (50, 100, 150, 200), (0.001, 0.002, 0.004)


def points(behaviour, seeds=4, noise=0.05):
    rng = np.random.default_rng(3)
    cells = itertools.product(SIZES, LRS, range(seeds))
    return [Point(size, lr, behaviour(size, lr) + noise * rng.standard_normal()) for size, lr, _ in cells]


def test_a_behaviour_of_the_product_alone_is_an_effect_of_the_effective_step():
    found = effective_step(points(lambda size, lr: np.log(size * lr)))
    assert found.says == "effective step"
    assert found.along == pytest.approx(found.seeds, rel=0.2)
    assert found.share_interval[1] < 0.2
    # at the same lr two batch sizes differ by the log of their ratio
    assert found.across == pytest.approx(
        np.mean([np.log(b / a) for a, b in itertools.combinations(SIZES, 2)]), rel=0.05
    )


def test_a_behaviour_of_the_learning_rate_alone_is_more_than_the_step():
    assert effective_step(points(lambda size, lr: np.log(lr))).says == "more than the step"


def test_a_batch_size_that_acts_by_itself_as_well_is_told_of():
    assert effective_step(points(lambda size, lr: np.log(size * lr) - 0.2 * np.log(size))).says == "partly"


def test_noise_alone_decides_nothing():
    assert effective_step(points(lambda size, lr: 0.0)).says == "undecided"


def test_what_cannot_be_compared_is_none():
    found = effective_step([Point(50, 0.1, 1.0), Point(100, 0.2, 2.0), Point(50, 0.1, np.nan)])
    assert (found.seeds, found.along, found.across, found.share, found.says) == (None, None, None, None, "undecided")
    assert effective_step([]).says == "undecided"


def test_the_same_runs_give_the_same_numbers():
    runs = points(lambda size, lr: np.log(size * lr))
    assert effective_step(runs) == effective_step(runs)


def verdicts(k, seeds=4, width=0.15, rng=None):
    """Runs that are unstable beyond lr (B / 100)^k = 0.0021, with chance around it."""
    rng = rng or np.random.default_rng(5)
    found = []
    for size, lr, _ in itertools.product(SIZES, LRS, range(seeds)):
        p = 1 / (1 + np.exp(-np.log(lr * (size / 100) ** k / 0.0021) / width))
        found.append((size, lr, "unstable" if rng.random() < p else "stable"))
    return found


@pytest.mark.parametrize(
    ("k", "says"), [(1.0, "effective step"), (0.5, "partly"), (0.0, "no effect"), (1.6, "more than the step")]
)
def test_the_exponent_that_verdicts_were_made_with_is_found(k, says):
    found = boundary_exponent(verdicts(k, seeds=20))
    assert found.says == says
    assert found.low < k < found.high
    assert found.high - found.low < 0.8
    assert (found.odds > 1) == (k > 0.5) or k == 0.5


def test_the_interval_holds_the_exponent_as_often_as_it_says():
    rng, held = np.random.default_rng(8), []
    for _ in range(20):
        k = rng.uniform(0, 1.5)
        found = boundary_exponent(verdicts(k, rng=rng))
        held.append(found.low <= k <= found.high)
    assert np.mean(held) >= 0.85


@pytest.mark.parametrize(
    ("runs", "why"),
    [
        ([], "no run was decided"),
        ([(50, 0.1, "undecided"), (100, 0.1, "undecided")], "no run was decided"),
        ([(50, 0.1, "stable"), (50, 0.2, "unstable")], "every run that was decided has batch size 50"),
        ([(50, 0.1, "stable"), (100, 0.1, "undecided")], "every run that was decided has batch size 50"),
        ([(50, 0.1, "stable"), (100, 0.1, "stable"), (100, 0.2, "undecided")], "no run was unstable"),
        ([(50, 0.1, "unstable"), (100, 0.1, "unstable")], "no run was stable"),
    ],
)
def test_runs_that_tell_nothing_of_the_boundary_are_told_why(runs, why):
    found = boundary_exponent(runs)
    assert (found.k, found.says) == (None, "undecided")
    assert found.told == f"The verdicts do not tell, as {why}."


def test_ratios_that_may_be_infinite_have_an_interval_without_nan():
    """As where seeds agree, and some draws of cells have nothing at equal lr to compare with."""
    found = effective_step([Point(size, lr, float(size * lr > 0.15)) for size in SIZES for lr in LRS])
    assert not np.isnan(found.share_interval).any()


def test_odds_that_no_float_holds_are_told_all_the_same():
    runs = [(50, 0.1, "unstable"), (50, 0.05, "stable"), (200, 0.025, "stable"), (200, 0.03, "unstable")]
    found = boundary_exponent(runs * 2000)
    assert found.odds == math.inf
    assert "is over 1,000,000 times as likely as k = 0" in found.told
