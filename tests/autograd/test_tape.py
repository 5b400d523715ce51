"""The tape: what it adds up, what it refuses, and that it uses its memory again."""

import tracemalloc

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import optiscope.autograd as ag
from optiscope.autograd import Operation, Tape
from optiscope.autograd.kernels import available
from optiscope.errors import UsageError


def test_gradients_of_several_uses_add_up():
    tape = Tape()
    x = tape.leaf(np.array([2.0, -3.0]))
    tape.backward(ag.sum(x * x + x * 3 + x - x * x * x))
    np.testing.assert_allclose(x.grad, 2 * x.array + 4 - 3 * x.array**2)


@settings(deadline=None, max_examples=40)
@given(st.lists(st.sampled_from("addsubmul"), min_size=1, max_size=8), st.integers(0, 2**31))
def test_random_graphs_against_the_complex_step(names, seed):
    def f(x, y):
        choose = np.random.default_rng(seed)
        seen = [x, y]
        for name in names:
            a, b = (seen[k] for k in choose.integers(0, len(seen), 2))
            seen.append({"a": a + b, "d": a - b, "s": ag.tanh(a) - b, "u": b + b}.get(name, a * b))
        return seen[-1] + x * y

    draw = np.random.default_rng(seed)
    ag.check_grads(f, draw.uniform(-1, 1, (2, 3)), draw.uniform(-1, 1, 3), rtol=1e-9)


def test_gradient_lands_in_the_buffer_that_a_leaf_was_given():
    buffers = [np.full((3, 4), 7.0), np.full(4, 7.0), np.full(2, 7.0)]
    tape = Tape()
    for _ in range(2):
        tape.reset()
        w, b, idle = (tape.leaf(np.ones_like(buffer), grad=buffer) for buffer in buffers)
        x = tape.constant(np.arange(6.0).reshape(2, 3))
        tape.backward(ag.sum(ag.linear(x, w, b) * ag.linear(x, w, b)))
        for leaf, buffer in zip((w, b, idle), buffers, strict=True):
            assert leaf.grad is buffer
        y = x.array @ w.array + 1
        np.testing.assert_allclose(buffers[0], 2 * x.array.T @ y)
        np.testing.assert_allclose(buffers[1], 2 * y.sum(axis=0))
        np.testing.assert_array_equal(buffers[2], 0)


def test_a_leaf_used_twice_in_one_operation():
    a = np.array([[1.0, 2.0], [3.0, 5.0]])
    tape = Tape()
    x = tape.leaf(a, grad=np.full((2, 2), 7.0))
    tape.backward(ag.sum(x @ x))
    ones = np.ones((2, 2))
    np.testing.assert_array_equal(x.grad, ones @ a.T + a.T @ ones)


def test_an_array_that_a_rule_hands_to_several_inputs_is_not_written_to():
    """The rule of + gives its dy to x, z and itself; x gets more from *, which must not reach the others."""
    tape = Tape()
    x, z = tape.leaf(np.array([2.0, 3.0])), tape.leaf(np.array([5.0, 7.0]))
    triple = x * 3
    total = x + z
    tape.backward(ag.sum(triple * total))
    np.testing.assert_array_equal(total.grad, triple.array)
    np.testing.assert_array_equal(z.grad, triple.array)
    np.testing.assert_array_equal(x.grad, triple.array + 3 * total.array)


def test_tensors_in_between_have_gradients_and_constants_have_none():
    tape = Tape()
    x, c = tape.leaf(np.array([[1.0, 2.0]])), tape.constant(np.array([[3.0, 4.0]]))
    logits = x * c
    tape.backward(ag.softmax_cross_entropy(logits, np.array([1])))
    p = np.exp(logits.array) / np.exp(logits.array).sum()
    np.testing.assert_allclose(logits.grad, p - [[0, 1]])
    np.testing.assert_allclose(x.grad, logits.grad * c.array)
    assert c.grad is None


def network(tape, arrays, grads, images, labels, rng):
    w1, b1, w2, w3, b3 = (tape.leaf(a, grad=g) for a, g in zip(arrays, grads, strict=True))
    x = ag.relu(ag.conv2d(tape.constant(images), w1, b1, padding=1))
    x = ag.max_pool2d(ag.conv2d(x, w2, stride=1, padding=1))
    x = ag.dropout(ag.relu(ag.reshape(x, (len(images), -1))), 0.5, rng)
    return ag.softmax_cross_entropy(ag.linear(x, w3, b3), labels)


def setting(dtype=np.float32, batch=32):
    rng = np.random.default_rng(3)
    shapes = [(3, 3, 3, 8), (8,), (3, 3, 8, 8), (16 * 16 * 8, 10), (10,)]
    arrays = [rng.standard_normal(shape).astype(dtype) * 0.1 for shape in shapes]
    images = rng.standard_normal((batch, 32, 32, 3)).astype(dtype)
    return arrays, [np.empty_like(a) for a in arrays], images, rng.integers(0, 10, batch)


def test_nothing_large_is_allocated_after_the_first_step():
    arrays, grads, images, labels = setting()
    tape = Tape()
    rng = np.random.default_rng(0)
    peaks = []
    for _ in range(4):
        tracemalloc.start()
        tape.reset()
        tape.backward(network(tape, arrays, grads, images, labels, rng))
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[0] > 10_000_000
    assert max(peaks[1:]) < 200_000, "an activation of this network is 1 MB, a pooled one 0.25 MB"


def test_a_buffer_is_the_same_memory_until_its_shape_changes():
    def value(tape, size):
        tape.reset()
        return ag.exp(tape.leaf(np.ones(size))).array

    tape = Tape()
    first, second, other = value(tape, 5), value(tape, 5), value(tape, 6)
    assert first is second
    assert other.shape == (6,)
    assert first.ctypes.data % 64 == 0


@pytest.mark.parametrize("kernels", available())
def test_same_bits_every_step_and_on_every_tape(kernels):
    arrays, grads, images, labels = setting(batch=5)
    seen = set()
    for _ in range(2):
        tape = Tape(kernels)
        for _ in range(2):
            tape.reset()
            loss = network(tape, arrays, grads, images, labels, np.random.default_rng(9))
            tape.backward(loss)
            seen.add(loss.array.tobytes() + b"".join(grad.tobytes() for grad in grads))
    assert len(seen) == 1


def test_evaluation_on_another_tape_leaves_the_training_tape_alone():
    arrays, grads, images, labels = setting(batch=5)

    def step(between):
        tape, other = Tape(), Tape()
        tape.reset()
        loss = network(tape, arrays, grads, images, labels, np.random.default_rng(9))
        if between:
            other.reset()
            network(other, arrays, grads, images[::-1] + 1, labels, np.random.default_rng(8))
        tape.backward(loss)
        return [grad.copy() for grad in grads]

    for quiet, disturbed in zip(step(False), step(True), strict=True):
        np.testing.assert_array_equal(quiet, disturbed)


def test_steps_of_different_kinds_on_one_tape():
    """A node's place on the tape may serve another operation at the next step."""
    x = np.random.default_rng(0).standard_normal((3, 4))
    tape = Tape()
    for f, slope in [(ag.tanh, 1 - np.tanh(x) ** 2), (ag.exp, np.exp(x)), (lambda t: t * 2, 2 + 0 * x)] * 2:
        tape.reset()
        leaf = tape.leaf(x)
        tape.backward(ag.sum(f(leaf)))
        np.testing.assert_allclose(leaf.grad, slope)


def _twice(tape):
    loss = ag.sum(tape.leaf(np.ones(2)))
    tape.backward(loss)
    tape.backward(loss)


def _stale(tape):
    old = tape.leaf(np.ones(2))
    tape.reset()
    ag.exp(old)


def _bad_rule(tape):
    double = Operation("double", lambda node, x: 2 * x, lambda node, dy: (dy[:1],))
    tape.backward(ag.sum(double(tape.leaf(np.ones(2)))))


def _missing_gradient(tape):
    product = Operation("product", lambda node, a, b: a * b, lambda node, dy: (dy,))
    tape.backward(ag.sum(product(tape.leaf(np.ones(2)), tape.leaf(np.ones(2)))))


REFUSED = {
    "1 gradients for 2 inputs": _missing_gradient,
    "once a step": _twice,
    "from before the last reset": _stale,
    "of another tape": lambda tape: tape.leaf(np.ones(2)) + Tape().leaf(np.ones(2)),
    "one element": lambda tape: tape.backward(tape.leaf(np.ones(2))),
    "depends on a leaf": lambda tape: tape.backward(ag.sum(tape.constant(np.ones(2)))),
    "contiguous and of that shape": lambda tape: tape.leaf(np.ones(2), grad=np.ones(3)),
    "or float64, not complex128": lambda tape: tape.leaf(np.ones(2, complex)),
    "not int64": lambda tape: tape.constant(np.arange(3)),
    "did you mean 'im2col'": lambda tape: Tape("im2co"),
    "rule of operation 'double'": _bad_rule,
}


@pytest.mark.parametrize("part", REFUSED)
def test_misuse_is_refused_in_one_sentence(part):
    with pytest.raises(UsageError) as error:
        REFUSED[part](Tape())
    assert part in str(error.value)
    assert "\n" not in str(error.value)
