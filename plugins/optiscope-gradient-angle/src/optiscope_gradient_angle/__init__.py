"""A recorder: the cosine of the angle between the gradients of successive steps.

On a quadratic of curvature L, gradient descent multiplies the gradient by (1 - lr L) at every step. The cosine is
therefore +1 below lr = 1/L, where the iterate approaches from one side, and -1 above it, where it jumps across the
minimum; at 2/L it diverges. In a network the cosine over one layer shows which layer is the one that zigzags.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from optiscope.hooks import hookimpl
from optiscope.params import Parameters
from optiscope.records import RunInfo, Signal


class GradientAngle:
    """Remembers the last gradient, in one buffer of the size of the parameters.

    It needs every row: of a gradient that changes its sign at each step, every second one would look steady.
    """

    name: ClassVar[str] = "gradient-angle"
    essential: ClassVar[bool] = True

    def __init__(self) -> None:
        self.memory: dict[str, npt.NDArray[Any]] = {}

    def signals(self, run: RunInfo) -> tuple[Signal, ...]:
        """Declare one cosine over everything and one for each named array."""
        return (
            Signal(
                "cosine",
                needs=("grads",),
                long_name="cosine of the angle between this gradient and the last",
            ),
            Signal(
                "cosine_by_parameter",
                shape=(len(run.parameters),),
                dims=("param",),
                needs=("grads",),
                long_name="the same, for each named parameter",
            ),
        )

    def record(self, step: int, quantities: Mapping[str, Any]) -> Mapping[str, npt.ArrayLike]:
        """Return the cosines at `step`: NaN at the first, and where a gradient is zero."""
        grads: Parameters = quantities["grads"]
        if "last" not in self.memory:
            self.memory["last"] = grads.flat.copy()
            return {"cosine": np.nan, "cosine_by_parameter": np.full(len(grads), np.nan)}
        last = grads.like(self.memory["last"])
        values = {
            "cosine": cosine(grads.flat, last.flat),
            "cosine_by_parameter": [cosine(grads[name], last[name]) for name in grads],
        }
        np.copyto(last.flat, grads.flat)
        return values


def cosine(a: npt.NDArray[Any], b: npt.NDArray[Any]) -> float:
    """Return the cosine of the angle between two arrays of one shape, NaN where one of them is zero."""
    a, b = a.ravel(), b.ravel()
    length = float(np.linalg.norm(a)) * float(np.linalg.norm(b))
    return float(a @ b) / length if length > 0 else float("nan")


@hookimpl
def optiscope_recorders() -> Sequence[Any]:
    """Bring the recorder."""
    return [GradientAngle]
