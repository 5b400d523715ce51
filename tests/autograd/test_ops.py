"""Every operation of the table against a complex step and central differences, on both kernel sets."""

import itertools

import numpy as np
import pytest

import optiscope.autograd as ag
from optiscope.autograd import TABLE, Tape, check_grads
from optiscope.autograd.kernels import available
from optiscope.errors import UsageError


def normal(*shape, seed=0):
    return np.random.default_rng(seed).standard_normal(shape)


def positive(*shape, seed=0):
    return np.random.default_rng(seed).uniform(0.5, 2.0, shape)


def distinct(*shape, seed=0):
    """Values that are at least 0.1 apart from each other and from 0, so that no kink lies near."""
    size = int(np.prod(shape))
    return (np.random.default_rng(seed).permutation(size).reshape(shape) - size // 2 + 0.5) / 10


LABELS = np.array([2, 0, 1, 1])

BROADCASTS = [((3, 4), (3, 4)), ((3, 4), (4,)), ((4,), (3, 4)), ((2, 1, 4), (3, 1)), ((), (2, 3)), ((1,), (2, 5, 3))]
CONVOLUTIONS = [
    # x, w, stride, padding
    ((2, 5, 5, 3), (3, 3, 3, 4), 1, 1),
    ((1, 4, 7, 1), (1, 1, 1, 2), 1, 0),
    ((2, 6, 5, 2), (2, 3, 2, 3), 1, (0, 2)),
    ((3, 7, 6, 2), (3, 2, 2, 2), (2, 3), (1, 0)),
    ((1, 8, 8, 2), (3, 3, 2, 1), 2, 1),
    ((2, 3, 3, 2), (1, 2, 2, 2), 1, 2),
    ((1, 5, 4, 3), (5, 4, 3, 2), 1, 0),
    ((2, 6, 6, 2), (2, 2, 2, 2), 3, 0),
]
POOLS = [
    # x, size, stride
    ((2, 4, 6, 3), 2, None),
    ((1, 5, 7, 2), 2, 2),
    ((2, 6, 5, 2), 3, 1),
    ((1, 7, 7, 1), (2, 3), (3, 2)),
    ((2, 4, 4, 2), (1, 4), (1, 1)),
    ((1, 2, 2, 1), 2, None),
]
BLOCKS = [
    # x, w, padding
    ((2, 6, 6, 3), (3, 3, 3, 4), 1),
    ((1, 5, 7, 2), (3, 3, 2, 3), 1),
    ((3, 4, 5, 1), (1, 1, 1, 2), 0),
    ((2, 5, 4, 2), (2, 2, 2, 1), 1),
    ((1, 6, 9, 2), (5, 5, 2, 2), 2),
]


def _binary(name, draw):
    return [(f"{a}{b}", TABLE[name], (draw(*a, seed=1), draw(*b, seed=2))) for a, b in BROADCASTS]


def _reductions(f):
    axes = [None, 0, -1, (0, 2), (1,)]
    return [(f"axis {axis}", lambda x, axis=axis: f(x, axis), (normal(3, 2, 4),)) for axis in axes]


CASES = {
    "add": _binary("add", normal),
    "subtract": _binary("subtract", normal),
    "multiply": _binary("multiply", normal),
    "divide": _binary("divide", positive),
    "power": [(str(p), lambda x, p=p: x**p, (positive(2, 3),)) for p in (2, 3.5, -1, 1)],
    "negative": [("", lambda x: -x, (normal(2, 3),))],
    "exp": [("", ag.exp, (normal(2, 3),))],
    "log": [("", ag.log, (positive(2, 3),))],
    "sqrt": [("", ag.sqrt, (positive(2, 3),))],
    "matmul": [
        (f"{a}{b}", ag.matmul, (normal(*a, seed=1), normal(*b, seed=2)))
        for a, b in [
            ((2, 3), (3, 4)),
            ((1, 3), (3, 1)),
            ((5, 2, 3), (3, 4)),
            ((2, 3), (5, 3, 2)),
            ((4, 1, 2, 3), (2, 3, 2)),
        ]
    ],
    "linear": [
        (f"batch {n}", ag.linear, (normal(n, 3, seed=1), normal(3, 4, seed=2), normal(4, seed=3))) for n in (1, 5)
    ],
    "sum": _reductions(ag.sum),
    "mean": _reductions(ag.mean),
    "reshape": [(str(s), lambda x, s=s: ag.reshape(x, s), (normal(2, 3, 4),)) for s in [(6, 4), (-1,), (2, 1, 12)]],
    "relu": [("", ag.relu, (distinct(3, 7),))],
    "tanh": [("", ag.tanh, (normal(3, 4),))],
    "sigmoid": [("", ag.sigmoid, (normal(3, 4),))],
    "dropout": [
        (str(p), lambda x, p=p: ag.dropout(x, p, np.random.default_rng(5)), (normal(4, 6),)) for p in (0.0, 0.3, 0.8)
    ],
    "conv2d": [
        (
            f"{x}{w} stride {s} padding {p}{' bias' * bias}",
            lambda x, w, *b, s=s, p=p: ag.conv2d(x, w, *b, stride=s, padding=p),
            (normal(*x, seed=1), normal(*w, seed=2), *[normal(w[3], seed=3)] * bias),
        )
        for (x, w, s, p), bias in itertools.product(CONVOLUTIONS, (False, True))
    ],
    "max_pool2d": [
        (f"{x} size {k} stride {s}", lambda x, k=k, s=s: ag.max_pool2d(x, k, s), (distinct(*x),)) for x, k, s in POOLS
    ],
    "conv_relu_pool": [
        (
            f"{x}{w} padding {p}{' pool' * pool}",
            lambda x, w, b, p=p, pool=pool: ag.conv_relu_pool(x, w, b, p, pool),
            (normal(*x, seed=1), normal(*w, seed=2), normal(w[3], seed=3)),
        )
        for (x, w, p), pool in itertools.product(BLOCKS, (False, True))
    ],
    "softmax_cross_entropy": [
        (r, lambda x, r=r: ag.softmax_cross_entropy(x, LABELS, r), (3 * normal(4, 3),)) for r in ("mean", "sum")
    ],
}

ALL = [pytest.param(f, args, id=f"{name} {note}") for name, cases in CASES.items() for note, f, args in cases]


def test_every_operation_has_a_case():
    assert set(CASES) == set(TABLE)


@pytest.mark.parametrize("kernels", available())
@pytest.mark.parametrize(("f", "args"), ALL)
def test_rule_belongs_to_forward(f, args, kernels):
    check_grads(f, *args, kernels=kernels)


@pytest.mark.parametrize(("f", "args"), ALL)
def test_rule_holds_for_complex_numbers(f, args):
    """A complex step of a gradient is a Hessian-vector product, and the Hessian of any function is symmetric."""
    h = 1e-30

    def hessian_times(direction):
        tape = Tape("reference")
        leaves = [tape.leaf(arg + 1j * h * d) for arg, d in zip(args, direction, strict=True)]
        out = f(*leaves)
        tape.backward(ag.sum(out * out * out))
        return [leaf.grad.imag / h for leaf in leaves]

    u, v = ([normal(*arg.shape, seed=seed + k) for k, arg in enumerate(args)] for seed in (10, 20))
    left, right = (sum(np.vdot(a, b) for a, b in zip(x, hessian_times(y), strict=True)) for x, y in ((u, v), (v, u)))
    assert left != 0
    np.testing.assert_allclose(left, right, rtol=1e-8)


def test_zeroth_power_at_zero():
    tape = Tape()
    x = tape.leaf(np.array([0.0, 2.0]))
    tape.backward(ag.sum(x**0))
    np.testing.assert_array_equal(x.grad, 0)


@pytest.mark.parametrize("kernels", available())
@pytest.mark.parametrize(("f", "args"), ALL)
def test_float32_stays_float32_and_close_to_float64(f, args, kernels):
    results = {}
    for dtype in (np.float32, np.float64):
        tape = Tape(kernels)
        leaves = [tape.leaf(np.asarray(arg, dtype=dtype)) for arg in args]
        out = f(*leaves)
        tape.backward(ag.sum(out * out))
        results[dtype] = [out.array, *(leaf.grad for leaf in leaves)]
        assert {array.dtype for array in results[dtype]} == {np.dtype(dtype)}
    for single, double in zip(results[np.float32], results[np.float64], strict=True):
        np.testing.assert_allclose(single, double, rtol=1e-4, atol=1e-4 * np.abs(double).max())


@pytest.mark.parametrize(("f", "args"), ALL)
def test_only_the_gradients_that_are_needed(f, args):
    for wanted in range(len(args)):
        tape = Tape()
        inputs = [tape.leaf(arg) if k == wanted else tape.constant(arg) for k, arg in enumerate(args)]
        tape.backward(ag.sum(f(*inputs)))
        assert [tensor.grad is not None for tensor in inputs] == [k == wanted for k in range(len(args))]


def test_python_operators_and_numbers_on_either_side():
    tape = Tape()
    a, b = np.array([1.0, 2.0], np.float32), np.array([3.0, 5.0], np.float32)
    x, y = tape.leaf(a), tape.leaf(b)
    for tensor, expected in [
        (x + y, a + b),
        (2 + x, 2 + a),
        (x - 1, a - 1),
        (1 - x, 1 - a),
        (x * y, a * b),
        (3 * x, 3 * a),
        (x / y, a / b),
        (1 / x, 1 / a),
        (x**2, a**2),
        (-x, -a),
    ]:
        np.testing.assert_array_equal(tensor.array, expected)
        assert tensor.dtype == np.float32
    np.testing.assert_array_equal((ag.reshape(x, (1, 2)) @ ag.reshape(y, (2, 1))).array, [[13.0]])


def test_sigmoid_and_cross_entropy_do_not_overflow():
    tape = Tape()
    np.testing.assert_array_equal(ag.sigmoid(tape.leaf(np.array([-1e4, 0.0, 1e4]))).array, [0.0, 0.5, 1.0])
    loss = ag.softmax_cross_entropy(tape.leaf(np.array([[1e4, 0.0], [0.0, 1e4]])), np.array([0, 0]), "sum")
    assert loss.array == 1e4


def test_cross_entropy_of_equal_logits_is_log_k():
    tape = Tape()
    loss = ag.softmax_cross_entropy(tape.leaf(np.zeros((6, 10))), np.arange(6))
    np.testing.assert_allclose(loss.array, np.log(10), rtol=1e-15)


def test_relu_has_no_slope_at_zero():
    tape = Tape()
    x = tape.leaf(np.array([-1.0, 0.0, 2.0]))
    tape.backward(ag.sum(ag.relu(x)))
    np.testing.assert_array_equal(x.grad, [0, 0, 1])


def test_dropout_keeps_the_mean_and_drops_the_same_in_every_dtype():
    x = np.ones((200, 500))
    values = [
        ag.dropout(Tape("reference").leaf(x.astype(dtype)), 0.25, np.random.default_rng(1)).array
        for dtype in (np.float32, np.float64, np.complex128)
    ]
    for array in values:
        np.testing.assert_array_equal(array == 0, values[0] == 0)
    kept = 1 - np.mean(values[1] == 0)
    assert abs(kept - 0.75) < 5 * np.sqrt(0.25 * 0.75 / x.size)
    np.testing.assert_array_equal(np.unique(values[1]), [0, 1 / 0.75])


BAD = {
    "put an array on the tape": lambda t: ag.relu(np.ones(3)),
    "takes tensors and numbers": lambda t: t.leaf(np.ones(3)) * np.ones(3),
    "takes a number as exponent": lambda t: t.leaf(np.ones(3)) ** t.leaf(np.ones(3)),
    "not (3,) by (3, 2)": lambda t: t.leaf(np.ones(3)) @ t.leaf(np.ones((3, 2))),
    "linear takes x": lambda t: ag.linear(t.leaf(np.ones((2, 3))), t.leaf(np.ones((2, 3))), t.leaf(np.ones(3))),
    "channels last": lambda t: ag.conv2d(t.leaf(np.ones((1, 3, 8, 8))), t.leaf(np.ones((3, 3, 3, 4)))),
    "does not fit": lambda t: ag.conv2d(t.leaf(np.ones((1, 2, 2, 1))), t.leaf(np.ones((3, 3, 1, 1)))),
    "stride >= 1": lambda t: ag.max_pool2d(t.leaf(np.ones((1, 2, 2, 1))), 2, 0),
    "takes images": lambda t: ag.max_pool2d(t.leaf(np.ones((2, 2, 1)))),
    "probability": lambda t: ag.dropout(t.leaf(np.ones(2)), 1.0, np.random.default_rng(0)),
    "'mean' or 'sum'": lambda t: ag.softmax_cross_entropy(t.leaf(np.ones((4, 3))), LABELS, "max"),
    "one label for each row": lambda t: ag.softmax_cross_entropy(t.leaf(np.ones((3, 3))), LABELS),
    "labels must be 0 ... 1": lambda t: ag.softmax_cross_entropy(t.leaf(np.ones((4, 2))), LABELS),
}


@pytest.mark.parametrize("part", BAD)
def test_bad_input_is_refused_in_one_sentence(part):
    tape = Tape()
    with pytest.raises(UsageError) as error:
        BAD[part](tape)
    assert part in str(error.value)
    assert "\n" not in str(error.value)
