"""Problems with known answers, against their closed forms."""

import re
from pathlib import Path

import attrs
import numpy as np
import pytest

import optiscope
from optiscope.autograd import Tape, check_grads
from optiscope.config import RunConfig
from optiscope.nn import NoisyQuadratic, Problem, Quadratic, Reddi, Rosenbrock, curvatures, on_tape
from optiscope.params import Parameters

PROBLEMS = [Quadratic(dimension=3), Quadratic(curvature=(1, 4, 9), noise=0.5), NoisyQuadratic(), Rosenbrock(), Reddi()]


def differentiated(model, w, labels, reduction="mean"):
    """Return loss and gradient at `w`, in float64."""
    params = Parameters.from_arrays({"w": np.asarray(w, float)}, np.float64)
    grads, tape = params.zeros(), Tape()
    loss = model.loss(model.forward(on_tape(tape, params, grads), None, None).output, labels, reduction)
    tape.backward(loss)
    return float(loss.array), grads.flat


def train(model, optimizer="sgd", **options):
    return optiscope.train(RunConfig(model=model, optimizer=optimizer, **options))


@pytest.mark.parametrize("reduction", ["mean", "sum"])
def test_quadratic_has_its_closed_form(reduction):
    model = Quadratic(curvature=4.0, dimension=3, start=-2.0)
    params = model.init(np.random.default_rng(0), (0, 0, 0), 0, np.float64)
    np.testing.assert_array_equal(params.flat, [-2.0] * 3)
    params.flat[:] = [1.0, -2.0, 0.5]
    grads, tape = params.zeros(), Tape()
    out = model.forward(on_tape(tape, params, grads), None, None)
    loss = model.loss(out.output, None, reduction)
    tape.backward(loss)
    assert loss.array.shape == ()
    assert loss.array == 2 * (1 + 4 + 0.25)
    np.testing.assert_array_equal(grads.flat, 4 * params.flat)
    np.testing.assert_array_equal(out.output.array, [params.flat])
    np.testing.assert_array_equal(out.output.grad, [4 * params.flat])
    assert out.last_input is None
    assert (model.output, model.needs_data, model.outputs(10)) == ("coordinates", False, 3)


@pytest.mark.parametrize(
    ("options", "part"),
    [
        ({"curvature": 0.0}, "curvature must be"),
        ({"curvature": float("inf")}, "curvature must be"),
        ({"dimension": 0}, "dimension must be"),
        ({"dimension": 1.5}, "dimension must be a whole number"),
        ({"start": float("nan")}, "start must be"),
        ({"curvature": (1.0, -2.0)}, r"curvature must be a finite number above zero, or several such as \[1,10,100\]"),
        ({"curvature": ()}, "curvature must be"),
        ({"curvature": True}, "curvature must be"),
        ({"curvature": "steep"}, "curvature must be"),
        ({"noise": -1.0}, "noise must be"),
    ],
)
def test_bad_options(options, part):
    with pytest.raises(ValueError, match=part):
        Quadratic(**options)


def test_other_bad_options():
    with pytest.raises(ValueError, match="c must be above 2"):
        Reddi(c=2.0)
    with pytest.raises(ValueError, match="dimension must be"):
        NoisyQuadratic(dimension=0)


@pytest.mark.parametrize(("value", "numbers"), [(3, (3.0,)), ((1, 10, 100), (1.0, 10.0, 100.0))])
def test_a_spectrum_is_a_number_or_several(value, numbers):
    assert curvatures(value) == numbers


def test_a_spectrum_says_how_many_coordinates_there_are():
    model = Quadratic(curvature=[1, 4, 9], dimension=7)
    value, grad = differentiated(model, [1.0, 2.0, -1.0], None)
    assert value == (1 + 4 * 4 + 9) / 2
    np.testing.assert_array_equal(grad, [1.0, 8.0, -9.0])
    assert (model.outputs(0), model.shapes((1, 1, 1), 1)) == (3, {"w": (3,)})


@pytest.mark.parametrize("model", PROBLEMS, ids=lambda model: model.name)
@pytest.mark.parametrize("reduction", ["mean", "sum"])
def test_gradients_are_those_of_the_loss(model, reduction):
    rng = np.random.default_rng(3)
    _, labels = model.samples(rng, 4, 1)
    shape = (1, model.outputs(0))
    check_grads(lambda w: model.loss(w, labels, reduction), rng.standard_normal(shape))


@pytest.mark.parametrize("model", PROBLEMS, ids=lambda model: model.name)
def test_a_sum_is_the_mean_times_the_batch(model):
    _, labels = model.samples(np.random.default_rng(3), 4, 1)
    w = np.linspace(-1, 1, model.outputs(0))
    mean, summed = (differentiated(model, w, labels, reduction)[1] for reduction in ("mean", "sum"))
    factor = 1 if labels is None or isinstance(model, Reddi) else 4
    np.testing.assert_allclose(summed, factor * mean, rtol=1e-12)


@pytest.mark.parametrize("model", [Quadratic(curvature=2.0, noise=0.5), NoisyQuadratic(curvature=2.0, noise=0.5)])
def test_the_expected_loss_and_gradient_are_the_average_over_batches(model):
    rng = np.random.default_rng(0)
    w = np.linspace(-1, 1, model.outputs(0)) + 0.5
    drawn = [differentiated(model, w, model.samples(rng, 50, 1)[1]) for _ in range(1000)]
    value, grad = differentiated(model, w, None)
    assert np.mean([loss for loss, _ in drawn]) == pytest.approx(value, rel=0.02)
    np.testing.assert_allclose(np.mean([grad for _, grad in drawn], axis=0), grad, atol=0.1)


def test_noise_of_the_gradient_has_the_deviation_that_was_asked_for():
    model = Quadratic(noise=0.5)
    rng = np.random.default_rng(0)
    grads = [differentiated(model, [0.0], model.samples(rng, 4, 1)[1])[1][0] for _ in range(1500)]
    assert np.std(grads) == pytest.approx(0.5 / 2, rel=0.05)


class Theory:
    """An optimizer that says what it was asked."""

    def converging_lr(self, curvature):
        return curvature

    def mean_square_lr(self, curvature, dimension, batch_size):
        return (curvature, dimension, batch_size)


@pytest.mark.parametrize(
    ("model", "reduction", "asked"),
    [
        (Quadratic(curvature=(1, 9, 4)), "mean", 9.0),
        (Quadratic(curvature=4.0), "sum", 4.0),
        (Quadratic(curvature=4.0, noise=0.1), "sum", 32.0),
        (NoisyQuadratic(curvature=2.0, dimension=3), "mean", (2.0, 3, 8)),
        (NoisyQuadratic(curvature=2.0, dimension=3), "sum", (16.0, 3, 8)),
        (Rosenbrock(), "mean", None),
        (Reddi(), "mean", None),
    ],
)
def test_a_problem_asks_the_optimizer_for_the_theory_that_it_needs(model, reduction, asked):
    """A batch of 8; a quadratic without noise is one example, whatever the batch."""
    assert model.stable_lr(Theory(), 8, reduction) == asked


@pytest.mark.parametrize(
    "model", [Quadratic(curvature=(2, 5), noise=0.3), NoisyQuadratic(curvature=2.0, dimension=3, noise=0.3)]
)
def test_the_noise_of_a_gradient_at_the_minimum_is_what_is_measured_there(model):
    """Root mean square norms of the gradients of 400 batches of 9, at zero, where the expected one vanishes."""
    rng = np.random.default_rng(0)
    at_zero = np.zeros_like(model.origin())
    norms = [np.linalg.norm(differentiated(model, at_zero, model.samples(rng, 9, 1)[1])[1]) for _ in range(400)]
    assert np.sqrt(np.mean(np.square(norms))) == pytest.approx(model.gradient_noise(9), rel=0.1)
    assert attrs.evolve(model, noise=0.0).gradient_noise(9) == 0


def test_rosenbrock_has_its_minimum_and_its_curvature():
    value, grad = differentiated(Rosenbrock(), [1.0, 1.0], None)
    assert value == 0
    np.testing.assert_array_equal(grad, 0)
    h = 1e-6
    columns = [differentiated(Rosenbrock(), 1 + h * axis, None)[1] / h for axis in np.eye(2)]
    assert np.linalg.eigvalsh(np.array(columns))[-1] == pytest.approx(1001.6, rel=1e-3)


@pytest.mark.parametrize(("factor", "grows"), [(0.85, False), (1.15, True)])
@pytest.mark.parametrize("batch_size", [1, 10, 100])
def test_gradient_descent_on_regression_has_its_limit_in_mean_square(factor, grows, batch_size):
    """E||w_t||^2 grows or shrinks by a factor known in closed form, 1 - 2 lr + lr^2 (1 + (d + 1) / B), each step."""
    d = 10
    lr = factor * 2 * batch_size / (batch_size + d + 1)
    rng = np.random.default_rng(batch_size)
    model = NoisyQuadratic(dimension=d)
    ratios = []
    for _ in range(600):
        w = rng.standard_normal(d)
        after = w - lr * differentiated(model, w, model.samples(rng, batch_size, 1)[1])[1]
        ratios.append((after @ after) / (w @ w))
    expected = 1 - 2 * lr + lr**2 * (1 + (d + 1) / batch_size)
    assert np.mean(ratios) == pytest.approx(expected, rel=0.15)
    assert (expected > 1) is grows


@pytest.mark.parametrize(
    ("optimizer", "options", "end"), [("sgd", {}, -1.0), ("adam", {"beta1": 0.0, "beta2": 0.1}, 1.0)]
)
def test_adam_walks_the_wrong_way(optimizer, options, end):
    result = train(
        "reddi", optimizer, lr=0.1, steps=3000, batch_size=1, schedule="inverse-sqrt", options={optimizer: options}
    )
    assert result.epochs[-1].train_loss == pytest.approx(end / 3, abs=0.02)


def test_a_run_with_samples_of_its_own_repeats_itself():
    runs = [train("noisy-quadratic", lr=0.1, batch_size=5, steps=250, seed=seed) for seed in (1, 1, 2)]
    assert runs[0].digest == runs[1].digest != runs[2].digest


def test_a_problem_without_an_origin_says_so():
    class Nowhere(Problem):
        name = "nowhere"

    with pytest.raises(NotImplementedError, match="problem Nowhere has no origin: write it"):
        Nowhere().origin()


def test_the_problem_of_the_docs_trains_and_stays_where_it_is_allowed(tmp_path):
    page = (Path(__file__).parents[2] / "docs" / "problems.md").read_text()
    (tmp_path / "tilted.py").write_text(re.findall(r"```python\n(.*?)```", page, re.DOTALL)[0])
    result = train("tilted", lr=0.1, batch_size=4, steps=300, plugins=[str(tmp_path / "tilted.py")])
    assert result.status == "completed"
    assert 0 <= result.epochs[-1].train_loss < 2.0**2 / 2 / 10
