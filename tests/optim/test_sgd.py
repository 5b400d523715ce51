import numpy as np
import pytest

from optiscope.optim import SGD
from optiscope.optim.base import BLOCK
from optiscope.params import Parameters


def quadratic(optimizer, curvature, steps, start=1.0):
    """Where `steps` updates on (curvature / 2) w^2 lead from `start`, in float64."""
    params = Parameters.from_arrays({"w": [start]}, np.float64)
    state = optimizer.init(params)
    for step in range(1, steps + 1):
        optimizer.update(params, params.like(curvature * params.flat), state, step)
    return params.flat[0]


@pytest.mark.parametrize(("lr", "curvature", "decay"), [(0.1, 3.0, 0.0), (0.5, 3.9, 0.0), (0.1, 3.0, 0.7)])
def test_a_quadratic_shrinks_by_the_same_factor_every_step(lr, curvature, decay):
    got = quadratic(SGD(lr=lr, weight_decay=decay), curvature, 20)
    assert got == pytest.approx((1 - lr * (curvature + decay)) ** 20, rel=1e-12)


@pytest.mark.parametrize(("curvature", "decay"), [(4.0, 0.0), (4.0, 0.5), (100.0, 0.0)])
def test_stable_lr_is_the_edge(curvature, decay):
    edge = SGD(weight_decay=decay).stable_lr(curvature)
    assert edge == pytest.approx(2 / (curvature + decay))
    assert abs(quadratic(SGD(lr=edge * 0.99, weight_decay=decay), curvature, 2000)) < 1e-6
    assert abs(quadratic(SGD(lr=edge, weight_decay=decay), curvature, 2000)) == pytest.approx(1, abs=1e-9)
    assert abs(quadratic(SGD(lr=edge * 1.01, weight_decay=decay), curvature, 2000)) > 1e6


@pytest.mark.parametrize(("batch_size", "dimension"), [(1, 1), (10, 10), (4, 30)])
@pytest.mark.parametrize("decay", [0.0, 0.3])
def test_at_its_limit_in_mean_square_a_step_keeps_the_mean_square(batch_size, dimension, decay):
    """Over 100,000 batches of Gaussian regression of curvature 2, from a point at distance 1, by Monte Carlo."""
    lr = SGD(weight_decay=decay).mean_square_lr(2.0, dimension, batch_size)
    rng = np.random.default_rng(0)
    total = 0.0
    for _ in range(10):
        x = rng.standard_normal((10_000, batch_size, dimension)) * np.sqrt(2.0)
        w = np.zeros(dimension)
        w[0] = 1.0
        grads = np.einsum("nbd,nb->nd", x, x[:, :, 0]) / batch_size + decay * w
        total += np.mean(np.sum((w - lr * grads) ** 2, axis=1))
    assert total / 10 == pytest.approx(1.0, abs=0.03)


def test_the_limit_in_mean_square_is_the_one_of_the_literature():
    assert SGD().mean_square_lr(1.0, 10, 10) == pytest.approx(2 * 10 / (10 + 10 + 1))
    assert SGD(weight_decay=0.5).mean_square_lr(4.0, 3, 10**9) == pytest.approx(SGD(weight_decay=0.5).stable_lr(4.0))


def test_sgd_keeps_no_state():
    assert SGD().init(Parameters({"w": (3,)})) == {}


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("decay", [0.0, 0.1])
@pytest.mark.parametrize("size", [1, BLOCK - 1, BLOCK, BLOCK + 1, 2 * BLOCK + 12_345])
def test_blocks_give_what_one_block_gives_in_the_dtype_of_the_parameters(size, decay, dtype):
    rng = np.random.default_rng(size)
    w, g = rng.standard_normal((2, size)).astype(dtype)
    params, grads = (Parameters.from_arrays({"w": array}, dtype) for array in (w, g))
    SGD(lr=0.3, weight_decay=decay).update(params, grads, {}, 1)
    lr, rate = dtype(0.3), dtype(0.3 * decay)
    np.testing.assert_array_equal(params.flat, w - (g * lr + rate * w) if decay else w - g * lr)
    assert params.dtype == dtype
    np.testing.assert_array_equal(grads.flat, g)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"lr": 0}, "a learning rate must be a finite number above zero, not 0"),
        ({"lr": float("nan")}, "not nan"),
        ({"lr": float("inf")}, "not inf"),
        ({"weight_decay": -0.1}, "weight_decay must be a finite number >= 0, not -0.1"),
        ({"weight_decay": float("inf")}, "weight_decay must be a finite number >= 0, not inf"),
    ],
)
def test_options_are_checked(options, message):
    with pytest.raises(ValueError, match=message):
        SGD(**options)


def test_an_lr_set_later_is_checked_too():
    optimizer = SGD()
    with pytest.raises(ValueError, match="not -1"):
        optimizer.lr = -1
