"""AMSGrad (Reddi, Kale and Kumar 2018, algorithm 2): Adam whose step sizes never grow.

    m <- b1 m + (1 - b1) g                  v <- b2 v + (1 - b2) g^2
    u <- max(u, v)                          w <- w - lr m_hat / (sqrt(u / (1 - b2^t)) + e)

with m_hat = m / (1 - b1^t). The paper corrects no bias and has no e. This is `torch.optim.Adam(amsgrad=True)`, which
corrects both, and corrects u after the maximum; `optax.amsgrad` takes the maximum of the corrected v, which remembers
an early large gradient for ever.

Defaults: those of PyTorch's Adam, which are Adam's own.

S. J. Reddi, S. Kale, S. Kumar, "On the convergence of Adam and beyond", ICLR 2018, arXiv 1904.09237.
"""

from typing import ClassVar

import attrs
import numpy as np

from optiscope.optim import Adam, State, at_least_zero, blocks
from optiscope.params import Parameters
from optiscope_optimizers.parts import average, decayed


@attrs.define(kw_only=True)
class AMSGrad(Adam):
    """AMSGrad as PyTorch has it. Weight decay is coupled."""

    name: ClassVar[str] = "amsgrad"

    weight_decay: float = attrs.field(default=0.0, validator=at_least_zero)

    def init(self, params: Parameters) -> State:
        """Return m, v and u, zeros over the flat buffer."""
        return {name: np.zeros_like(params.flat) for name in ("m", "v", "u")}

    def update(self, params: Parameters, grads: Parameters, state: State, step: int) -> None:
        """Take one step."""
        correction1 = 1 - self.beta1**step
        correction2 = 1 - self.beta2**step
        for part in blocks(params.flat.size):
            w, m, v, u = params.flat[part], *(state[name][part] for name in ("m", "v", "u"))
            g = decayed(grads.flat[part], w, self.weight_decay)
            average(m, self.beta1, g)
            average(v, self.beta2, np.square(g))
            np.maximum(u, v, out=u)
            change = np.sqrt(u)
            change *= correction2**-0.5
            change += self.epsilon
            np.divide(m, change, out=change)
            change *= self.lr / correction1
            w -= change
