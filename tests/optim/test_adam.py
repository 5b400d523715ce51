import math

import numpy as np
import pytest

from optiscope.optim import Adam, AdamInside
from optiscope.optim.base import BLOCK
from optiscope.params import Parameters

BOTH = pytest.mark.parametrize("kind", [Adam, AdamInside])


def after(optimizer, gradients, dtype=np.float64):
    """Where one parameter that starts at zero is after it was fed `gradients`."""
    params = Parameters.from_arrays({"w": [0.0]}, dtype)
    state = optimizer.init(params)
    for step, gradient in enumerate(gradients, 1):
        optimizer.update(params, params.like(np.array([gradient], dtype)), state, step)
    return params.flat[0]


@BOTH
@pytest.mark.parametrize("gradient", [1e-3, 1.0, -50.0])
def test_the_first_step_has_the_size_of_the_learning_rate(kind, gradient):
    assert after(kind(lr=0.02, epsilon=0), [gradient]) == pytest.approx(-math.copysign(0.02, gradient), rel=1e-12)


@BOTH
def test_a_constant_gradient_gives_steps_of_the_learning_rate(kind):
    """Both averages, their bias corrected, are then exactly g and g^2."""
    assert after(kind(lr=0.01, epsilon=0), [-3.0] * 50) == pytest.approx(0.5, rel=1e-12)


def test_where_epsilon_stands():
    """With g = 0.5 and e = 0.75: 0.5 / (0.5 + 0.75) = 0.4 outside, 0.5 / sqrt(0.25 + 0.75) = 0.5 inside."""
    assert after(Adam(lr=1, epsilon=0.75), [0.5]) == pytest.approx(-0.4, rel=1e-14)
    assert after(AdamInside(lr=1, epsilon=0.75), [0.5]) == pytest.approx(-0.5, rel=1e-14)


@pytest.mark.parametrize(
    ("kind", "denominator"),
    [(Adam, lambda v, e: math.sqrt(v) + e), (AdamInside, lambda v, e: math.sqrt(v + e))],
)
def test_two_steps_by_hand(kind, denominator):
    """b1 = 1/2, b2 = 3/4, gradients 2 then -1: m = 1 then 0, m_hat = 2 then 0 (so the third gradient shows it)."""
    lr, e, b1, b2 = 0.1, 0.01, 0.5, 0.75
    m = v = w = 0.0
    for step, g in enumerate([2.0, -1.0, 4.0], 1):
        m, v = b1 * m + (1 - b1) * g, b2 * v + (1 - b2) * g * g
        w -= lr * m / (1 - b1**step) / denominator(v / (1 - b2**step), e)
    optimizer = kind(lr=lr, beta1=b1, beta2=b2, epsilon=e)
    assert after(optimizer, [2.0, -1.0, 4.0]) == pytest.approx(w, rel=1e-14)


def test_the_two_variants_meet_where_epsilon_is_small():
    gradients = np.random.default_rng(0).standard_normal(30)
    outside, inside = (after(kind(lr=0.1, epsilon=1e-16), gradients) for kind in (Adam, AdamInside))
    assert outside == pytest.approx(inside, rel=1e-12)


@BOTH
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_state_is_two_averages_in_the_dtype_of_the_parameters(kind, dtype):
    params = Parameters({"a": (2, 3), "b": (4,)}, dtype)
    optimizer = kind(beta1=0.5, beta2=0.75)
    state = optimizer.init(params)
    assert list(state) == ["m", "v"]
    gradient = np.arange(10, dtype=dtype)
    optimizer.update(params, params.like(gradient.copy()), state, 1)
    np.testing.assert_array_equal(state["m"], gradient / 2)
    np.testing.assert_array_equal(state["v"], gradient**2 / 4)
    assert {params.dtype, state["m"].dtype, state["v"].dtype} == {np.dtype(dtype)}


@BOTH
@pytest.mark.parametrize("size", [1, BLOCK - 1, BLOCK, BLOCK + 1, 2 * BLOCK + 12_345])
def test_blocks_give_what_single_elements_give(kind, size):
    """An element-wise method is the same for a vector and for its reverse."""
    rng = np.random.default_rng(size)
    start, gradients = rng.standard_normal(size), rng.standard_normal((3, size))
    results = []
    for way in (1, -1):
        params = Parameters.from_arrays({"w": start[::way]}, np.float32)
        optimizer = kind(lr=0.1)
        state = optimizer.init(params)
        for step, gradient in enumerate(gradients, 1):
            grads = Parameters.from_arrays({"w": gradient[::way]}, np.float32)
            optimizer.update(params, grads, state, step)
        results.append(params.flat[::way])
    np.testing.assert_array_equal(*results)
    assert np.all(results[0] != start.astype(np.float32))


@pytest.mark.parametrize("beta1", [0.0, 0.5, 0.9])
def test_frozen_edge_is_where_the_slowest_root_leaves_the_unit_circle(beta1):
    """With P held fixed and m started warm, w and m follow a linear map: m' = b1 m + (1 - b1) s w, w' = w - lr m'."""

    def radius(lr, s):
        row = np.array([(1 - beta1) * s, beta1])
        return abs(np.linalg.eigvals(np.array([[1, 0] - lr * row, row]))).max()

    edge = Adam(beta1=beta1).frozen_stable_lr(7.0)
    assert radius(edge * (1 - 1e-6), 7.0) < 1 < radius(edge * (1 + 1e-6), 7.0)
    assert Adam(beta1=0.9).frozen_stable_lr(1.0) == pytest.approx(38)


def test_live_adam_does_not_diverge_so_it_has_no_stable_lr():
    assert Adam().stable_lr(1.0) is None


@BOTH
@pytest.mark.parametrize("beta1", [0.0, 0.9])
def test_live_adam_comes_to_rest_below_its_limit_and_oscillates_above(kind, beta1):
    """On a quadratic of curvature 3, started so near the minimum that epsilon is all of the preconditioner."""
    epsilon = {Adam: 0.1, AdamInside: 0.01}[kind]
    options = {"beta1": beta1, "beta2": 0.9, "epsilon": epsilon}
    limit = kind(**options).converging_lr(3.0)
    assert limit == pytest.approx((2 + 2 * beta1) / (1 - beta1) * 0.1 / 3.0)
    for factor, rests in ((0.97, True), (1.03, False)):
        params = Parameters.from_arrays({"w": [1e-3]}, np.float64)
        optimizer = kind(lr=factor * limit, **options)
        state = optimizer.init(params)
        for step in range(1, 3001):
            optimizer.update(params, params.like(3.0 * params.flat), state, step)
        assert (abs(params.flat[0]) < 1e-9) == rests
        assert abs(params.flat[0]) < 1.0


def test_without_epsilon_adam_never_comes_to_rest():
    assert Adam(epsilon=0).converging_lr(1.0) is None


def test_another_update_has_another_limit():
    class Other(Adam):
        def update(self, params, grads, state, step):
            raise NotImplementedError

    assert Other().converging_lr(1.0) is None


@BOTH
@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"beta1": 1.0}, "beta1 must be >= 0 and < 1, not 1.0"),
        ({"beta2": -0.1}, "beta2 must be >= 0 and < 1, not -0.1"),
        ({"epsilon": float("nan")}, "epsilon must be a finite number >= 0, not nan"),
        ({"lr": -1.0}, "a learning rate must be a finite number above zero, not -1.0"),
    ],
)
def test_options_are_checked(kind, options, message):
    with pytest.raises(ValueError, match=message):
        kind(**options)


def test_names_and_defaults_are_those_of_the_paper():
    assert (Adam.name, AdamInside.name) == ("adam", "adam-inside")
    for kind in (Adam, AdamInside):
        optimizer = kind()
        assert (optimizer.lr, optimizer.beta1, optimizer.beta2, optimizer.epsilon) == (1e-3, 0.9, 0.999, 1e-8)
