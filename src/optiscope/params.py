"""Ordered named arrays over one flat buffer.

An element-wise optimizer wants one long vector; a layer-wise one wants `params["conv1.weight"]`; a checkpoint
wants names; a hash wants bytes. `Parameters` is all of them at once: a single contiguous 1-D array, `flat`, and
named views into it, in a fixed order. Gradients have the same layout, so `params.flat -= lr * grads.flat` is a
complete optimizer step. Nothing here copies behind one's back: `copy`, `zeros` and `like` say so.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.floating]


class Parameters(Mapping[str, Array]):
    """Named views, in order, into one flat buffer.

    `shapes` maps each name to its shape. `flat` is the buffer to use, 1-D, contiguous and of exactly the summed
    size; without it a buffer of zeros of `dtype` is made.
    """

    __slots__ = ("_shapes", "_views", "flat")

    flat: Array

    def __init__(
        self,
        shapes: Mapping[str, tuple[int, ...]],
        dtype: npt.DTypeLike = np.float32,
        flat: Array | None = None,
    ) -> None:
        sizes = {name: math.prod(shape) for name, shape in shapes.items()}
        total = sum(sizes.values())
        if flat is None:
            flat = np.zeros(total, dtype=dtype)
        if flat.ndim != 1 or flat.size != total or not flat.flags.c_contiguous:
            raise ValueError(
                f"flat must be 1-D, contiguous and hold {total} values, not {flat.shape}: use np.zeros({total})"
            )
        self.flat = flat
        self._shapes = dict(shapes)
        self._views: dict[str, Array] = {}
        start = 0
        for name, shape in self._shapes.items():
            self._views[name] = flat[start : start + sizes[name]].reshape(shape)
            start += sizes[name]

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, npt.ArrayLike], dtype: npt.DTypeLike = np.float32) -> Parameters:
        """Return new parameters that hold copies of `arrays`, in their order, as `dtype`."""
        values = {name: np.asarray(array) for name, array in arrays.items()}
        params = cls({name: value.shape for name, value in values.items()}, dtype)
        for name, value in values.items():
            params[name][...] = value
        return params

    @property
    def names(self) -> tuple[str, ...]:
        """The names, in order."""
        return tuple(self._shapes)

    @property
    def shapes(self) -> dict[str, tuple[int, ...]]:
        """Name to shape, in order."""
        return dict(self._shapes)

    @property
    def dtype(self) -> np.dtype[np.floating]:
        """The element type of the buffer."""
        return self.flat.dtype

    def __getitem__(self, name: str) -> Array:
        return self._views[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._shapes)

    def __len__(self) -> int:
        return len(self._shapes)

    def __repr__(self) -> str:
        return f"Parameters({len(self)} arrays, {self.flat.size} values, {self.flat.dtype})"

    def like(self, flat: Array) -> Parameters:
        """Return parameters of the same layout over another buffer, which is not copied."""
        return Parameters(self._shapes, flat=flat)

    def zeros(self) -> Parameters:
        """Return parameters of the same layout and dtype, all zero, over a new buffer."""
        return self.like(np.zeros_like(self.flat))

    def copy(self) -> Parameters:
        """Return parameters of the same layout over a copy of the buffer."""
        return self.like(self.flat.copy())

    def astype(self, dtype: npt.DTypeLike) -> Parameters:
        """Return a copy with another element type."""
        return self.like(self.flat.astype(dtype))

    def readonly(self) -> Parameters:
        """Return a view of the same buffer through which nothing can be written."""
        return self.like(readonly(self.flat))


def readonly(array: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Return a view of `array` through which nothing can be written, not even by setting its flags.

    NumPy lets anyone turn `flags.writeable` back on where the base array is writeable; a read-only memoryview in
    between makes that an error.
    """
    return np.asarray(memoryview(array.data).toreadonly())
