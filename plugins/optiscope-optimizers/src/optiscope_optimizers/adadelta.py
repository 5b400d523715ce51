"""Adadelta (Zeiler 2012, algorithm 1): the step has the units of the parameters.

    v <- r v + (1 - r) g^2
    x = sqrt(u + e) / sqrt(v + e) g
    u <- r u + (1 - r) x^2      w <- w - lr x

Epsilon stands inside both roots, where it sets the size of the first steps. The same as `torch.optim.Adadelta` and
`optax.adadelta`. The paper has no lr, which is lr = 1.

Defaults: lr 1, r 0.9 and e 1e-6 are PyTorch's; the paper's experiments take r 0.95 and e 1e-6.

M. D. Zeiler, "ADADELTA: an adaptive learning rate method", 2012, arXiv 1212.5701.
"""

from typing import ClassVar

import attrs
import numpy as np

from optiscope.optim import Optimizer, State, at_least_zero, blocks, decay_rate
from optiscope.params import Parameters
from optiscope_optimizers.parts import above_zero, average, decayed


@attrs.define(kw_only=True)
class Adadelta(Optimizer):
    """Adadelta. Weight decay is coupled, as in PyTorch."""

    name: ClassVar[str] = "adadelta"

    lr: float = attrs.field(default=1.0, validator=attrs.fields(Optimizer).lr.validator)
    rho: float = attrs.field(default=0.9, validator=decay_rate)
    epsilon: float = attrs.field(default=1e-6, validator=above_zero)
    weight_decay: float = attrs.field(default=0.0, validator=at_least_zero)

    def init(self, params: Parameters) -> State:
        """Return v and u, zeros over the flat buffer."""
        return {"v": np.zeros_like(params.flat), "u": np.zeros_like(params.flat)}

    def update(self, params: Parameters, grads: Parameters, state: State, step: int) -> None:
        """Take one step."""
        for part in blocks(params.flat.size):
            w, v, u = params.flat[part], state["v"][part], state["u"][part]
            g = decayed(grads.flat[part], w, self.weight_decay)
            average(v, self.rho, np.square(g))
            change = np.sqrt(u + self.epsilon)
            change /= np.sqrt(v + self.epsilon)
            change *= g
            average(u, self.rho, np.square(change))
            change *= self.lr
            w -= change
