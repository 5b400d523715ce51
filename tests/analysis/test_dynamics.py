"""Runs of which theory says what they do: quadratics, and regression with batches whose curvature is random."""

import numpy as np
import pytest

from optiscope.analysis import dynamics


@np.errstate(all="ignore")  # what grows leaves the range of numbers
def quadratic(spectrum, lr, steps=400, momentum=0.0, noise=0.0, seed=0):
    """Return loss and gradient norm of (heavy-ball) gradient descent from 1, in every coordinate."""
    rng, spectrum = np.random.default_rng(seed), np.asarray(spectrum, float)
    w, v = np.ones(spectrum.size), np.zeros(spectrum.size)
    loss, grad_norm = np.empty(steps), np.empty(steps)
    for t in range(steps):
        tilt = noise * rng.standard_normal(spectrum.size)
        loss[t] = spectrum @ (w * w) / 2 + tilt @ w
        grad = spectrum * w + tilt
        grad_norm[t] = np.linalg.norm(grad)
        v = momentum * v + grad
        w = w - lr * v
    return loss, grad_norm


def regression(lr, batch=10, dimension=10, steps=400, seed=0):
    """Return the loss of SGD on Gaussian inputs, new ones in every batch, targets 0."""
    rng, w, loss = np.random.default_rng(seed), np.ones(dimension), np.empty(steps)
    for t in range(steps):
        x = rng.standard_normal((batch, dimension))
        error = x @ w
        loss[t] = error @ error / 2 / batch
        w = w - lr * (x.T @ error) / batch
    return loss


def adam(lr, steps, beta2=0.9, epsilon=1e-8):
    """Return loss and gradient norm of Adam on w^2 / 2, with gradient noise of 1e-9 that keeps it off the minimum."""
    rng, w, m, v, loss, grad_norm = np.random.default_rng(0), 1.0, 0.0, 0.0, np.empty(steps), np.empty(steps)
    for t in range(steps):
        loss[t] = w * w / 2
        grad = w + 1e-9 * rng.standard_normal()
        grad_norm[t] = abs(grad)
        m, v = 0.9 * m + 0.1 * grad, beta2 * v + (1 - beta2) * grad * grad
        w -= lr * m / (1 - 0.9 ** (t + 1)) / (np.sqrt(v / (1 - beta2 ** (t + 1))) + epsilon)
    return loss, grad_norm


@pytest.mark.parametrize("momentum", [0.0, 0.5, 0.9, 0.99])
@pytest.mark.parametrize("spectrum", [[3.0], [0.03, 3.0], [0.1, 0.2, 3.0]])
@pytest.mark.parametrize(("factor", "kind"), [(0.3, "decaying"), (0.95, "decaying"), (1.05, "growing"), (2, "growing")])
def test_quadratics_on_either_side_of_their_limit(momentum, spectrum, factor, kind):
    lr = factor * 2 * (1 + momentum) / max(spectrum)
    assert dynamics(quadratic(spectrum, lr, momentum=momentum)[0]).kind == kind


def test_the_rate_is_the_slope_of_theory():
    found = dynamics(quadratic([1.0], 1.9)[0])
    assert found.rate == pytest.approx(2 * np.log(0.9))
    assert found.interval == pytest.approx((found.rate, found.rate))
    assert found.steps == (101, 400)


def test_a_run_at_its_limit_is_neither():
    assert dynamics(quadratic([1.0], 2.0)[0]).kind == "unclear"


@pytest.mark.parametrize(("factor", "kind"), [(0.5, "decaying"), (0.75, "decaying"), (1.4, "growing")])
@pytest.mark.parametrize("seed", range(5))
def test_random_curvature_is_judged_in_mean_square_below_and_almost_surely_above(factor, kind, seed):
    limit = 2 * 10 / (10 + 10 + 1)
    assert dynamics(regression(factor * limit, seed=seed)).kind == kind


def test_what_shrinks_while_its_mean_square_grows_is_unclear():
    found = dynamics(regression(1.15 * 2 / 3, batch=1, dimension=1, steps=1000))
    assert found.interval[0] < found.rate < 0 < found.interval[1]
    assert found.kind == "unclear"


@pytest.mark.parametrize(("lr", "kind"), [(1.9, "decaying"), (2.1, "growing")])
def test_gradient_noise_is_a_floor_and_no_oscillation(lr, kind):
    loss, grad_norm = quadratic([1.0], lr, noise=0.1)
    assert dynamics(loss, grad_norm=grad_norm, noise=0.1).kind == kind


def test_adam_settles_in_a_bounded_oscillation():
    loss, grad_norm = adam(1e-2, 4000)
    found = dynamics(loss, grad_norm=grad_norm, noise=1e-9)
    assert found.kind == "bounded oscillation"
    assert abs(found.rate) < 0.01


@pytest.mark.parametrize("steps", [1000, 3000])
@pytest.mark.parametrize("factor", [0.9, 0.99, 1.01, 1.1, 1.5, 10])
def test_adam_on_either_side_of_its_limit(steps, factor):
    """38 e at beta1 = 0.9; above it the oscillation may still be growing, and must not pass for a descent."""
    loss, grad_norm = adam(factor * 38 * 0.1, steps, epsilon=0.1)
    kind = dynamics(loss, grad_norm=grad_norm, noise=1e-9).kind
    assert kind == "decaying" if factor < 1 else kind in ("growing", "bounded oscillation")


def test_an_oscillation_that_is_reached_early_is_no_descent():
    """It settles in the first half, and what falls in the record as a whole is the way there."""
    descent = np.exp(-0.03 * np.arange(400))
    loss = np.maximum(descent, 1e-3) * (1 + 0.2 * np.sin(np.arange(400)))
    assert dynamics(loss).kind == "bounded oscillation"
    assert dynamics(descent * (1 + 0.2 * np.sin(np.arange(400)))).kind == "decaying"


@pytest.mark.parametrize("speed", [1e-5, 1e-3, 1e-2])
@pytest.mark.parametrize("seed", range(3))
def test_a_slow_descent_through_noise_is_no_oscillation(speed, seed):
    """Of the curvature of single examples: the loss goes up at every other step, and has not come from anywhere."""
    found = dynamics(regression(speed * 2 * 4 / 15, batch=4, seed=seed))
    assert found.kind in ("decaying", "unclear")


def test_adam_on_its_way_is_decaying():
    assert dynamics(adam(1e-4, 4000)[0]).kind == "decaying"


def test_the_minimum_need_not_be_zero():
    loss, _ = quadratic([1.0], 1.5)
    assert dynamics(loss + 7, minimum=7.0).kind == "decaying"
    assert dynamics(loss + 7).kind != "decaying"


def test_numbers_that_are_none_have_grown():
    loss, _ = quadratic([1.0], 2.1)
    loss[300:] = np.inf
    found = dynamics(loss)
    assert (found.kind, found.rate) == ("growing", None)
    assert "step 301" in found.why


@pytest.mark.parametrize(("factor", "kind"), [(0.99, "decaying"), (1.01, "growing")])
def test_sixty_steps_are_enough_near_the_limit(factor, kind):
    assert dynamics(quadratic([1.0], factor * 2, 60)[0]).kind == kind


@pytest.mark.parametrize("lr", [1.98, 1.99, 1.997])
def test_noise_that_is_amplified_near_the_limit_is_noise(lr):
    """Thirty times at a thousandth below it: the gradient's variance is s^2 / d at a distance of 2 d."""
    loss, grad_norm = quadratic([1.0], lr, steps=4000, noise=0.01)
    assert dynamics(loss, grad_norm=grad_norm, noise=0.01).kind == "decaying"


def test_a_run_that_has_reached_the_precision_of_its_numbers_has_come_down():
    """Also late, and at an uneven speed: here at 85 % of the run."""
    t = np.arange(400)
    rest = 1e-16 * (2 + np.sin(t))
    assert dynamics(np.exp(-36 * (t / 340) ** 4) + rest).kind == "decaying"
    burst = np.where((t > 150) & (t < 250), 1e-3, 0)
    assert dynamics(np.exp(-t / 4) + burst + rest).kind != "decaying"


@pytest.mark.parametrize("n", [0, 39])
def test_a_short_record_is_unclear(n):
    found = dynamics(quadratic([1.0], 1.0, n)[0])
    assert found.kind == "unclear"
    assert str(n) in found.why


@pytest.mark.parametrize("value", [0.0, -1.0])
def test_a_run_that_is_at_its_minimum_has_come_down(value):
    assert dynamics(np.full(200, value)).kind == "decaying"
