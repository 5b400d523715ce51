"""Matrix products, sums and shapes: matmul, linear, sum, mean, reshape."""

from __future__ import annotations

import numpy as np

from optiscope.autograd.kernels.shapes import column_sums, sum_to
from optiscope.autograd.node import Array, Node
from optiscope.autograd.tape import Tensor
from optiscope.autograd.vjp import Operation
from optiscope.errors import UsageError

Gradients = tuple[Array | None, ...]


def _matmul(node: Node, a: Array, b: Array) -> Array:
    if a.ndim < 2 or b.ndim < 2 or a.shape[-1] != b.shape[-2]:
        raise UsageError(
            f"matmul multiplies [.., n, k] by [.., k, m], not {a.shape} by {b.shape}: reshape vectors to matrices"
        )
    shape = (*np.broadcast_shapes(a.shape[:-2], b.shape[:-2]), a.shape[-2], b.shape[-1])
    return np.matmul(a, b, out=node.buffer("out", shape, np.result_type(a, b)))


def _matmul_rule(node: Node, dy: Array) -> Gradients:
    a, b = node.arrays
    da = _product(node, 0, dy, b.swapaxes(-1, -2)) if node.needs[0] else None
    db = _product(node, 1, a.swapaxes(-1, -2), dy) if node.needs[1] else None
    return da, db


def _product(node: Node, index: int, left: Array, right: Array) -> Array:
    """Return left @ right, summed over the axes along which input `index` was broadcast."""
    shape = (*np.broadcast_shapes(left.shape[:-2], right.shape[:-2]), left.shape[-2], right.shape[-1])
    if shape == node.arrays[index].shape:
        return np.matmul(left, right, out=node.grad(index))
    full = node.buffer(("product", index), shape, np.result_type(left, right))
    return sum_to(node, np.matmul(left, right, out=full), node.grad(index))


def _linear(node: Node, x: Array, w: Array, b: Array) -> Array:
    if x.ndim != 2 or w.ndim != 2 or x.shape[1] != w.shape[0] or b.shape != w.shape[1:]:
        raise UsageError(
            f"linear takes x [B, in], w [in, out] and b [out], not {x.shape}, {w.shape} and {b.shape}: "
            "reshape x to two axes, or transpose w"
        )
    out = node.buffer("out", (len(x), w.shape[1]), np.result_type(x, w, b))
    np.matmul(x, w, out=out)
    out += b
    return out


def _linear_rule(node: Node, dy: Array) -> Gradients:
    x, w, _ = node.arrays
    dx = np.matmul(dy, w.T, out=node.grad(0)) if node.needs[0] else None
    dw = np.matmul(x.T, dy, out=node.grad(1)) if node.needs[1] else None
    db = None
    if node.needs[2]:
        db = node.grad(2)
        column_sums(node, dy, db)
    return dx, dw, db


def _axes(axis: int | tuple[int, ...] | None, ndim: int) -> tuple[int, ...]:
    if axis is None:
        return tuple(range(ndim))
    return tuple(k % ndim for k in ((axis,) if isinstance(axis, int) else axis))


def _sum(node: Node, x: Array, axis: int | tuple[int, ...] | None) -> Array:
    axes = _axes(axis, x.ndim)
    shape = tuple(size for k, size in enumerate(x.shape) if k not in axes)
    return np.sum(x, axis=axes, out=node.buffer("out", shape, x.dtype))


def _sum_rule(node: Node, dy: Array) -> Gradients:
    (x,) = node.arrays
    dx = node.grad(0)
    dx[...] = np.expand_dims(dy, _axes(node.options["axis"], x.ndim))
    return (dx,)


def _mean(node: Node, x: Array, axis: int | tuple[int, ...] | None) -> Array:
    out = _sum(node, x, axis)
    out /= x.size // max(1, out.size)
    return out


def _mean_rule(node: Node, dy: Array) -> Gradients:
    (dx,) = _sum_rule(node, dy)
    assert dx is not None
    dx /= dx.size // max(1, dy.size)
    return (dx,)


def _reshape(node: Node, x: Array, shape: tuple[int, ...]) -> Array:
    return x.reshape(shape)


def _reshape_rule(node: Node, dy: Array) -> Gradients:
    return (dy.reshape(node.arrays[0].shape),)


_MATMUL = Operation("matmul", _matmul, _matmul_rule)
_LINEAR = Operation("linear", _linear, _linear_rule)
_SUM = Operation("sum", _sum, _sum_rule)
_MEAN = Operation("mean", _mean, _mean_rule)
_RESHAPE = Operation("reshape", _reshape, _reshape_rule)

ROWS = (_MATMUL, _LINEAR, _SUM, _MEAN, _RESHAPE)


def matmul(a: Tensor, b: Tensor) -> Tensor:
    """Return a [.., n, k] times b [.., k, m]; leading axes broadcast. UsageError for other shapes."""
    return _MATMUL(a, b)


def linear(x: Tensor, w: Tensor, b: Tensor) -> Tensor:
    """Return x @ w + b: x [B, in], w [in, out], b [out] -> [B, out]. UsageError for shapes that do not fit."""
    return _LINEAR(x, w, b)


def sum(x: Tensor, axis: int | tuple[int, ...] | None = None) -> Tensor:  # noqa: A001, the field's name
    """Return the sum over `axis`, or over everything; the axes that are summed over go away."""
    return _SUM(x, axis=axis)


def mean(x: Tensor, axis: int | tuple[int, ...] | None = None) -> Tensor:
    """Return the mean over `axis`, or over everything; the axes that are averaged over go away."""
    return _MEAN(x, axis=axis)


def reshape(x: Tensor, shape: tuple[int, ...]) -> Tensor:
    """Return the same values in another shape, in which one size may be -1, as in NumPy."""
    return _RESHAPE(x, shape=shape)
