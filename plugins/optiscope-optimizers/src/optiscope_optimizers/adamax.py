"""Adamax (Kingma and Ba 2015, algorithm 2): Adam with the infinity norm in place of the second moment.

    m <- b1 m + (1 - b1) g                  u <- max(b2 u, |g| + e)
    w <- w - lr / (1 - b1^t) m / u

The maximum needs no bias correction. The paper has no e; it stands where `torch.optim.Adamax` and `optax.adamax` have
it.

Defaults: those of the paper and of PyTorch, lr 0.002, b1 0.9, b2 0.999; e 1e-8 is PyTorch's.

D. P. Kingma, J. Ba, "Adam: a method for stochastic optimization", ICLR 2015, arXiv 1412.6980.
"""

from typing import ClassVar

import attrs
import numpy as np

from optiscope.optim import Adam, Optimizer, State, at_least_zero, blocks
from optiscope.params import Parameters
from optiscope_optimizers.parts import average, decayed


@attrs.define(kw_only=True)
class Adamax(Adam):
    """Adamax. Weight decay is coupled, as in PyTorch."""

    name: ClassVar[str] = "adamax"

    lr: float = attrs.field(default=2e-3, validator=attrs.fields(Optimizer).lr.validator)
    weight_decay: float = attrs.field(default=0.0, validator=at_least_zero)

    def init(self, params: Parameters) -> State:
        """Return m and u, zeros over the flat buffer."""
        return {"m": np.zeros_like(params.flat), "u": np.zeros_like(params.flat)}

    def update(self, params: Parameters, grads: Parameters, state: State, step: int) -> None:
        """Take one step."""
        scale = self.lr / (1 - self.beta1**step)
        for part in blocks(params.flat.size):
            w, m, u = params.flat[part], state["m"][part], state["u"][part]
            g = decayed(grads.flat[part], w, self.weight_decay)
            average(m, self.beta1, g)
            size = np.abs(g)
            size += self.epsilon
            u *= self.beta2
            np.maximum(u, size, out=u)
            change = scale * m
            change /= u
            w -= change
