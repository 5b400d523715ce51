"""The table of rules: an operation is a forward function and its vector-Jacobian product.

    forward(node, *arrays, **options)   -> array        the value
    rule(node, dy)                      -> gradients    dy has the shape of the value; one gradient for each input

A row of the table is an `Operation`. It is a plain value: whoever makes one can call it, no registry has to know
it, and it is differentiated, checked (`check_grads`) and timed like the built-in ones, whose rows are
`optiscope.autograd.ops.TABLE`.

    def _softplus(node, x):
        return np.log1p(np.exp(x))

    def _softplus_rule(node, dy):
        (x,) = node.arrays
        return (dy / (1 + np.exp(-x)),)

    softplus = Operation("softplus", _softplus, _softplus_rule)

What a rule finds: `node.arrays` (values of the inputs), `node.out` (the result), `node.options`, and whatever the
forward function left in `node.buffer(name, shape, dtype)`. For an input with `node.needs[i]` false it may return
None. It must not write to `dy`, which may belong to others as well. An operation that should not allocate writes its
value into `node.buffer` and its gradients into `node.grad(i)`.

To be checked by a complex step, a forward function and its rule must hold for complex arrays as analytic functions:
no `abs`, no conjugates (`x.T`, never `x.conj().T`), and comparisons by the real part.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from optiscope.autograd.node import Array, Node
from optiscope.autograd.tape import Tensor
from optiscope.errors import UsageError


@dataclass(frozen=True)
class Operation:
    """A row of the table: a name for error messages, a forward function and its rule."""

    name: str
    forward: Callable[..., Array]
    rule: Callable[[Node, Array], Sequence[Array | None]]

    def __call__(self, *inputs: Tensor | float, **options: Any) -> Tensor:
        """Apply the operation on the tape of its inputs, and return the result.

        Numbers among the inputs become constants of the first tensor's dtype (complex ones stay complex).
        UsageError if no input is a tensor, or if one is neither tensor nor number.
        """
        first = next((value for value in inputs if isinstance(value, Tensor)), None)
        if first is None:
            raise UsageError(
                f"operation '{self.name}' needs a tensor: put an array on the tape with tape.leaf or tape.constant"
            )
        return first.tape.apply(self, *(self._tensor(value, first) for value in inputs), **options)

    def _tensor(self, value: Tensor | float, first: Tensor) -> Tensor:
        if isinstance(value, Tensor):
            return value
        if isinstance(value, (int, float, complex, np.number)):
            dtype = np.result_type(first.dtype, type(value)) if isinstance(value, complex) else first.dtype
            return first.tape.constant(np.asarray(value, dtype=dtype))
        raise UsageError(
            f"operation '{self.name}' takes tensors and numbers, not {type(value).__name__}: "
            "put arrays on the tape with tape.leaf or tape.constant"
        )
