"""Element-wise operations, with NumPy's broadcasting.

A gradient of a broadcast input is the sum over the axes that broadcasting stretched.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from optiscope.autograd.kernels.shapes import sum_to
from optiscope.autograd.node import Array, Node
from optiscope.autograd.tape import Tensor
from optiscope.autograd.vjp import Operation
from optiscope.errors import UsageError

Gradients = tuple[Array | None, ...]


def _out(node: Node, *arrays: Array) -> Array:
    shape = np.broadcast_shapes(*(array.shape for array in arrays))
    return node.buffer("out", shape, np.result_type(*arrays))


def _fit(node: Node, index: int, grad: Array) -> Array:
    """Return `grad`, summed to the shape of input `index` where broadcasting stretched it."""
    return grad if grad.shape == node.arrays[index].shape else sum_to(node, grad, node.grad(index))


def _binary(ufunc: np.ufunc) -> Callable[[Node, Array, Array], Array]:
    def forward(node: Node, a: Array, b: Array) -> Array:
        out: Array = ufunc(a, b, out=_out(node, a, b))
        return out

    return forward


def _unary(ufunc: np.ufunc) -> Callable[[Node, Array], Array]:
    def forward(node: Node, x: Array) -> Array:
        out: Array = ufunc(x, out=_out(node, x))
        return out

    return forward


def _add_rule(node: Node, dy: Array) -> Gradients:
    return tuple(_fit(node, index, dy) if needed else None for index, needed in enumerate(node.needs))


def _subtract_rule(node: Node, dy: Array) -> Gradients:
    da = _fit(node, 0, dy) if node.needs[0] else None
    db = _fit(node, 1, np.negative(dy, out=node.buffer("db", dy.shape, dy.dtype))) if node.needs[1] else None
    return da, db


def _multiply_rule(node: Node, dy: Array) -> Gradients:
    grads: list[Array | None] = [None, None]
    for index in (0, 1):
        if node.needs[index]:
            grad = node.buffer(("product", index), dy.shape, dy.dtype)
            grads[index] = _fit(node, index, np.multiply(dy, node.arrays[1 - index], out=grad))
    return tuple(grads)


def _divide_rule(node: Node, dy: Array) -> Gradients:
    quotient = np.divide(dy, node.arrays[1], out=node.buffer("da", dy.shape, dy.dtype))
    da = _fit(node, 0, quotient) if node.needs[0] else None
    db = None
    if node.needs[1]:
        grad = np.multiply(quotient, node.out, out=node.buffer("db", dy.shape, dy.dtype))
        db = _fit(node, 1, np.negative(grad, out=grad))
    return da, db


def _power(node: Node, x: Array, exponent: float) -> Array:
    if not isinstance(exponent, (int, float)):
        raise UsageError(f"** takes a number as exponent, not {type(exponent).__name__}: write exp(log(x) * y) instead")
    return np.power(x, float(exponent), out=_out(node, x))


def _power_rule(node: Node, dy: Array) -> Gradients:
    exponent = float(node.options["exponent"])
    dx = np.power(node.arrays[0], exponent - 1 if exponent else 0.0, out=node.grad(0))
    dx *= exponent
    dx *= dy
    return (dx,)


def _negative_rule(node: Node, dy: Array) -> Gradients:
    return (np.negative(dy, out=node.grad(0)),)


def _exp_rule(node: Node, dy: Array) -> Gradients:
    return (np.multiply(dy, node.out, out=node.grad(0)),)


def _log_rule(node: Node, dy: Array) -> Gradients:
    return (np.divide(dy, node.arrays[0], out=node.grad(0)),)


def _sqrt_rule(node: Node, dy: Array) -> Gradients:
    dx = np.divide(dy, node.out, out=node.grad(0))
    dx *= 0.5
    return (dx,)


_ADD = Operation("add", _binary(np.add), _add_rule)
_SUBTRACT = Operation("subtract", _binary(np.subtract), _subtract_rule)
_MULTIPLY = Operation("multiply", _binary(np.multiply), _multiply_rule)
_DIVIDE = Operation("divide", _binary(np.divide), _divide_rule)
_POWER = Operation("power", _power, _power_rule)
_NEGATIVE = Operation("negative", _unary(np.negative), _negative_rule)
_EXP = Operation("exp", _unary(np.exp), _exp_rule)
_LOG = Operation("log", _unary(np.log), _log_rule)
_SQRT = Operation("sqrt", _unary(np.sqrt), _sqrt_rule)

ROWS = (_ADD, _SUBTRACT, _MULTIPLY, _DIVIDE, _POWER, _NEGATIVE, _EXP, _LOG, _SQRT)


def exp(x: Tensor) -> Tensor:
    """Return e ** x, element by element."""
    return _EXP(x)


def log(x: Tensor) -> Tensor:
    """Return the natural logarithm, element by element."""
    return _LOG(x)


def sqrt(x: Tensor) -> Tensor:
    """Return the square root, element by element."""
    return _SQRT(x)
