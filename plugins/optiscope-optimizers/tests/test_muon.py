import numpy as np
import pytest
from optiscope_optimizers import AdamW, Muon
from optiscope_optimizers.muon import COEFFICIENTS, orthogonalised

import optiscope
from optiscope.config import RunConfig
from optiscope.params import Parameters


@pytest.mark.parametrize("shape", [(4, 9), (9, 4), (6, 6), (1, 5), (5, 1)])
@pytest.mark.parametrize("steps", [1, 5])
def test_the_iteration_is_a_polynomial_of_the_singular_values(shape, steps):
    """An odd polynomial of U D V' in X X' X is U p(D) V', which needs no iteration of matrices."""
    matrix = np.random.default_rng(1).standard_normal(shape)
    left, values, right = np.linalg.svd(matrix, full_matrices=False)
    a, b, c = COEFFICIENTS
    values = values / np.sqrt(np.square(matrix).sum())
    for _ in range(steps):
        values = a * values + b * values**3 + c * values**5
    np.testing.assert_allclose(orthogonalised(matrix, steps), (left * values) @ right, rtol=1e-10, atol=1e-12)


def test_five_iterations_leave_singular_values_near_one():
    """Those that are at least a hundredth of the norm: smaller ones need more."""
    left, _, right = np.linalg.svd(np.random.default_rng(1).standard_normal((8, 8)))
    spread = np.geomspace(0.02, 1, 8)
    values = np.linalg.svd(orthogonalised((left * spread) @ right, 5), compute_uv=False)
    assert values.min() > 0.65
    assert values.max() < 1.25


def one_step(optimizer, shapes, dtype=np.float64):
    rng = np.random.default_rng(5)
    params = Parameters.from_arrays({name: rng.standard_normal(shape) for name, shape in shapes.items()}, dtype)
    start, grads = params.copy(), params.like(rng.standard_normal(params.flat.size).astype(dtype))
    optimizer.update(params, grads, optimizer.init(params), 1)
    return start, grads, params


def test_a_kernel_is_a_matrix_of_its_patches():
    shape = {"kernel": (3, 3, 2, 8)}
    start, grads, params = one_step(Muon(lr=0.1, weight_decay=0.0), shape)
    expected = 0.1 * 0.2 * np.sqrt(18) * orthogonalised(grads["kernel"].reshape(18, 8), 5)
    np.testing.assert_allclose(start["kernel"] - params["kernel"], expected.reshape(3, 3, 2, 8), rtol=1e-10)


@pytest.mark.parametrize(
    ("adjust", "shape", "factor"),
    [
        ("match_rms_adamw", (4, 25), 0.2 * 5),
        ("match_rms_adamw", (25, 4), 0.2 * 5),
        ("original", (4, 25), 2.5),
        ("original", (25, 4), 1.0),
    ],
)
def test_how_the_shape_is_made_up_for(adjust, shape, factor):
    start, grads, params = one_step(Muon(lr=0.1, adjust_lr=adjust, weight_decay=0.0), {"w": shape})
    expected = 0.1 * factor * orthogonalised(grads["w"], 5)
    np.testing.assert_allclose(start["w"] - params["w"], expected, rtol=1e-10)


def test_an_update_is_about_as_large_as_adamws():
    """What match_rms_adamw promises: a root mean square of 0.2 lr, from full matrices of every shape."""
    for shape in ((64, 64), (32, 128), (128, 32)):
        start, _, params = one_step(Muon(lr=0.1, weight_decay=0.0), {"w": shape})
        size = np.sqrt(np.mean(np.square(start.flat - params.flat)))
        assert size == pytest.approx(0.2 * 0.1, rel=0.25)


def test_what_is_no_matrix_goes_by_adamw():
    shapes = {"w": (3, 4), "bias": (4,), "gain": (3,), "scalar": ()}
    muon = Muon(lr=0.1, adamw_lr_ratio=0.5, weight_decay=0.2, beta1=0.7, beta2=0.8, epsilon=0.01)
    adamw = AdamW(lr=0.05, weight_decay=0.2, beta1=0.7, beta2=0.8, epsilon=0.01)
    rng = np.random.default_rng(0)
    params = Parameters.from_arrays({name: rng.standard_normal(shape) for name, shape in shapes.items()}, np.float64)
    other = params.copy()
    state, theirs = muon.init(params), adamw.init(other)
    assert state["v"].size == 4 + 3 + 1
    for step in range(1, 6):
        grads = params.like(rng.standard_normal(params.flat.size))
        muon.update(params, grads, state, step)
        adamw.update(other, grads, theirs, step)
    for name in ("bias", "gain", "scalar"):
        np.testing.assert_allclose(params[name], other[name], rtol=1e-13)
    assert not np.allclose(params["w"], other["w"])


def test_a_gradient_of_zero_moves_nothing_but_by_the_decay():
    params = Parameters.from_arrays({"w": np.ones((3, 2)), "b": np.ones(2)})
    muon = Muon(lr=0.5, weight_decay=0.5)
    muon.update(params, params.zeros(), muon.init(params), 1)
    np.testing.assert_array_equal(params.flat, np.full(8, 0.75, np.float32))


def test_a_network_learns():
    """Guessing among ten classes costs ln 10 = 2.3."""
    config = RunConfig(optimizer="muon", lr=0.005, batch_size=32, train_samples=320, steps=40)
    result = optiscope.train(config)
    assert result.status == "completed"
    assert result.epochs[-1].train_loss < 1.5
