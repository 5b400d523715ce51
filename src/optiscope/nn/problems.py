"""Problems without data, whose stable learning rates are known in closed form.

    quadratic    loss(w) = curvature / 2 * ||w||^2

A problem is a model whose output signal is the point itself, as a batch of one.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import attrs
import numpy as np
import numpy.typing as npt

from optiscope.autograd import Reduction, Tensor, reshape, sum  # noqa: A004, the field's name
from optiscope.nn.base import Image, Labels, Model, Output
from optiscope.params import Parameters


def _finite(_: Any, attribute: attrs.Attribute[Any], value: float) -> None:
    if not np.isfinite(value):
        raise ValueError(f"{attribute.name} must be a finite number, not {value!r}")


def _positive(_: Any, attribute: attrs.Attribute[Any], value: float) -> None:
    if not np.isfinite(value) or value <= 0:
        raise ValueError(f"{attribute.name} must be a finite number above zero, not {value!r}")


def _count(_: Any, attribute: attrs.Attribute[Any], value: int) -> None:
    if not isinstance(value, int) or value < 1:
        raise ValueError(f"{attribute.name} must be a whole number >= 1, not {value!r}")


@attrs.frozen(kw_only=True)
class Quadratic(Model):
    """A round bowl: gradient curvature * w, Hessian curvature * I, minimum 0 at the origin.

    Every one of the `dimension` coordinates begins at `start`.
    """

    name: ClassVar[str] = "quadratic"
    output: ClassVar[str] = "coordinates"
    needs_data: ClassVar[bool] = False

    curvature: float = attrs.field(default=1.0, validator=_positive)
    dimension: int = attrs.field(default=1, validator=_count)
    start: float = attrs.field(default=1.0, validator=_finite)

    def shapes(self, image: Image, classes: int) -> dict[str, tuple[int, ...]]:
        """Return one vector, w; images and classes play no part."""
        return {"w": (self.dimension,)}

    def init(
        self, rng: np.random.Generator, image: Image, classes: int, dtype: npt.DTypeLike = np.float32
    ) -> Parameters:
        """Return w with every coordinate at `start`."""
        params = Parameters(self.shapes(image, classes), dtype)
        params.flat[...] = self.start
        return params

    def forward(self, params: Mapping[str, Tensor], x: Tensor | None, rng: np.random.Generator | None) -> Output:
        """Return w as [1, dimension]; x is None."""
        return Output(reshape(params["w"], (1, self.dimension)))

    def loss(self, output: Tensor, labels: Labels | None, reduction: Reduction) -> Tensor:
        """Return curvature / 2 * ||w||^2; over a batch of one, sum and mean are the same."""
        return sum(output * output) * (self.curvature / 2)

    def outputs(self, classes: int) -> int:
        """Return the dimension."""
        return self.dimension
