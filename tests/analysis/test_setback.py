import numpy as np
import pytest

from optiscope.analysis import setback

U = 2.0


def training(n=400):
    """A loss without noise that falls from U to a tenth of it within a hundred steps, and stays there."""
    return U * np.interp(np.arange(n), [0, 9, 100], [1, 1, 0.1])


@pytest.mark.parametrize("steps", [(1, 400), (50, 60), (300, 300)])
def test_what_only_falls_is_not_set_back(steps):
    assert setback(training(), steps).size == pytest.approx(0, abs=1e-12)


@pytest.mark.parametrize("height", [0.1, 0.5, 3.0])
def test_it_is_the_rise_in_units_of_the_untrained_loss(height):
    loss = training()
    loss[249:289] += height * U
    found = setback(loss, (260, 260))
    assert found.size == pytest.approx(height, abs=0.01)
    assert 250 <= found.step <= 289
    assert setback(loss, (260, 260), chance=U / 2).size == pytest.approx(2 * height, abs=0.02)
    assert setback(loss, (260, 260), chance=2 * U).size == pytest.approx(height, abs=0.01)
    larger = setback(1e3 * loss, (260, 260))  # the unit of the loss does not matter
    assert (larger.size, larger.step) == (pytest.approx(found.size), found.step)


@pytest.mark.parametrize(("steps", "seen"), [(12, False), (13, True)])
def test_half_a_window_is_the_shortest_that_is_seen(steps, seen):
    loss = training()
    loss[249 : 249 + steps] += 100 * U
    assert (setback(loss, (240, 260)).size > 1) == seen


def test_it_counts_where_the_alarm_is_give_or_take_25_steps():
    loss = training()
    loss[249:289] += U  # the running median is up from step 250 on
    assert setback(loss, (200, 224)).size < 0.01
    assert setback(loss, (200, 230)).size > 0.9
    assert setback(loss, (310, 330)).size > 0.9
    assert setback(loss, (320, 330)).size < 0.01


def test_a_loss_that_never_comes_down_again_is_set_back_for_good():
    loss = training()
    loss[200:] = U
    assert setback(loss, (380, 400)).size == pytest.approx(0.9, abs=0.02)


@pytest.mark.parametrize("loss", [np.empty(0), np.zeros(400), np.full(400, np.nan), np.append(U, np.full(399, np.inf))])
def test_what_cannot_be_said_is_none(loss):
    assert setback(loss, (300, 310)) is None


def test_only_the_steps_before_the_first_that_is_not_finite_are_used():
    loss = training()
    loss[249:289] += U
    loss[350] = np.nan
    assert setback(loss, (260, 360)).size == pytest.approx(1, abs=0.01)
    assert setback(loss, (380, 390)) is None
