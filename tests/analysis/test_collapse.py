import numpy as np
import pytest

from optiscope.analysis import collapse

CHANCE = np.full(400, np.log(10))


def spread(start, middle, end, n=400):
    return np.interp(np.arange(n), [0, n // 4, n // 2, 5 * n // 8, n], [start, middle, middle, end, end])


@pytest.mark.parametrize(
    ("iqr", "result"),
    [
        (spread(0.5, 5.0, 0.3), "fail"),
        (spread(50.0, 20.0, 0.0), "fail"),
        (spread(0.5, 5.0, 5.5), "pass"),
        (spread(0.5, 5.0, 2.0), "pass"),
        (spread(0.4, 0.4, 0.5), "pass"),
        (spread(0.5, 0.45, 0.4), "pass"),
        (np.zeros(400), "fail"),
    ],
)
def test_a_spread_that_fell_to_little_is_a_collapse(iqr, result):
    assert collapse(iqr, CHANCE).result == result


def test_a_collapse_says_since_when():
    iqr = np.full(400, 5.0)
    iqr[200:] = 0.1
    found = collapse(iqr, CHANCE)
    assert (found.kind, found.first_step) == ("collapsed", 201)
    assert found.statistic == pytest.approx(0.1)


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
