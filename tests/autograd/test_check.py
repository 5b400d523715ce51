"""`check_grads` accepts right rules, and says what is wrong with wrong ones."""

import numpy as np
import pytest

import optiscope.autograd as ag
from optiscope.autograd import Operation, check_grads

X = np.random.default_rng(0).uniform(0.5, 1.5, (3, 4))

square = Operation("square", lambda node, x: x * x, lambda node, dy: (2 * dy * node.arrays[0],))


def test_accepts_a_right_rule():
    check_grads(square, X)
    check_grads(lambda x, y: ag.exp(square(x)) * y, X, X[0])


WRONG = {
    "factor": lambda node, dy: (3 * dy * node.arrays[0],),
    "sign": lambda node, dy: (-2 * dy * node.arrays[0],),
    "one entry": lambda node, dy: (2 * dy * node.arrays[0] * (1 + 1e-8 * (np.arange(12).reshape(3, 4) == 7)),),
    "no dy": lambda node, dy: (2 * node.arrays[0],),
    "zero": lambda node, dy: (0 * dy,),
    "nan": lambda node, dy: (np.nan * dy,),
}


@pytest.mark.parametrize("rule", WRONG.values(), ids=WRONG)
def test_refuses_a_wrong_rule(rule):
    with pytest.raises(AssertionError, match="gradient of argument 0") as error:
        check_grads(Operation("square", lambda node, x: x * x, rule), X)
    assert "\n" not in str(error.value)


def test_names_the_argument():
    product = Operation("product", lambda node, a, b: a * b, lambda node, dy: (dy * node.arrays[1], dy))
    with pytest.raises(AssertionError, match="gradient of argument 1"):
        check_grads(product, X, X + 1)


def test_tells_a_forward_that_is_not_analytic_from_a_wrong_rule():
    magnitude = Operation("abs", lambda node, x: np.abs(x) + 0 * x, lambda node, dy: (dy * np.sign(node.arrays[0]),))
    with pytest.raises(AssertionError, match="complex step says") as error:
        check_grads(magnitude, X)
    assert "the central difference says" not in str(error.value)


def test_an_argument_that_plays_no_part_has_no_gradient():
    check_grads(lambda x, y: square(x), X, X)
