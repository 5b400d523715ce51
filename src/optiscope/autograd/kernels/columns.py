"""Blocks of images, and the columns of a block (im2col).

A block is about `ROWS` output pixels: small enough that its columns stay in cache from the copy that makes them to
the product that uses them. It is first copied into an image with a zero border (shared scratch, whose border nobody
writes), and from there into columns. A pixel's channels and the kw pixels of a window's row lie side by side in
memory, so that columns are copied as kh pieces of kw * C values: one NumPy copy of an array whose dtype is such a
piece, which is faster than a copy of numbers.

The order of the rows is ours to choose. `phases` puts the pixels that a 2 x 2 pool compares a quarter of the block
apart: first all upper left ones, then upper right, lower left and lower right. The product has the same order, so a
pool compares whole contiguous quarters, where comparing neighbours would take strides of a few numbers each.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterator

import numpy as np

from optiscope.autograd.kernels.shapes import ROWS
from optiscope.autograd.node import Array, Node

Pair = tuple[int, int]


def block_size(images: int, pixels: int) -> int:
    """Return how many images of `pixels` pixels make a block, at least one and at most all."""
    return min(images, max(1, ROWS // max(1, pixels)))


def blocks(images: int, pixels: int) -> Iterator[slice]:
    """Cut `images` into blocks that hold about `ROWS` pixels of `pixels` an image."""
    step = block_size(images, pixels)
    for start in range(0, images, step):
        yield slice(start, min(start + step, images))


def bordered(node: Node, name: Hashable, shape: tuple[int, ...], padding: Pair, dtype: np.dtype) -> tuple[Array, Array]:
    """Return scratch for images `shape` [N, H, W, C] with a zero border, and the view of what lies inside it.

    Users who leave zeros of their own inside, as where an odd row is not pooled, give another `name`.
    """
    count, height, width, channels = shape
    top, left = padding
    whole = node.scratch((name, padding), (count, height + 2 * top, width + 2 * left, channels), dtype)
    return whole, whole[:, top : top + height, left : left + width]


def columns_of(node: Node, x: Array, limit: int, size: Pair, stride: Pair, padding: Pair, out: Pair) -> Array:
    """Return [n * Ho * Wo, kh * kw * C] in scratch: what lies under the window, for each output pixel of `x`.

    `limit` is the most images that a block of this call has: scratch is made for it, and a shorter block uses
    its front.
    """
    padded, inside = bordered(node, "padded", (limit, *x.shape[1:]), padding, x.dtype)
    inside[: len(x)] = x
    return unfold(node, padded, len(x), size, stride, out)


def unfold(
    node: Node,
    padded: Array,
    count: int,
    size: Pair,
    stride: Pair,
    out: Pair,
    phases: bool = False,
    into: Array | None = None,
) -> Array:
    """Return the columns of the first `count` of `padded` images, which have their border already.

    They are written `into` memory of their shape, or into scratch.

    With `phases`, for stride 1, rows are ordered [2, 2, n, Ho / 2, Wo / 2], and an odd last row or column of pixels
    is left out.
    """
    channels, step = padded.shape[3], 2 if phases else 1
    height, width = out[0] // step, out[1] // step
    piece = np.dtype(f"V{size[1] * channels * padded.itemsize}")
    per_image, per_row, per_pixel, _ = padded.strides
    shape: tuple[int, ...] = (count, height, width, size[0])
    strides: tuple[int, ...] = (per_image, step * stride[0] * per_row, step * stride[1] * per_pixel, per_row)
    if phases:
        shape, strides = (2, 2, *shape), (per_row, per_pixel, *strides)
    source = np.ndarray(shape, piece, padded, strides=strides)
    rows = step * step * height * width
    if into is None:
        into = node.scratch("columns", (len(padded) * rows, size[0] * size[1] * channels), padded.dtype)[: count * rows]
    np.copyto(into.view(piece).reshape(shape), source)
    return into
