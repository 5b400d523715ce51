"""Plain kernels, for every float and complex dtype: slow, short, and what the others are checked against.

They are safe for a complex step. If every operation is an analytic function, f(x + i h v) = f(x) + i h f'(x) v to
all digits for a tiny h, so the imaginary part over h is the exact derivative along v; taken of a gradient, it is
an exact Hessian-vector product. That asks for plain transposes, never conjugates, and for comparisons by the real
part, so that the branch taken is that of the unperturbed point.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from optiscope.autograd.kernels.shapes import out_size
from optiscope.autograd.node import Array, Node

Pair = tuple[int, int]


def _windows(x: Array, size: Pair, stride: Pair, out: Pair) -> Iterator[tuple[Pair, Array]]:
    """Yield, for each place (i, j) of the window, the view [N, Ho, Wo, C] of what lies under it."""
    for i in range(size[0]):
        for j in range(size[1]):
            yield (i, j), x[:, i : i + stride[0] * out[0] : stride[0], j : j + stride[1] * out[1] : stride[1]]


def _pad(x: Array, padding: Pair) -> Array:
    return np.pad(x, ((0, 0), (padding[0], padding[0]), (padding[1], padding[1]), (0, 0)))


def _crop(x: Array, padding: Pair) -> Array:
    height, width = x.shape[1:3]
    return x[:, padding[0] : height - padding[0], padding[1] : width - padding[1]]


def conv2d(node: Node, x: Array, w: Array, b: Array | None, stride: Pair, padding: Pair) -> Array:
    """Return the cross-correlation of padded images with the kernel, plus the bias."""
    size: Pair = w.shape[:2]
    height, width = (out_size(x.shape[1 + k], size[k], stride[k], padding[k]) for k in (0, 1))
    arrays = (x, w) if b is None else (x, w, b)
    out = np.zeros((len(x), height, width, w.shape[3]), dtype=np.result_type(*arrays))
    for place, window in _windows(_pad(x, padding), size, stride, (height, width)):
        out += window @ w[place]
    if b is not None:
        out += b
    return out


def conv2d_grad(
    node: Node, dy: Array, x: Array, w: Array, stride: Pair, padding: Pair, dx: Array | None, dw: Array | None
) -> None:
    """Fill the gradients: each place of the kernel pairs one view of the images with dy."""
    size: Pair = w.shape[:2]
    out: Pair = dy.shape[1:3]
    if dw is not None:
        for place, window in _windows(_pad(x, padding), size, stride, out):
            dw[place] = np.tensordot(window, dy, axes=((0, 1, 2), (0, 1, 2)))
    if dx is not None:
        padded = _pad(np.zeros_like(dx), padding)
        for place, window in _windows(padded, size, stride, out):
            window += dy @ w[place].T
        dx[...] = _crop(padded, padding)


def _first_maximum(x: Array, size: Pair, stride: Pair, out: Pair) -> Array:
    """Return, for each output, the number of the place in the window that holds its first maximum, by rows."""
    winner: Array = np.argmax([window.real for _, window in _windows(x, size, stride, out)], axis=0)
    return winner


def max_pool2d(node: Node, x: Array, size: Pair, stride: Pair) -> Array:
    """Return the maximum of each window."""
    shape = (out_size(x.shape[1], size[0], stride[0]), out_size(x.shape[2], size[1], stride[1]))
    winner = _first_maximum(x, size, stride, shape)
    out = np.zeros(winner.shape, dtype=x.dtype)
    for place, (_, window) in enumerate(_windows(x, size, stride, shape)):
        np.copyto(out, window, where=winner == place)
    return out


def max_pool2d_grad(node: Node, dy: Array, x: Array, y: Array, size: Pair, stride: Pair, dx: Array) -> None:
    """Give each window's gradient to its first maximum."""
    shape: Pair = y.shape[1:3]
    winner = _first_maximum(x, size, stride, shape)
    dx[...] = 0
    for place, (_, window) in enumerate(_windows(dx, size, stride, shape)):
        window += np.where(winner == place, dy, 0)


def conv_relu_pool(node: Node, x: Array, w: Array, b: Array, padding: int, pool: bool) -> Array:
    """Return relu(max_pool(conv(x, w)) + b), one after the other."""
    z = conv2d(node, x, w, None, (1, 1), (padding, padding))
    pooled = max_pool2d(node, z, (2, 2), (2, 2)) if pool else z
    out = np.zeros(pooled.shape, dtype=np.result_type(pooled, b))
    relu(pooled + b, out)
    return out


def conv_relu_pool_grad(
    node: Node,
    dy: Array,
    x: Array,
    w: Array,
    y: Array,
    padding: int,
    pool: bool,
    dx: Array | None,
    dw: Array | None,
    db: Array | None,
) -> None:
    """Fill the gradients: those of the four, backwards, with the convolution done again."""
    g = np.zeros_like(dy)
    relu_grad(node, dy, y, g)
    if db is not None:
        db[...] = g.sum(axis=(0, 1, 2))
    if pool:
        z = conv2d(node, x, w, None, (1, 1), (padding, padding))
        g, pooled = np.zeros_like(z), g
        max_pool2d_grad(node, pooled, z, y, (2, 2), (2, 2), g)
    conv2d_grad(node, g, x, w, (1, 1), (padding, padding), dx, dw)


def relu(x: Array, out: Array) -> None:
    """Fill `out` with x where its real part is positive, and 0 elsewhere."""
    out[...] = np.where(x.real > 0, x, 0)


def relu_grad(node: Node, dy: Array, y: Array, dx: Array) -> None:
    """Fill `dx` with dy where the value was positive, and 0 elsewhere."""
    dx[...] = np.where(y.real > 0, dy, 0)
