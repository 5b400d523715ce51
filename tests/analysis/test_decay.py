"""The rule on runs whose end is known: geometric series, oscillations, noise."""

import numpy as np
import pytest

from optiscope.analysis import decay

STEPS = np.arange(400)


def geometric(lr, curvature=1.0):
    """The losses of gradient descent on a quadratic, from w = 1, computed in logarithms."""
    with np.errstate(under="ignore", over="ignore"):
        return curvature / 2 * np.exp(2 * STEPS * np.log(abs(1 - lr * curvature)))


@pytest.mark.parametrize("side", [0.3, 0.9, 0.97, 0.996])
def test_what_shrinks_decays(side):
    assert decay(geometric(2 * side)).result == "pass"


@pytest.mark.parametrize("side", [1.005, 1.05, 1.5])
def test_what_grows_does_not(side):
    found = decay(geometric(2 * side))
    assert (found.result, found.kind) == ("fail", "grows")


def test_at_the_limit_and_far_below_it_nothing_can_be_said():
    assert decay(geometric(2.0)).result == "undecided"
    assert decay(geometric(1e-4)).result == "undecided"
    assert decay(geometric(1.1)[:20]).result == "undecided"


def test_the_minimum_reached_at_once_is_rest():
    loss = np.zeros(400)
    loss[0] = 0.5
    assert decay(loss).result == "pass"


@pytest.mark.parametrize("size", [1e-5, 1.0, 50.0])
def test_a_bounded_oscillation_is_not_rest(size):
    loss = size * (1 + 0.5 * np.sin(STEPS)) ** 2
    loss[0] = 1.0
    found = decay(loss)
    assert (found.result, found.kind) == ("fail", "oscillates")


def test_a_loss_that_was_not_finite_grew():
    assert decay(np.array([1.0, 2.0, np.inf])).kind == "grows"
    assert decay(np.array([1.0, 2.0]), diverged=True).kind == "grows"


def test_what_noise_leaves_is_rest():
    rng = np.random.default_rng(0)
    floor = 1e-4
    loss = 0.5 * 0.9**STEPS + 10 * floor * rng.chisquare(1, 400)
    assert decay(loss).kind == "oscillates"
    assert decay(loss, noise_floor=floor).result == "pass"


def test_a_loss_that_noise_tilts_below_zero_is_read_by_its_size():
    loss = geometric(1.5)
    loss[50:] = np.where(np.arange(350) % 2, -1e-18, 1e-18)
    assert decay(loss, noise_floor=1e-18).result == "pass"


def test_the_finding_has_its_evidence():
    found = decay(geometric(1.8))
    assert (found.name, found.rule_version, found.steps) == ("decay", "1", (1, 400))
    assert found.statistic < 1e-12
    assert "came to rest" in found.why
