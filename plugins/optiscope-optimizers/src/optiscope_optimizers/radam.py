"""RAdam (Liu et al. 2020, algorithm 2): Adam that waits until its second moment can be relied upon.

    m <- b1 m + (1 - b1) g                  v <- b2 v + (1 - b2) g^2
    r_inf = 2 / (1 - b2) - 1                r_t = r_inf - 2 t b2^t / (1 - b2^t)

    r_t > 5     w <- w - lr R m_hat sqrt(1 - b2^t) / (sqrt(v) + e)
                R = sqrt((r_t - 4)(r_t - 2) r_inf / ((r_inf - 4)(r_inf - 2) r_t))
    else        w <- w - lr m_hat

with m_hat = m / (1 - b1^t). The same as `torch.optim.RAdam`. The paper rectifies from r_t > 4 on, its authors' program
and `optax.radam` from 5 on, which at b2 = 0.999 is the sixth step in place of the fifth. The paper has no e; here and
in PyTorch it is added before the bias of v is corrected, in optax after. The first steps are those of plain momentum:
their length is that of the gradient, not of lr.

Defaults: those of PyTorch, which are Adam's.

L. Liu, H. Jiang, P. He, W. Chen, X. Liu, J. Gao, J. Han, "On the variance of the adaptive learning rate and beyond",
ICLR 2020, arXiv 1908.03265.
"""

import math
from typing import ClassVar

import attrs
import numpy as np

from optiscope.optim import Adam, State, at_least_zero, blocks
from optiscope.params import Parameters
from optiscope_optimizers.parts import average, decayed, true_or_false


def rectification(beta2: float, step: int, least: float) -> float | None:
    """Return R at `step`, or None where the length r_t of the average is not above `least`, which is 4 or more."""
    limit = 2 / (1 - beta2) - 1
    length = limit - 2 * step * beta2**step / (1 - beta2**step)
    if length <= least:
        return None
    return math.sqrt((length - 4) * (length - 2) * limit / ((limit - 4) * (limit - 2) * length))


@attrs.define(kw_only=True)
class RAdam(Adam):
    """RAdam as PyTorch has it. Weight decay is coupled unless `decoupled`."""

    name: ClassVar[str] = "radam"

    weight_decay: float = attrs.field(default=0.0, validator=at_least_zero)
    decoupled: bool = attrs.field(default=False, validator=true_or_false)

    def update(self, params: Parameters, grads: Parameters, state: State, step: int) -> None:
        """Take one step."""
        rectified = rectification(self.beta2, step, least=5)
        scale = self.lr / (1 - self.beta1**step)
        if rectified is not None:
            scale *= rectified * math.sqrt(1 - self.beta2**step)
        if self.decoupled and self.weight_decay:
            params.flat *= 1 - self.lr * self.weight_decay
        coupled = 0.0 if self.decoupled else self.weight_decay
        for part in blocks(params.flat.size):
            w, m, v = params.flat[part], state["m"][part], state["v"][part]
            g = decayed(grads.flat[part], w, coupled)
            average(m, self.beta1, g)
            average(v, self.beta2, np.square(g))
            change = scale * m
            if rectified is not None:
                root = np.sqrt(v)
                root += self.epsilon
                change /= root
            w -= change
