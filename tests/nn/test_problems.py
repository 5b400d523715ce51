"""Problems without data, against their closed forms."""

import numpy as np
import pytest

from optiscope.autograd import Tape
from optiscope.nn import Quadratic, on_tape


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
    ],
)
def test_bad_options(options, part):
    with pytest.raises(ValueError, match=part):
        Quadratic(**options)
