"""AdaGrad (Duchi, Hazan and Singer 2011), the diagonal method.

    v <- v + g^2                w <- w - lr g / (sqrt(v) + e)

Epsilon stands outside the root, as in `torch.optim.Adagrad`; the paper has its delta there, too. `optax.adagrad` puts
it inside, begins v at 0.1, and takes no step where v is 0. PyTorch's `lr_decay` is left to the host's schedules.

Defaults: lr 0.01, e 1e-10 and v = 0 at the beginning are PyTorch's; the paper leaves them open.

J. Duchi, E. Hazan, Y. Singer, "Adaptive subgradient methods for online learning and stochastic optimization", JMLR
12, 2011.
"""

from typing import ClassVar

import attrs
import numpy as np

from optiscope.optim import Optimizer, State, at_least_zero, blocks
from optiscope.params import Parameters
from optiscope_optimizers.parts import decayed


@attrs.define(kw_only=True)
class Adagrad(Optimizer):
    """AdaGrad. `initial` is v before the first step. Weight decay is coupled, as in PyTorch."""

    name: ClassVar[str] = "adagrad"

    lr: float = attrs.field(default=0.01, validator=attrs.fields(Optimizer).lr.validator)
    initial: float = attrs.field(default=0.0, validator=at_least_zero)
    epsilon: float = attrs.field(default=1e-10, validator=at_least_zero)
    weight_decay: float = attrs.field(default=0.0, validator=at_least_zero)

    def init(self, params: Parameters) -> State:
        """Return v, filled with `initial`, over the flat buffer."""
        return {"v": np.full_like(params.flat, self.initial)}

    def update(self, params: Parameters, grads: Parameters, state: State, step: int) -> None:
        """Take one step."""
        for part in blocks(params.flat.size):
            w, v = params.flat[part], state["v"][part]
            g = decayed(grads.flat[part], w, self.weight_decay)
            v += np.square(g)
            change = np.sqrt(v)
            change += self.epsilon
            np.divide(g, change, out=change)
            change *= self.lr
            w -= change
