"""Reverse-mode differentiation on NumPy: a tape, a table of operations, and a check for both.

    from optiscope.autograd import Tape, linear, softmax_cross_entropy

    tape = Tape()
    w, b = tape.leaf(weights), tape.leaf(biases)
    loss = softmax_cross_entropy(linear(tape.constant(x), w, b), labels)
    tape.backward(loss)
    w.grad

`Operation` adds an operation of one's own, `check_grads` checks it. docs/autograd.md is the guide.
"""

from optiscope.autograd.check import check_grads
from optiscope.autograd.kernels import KERNELS, Kernels
from optiscope.autograd.node import Array, Node
from optiscope.autograd.ops import TABLE
from optiscope.autograd.ops.activations import dropout, relu, sigmoid, tanh
from optiscope.autograd.ops.arithmetic import exp, log, sqrt
from optiscope.autograd.ops.images import conv2d, conv_relu_pool, max_pool2d
from optiscope.autograd.ops.linear import linear, matmul, mean, reshape, sum  # noqa: A004, the field's name
from optiscope.autograd.ops.losses import Reduction, softmax_cross_entropy
from optiscope.autograd.tape import Tape, Tensor
from optiscope.autograd.vjp import Operation

__all__ = [
    "KERNELS",
    "TABLE",
    "Array",
    "Kernels",
    "Node",
    "Operation",
    "Reduction",
    "Tape",
    "Tensor",
    "check_grads",
    "conv2d",
    "conv_relu_pool",
    "dropout",
    "exp",
    "linear",
    "log",
    "matmul",
    "max_pool2d",
    "mean",
    "relu",
    "reshape",
    "sigmoid",
    "softmax_cross_entropy",
    "sqrt",
    "sum",
    "tanh",
]
