"""Element-wise non-linearities and dropout."""

from __future__ import annotations

import numpy as np

from optiscope.autograd.node import Array, Node
from optiscope.autograd.tape import Tensor
from optiscope.autograd.vjp import Operation
from optiscope.errors import UsageError

Gradients = tuple[Array | None, ...]


def _relu(node: Node, x: Array) -> Array:
    out = node.buffer("out", x.shape, x.dtype)
    node.kernels.relu(x, out)
    return out


def _relu_rule(node: Node, dy: Array) -> Gradients:
    dx = node.grad(0)
    node.kernels.relu_grad(node, dy, node.out, dx)
    return (dx,)


def _tanh(node: Node, x: Array) -> Array:
    return np.tanh(x, out=node.buffer("out", x.shape, x.dtype))


def _tanh_rule(node: Node, dy: Array) -> Gradients:
    dx = np.multiply(node.out, node.out, out=node.grad(0))
    np.subtract(1, dx, out=dx)
    dx *= dy
    return (dx,)


def _sigmoid(node: Node, x: Array) -> Array:
    """By tanh, which does not overflow: 1 / (1 + e^-x) = (1 + tanh(x / 2)) / 2."""
    out = node.buffer("out", x.shape, x.dtype)
    np.multiply(x, 0.5, out=out)
    np.tanh(out, out=out)
    out += 1
    out *= 0.5
    return out


def _sigmoid_rule(node: Node, dy: Array) -> Gradients:
    dx = np.subtract(1, node.out, out=node.grad(0))
    dx *= node.out
    dx *= dy
    return (dx,)


def _dropout(node: Node, x: Array, p: float, rng: np.random.Generator) -> Array:
    draws = node.buffer("draws", x.shape, np.float32)
    rng.random(dtype=np.float32, out=draws)
    keep = np.greater_equal(draws, p, out=node.buffer("keep", x.shape, np.bool_))
    scale = node.buffer("scale", x.shape, x.real.dtype)
    np.multiply(keep, 1 / (1 - p), out=scale)
    return np.multiply(x, scale, out=node.buffer("out", x.shape, x.dtype))


def _dropout_rule(node: Node, dy: Array) -> Gradients:
    (x,) = node.arrays
    return (np.multiply(dy, node.buffer("scale", x.shape, x.real.dtype), out=node.grad(0)),)


_RELU = Operation("relu", _relu, _relu_rule)
_TANH = Operation("tanh", _tanh, _tanh_rule)
_SIGMOID = Operation("sigmoid", _sigmoid, _sigmoid_rule)
_DROPOUT = Operation("dropout", _dropout, _dropout_rule)

ROWS = (_RELU, _TANH, _SIGMOID, _DROPOUT)


def relu(x: Tensor) -> Tensor:
    """Return max(x, 0), element by element; the derivative at 0 is 0."""
    return _RELU(x)


def tanh(x: Tensor) -> Tensor:
    """Return the hyperbolic tangent, element by element."""
    return _TANH(x)


def sigmoid(x: Tensor) -> Tensor:
    """Return 1 / (1 + e^-x), element by element."""
    return _SIGMOID(x)


def dropout(x: Tensor, p: float, rng: np.random.Generator) -> Tensor:
    """Return x with each element zero with probability `p`, the others divided by 1 - p (0 <= p < 1).

    The draws are float32 whatever the dtype of x, so that a run in float64 drops the same elements.
    """
    if not 0 <= p < 1:
        raise UsageError(f"dropout drops with a probability >= 0 and < 1, not {p!r}: choose one")
    return _DROPOUT(x, p=p, rng=rng)
