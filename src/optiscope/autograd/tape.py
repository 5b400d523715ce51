"""The tape: records what was computed, and walks it backwards.

It knows no operation. An operation is a forward function and a rule (see `optiscope.autograd.vjp`); the tape calls
the first, remembers the call as a `Node`, and in `backward` asks the nodes in reverse order for the gradients of
their inputs, which it adds up.

A training step does the same calls in the same order every time, so the tape is made to live as long as the run:

    tape = Tape()
    for batch in batches:
        tape.reset()                                    forgets the step, keeps the memory
        w = tape.leaf(params["w"], grad=grads["w"])     dloss/dw lands in grads["w"]
        x = tape.constant(batch)                        nothing computes its gradient
        loss = mean((x @ w) ** 2)
        tape.backward(loss)

Node number i of a step owns the memory that node number i of the next step uses again, array by array, as long as
name, shape and dtype agree. So after the first step nothing large is allocated, and the time that the operating
system takes to hand out fresh pages is not spent. The price: arrays of a step are overwritten by the next one.
Tensors that outlive a `reset` are refused when they are used; copy what must be kept.
"""

from __future__ import annotations

from collections.abc import Hashable
from typing import Any

import numpy as np
import numpy.typing as npt

from optiscope.autograd.kernels import Kernels, find
from optiscope.autograd.node import Array, Node, Row
from optiscope.autograd.operators import Operators
from optiscope.errors import UsageError


class Tensor(Operators):
    """An array on a tape.

    `array` is the value. `grad` is None until `Tape.backward`, and then the gradient of the loss with respect to
    this tensor, of the same shape, if one was needed. Both are the tape's memory: valid until its next `reset`.
    """

    __slots__ = ("array", "grad", "needs_grad", "step", "tape", "target")

    def __init__(self, tape: Tape, array: Array, needs_grad: bool, target: Array | None = None) -> None:
        self.tape = tape
        self.array = array
        self.needs_grad = needs_grad
        self.grad: Array | None = None
        self.target = target
        self.step = tape.step

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of the array."""
        return self.array.shape

    @property
    def dtype(self) -> np.dtype[Any]:
        """The element type of the array."""
        return self.array.dtype

    def __repr__(self) -> str:
        return f"Tensor(shape={self.shape}, dtype={self.dtype}, needs_grad={self.needs_grad})"


class Tape:
    """Records operations and differentiates them.

    `kernels` names the set of array functions that the operations run on (`optiscope.autograd.KERNELS`): "im2col"
    (float32 and float64, fast) or "reference" (plain; complex too). UsageError for an unknown name.
    """

    def __init__(self, kernels: str | Kernels = "im2col") -> None:
        self.kernels = find(kernels) if isinstance(kernels, str) else kernels
        self.step = 0
        self._nodes: list[Node] = []
        self._count = 0
        self._leaves: list[Tensor] = []
        self._scratch: dict[Hashable, Array] = {}
        self._walked = False

    def reset(self) -> None:
        """Start a new step: forget what was recorded, keep the memory. Tensors made before are not valid any more."""
        for node in self._nodes:
            node.clear()
        self.step += 1
        self._count = 0
        self._leaves = []
        self._walked = False

    def leaf(self, array: Array, grad: Array | None = None) -> Tensor:
        """Put an array on the tape that the loss is differentiated by.

        `array` is used as it is, not copied. `grad`, if given, has its shape, is contiguous, and is where
        `backward` writes the gradient: zeros if the loss does not depend on this leaf.
        """
        if grad is not None and (grad.shape != array.shape or not grad.flags.c_contiguous):
            raise UsageError(
                f"the gradient buffer of a leaf of shape {array.shape} must be contiguous and of that shape, "
                f"not {grad.shape}: use a view of Parameters of the same layout"
            )
        tensor = Tensor(self, self._checked(array), True, grad)
        self._leaves.append(tensor)
        return tensor

    def constant(self, array: npt.ArrayLike) -> Tensor:
        """Put an array on the tape that nothing is differentiated by; an array is used as it is, not copied."""
        return Tensor(self, self._checked(np.asarray(array)), False)

    def _checked(self, array: Array) -> Array:
        if array.dtype.name not in self.kernels.dtypes:
            raise UsageError(
                f"kernels '{self.kernels.name}' compute in {' or '.join(self.kernels.dtypes)}, not {array.dtype}: "
                "convert the array with astype"
            )
        return array

    def apply(self, op: Row, *inputs: Tensor, **options: Any) -> Tensor:
        """Call `op` on tensors of this tape's present step, remember the call, and return its result."""
        for tensor in inputs:
            if tensor.tape is not self or tensor.step != self.step:
                raise UsageError(
                    f"operation '{op.name}' was given a tensor of another tape, or from before the last reset: "
                    "make a new one with tape.leaf or tape.constant"
                )
        if self._count == len(self._nodes):
            self._nodes.append(Node(self.kernels, self._scratch))
        node = self._nodes[self._count]
        self._count += 1
        node.op = op
        node.inputs = inputs
        node.arrays = tuple(tensor.array for tensor in inputs)
        node.needs = tuple(tensor.needs_grad for tensor in inputs)
        node.options = options
        node.output = Tensor(self, op.forward(node, *node.arrays, **options), any(node.needs))
        return node.output

    def backward(self, loss: Tensor) -> None:
        """Set `grad` of every tensor that lies between the leaves and `loss`, a tensor with one element.

        UsageError if the loss is no scalar, depends on no leaf, or if this step was walked before.
        """
        if loss.tape is not self or loss.step != self.step or self._walked:
            raise UsageError(
                "backward runs once a step, on a loss of that step: call tape.reset() and compute it again"
            )
        if loss.array.size != 1 or not loss.needs_grad:
            raise UsageError(
                f"backward starts at a tensor of one element that depends on a leaf, not at {loss!r}: "
                "reduce it with sum or mean"
            )
        self._walked = True
        loss.grad = np.ones_like(loss.array)
        for node in reversed(self._nodes[: self._count]):
            output = node.output
            if output is None or output.grad is None or not output.needs_grad:
                continue
            grads = node.op.rule(node, output.grad)
            if len(grads) != len(node.inputs):
                raise UsageError(
                    f"the rule of operation '{node.op.name}' returned {len(grads)} gradients for {len(node.inputs)} "
                    "inputs: a rule returns a sequence with one for each"
                )
            for index, (tensor, grad) in enumerate(zip(node.inputs, grads, strict=True)):
                if tensor.needs_grad:
                    self._accumulate(node, index, tensor, grad)
        for leaf in self._leaves:
            if leaf.target is not None and leaf.grad is None:
                leaf.target[...] = 0
                leaf.grad = leaf.target

    def _accumulate(self, node: Node, index: int, tensor: Tensor, grad: Array | None) -> None:
        """Add one contribution to `tensor.grad`.

        The first is taken as it is: a rule may hand the same array to several inputs, so it is never written to.
        A sum gets memory of its own, at the node that made the second contribution.
        """
        if grad is None or grad.shape != tensor.shape:
            raise UsageError(
                f"the rule of operation '{node.op.name}' returned {'nothing' if grad is None else grad.shape} as "
                f"gradient of input {index}, whose shape is {tensor.shape}: a rule returns one of that shape"
            )
        if tensor.grad is None:
            if tensor.target is not None and grad is not tensor.target:
                tensor.target[...] = grad
                grad = tensor.target
            tensor.grad = grad
            return
        total = tensor.target
        if total is None:
            total = node.buffer(("sum", index), tensor.shape, np.result_type(tensor.grad, grad))
        tensor.grad = np.add(tensor.grad, grad, out=total)
