import numpy as np
import pytest

from optiscope.analysis import collapse
from optiscope.analysis.collapse import remains, steepest
from optiscope.analysis.thresholds import LIMITS

CHANCE = np.full(400, np.log(10))


def spread(start, middle, end, n=400):
    return np.interp(np.arange(n), [0, n // 8, n // 4, n // 4 + 1, n], [start, middle, middle, end, end])


@pytest.mark.parametrize(
    ("iqr", "result"),
    [
        (spread(0.5, 5.0, 0.3), "fail"),
        (spread(50.0, 20.0, 0.0), "fail"),
        (spread(0.5, 5.0, 5.5), "pass"),
        (spread(0.5, 5.0, 2.0), "pass"),
        (spread(0.4, 0.4, 0.5), "pass"),
        (spread(0.85, 0.45, 0.4), "pass"),
        (np.zeros(400), "fail"),
    ],
)
def test_a_spread_that_fell_to_little_is_a_collapse(iqr, result):
    assert collapse(iqr, CHANCE).result == result


def test_a_spread_that_fades_is_none_and_one_that_breaks_down_is():
    fading = np.exp(np.interp(np.arange(400), [0, 50, 200, 400], [0, 0, -3, -3]))  # by 0.2 within ten steps
    assert steepest(fading) == pytest.approx(0.2)
    assert collapse(fading, CHANCE).result == "pass"
    broken = np.repeat([1.0, np.exp(-LIMITS.fall - 0.01)], [100, 300]) * 0.5
    assert steepest(broken) == pytest.approx(LIMITS.fall + 0.01)
    assert collapse(broken, CHANCE).result == "fail"
    assert steepest(np.repeat([1.0, 0.0], [300, 100])) == np.inf


def test_a_collapse_says_since_when():
    iqr = np.full(400, 5.0)
    iqr[200:] = 0.1
    found = collapse(iqr, CHANCE)
    assert (found.kind, found.first_step) == ("collapsed", 201)
    assert found.statistic == pytest.approx(0.1 * 0.1 / 5)


def test_what_is_left_is_the_spread_at_the_end_times_its_fall():
    assert remains(np.full(400, 0.9)) == pytest.approx(0.9)
    assert remains(np.repeat([1.0, 8.0, 2.0], [50, 300, 50])) == pytest.approx(2 * 2 / 8)
    assert remains(np.repeat([1.0, 9.0], 200)) == 9  # what grew has not fallen
    assert remains(np.zeros(400)) == 0
    level = np.sqrt(LIMITS.collapse * 4)  # after a peak of 4
    for factor, result in ((1.02, "pass"), (0.98, "fail")):
        assert collapse(np.repeat([4.0, factor * level], [100, 300]), CHANCE).result == result


@pytest.mark.parametrize(("lasted", "result"), [(199, "undecided"), (200, "fail")])
def test_what_is_dead_may_come_back_for_so_long(lasted, result):
    found = collapse(np.repeat([4.0, 0.1], [400 - lasted, lasted]), CHANCE)
    assert (found.result, found.first_step) == (result, 401 - lasted)


def test_a_dead_network_whose_loss_had_shot_up_is_collapsed_though_its_loss_fell():
    iqr, loss = spread(300.0, 100.0, 0.05), CHANCE.copy()
    loss[:40] = 80
    assert collapse(iqr, loss).result == "fail"


def test_a_small_loss_is_no_collapse():
    assert collapse(spread(0.5, 5.0, 0.1), np.full(400, 0.05)).result == "pass"


@pytest.mark.parametrize(
    ("iqr", "loss"),
    [
        (np.empty(0), np.empty(0)),
        (np.ones(20), np.ones(20)),
        (np.ones(400), np.ones(399)),
        (np.append(np.ones(399), np.nan), np.ones(400)),
        (np.ones(400), np.append(np.ones(399), np.inf)),
    ],
)
def test_what_cannot_be_said_is_undecided(iqr, loss):
    assert collapse(iqr, loss).result == "undecided"
