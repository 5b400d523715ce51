"""Sizes and sums that every kernel set needs."""

from __future__ import annotations

import numpy as np

from optiscope.autograd.node import Array, Node

ROWS = 2048
"""Rows of a block: its columns (2.4 MB for 32 channels in float32) stay in cache between the copy and the product."""


def out_size(size: int, kernel: int, stride: int, padding: int = 0) -> int:
    """Return how many windows of `kernel` fit along an axis of `size`; less than 1 if none does."""
    return (size + 2 * padding - kernel) // stride + 1


def column_sums(node: Node, rows: Array, out: Array) -> None:
    """Fill `out` [C] with the sums over the rows of a contiguous [R, C].

    A product with a vector of ones is five times as fast as `rows.sum(axis=0)`. In blocks, whose sums are added
    afterwards, so that the rounding error does not grow with R.
    """
    ones = node.scratch("ones", (ROWS,), out.dtype)
    ones[...] = 1
    part = node.scratch("part", out.shape, out.dtype)
    out[...] = 0
    for start in range(0, len(rows), ROWS):
        block = rows[start : start + ROWS]
        np.matmul(ones[: len(block)], block, out=part)
        out += part


def sum_to(node: Node, dy: Array, out: Array) -> Array:
    """Fill `out` with `dy` summed over the axes that broadcasting stretched from `out`'s shape, and return it."""
    extra = dy.ndim - out.ndim
    if extra > 0 and dy.shape[extra:] == out.shape and out.size and dy.flags.c_contiguous:
        column_sums(node, dy.reshape(-1, out.size), out.reshape(-1))
        return out
    axes = tuple(range(extra)) + tuple(
        extra + axis for axis, size in enumerate(out.shape) if size == 1 and dy.shape[extra + axis] != 1
    )
    np.sum(dy, axis=axes, out=out.reshape((1,) * extra + out.shape), keepdims=True)
    return out
