"""Adan (Xie et al. 2024, algorithm 1): Nesterov's look-ahead out of the differences of gradients.

    x = g - g_before, 0 at the first step
    m <- b1 m + (1 - b1) g                  v <- b2 v + (1 - b2) x
    n <- b3 n + (1 - b3) (g + b2 x)^2
    w <- (w - lr (m_hat + b2 v_hat) / (sqrt(n_hat) + e)) / (1 + lr d)

with m_hat = m / (1 - b1^t), and so on. The paper writes 1 - b for what is b here, and corrects no bias: it begins with
m = g and n = g^2 instead. This is the authors' program, whose betas are written as here, without its clipping of
gradients. The decay is decoupled and implicit: it divides. `optax.adan` has 1 - b2 where b2 stands as a factor of x
and of v_hat, 0.08 in place of 0.92, an explicit decay, w - lr d w, and one more epsilon, 1e-8, inside the root. PyTorch
has no Adan.

Defaults: lr 0.001, b1 0.98, b2 0.92, b3 0.99, e 1e-8 and d 0 are those of the authors' program and of optax.

X. Xie, P. Zhou, H. Li, Z. Lin, S. Yan, "Adan: adaptive Nesterov momentum algorithm for faster optimizing deep models",
IEEE TPAMI 46(12), 2024, arXiv 2208.06677.
"""

from typing import ClassVar

import attrs
import numpy as np

from optiscope.optim import Optimizer, State, at_least_zero, blocks, decay_rate
from optiscope.params import Parameters
from optiscope_optimizers.parts import average


@attrs.define(kw_only=True)
class Adan(Optimizer):
    """Adan. Weight decay is decoupled."""

    name: ClassVar[str] = "adan"

    lr: float = attrs.field(default=1e-3, validator=attrs.fields(Optimizer).lr.validator)
    beta1: float = attrs.field(default=0.98, validator=decay_rate)
    beta2: float = attrs.field(default=0.92, validator=decay_rate)
    beta3: float = attrs.field(default=0.99, validator=decay_rate)
    epsilon: float = attrs.field(default=1e-8, validator=at_least_zero)
    weight_decay: float = attrs.field(default=0.0, validator=at_least_zero)

    def init(self, params: Parameters) -> State:
        """Return m, v, n and the last gradient, zeros over the flat buffer."""
        return {name: np.zeros_like(params.flat) for name in ("m", "v", "n", "last")}

    def update(self, params: Parameters, grads: Parameters, state: State, step: int) -> None:
        """Take one step."""
        of_m = self.lr / (1 - self.beta1**step)
        of_v = self.lr * self.beta2 / (1 - self.beta2**step)
        correction3 = 1 - self.beta3**step
        shrink = 1 / (1 + self.lr * self.weight_decay)
        if step == 1:
            state["last"][...] = grads.flat
        for part in blocks(params.flat.size):
            w, g = params.flat[part], grads.flat[part]
            m, v, n, last = (state[name][part] for name in ("m", "v", "n", "last"))
            x = g - last
            last[...] = g
            average(m, self.beta1, g)
            average(v, self.beta2, x)
            x *= self.beta2
            x += g
            average(n, self.beta3, np.square(x, out=x))
            root = n / correction3
            np.sqrt(root, out=root)
            root += self.epsilon
            change = of_m * m
            change += of_v * v
            change /= root
            w -= change
            if self.weight_decay:
                w *= shrink
