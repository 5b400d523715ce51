"""NAdam (Dozat 2016): Adam with Nesterov's look-ahead in its first moment.

    m <- b1 m + (1 - b1) g                  v <- b2 v + (1 - b2) g^2
    mu_t = b1 (1 - 0.96^(t psi) / 2)        M_t = mu_1 mu_2 ... mu_t

    w <- w - lr ((1 - mu_t) g / (1 - M_t) + mu_t+1 m / (1 - M_t+1)) / (sqrt(v_hat) + e)

with v_hat = v / (1 - b2^t). The same as `torch.optim.NAdam`. The momentum is warmed up from about b1/2 to b1, slowly:
with the default psi it has covered half of the way after 4,250 steps. `optax.nadam` has no warm-up, and b1 throughout.
Since M_t depends on every step before, it is kept in the state, one number in float64.

Defaults: those of PyTorch; lr 0.002, b1 0.9, b2 0.999, psi 0.004 and e 1e-8. The paper's psi is the
same, 1/250; it tunes lr.

T. Dozat, "Incorporating Nesterov momentum into Adam", ICLR workshop 2016.
"""

import math
from typing import ClassVar

import attrs
import numpy as np

from optiscope.optim import Adam, Optimizer, State, at_least_zero, blocks
from optiscope.params import Parameters
from optiscope_optimizers.parts import average, decayed, true_or_false


@attrs.define(kw_only=True)
class NAdam(Adam):
    """NAdam as PyTorch has it. Weight decay is coupled unless `decoupled`."""

    name: ClassVar[str] = "nadam"

    lr: float = attrs.field(default=2e-3, validator=attrs.fields(Optimizer).lr.validator)
    momentum_decay: float = attrs.field(default=4e-3, validator=at_least_zero)
    weight_decay: float = attrs.field(default=0.0, validator=at_least_zero)
    decoupled: bool = attrs.field(default=False, validator=true_or_false)

    def init(self, params: Parameters) -> State:
        """Return m and v, zeros over the flat buffer, and M, [1], float64."""
        return {"m": np.zeros_like(params.flat), "v": np.zeros_like(params.flat), "M": np.ones(1)}

    def update(self, params: Parameters, grads: Parameters, state: State, step: int) -> None:
        """Take one step."""
        now, following = self._mu(step), self._mu(step + 1)
        state["M"] *= now
        product: float = state["M"].item()
        of_g = self.lr * (1 - now) / (1 - product)
        of_m = self.lr * following / (1 - product * following)
        correction2 = 1 - self.beta2**step
        if self.decoupled and self.weight_decay:
            params.flat *= 1 - self.lr * self.weight_decay
        coupled = 0.0 if self.decoupled else self.weight_decay
        for part in blocks(params.flat.size):
            w, m, v = params.flat[part], state["m"][part], state["v"][part]
            g = decayed(grads.flat[part], w, coupled)
            average(m, self.beta1, g)
            average(v, self.beta2, np.square(g))
            change = of_g * g
            change += of_m * m
            change /= self._denominator(v / correction2)
            w -= change

    def _mu(self, step: int) -> float:
        return self.beta1 * (1 - 0.5 * math.pow(0.96, step * self.momentum_decay))

    def frozen_stable_lr(self, preconditioned: float) -> float:
        """Return (2 + 2 b1) / ((1 - b1)(1 + 2 b1) s), the edge with P held fixed, s = L / P, once mu_t is b1."""
        return super().frozen_stable_lr(preconditioned) / (1 + 2 * self.beta1)
