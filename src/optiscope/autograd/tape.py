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

from collections.abc import Callable, Hashable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import numpy.typing as npt

from optiscope.autograd.operators import Operators
from optiscope.errors import UsageError

if TYPE_CHECKING:
    from optiscope.autograd.kernels import Kernels

Array = npt.NDArray[Any]

ALIGNMENT = 64
"""Bytes: a cache line. Aligned buffers take the same code path in every step and every process."""


def _empty(shape: tuple[int, ...], dtype: np.dtype[Any]) -> Array:
    size = int(np.prod(shape)) * dtype.itemsize
    raw = np.empty(size + ALIGNMENT, dtype=np.uint8)
    start = -raw.ctypes.data % ALIGNMENT
    return raw[start : start + size].view(dtype).reshape(shape)


class Row(Protocol):
    """What the tape asks of an operation; `optiscope.autograd.vjp.Operation` is the one there is."""

    @property
    def name(self) -> str:
        """What error messages call it."""
        ...

    @property
    def forward(self) -> Callable[..., Array]:
        """`forward(node, *arrays, **options)` returns the result."""
        ...

    @property
    def rule(self) -> Callable[[Node, Array], Sequence[Array | None]]:
        """`rule(node, dy)` returns a gradient for each input."""
        ...


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


class Node:
    """One call of an operation, and the memory that belongs to its place on the tape.

    A forward function and its rule see the same node, so what the first leaves in a `buffer` the second finds
    there. `arrays` are the values of the inputs, `out` the result, `options` the keyword arguments of the call,
    and `needs[i]` says whether somebody wants the gradient of input i.
    """

    __slots__ = ("_buffers", "_scratch", "arrays", "inputs", "kernels", "needs", "op", "options", "output")

    op: Row
    inputs: tuple[Tensor, ...]
    arrays: tuple[Array, ...]
    needs: tuple[bool, ...]
    options: Mapping[str, Any]
    output: Tensor | None

    def __init__(self, kernels: Kernels, scratch: dict[Hashable, Array]) -> None:
        self.kernels = kernels
        self._scratch = scratch
        self._buffers: dict[Hashable, Array] = {}
        self.clear()

    def clear(self) -> None:
        """Let go of the tensors of the last step; the buffers stay."""
        self.inputs, self.arrays, self.needs, self.output = (), (), (), None

    @property
    def out(self) -> Array:
        """The result of the call."""
        assert self.output is not None, "the forward function has not returned yet"
        return self.output.array

    def buffer(self, name: Hashable, shape: tuple[int, ...], dtype: npt.DTypeLike) -> Array:
        """Return this node's array `name`: uninitialised at first, the same memory at every step after that.

        Another shape or dtype than at the last step makes a new one, and drops the old.
        """
        dtype = np.dtype(dtype)
        found = self._buffers.get(name)
        if found is None or found.shape != shape or found.dtype != dtype:
            found = self._buffers[name] = _empty(shape, dtype)
        return found

    def scratch(self, name: Hashable, shape: tuple[int, ...], dtype: npt.DTypeLike) -> Array:
        """Return an array that all nodes share and that is zero when it is made.

        For what does not outlive the call. Whoever asks for the same name, shape and dtype gets the same memory,
        so that values which every user leaves alone (the zeros round a padded image) stay what they are.
        """
        dtype = np.dtype(dtype)
        key = (name, shape, dtype)
        found = self._scratch.get(key)
        if found is None:
            found = self._scratch[key] = _empty(shape, dtype)
            found[...] = 0
        return found

    def grad(self, index: int) -> Array:
        """Return memory for the gradient of input `index`, for a rule to fill and to return.

        It is the leaf's own gradient buffer where this is the first contribution to it, so that nothing is copied.
        """
        tensor = self.inputs[index]
        alone = sum(other is tensor for other in self.inputs) == 1
        if tensor.target is not None and tensor.grad is None and alone:
            return tensor.target
        return self.buffer(("grad", index), tensor.shape, np.result_type(tensor.dtype, self.out.dtype))


class Tape:
    """Records operations and differentiates them.

    `kernels` names the set of array functions that the operations run on (`optiscope.autograd.KERNELS`): "im2col"
    (float32 and float64, fast) or "reference" (plain; complex too). UsageError for an unknown name.
    """

    def __init__(self, kernels: str | Kernels = "im2col") -> None:
        from optiscope.autograd.kernels import find  # the kernels use `Node`, which is defined here

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
