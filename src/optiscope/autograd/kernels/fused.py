"""Convolution, 2 x 2 max-pool, bias and ReLU of one block before the next block begins.

Each of the four reads and writes whole activations if it runs alone: 13 MB for 100 images of 32 x 32 x 32, from
memory and back. Here a block's product stays in cache until it is pooled, and only the pooled values are written:
a quarter as many. The activation before the pool, and its gradient, never exist as a whole.

Bias and ReLU are monotone, so they give the same values after the pool as before it, on a quarter of the pixels.

The product is made in the order of `columns.unfold(phases=True)`, so that the pool is three maxima of contiguous
quarters. What is kept for the backward pass are the results of the comparisons, a byte each, and y itself, for the
sign. Backward, dy * k and dy - dy * k share a gradient out so that exactly one place gets it; the four quarters are
copied to their pixels, into the image with a zero border from which the columns of the gradient are made anyhow.
As in `im2col`, these columns serve both dX and dW; the first layer, which needs no dX, uses those of x.

The maximum of an array and a scalar takes three times as long in NumPy as that of two arrays, and an array and a row
are added row by row: hence `zeros` and `bias` of the size of a block.
"""

from __future__ import annotations

import numpy as np

from optiscope.autograd.kernels.columns import block_size, blocks, bordered, unfold
from optiscope.autograd.node import Array, Node

Pair = tuple[int, int]


def conv_relu_pool(node: Node, x: Array, w: Array, b: Array, padding: int, pool: bool) -> Array:
    """Return relu(max_pool(conv(x, w)) + b), and leave the comparisons of the pool in buffers."""
    kernel, outputs = len(w), w.shape[3]
    height, width = (size + 2 * padding - kernel + 1 for size in x.shape[1:3])
    shape = (len(x), height // 2, width // 2, outputs) if pool else (len(x), height, width, outputs)
    y = node.buffer("out", shape, x.dtype)
    limit = block_size(len(x), height * width)
    flat = w.reshape(-1, outputs)
    per_image = int(np.prod(shape[1:3]))
    product = node.scratch("product", ((4 if pool else 1) * limit * per_image, outputs), x.dtype)
    padded, inside = bordered(node, "padded", (limit, *x.shape[1:]), (padding, padding), x.dtype)
    zeros = node.scratch("zeros", (limit * per_image, outputs), x.dtype)
    bias = node.scratch("bias", zeros.shape, x.dtype)
    bias[...] = b
    for images in blocks(len(x), height * width):
        count = images.stop - images.start
        inside[:count] = x[images]
        into = _kept(node, w, y, pool, images)
        columns = unfold(node, padded, count, (kernel, kernel), (1, 1), (height, width), pool, into)
        rows = y[images].reshape(-1, outputs)
        if pool:
            z = np.matmul(columns, flat, out=product[: len(columns)])
            _pool(z.reshape(2, 2, -1), *comparisons(node, y, images), rows.reshape(-1))
        else:
            np.matmul(columns, flat, out=rows)
        rows += bias[: len(rows)]
        np.maximum(rows, zeros[: len(rows)], out=rows)
    return y


def _kept(node: Node, w: Array, y: Array, pool: bool, images: slice) -> Array | None:
    """Return where a block's columns are kept for the backward pass, or None if they are not.

    They are where dW is made of them, as in a first layer, and no larger than a pair of activations.
    """
    depth, outputs = w.size // w.shape[3], w.shape[3]
    if node.needs[0] or not node.needs[1] or depth > 2 * outputs:
        return None
    rows = (4 if pool else 1) * int(np.prod(y.shape[1:3]))
    whole = node.buffer("columns", (len(y) * rows, depth), y.dtype)
    return whole[images.start * rows : images.stop * rows]


def comparisons(node: Node, y: Array, images: slice) -> tuple[Array, Array]:
    """Return a block's part of the kept comparisons: [2, M] left with right, and [M] upper with lower row."""
    size = int(np.prod(y.shape[1:]))
    left = node.buffer("left", (2 * y.size,), np.bool_)[2 * size * images.start : 2 * size * images.stop]
    upper = node.buffer("upper", (y.size,), np.bool_)[size * images.start : size * images.stop]
    return left.reshape(2, -1), upper


def _pool(z: Array, left: Array, upper: Array, out: Array) -> None:
    """Fill `out` [M] with the maxima of `z` [2, 2, M], and say in `left` and `upper` where they were."""
    rows = z[:, 0]
    np.greater_equal(rows, z[:, 1], out=left)
    np.maximum(rows, z[:, 1], out=rows)
    np.greater_equal(rows[0], rows[1], out=upper)
    np.maximum(rows[0], rows[1], out=out)


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
    """Fill the gradients that are wanted; where `dx` is None, dW comes from the columns of x."""
    kernel, _, channels, outputs = w.shape
    pixels: Pair = (x.shape[1] + 2 * padding - kernel + 1, x.shape[2] + 2 * padding - kernel + 1)
    cover = kernel - 1 - padding
    limit = block_size(len(x), pixels[0] * pixels[1])
    spread, inside = bordered(node, ("spread", pool), (limit, *pixels, outputs), (cover, cover), x.dtype)
    padded, image = bordered(node, "padded", (limit, *x.shape[1:]), (padding, padding), x.dtype)
    flipped = node.scratch("flipped", (kernel, kernel, outputs, channels), w.dtype)
    flipped[...] = w[::-1, ::-1].transpose(0, 1, 3, 2)
    weight = node.scratch(
        "dw", (channels, w.size // channels) if dx is not None else (w.size // outputs, outputs), w.dtype
    )
    bias = node.scratch("db", (outputs,), w.dtype)
    ones = node.scratch("block of ones", (limit * pixels[0] * pixels[1],), w.dtype)
    weight[...], bias[...], ones[...] = 0, 0, 1
    for images in blocks(len(x), pixels[0] * pixels[1]):
        count = images.stop - images.start
        g = before_relu(node, dy[images], y[images], limit)
        bias += product(node, "db part", ones[: len(g)], g)
        if dx is None and dw is None:
            continue
        if pool:
            g = _unpool(node, g, *comparisons(node, y, images))
        if dx is None:
            columns = _kept(node, w, y, pool, images)
            if columns is None:
                image[:count] = x[images]
                columns = unfold(node, padded, count, (kernel, kernel), (1, 1), pixels, pool)
            weight += product(node, "dw part", columns.T, g.reshape(len(columns), outputs))
            continue
        _to_pixels(g, inside[:count], pool)
        columns = unfold(node, spread, count, (kernel, kernel), (1, 1), x.shape[1:3])
        np.matmul(columns, flipped.reshape(-1, channels), out=dx[images].reshape(-1, channels))
        if dw is not None:
            weight += product(node, "dw part", x[images].reshape(-1, channels).T, columns)
    if db is not None:
        db[...] = bias
    if dw is not None and dx is not None:
        dw[...] = weight.reshape(channels, kernel, kernel, outputs)[:, ::-1, ::-1].transpose(1, 2, 0, 3)
    elif dw is not None:
        dw[...] = weight.reshape(w.shape)


def product(node: Node, name: str, left: Array, right: Array) -> Array:
    """Return left @ right in scratch."""
    shape = (*left.shape[:-1], right.shape[-1])
    return np.matmul(left, right, out=node.scratch(name, shape, right.dtype))


def before_relu(node: Node, dy: Array, y: Array, limit: int) -> Array:
    """Return a block's dy [n, h, w, C] where y is positive, and 0 elsewhere, as rows [R, C] in scratch."""
    rows = limit * dy.shape[1] * dy.shape[2]
    count = len(dy) * dy.shape[1] * dy.shape[2]
    zeros = node.scratch("zeros", (rows, dy.shape[3]), dy.dtype)[:count]
    positive = node.scratch("positive", (rows, dy.shape[3]), np.bool_)[:count]
    np.greater(y.reshape(zeros.shape), zeros, out=positive)
    return np.multiply(dy.reshape(zeros.shape), positive, out=node.scratch("g", (rows, dy.shape[3]), dy.dtype)[:count])


def _unpool(node: Node, g: Array, left: Array, upper: Array) -> Array:
    """Return [2, 2, M]: each gradient of `g` at the place of its maximum, zeros at the other three."""
    flat = g.reshape(-1)
    out = node.scratch("quarters", (2, 2, flat.size), g.dtype)
    rows = out[:, 1]
    np.multiply(flat, upper, out=rows[0])
    np.subtract(flat, rows[0], out=rows[1])
    np.multiply(rows, left, out=out[:, 0])
    np.subtract(rows, out[:, 0], out=rows)
    return out


def _to_pixels(g: Array, inside: Array, pool: bool) -> None:
    """Copy a block's gradient to its pixels, `inside` [n, H, W, C]; whole pixels at a time, as `unfold` does."""
    count, height, width, channels = inside.shape
    if not pool:
        inside[...] = g.reshape(inside.shape)
        return
    piece = np.dtype(f"V{channels * g.itemsize}")
    quarters = g.view(piece).reshape(2, 2, count, height // 2, width // 2)
    pixels = inside.view(piece)[:, : height // 2 * 2, : width // 2 * 2, 0]
    for row in (0, 1):
        for column in (0, 1):
            np.copyto(pixels[:, row::2, column::2], quarters[row, column])
