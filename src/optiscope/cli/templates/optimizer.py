"""An optimizer: gradient descent with a heavy ball (Polyak 1964).

    v <- beta v + g
    w <- w - lr v

The velocity v is its state, which the host records, saves and restores.
"""

from collections.abc import Sequence
from typing import Any, ClassVar

import attrs
import numpy as np

from optiscope.hooks import hookimpl
from optiscope.optim import Optimizer, State, decay_rate
from optiscope.params import Parameters


@attrs.define(kw_only=True)
class MyPlugin(Optimizer):
    """`beta` is the share of the velocity that is left after a step; the base class brings `lr`."""

    name: ClassVar[str] = "my-plugin"

    beta: float = attrs.field(default=0.9, validator=decay_rate)

    def init(self, params: Parameters) -> State:
        """Return the state before the first step: a velocity for each parameter, zero."""
        return {"v": np.zeros_like(params.flat)}

    def update(self, params: Parameters, grads: Parameters, state: State, step: int) -> None:
        """Change `params` and `state` in place."""
        v = state["v"]
        v *= self.beta
        v += grads.flat
        params.flat[...] -= self.lr * v

    def stable_lr(self, curvature: float) -> float:
        """Return the largest lr that does not diverge on a quadratic; leave this out where no theory knows it."""
        return 2 * (1 + self.beta) / curvature


@hookimpl
def optiscope_optimizers() -> Sequence[Any]:
    """Bring the optimizer."""
    return [MyPlugin]
