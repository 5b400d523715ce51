"""The arithmetic of tensors, as Python writes it: `a + b`, `a @ b`, `-a`, `a ** 2`.

A base class of `Tensor`, apart from it so that the tape itself names no operation. The operations are looked up
when they are used: they are built on the tape.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from optiscope.autograd.tape import Tensor


def _call(name: str, *inputs: Any, **options: Any) -> Tensor:
    from optiscope.autograd.ops import TABLE  # see above

    return TABLE[name](*inputs, **options)


class Operators:
    """Binary operators take a tensor or a number on either side; a number has the tensor's dtype."""

    __slots__ = ()

    __array_ufunc__ = None  # so that NumPy leaves `array * tensor` to us, and we refuse it

    def __add__(self, other: Tensor | float) -> Tensor:
        return _call("add", self, other)

    def __radd__(self, other: float) -> Tensor:
        return _call("add", other, self)

    def __sub__(self, other: Tensor | float) -> Tensor:
        return _call("subtract", self, other)

    def __rsub__(self, other: float) -> Tensor:
        return _call("subtract", other, self)

    def __mul__(self, other: Tensor | float) -> Tensor:
        return _call("multiply", self, other)

    def __rmul__(self, other: float) -> Tensor:
        return _call("multiply", other, self)

    def __truediv__(self, other: Tensor | float) -> Tensor:
        return _call("divide", self, other)

    def __rtruediv__(self, other: float) -> Tensor:
        return _call("divide", other, self)

    def __pow__(self, exponent: float) -> Tensor:
        return _call("power", self, exponent=exponent)

    def __neg__(self) -> Tensor:
        return _call("negative", self)

    def __matmul__(self, other: Tensor) -> Tensor:
        return _call("matmul", self, other)
