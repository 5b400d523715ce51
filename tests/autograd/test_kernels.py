"""The fast kernels against the plain ones; ties; blocks that do not come out even; complex steps."""

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

import optiscope.autograd as ag
from optiscope.autograd import Tape
from optiscope.autograd.kernels import available, columns, shapes


def run(kernels, f, *args):
    """Return the value and the gradients of sum(value * fixed weights)."""
    tape = Tape(kernels)
    leaves = [tape.leaf(arg) for arg in args]
    out = f(*leaves)
    weights = np.cos(np.arange(out.array.size)).reshape(out.shape)
    tape.backward(ag.sum(out * tape.constant(weights.astype(out.dtype))))
    return [out.array, *(leaf.grad for leaf in leaves)]


def assert_same(f, *args):
    for fast, plain in zip(run("im2col", f, *args), run("reference", f, *args), strict=True):
        assert fast.shape == plain.shape
        np.testing.assert_allclose(fast, plain, rtol=1e-11, atol=1e-11 * max(1.0, np.abs(plain).max()))


sizes = st.integers(1, 9)


@settings(deadline=None)
@given(st.data(), sizes, sizes, st.integers(1, 5), st.integers(1, 4), st.integers(1, 5))
def test_conv2d_over_odd_sizes(data, height, width, batch, channels, outputs):
    padding = data.draw(st.tuples(st.integers(0, 3), st.integers(0, 3)))
    kernel = tuple(data.draw(st.integers(1, min(5, s + 2 * p))) for s, p in zip((height, width), padding, strict=True))
    stride = data.draw(st.tuples(st.integers(1, 3), st.integers(1, 3)))
    rng = np.random.default_rng(0)
    x, w, b = (
        rng.standard_normal(s) for s in [(batch, height, width, channels), (*kernel, channels, outputs), outputs]
    )
    assert_same(lambda *t: ag.conv2d(*t, stride=stride, padding=padding), x, w, b)


@settings(deadline=None)
@given(st.data(), sizes, sizes, st.integers(1, 5), st.integers(1, 3))
def test_max_pool2d_over_odd_sizes_with_ties(data, height, width, batch, channels):
    size = data.draw(st.tuples(st.integers(1, min(3, height)), st.integers(1, min(3, width))))
    stride = data.draw(st.one_of(st.none(), st.tuples(st.integers(1, 3), st.integers(1, 3))))
    x = np.random.default_rng(data.draw(st.integers(0, 99))).integers(0, 3, (batch, height, width, channels))
    assert_same(lambda t: ag.max_pool2d(t, size, stride), x.astype(float))


@settings(deadline=None)
@given(st.data(), sizes, sizes, st.integers(1, 5), st.integers(1, 4), st.integers(1, 5))
def test_conv_relu_pool_over_odd_sizes_with_ties(data, height, width, batch, channels, outputs):
    """Small whole numbers, which every set of kernels adds up exactly: pools and signs have ties."""
    kernel = data.draw(st.integers(1, 4))
    padding = data.draw(st.integers(0, kernel - 1))
    smallest = min(height, width) + 2 * padding - kernel + 1
    assume(smallest >= 1)
    pool = data.draw(st.booleans()) if smallest >= 2 else False
    rng = np.random.default_rng(data.draw(st.integers(0, 99)))
    shapes_ = [(batch, height, width, channels), (kernel, kernel, channels, outputs), (outputs,)]
    x, w, b = (rng.integers(-2, 3, shape).astype(float) for shape in shapes_)
    assert_same(lambda *t: ag.conv_relu_pool(*t, padding, pool), x, w, b)


@pytest.mark.parametrize("kernels", available())
@pytest.mark.parametrize("pool", [False, True])
def test_conv_relu_pool_is_the_three_operations(kernels, pool):
    rng = np.random.default_rng(6)
    x, w, b = (rng.standard_normal(shape) for shape in [(3, 7, 6, 2), (3, 3, 2, 4), (4,)])

    def three(x, w, b):
        y = ag.relu(ag.conv2d(x, w, b, padding=1))
        return ag.max_pool2d(y) if pool else y

    ours = run(kernels, lambda *t: ag.conv_relu_pool(*t, padding=1, pool=pool), x, w, b)
    for one, other in zip(ours, run("reference", three, x, w, b), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-11, atol=1e-11)


@pytest.mark.parametrize("rows", [1, 40, 64, 150])
def test_ragged_blocks(monkeypatch, rows):
    """7 images of 6 x 6 pixels in blocks of 1, 1, 1 and 4 images: the last block is short, an image exceeds a block."""
    monkeypatch.setattr(columns, "ROWS", rows)
    monkeypatch.setattr(shapes, "ROWS", rows)
    rng = np.random.default_rng(1)
    x, w, v = (rng.standard_normal(s) for s in [(7, 6, 6, 3), (3, 3, 3, 4), (3, 3, 4, 2)])
    b = rng.standard_normal(4)

    def f(x, w, b, v):
        return ag.conv2d(ag.max_pool2d(ag.conv2d(x, w, b, padding=1), 2, 1), v, stride=2, padding=1)

    def g(x, w, b, v):
        return ag.max_pool2d(ag.conv2d(ag.relu(ag.conv2d(x, w, padding=1) + b), v, padding=1))

    def h(x, w, b, v):
        y = ag.conv_relu_pool(x, w, b, padding=1)
        return ag.conv_relu_pool(y, v, ag.sum(v, (0, 1, 2)), padding=2, pool=False)

    for network in (f, g, h):
        assert_same(network, x, w, b, v)


def test_scratch_of_one_padding_does_not_spoil_another():
    """Layers whose padded images have one shape but different borders share no scratch."""
    rng = np.random.default_rng(2)
    x, w, v = (rng.standard_normal(s) for s in [(2, 6, 6, 2), (3, 3, 2, 2), (5, 5, 2, 2)])

    def f(x, w, v):
        y = ag.conv2d(x, w, padding=1)
        z = ag.conv2d(ag.max_pool2d(y, 3, 1), v, padding=2)
        return ag.conv2d(ag.reshape(z, (2, 4, 4, 2)), w, padding=2)

    assert_same(f, x, w, v)


@pytest.mark.parametrize("kernels", available())
def test_first_maximum_by_rows_wins_a_tie(kernels):
    windows = np.array([[1, 1, 1, 1], [0, 2, 2, 0], [0, 3, 0, 3], [0, 0, 4, 4], [5, 0, 5, 5], [-1, -1, -2, -1]], float)
    first = [0, 1, 1, 2, 0, 0]
    x = windows.reshape(6, 2, 2, 1)
    y, dx = run(kernels, lambda t: ag.max_pool2d(t, 2), x)
    np.testing.assert_array_equal(y[:, 0, 0, 0], windows.max(axis=1))
    expected = np.zeros((6, 4))
    expected[np.arange(6), first] = np.cos(np.arange(6))
    np.testing.assert_array_equal(dx.reshape(6, 4), expected)


def test_conv2d_against_the_definition():
    """A one-hot image under a stride and a padding: y[p, q] = w[i, j] where the window's place (i, j) is the pixel."""
    w = np.arange(1.0, 7.0).reshape(2, 3, 1, 1)
    x = np.zeros((1, 4, 5, 1))
    x[0, 2, 3, 0] = 1
    expected = np.zeros((1, 3, 3, 1))
    for p in range(3):
        for q in range(3):
            i, j = 2 + 1 - 2 * p, 3 + 1 - 2 * q
            if 0 <= i < 2 and 0 <= j < 3:
                expected[0, p, q, 0] = w[i, j, 0, 0]
    assert expected.any()
    for kernels in available():
        y = run(kernels, lambda x, w: ag.conv2d(x, w, stride=2, padding=1), x, w)[0]
        np.testing.assert_array_equal(y, expected)


@pytest.mark.parametrize(("dtype", "step", "rtol"), [(np.complex128, 1e-200, 1e-12), (np.complex64, 1e-20, 1e-5)])
def test_complex_step_of_a_gradient_is_a_hessian_vector_product(dtype, step, rtol):
    """Symmetry of the Hessian needs no oracle: u . H v = v . H u."""
    real = np.dtype(dtype).type(0).real.dtype
    rng = np.random.default_rng(4)
    sizes_ = [(3, 3, 2, 4), (4,), (3, 3, 4, 4), (3 * 3 * 4, 5), (5,)]
    arrays = [rng.standard_normal(shape).astype(real) for shape in sizes_]
    x, labels = rng.standard_normal((3, 6, 6, 2)).astype(real), np.array([0, 4, 2])

    def gradient(change):
        tape = Tape("reference")
        w, b, w2, v, c = (tape.leaf(a + dtype(1j * step) * d) for a, d in zip(arrays, change, strict=True))
        y = ag.relu(ag.conv2d(tape.constant(x), w, b, padding=1))
        y = ag.max_pool2d(ag.conv2d(y, w2, padding=1))
        loss = ag.softmax_cross_entropy(ag.linear(ag.tanh(ag.reshape(y, (3, -1))), v, c), labels)
        tape.backward(loss)
        return [leaf.grad.imag / step for leaf in (w, b, w2, v, c)]

    u, v = ([rng.standard_normal(shape).astype(real) for shape in sizes_] for _ in range(2))
    left = sum(np.vdot(a, b) for a, b in zip(u, gradient(v), strict=True))
    right = sum(np.vdot(a, b) for a, b in zip(v, gradient(u), strict=True))
    np.testing.assert_allclose(left, right, rtol=rtol)
    assert abs(left) > 0.1
