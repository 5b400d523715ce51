"""Fast kernels: convolution as matrix products over blocks of images.

Images are cut into blocks of about `ROWS` output pixels. Each block is copied into an image with a zero border
(shared scratch, whose border is never written), from there into columns (im2col), and multiplied. All of that stays
in cache. A pixel's channels and the kw pixels of a window's row lie side by side, so the columns are copied as
kh pieces of kw * C values each: one NumPy copy of an array whose dtype is that piece.

Backward, for stride 1: the columns of dY serve both gradients. dX is the convolution of dY with the flipped kernel,
and dW the product of X with the same columns:

    dX = columns(dY) @ flipped W             dW = flip(X^T @ columns(dY))

For other strides, and where no dX is wanted, dW = columns(X)^T @ dY, and dX is columns added back (col2im).

A 2 x 2 max-pool takes the maximum of neighbours in a row, then of the two rows. Its gradient compares instead of
remembering places; dy * k and dy - dy * k share the gradient out so that exactly one place gets it.
"""

from __future__ import annotations

import numpy as np

from optiscope.autograd.kernels import reference
from optiscope.autograd.kernels.columns import block_size, blocks, columns_of
from optiscope.autograd.kernels.shapes import out_size
from optiscope.autograd.node import Array, Node

Pair = tuple[int, int]


def conv2d(node: Node, x: Array, w: Array, b: Array | None, stride: Pair, padding: Pair) -> Array:
    """Return columns(x) @ w, plus the bias, block by block."""
    size: Pair = w.shape[:2]
    height, width = (out_size(x.shape[1 + k], size[k], stride[k], padding[k]) for k in (0, 1))
    out = node.buffer("out", (len(x), height, width, w.shape[3]), x.dtype)
    flat = w.reshape(-1, w.shape[3])
    limit = block_size(len(x), height * width)
    for images in blocks(len(x), height * width):
        rows = out[images].reshape(-1, w.shape[3])
        np.matmul(columns_of(node, x[images], limit, size, stride, padding, (height, width)), flat, out=rows)
        if b is not None:
            rows += b
    return out


def conv2d_grad(
    node: Node, dy: Array, x: Array, w: Array, stride: Pair, padding: Pair, dx: Array | None, dw: Array | None
) -> None:
    """Fill `dx` and `dw`, in the way that the module's docstring derives."""
    if dx is not None and stride == (1, 1) and padding[0] < w.shape[0] and padding[1] < w.shape[1]:
        _flipped(node, dy, x, w, padding, dx, dw)
        return
    if dw is not None:
        _weight_grad(node, dy, x, stride, padding, dw)
    if dx is not None:
        _col2im(node, dy, w, stride, padding, dx)


def _flipped(node: Node, dy: Array, x: Array, w: Array, padding: Pair, dx: Array, dw: Array | None) -> None:
    """Stride 1: both gradients from the columns of dy, padded so that its windows cover x."""
    kh, kw, channels, outputs = w.shape
    pixels: Pair = x.shape[1:3]
    cover = (kh - 1 - padding[0], kw - 1 - padding[1])
    kernel = node.buffer("flipped", (kh, kw, outputs, channels), w.dtype)
    kernel[...] = w[::-1, ::-1].transpose(0, 1, 3, 2)
    flat = kernel.reshape(-1, channels)
    total = node.scratch("dw", (channels, kh * kw * outputs), w.dtype)
    part = node.scratch("dw part", total.shape, w.dtype)
    total[...] = 0
    limit = block_size(len(x), pixels[0] * pixels[1])
    for images in blocks(len(x), pixels[0] * pixels[1]):
        columns = columns_of(node, dy[images], limit, (kh, kw), (1, 1), cover, pixels)
        np.matmul(columns, flat, out=dx[images].reshape(-1, channels))
        if dw is not None:
            total += np.matmul(x[images].reshape(-1, channels).T, columns, out=part)
    if dw is not None:
        dw[...] = total.reshape(channels, kh, kw, outputs)[:, ::-1, ::-1].transpose(1, 2, 0, 3)


def _weight_grad(node: Node, dy: Array, x: Array, stride: Pair, padding: Pair, dw: Array) -> None:
    """Any stride: dw = columns(x)^T @ dy."""
    kh, kw, _, outputs = dw.shape
    out: Pair = dy.shape[1:3]
    total = dw.reshape(-1, outputs)
    part = node.scratch("dw part", total.shape, dw.dtype)
    total[...] = 0
    limit = block_size(len(x), out[0] * out[1])
    for images in blocks(len(x), out[0] * out[1]):
        columns = columns_of(node, x[images], limit, (kh, kw), stride, padding, out)
        total += np.matmul(columns.T, dy[images].reshape(-1, outputs), out=part)


def _col2im(node: Node, dy: Array, w: Array, stride: Pair, padding: Pair, dx: Array) -> None:
    """Any stride: the columns of dx, added back to the pixels that they were copied from."""
    kh, kw, channels, outputs = w.shape
    height, width = dy.shape[1:3]
    top, left = padding
    limit = block_size(len(dx), height * width)
    shape = (limit, dx.shape[1] + 2 * top, dx.shape[2] + 2 * left, channels)
    for images in blocks(len(dx), height * width):
        columns = node.scratch("columns", (limit * height * width, kh * kw * channels), dx.dtype)
        count = images.stop - images.start
        columns = columns[: count * height * width]
        np.matmul(dy[images].reshape(-1, outputs), w.reshape(-1, outputs).T, out=columns)
        windows = columns.reshape(count, height, width, kh, kw, channels)
        padded = node.scratch("col2im", shape, dx.dtype)[:count]
        padded[...] = 0
        for i in range(kh):
            for j in range(kw):
                rows, places = slice(i, i + stride[0] * height, stride[0]), slice(j, j + stride[1] * width, stride[1])
                padded[:, rows, places] += windows[:, :, :, i, j]
        dx[images] = padded[:, top : top + dx.shape[1], left : left + dx.shape[2]]


def _halves(x: Array, height: int, width: int) -> tuple[Array, Array]:
    """Return left and right neighbours, [N, 2 * height, width, C] each, without the odd row and column."""
    x = x[:, : 2 * height]
    return x[:, :, 0 : 2 * width : 2], x[:, :, 1 : 2 * width : 2]


def max_pool2d(node: Node, x: Array, size: Pair, stride: Pair) -> Array:
    """Return the maximum of each window; 2 x 2 windows that do not overlap are the fast case."""
    if size != (2, 2) or stride != (2, 2):
        return reference.max_pool2d(node, x, size, stride)
    count, height, width, channels = len(x), x.shape[1] // 2, x.shape[2] // 2, x.shape[3]
    rows = node.buffer("rows", (count, 2 * height, width, channels), x.dtype)
    np.maximum(*_halves(x, height, width), out=rows)
    out = node.buffer("out", (count, height, width, channels), x.dtype)
    return np.maximum(rows[:, 0::2], rows[:, 1::2], out=out)


def max_pool2d_grad(node: Node, dy: Array, x: Array, y: Array, size: Pair, stride: Pair, dx: Array) -> None:
    """Share each gradient out between the two rows, then between left and right."""
    if size != (2, 2) or stride != (2, 2):
        reference.max_pool2d_grad(node, dy, x, y, size, stride, dx)
        return
    count, height, width, channels = y.shape
    rows = node.buffer("rows", (count, 2 * height, width, channels), x.dtype)
    if x.shape[1:3] != (2 * height, 2 * width):
        dx[...] = 0
    limit = block_size(count, 4 * height * width)
    drows_all = node.scratch("drows", (limit, *rows.shape[1:]), x.dtype)
    upper_all = node.scratch("upper", (limit, *y.shape[1:]), np.bool_)
    first_all = node.scratch("first", (limit, *rows.shape[1:]), np.bool_)
    for images in blocks(count, 4 * height * width):
        used = slice(0, images.stop - images.start)
        drows, upper, first = drows_all[used], upper_all[used], first_all[used]
        np.equal(rows[images, 0::2], y[images], out=upper)
        np.multiply(dy[images], upper, out=drows[:, 0::2])
        np.subtract(dy[images], drows[:, 0::2], out=drows[:, 1::2])
        left, right = _halves(dx[images], height, width)
        np.equal(_halves(x[images], height, width)[0], rows[images], out=first)
        np.multiply(drows, first, out=left)
        np.subtract(drows, left, out=right)


def relu(x: Array, out: Array) -> None:
    """Fill `out` with max(x, 0)."""
    np.maximum(x, 0, out=out)


def relu_grad(node: Node, dy: Array, y: Array, dx: Array) -> None:
    """Fill `dx` with dy where the value was positive, and 0 elsewhere."""
    positive = node.buffer("positive", y.shape, np.bool_)
    np.greater(y, 0, out=positive)
    np.multiply(dy, positive, out=dx)
