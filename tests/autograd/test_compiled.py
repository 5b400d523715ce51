"""The set "numba": values and gradients, rounding, NaN, bits, and what happens without numba."""

import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

import optiscope.autograd as ag
from optiscope.autograd import Tape
from optiscope.autograd.kernels import available, find, resolve
from optiscope.errors import UsageError

needs_numba = pytest.mark.skipif("numba" not in available(), reason="numba is not installed")


def run(kernels, pool, *arrays, first=False, padding=1):
    """Return the value and the gradients; those of a `first` layer have no dX."""
    tape = Tape(kernels)
    leaves = [tape.leaf(array) for array in arrays]
    if first:
        leaves[0] = tape.constant(arrays[0])
    out = ag.conv_relu_pool(*leaves, padding=padding, pool=pool)
    weights = np.cos(np.arange(out.array.size)).reshape(out.shape).astype(out.dtype)
    tape.backward(ag.sum(out * tape.constant(weights)))
    return [out.array, *(leaf.grad for leaf in leaves[first:])]


def inputs(batch, height, width, channels, outputs, kernel=3, seed=0):
    rng = np.random.default_rng(seed)
    shapes = [(batch, height, width, channels), (kernel, kernel, channels, outputs), (outputs,)]
    x, w, b = (rng.standard_normal(shape) for shape in shapes)
    return [array.astype(np.float32) for array in (x, w / np.sqrt(kernel**2 * channels), b)]


def whole(batch, height, width, channels, outputs, kernel=3, seed=0):
    """Small whole numbers, which a direct convolution adds up exactly: there are ties."""
    rng = np.random.default_rng(seed)
    shapes = [(batch, height, width, channels), (kernel, kernel, channels, outputs), (outputs,)]
    return [rng.integers(-2, 3, shape).astype(np.float32) for shape in shapes]


def errors(ours, exact):
    return [np.linalg.norm(one - other) / np.linalg.norm(other) for one, other in zip(ours, exact, strict=True)]


SIZES = [
    (1, 2, 2, 16, 16),
    (2, 4, 4, 16, 32),
    (5, 8, 8, 32, 32),
    (3, 7, 6, 32, 16),
    (2, 5, 9, 16, 48),
    (37, 8, 5, 16, 16),
    (3, 32, 32, 16, 16),
    (2, 36, 33, 16, 16),
]


@needs_numba
@pytest.mark.parametrize("pool", [False, True])
@pytest.mark.parametrize("size", SIZES, ids=str)
def test_rounding_in_float32(size, pool):
    """Relative errors (2-norm) of the value and of three gradients stay below 1e-5, and 40 x those of im2col.

    im2col has 1e-7 to 3e-7 here. A seed is left out if rounding decided a sign or a maximum.
    """
    compared = 0
    for seed in range(12):
        arrays = inputs(*size, seed=seed)
        exact = run("reference", pool, *(array.astype(float) for array in arrays))
        plain, fast = (errors(run(kernels, pool, *arrays), exact) for kernels in ("im2col", "numba"))
        if max(*plain, *fast) > 1e-4:
            continue
        compared += 1
        assert max(fast) < 1e-5
        assert max(fast) < 40 * max(plain)
    assert compared >= 2


@needs_numba
@pytest.mark.parametrize("pool", [False, True])
@pytest.mark.parametrize(
    ("size", "padding"),
    [
        ((4, 8, 8, 3, 16), 1),
        ((2, 7, 5, 3, 32), 1),
        ((1, 2, 3, 1, 48), 1),
        ((3, 9, 8, 2, 16, 5), 0),
        ((3, 6, 9, 4, 16, 2), 1),
    ],
    ids=str,
)
def test_a_first_layer_is_exact_where_numbers_are(size, padding, pool):
    arrays = whole(*size)
    ours = run("numba", pool, *arrays, first=True, padding=padding)
    exact = run("reference", pool, *(array.astype(float) for array in arrays), first=True, padding=padding)
    np.testing.assert_array_equal(ours[0], exact[0])
    for one, other in zip(ours[1:], exact[1:], strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-5 * np.abs(other).max())


@needs_numba
@pytest.mark.parametrize("size", [(2, 8, 6, 16, 16), (2, 8, 6, 3, 16)], ids=["winograd", "direct"])
def test_the_first_of_equal_maxima_gets_the_gradient(size):
    """Equal pixels in each window: all four are maxima, and the upper left one wins."""
    _, w, b = inputs(*size)
    x = np.ones(size[:4], np.float32)
    w[...] = 0
    w[1, 1] = 1
    tape = Tape("numba")
    leaf = tape.leaf(x)
    constant = size[3] == 3
    out = ag.conv_relu_pool(tape.constant(x) if constant else leaf, k := tape.leaf(w), tape.leaf(b), padding=1)
    tape.backward(ag.sum(out))
    if constant:
        # Of the pixels of a window the upper left one sees, to its left and above, what lies outside its window.
        positive = (out.array > 0).sum(axis=(0, 1, 2))
        outside = (out.array[:, 0] > 0).sum(axis=(0, 1))
        np.testing.assert_allclose(k.grad[0, 1], np.broadcast_to(positive - outside, (3, size[4])), rtol=1e-6)
    else:
        grads = leaf.grad.reshape(2, 4, 2, 3, 2, 16)
        assert np.abs(grads[:, :, 0, :, 0]).min() > 0
        np.testing.assert_allclose(grads[:, :, 1], 0, atol=1e-5)
        np.testing.assert_allclose(grads[:, :, :, :, 1], 0, atol=1e-5)


@needs_numba
@pytest.mark.parametrize("pool", [False, True])
@pytest.mark.parametrize("channels", [3, 16])
@pytest.mark.parametrize("place", [(0, 0), (4, 7), (6, 8)])
def test_nan_goes_through(channels, pool, place):
    """Whatever sees a NaN is NaN, and other images are not touched."""
    x, w, b = inputs(3, 8, 10, channels, 16)
    x[1, place[0], place[1], 0] = np.nan
    y = run("numba", pool, x, w, b, first=channels == 3)[0]
    plain = run("im2col", pool, x, w, b, first=channels == 3)[0]
    assert np.isnan(plain).any()
    assert np.isnan(y[np.isnan(plain)]).all()
    assert np.isfinite(y[[0, 2]]).all()


@needs_numba
@pytest.mark.parametrize("channels", [3, 16])
def test_a_tape_forgets_a_nan(channels):
    """The scratch of a step that saw NaN does not spoil the next."""
    arrays = inputs(3, 9, 7, channels, 16)
    tape = Tape("numba")
    results = []
    for spoilt in (False, True, False):
        tape.reset()
        x = np.full_like(arrays[0], np.nan) if spoilt else arrays[0]
        w, b = tape.leaf(arrays[1]), tape.leaf(arrays[2])
        out = ag.conv_relu_pool(tape.constant(x) if channels == 3 else tape.leaf(x), w, b, padding=1)
        tape.backward(ag.sum(out))
        results.append([out.array.copy(), w.grad.copy(), b.grad.copy()])
    for one, other in zip(results[0], results[2], strict=True):
        np.testing.assert_array_equal(one, other)


@needs_numba
def test_the_same_bits_on_every_thread_and_from_read_only_arrays():
    arrays = inputs(9, 16, 16, 32, 32)
    once = run("numba", True, *arrays)
    for array in arrays:
        array.flags.writeable = False
    with ThreadPoolExecutor(4) as threads:
        for again in threads.map(lambda _: run("numba", True, *arrays), range(8)):
            for one, other in zip(once, again, strict=True):
                np.testing.assert_array_equal(one, other)


@needs_numba
@pytest.mark.parametrize(
    ("size", "padding", "dtype"),
    [((2, 8, 8, 16, 16), 1, float), ((2, 8, 8, 16, 10), 1, np.float32), ((2, 8, 8, 16, 16), 0, np.float32)],
    ids=["float64", "outputs", "padding"],
)
def test_what_does_not_suit_goes_to_numpy(size, padding, dtype):
    arrays = [array.astype(dtype) for array in inputs(*size)]
    for one, other in zip(*(run(name, True, *arrays, padding=padding) for name in ("numba", "winograd")), strict=True):
        np.testing.assert_array_equal(one, other)


@needs_numba
def test_auto_is_numba_where_it_is():
    assert resolve("auto") == find("numba").name == "numba"


@pytest.fixture
def no_numba(monkeypatch):
    monkeypatch.setitem(sys.modules, "optiscope.autograd.kernels.compiled", None)
    monkeypatch.delattr("optiscope.autograd.kernels.compiled", raising=False)


@pytest.mark.usefixtures("no_numba")
def test_without_numba():
    assert resolve("auto") == "winograd"
    for ask in (find, resolve):
        with pytest.raises(UsageError, match=r"kernels 'numba' need numba .*: pip install numba, or"):
            ask("numba")


def test_a_name_that_nobody_has():
    with pytest.raises(UsageError, match="did you mean 'numba'"):
        resolve("nunba")


LOAD = "import sys; import optiscope.autograd as a; print('numba' in sys.modules); a.kernels.find('numba')"


@needs_numba
def test_compiled_once_with_a_word_and_not_imported_before(tmp_path):
    def load(**more):
        return subprocess.run(
            [sys.executable, "-c", LOAD], capture_output=True, text=True, check=True, env=os.environ | more
        )

    first, second = (load(NUMBA_CACHE_DIR=str(tmp_path), NUMBA_OPT="1") for _ in range(2))  # compiled a third faster
    assert first.stdout == second.stdout == "False\n"
    assert first.stderr.count("compiling the kernels 'numba'") == 1
    assert second.stderr == ""


@needs_numba
def test_no_place_to_keep_what_is_compiled(monkeypatch):
    """numba raises if it finds no folder for its cache: then the loop is compiled for this process alone."""
    from optiscope.autograd.kernels import loops

    def njit(*args, cache=False, **options):
        def decorate(function):
            if cache:
                raise RuntimeError("cannot cache function 'f': no locator available for file 'f.py'")
            return function

        return decorate

    monkeypatch.setattr(loops, "njit", njit)
    assert loops._compiled(loops.boolean)(len) is len
