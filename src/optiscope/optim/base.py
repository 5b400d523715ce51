"""What an optimizer is.

An optimizer is its options (a small attrs class) and one pure-ish function, `update`, that changes parameters and
state in place. It owns no arrays: the state is a dict of named arrays outside it, so that it can be recorded, saved
and restored, and one instance may serve many runs.

    init(params)                            -> state            zeros, usually
    update(params, grads, state, step)      in place, step counts from 1

`params` and `grads` are `optiscope.params.Parameters` of one layout. Element-wise methods work on `.flat`, in
blocks that stay in cache (`blocks`); layer-wise ones on the named views.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, ClassVar

import attrs
import numpy as np
import numpy.typing as npt

from optiscope.config import check_lr
from optiscope.params import Parameters

State = dict[str, npt.NDArray[Any]]

BLOCK = 65_536
"""Elements in a block: 256 kB of float32, so that the few arrays of an update stay in the L2 cache together."""


def _check_lr(_: Any, __: Any, value: float) -> None:
    check_lr(value)


def at_least_zero(_: Any, attribute: attrs.Attribute[Any], value: float) -> None:
    """Validate an option that must be finite and not negative."""
    if not np.isfinite(value) or value < 0:
        raise ValueError(f"{attribute.name} must be a finite number >= 0, not {value!r}")


def decay_rate(_: Any, attribute: attrs.Attribute[Any], value: float) -> None:
    """Validate the decay rate of a moving average: 0 <= value < 1."""
    if not 0 <= value < 1:
        raise ValueError(f"{attribute.name} must be >= 0 and < 1, not {value!r}")


@attrs.define(kw_only=True)
class Optimizer:
    """Base class: a subclass sets `name`, adds options as attrs fields, writes `update` (and `init` for state)."""

    name: ClassVar[str]

    lr: float = attrs.field(default=0.01, validator=_check_lr)

    def init(self, params: Parameters) -> State:
        """Return the state before the first step: named arrays, here none."""
        return {}

    def update(self, params: Parameters, grads: Parameters, state: State, step: int) -> None:
        """Change `params` and `state` in place for step number `step`, which counts from 1."""
        raise NotImplementedError(f"optimizer {type(self).__name__} has no update: write one")

    def evaluation_params(self, params: Parameters, state: State) -> Parameters:
        """Return where the next gradient is taken: `params`, except for methods that look ahead."""
        return params

    def stable_lr(self, curvature: float) -> float | None:
        """Return the largest stable lr on a quadratic of this curvature, or None where no closed form is known."""
        return None

    def converging_lr(self, curvature: float) -> float | None:
        """Return the lr below which a run on a quadratic comes to rest at the minimum, or None where it is unknown.

        It is `stable_lr`, but for methods that beyond it neither rest nor diverge: they oscillate.
        """
        return self.stable_lr(curvature)

    def mean_square_lr(self, curvature: float, dimension: int, batch_size: int) -> float | None:
        """Return the lr below which the mean square of the distance falls in Gaussian regression, None if unknown.

        The inputs are N(0, curvature I) in `dimension` axes, drawn anew for every batch, and the loss is half the
        squared error, its mean over the batch.
        """
        return None


def blocks(size: int) -> Iterator[slice]:
    """Yield slices that cut `size` elements into cache-sized blocks."""
    for start in range(0, size, BLOCK):
        yield slice(start, min(start + BLOCK, size))
