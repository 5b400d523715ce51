"""Does a rule belong to its forward function? `check_grads` asks the derivative along a random direction, three ways.

    rule                 dot(gradient of sum(c * f), v), by the tape
    complex step         Im(sum(c * f(x + i h v))) / h with h = 1e-30: no subtraction, hence exact to rounding
    central difference   (sum(c * f(x + h v)) - sum(c * f(x - h v))) / (2 h): seven digits or so, and no complex numbers

c is a random array of f's shape and v a random direction for one argument at a time. A wrong entry anywhere in a
gradient changes the number with probability 1. Both comparisons are made: the complex step trusts the
forward function to be analytic, which the central difference does not.

Source: Squire and Trapp, SIAM Review 40 (1998) 110, for the complex step.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from optiscope.autograd.node import Array
from optiscope.autograd.tape import Tape, Tensor

Function = Callable[..., Tensor]

_STEP = 1e-30
_DIFFERENCE = 1e-6
_CANCELLED = 1e-4
"""Share of sum(|c * f|) that counts as scale: rounding leaves about 2e-16 of it, over h in a central difference."""


def check_grads(
    f: Function,
    *args: npt.ArrayLike,
    kernels: str = "reference",
    rtol: float = 1e-10,
    rtol_difference: float = 1e-5,
    seed: int = 0,
) -> None:
    """Raise AssertionError unless the gradients of `f` agree with its complex step and its central differences.

    `f` takes as many tensors as there are `args` (float64 arrays) and returns a tensor of any shape; the same
    arguments must give the same value, and no kink (of a ReLU, say) may lie near. The gradient is taken on
    `kernels`; the complex step always runs on "reference". `rtol` is the tolerance of the first comparison,
    `rtol_difference` of the second, both relative to the norm of the gradient times that of the direction.
    """
    rng = np.random.default_rng(seed)
    arrays = [np.array(arg, dtype=np.float64) for arg in args]
    weights, size, grads = _gradients(f, arrays, kernels, rng)
    for index, grad in enumerate(grads):
        direction = rng.standard_normal(grad.shape)
        by_rule = float(np.sum(grad * direction))
        by_complex = _complex_step(f, arrays, index, direction, weights)
        by_difference = _central_difference(f, arrays, index, direction, weights)
        norm = float(np.linalg.norm(grad) * np.linalg.norm(direction))
        scale = max(norm, abs(by_complex), abs(by_difference)) + _CANCELLED * size
        wrong = [
            f"{name} says {value:.12g}"
            for name, value, tolerance in (
                ("the complex step", by_complex, rtol),
                ("the central difference", by_difference, rtol_difference),
            )
            if not abs(by_rule - value) <= tolerance * scale
        ]
        if wrong:
            raise AssertionError(
                f"the gradient of argument {index}, of shape {grad.shape}, is {by_rule:.12g} along a random direction, "
                f"but {' and '.join(wrong)}: mend the rule, or, where only the complex step differs, make forward and "
                "rule analytic (no abs, no conjugate, comparisons by the real part)"
            )


def _gradients(
    f: Function, arrays: list[Array], kernels: str, rng: np.random.Generator
) -> tuple[Array, float, list[Array]]:
    """Return the random cotangent c, sum(|c * f|), and the gradient of sum(c * f) for each argument."""
    from optiscope.autograd.ops.linear import sum as total

    tape = Tape(kernels)
    leaves = [tape.leaf(array) for array in arrays]
    out = f(*leaves)
    weights = rng.standard_normal(out.shape)
    tape.backward(total(out * tape.constant(weights)))
    grads = [np.zeros(leaf.shape) if leaf.grad is None else leaf.grad.copy() for leaf in leaves]
    return weights, float(np.sum(np.abs(weights * out.array))), grads


def _value(f: Function, arrays: list[Array], index: int, change: Array, weights: Array) -> complex:
    tape = Tape("reference")
    moved = [array + change if k == index else array for k, array in enumerate(arrays)]
    return complex(np.sum(weights * f(*(tape.constant(array) for array in moved)).array))


def _complex_step(f: Function, arrays: list[Array], index: int, direction: Array, weights: Array) -> float:
    return _value(f, arrays, index, 1j * _STEP * direction, weights).imag / _STEP


def _central_difference(f: Function, arrays: list[Array], index: int, direction: Array, weights: Array) -> float:
    ahead = _value(f, arrays, index, _DIFFERENCE * direction, weights)
    behind = _value(f, arrays, index, -_DIFFERENCE * direction, weights)
    return (ahead.real - behind.real) / (2 * _DIFFERENCE)
