"""A call of an operation, and the memory that belongs to its place on the tape."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from optiscope.autograd.kernels import Kernels
    from optiscope.autograd.tape import Tensor

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
