"""LAMB (You et al. 2020, algorithm 2): Adam's direction, as long in each layer as the layer's weights are.

    m <- b1 m + (1 - b1) g                  v <- b2 v + (1 - b2) g^2
    x = m_hat / (sqrt(v_hat) + e) + d w
    w <- w - lr |w| / |x| x                 for each layer, with Euclidean norms

A layer is one named array, so a weight and its bias are two. Where |w| or |x| is 0 the quotient is 1, which lets a bias
leave zero. The paper's phi, which may clip |w|, is the identity. The same as `optax.lamb`; PyTorch has none. The
decay is not divided by sqrt(v), but it takes part in |x|.

Defaults: b1 0.9, b2 0.999, e 1e-6 and d 0.01 are the paper's (optax: d 0); lr 0.001 is that of TensorFlow Addons, since
the paper scales it with the square root of the batch size.

Y. You et al., "Large batch optimization for deep learning: training BERT in 76 minutes", ICLR 2020, arXiv 1904.00962.
"""

from typing import ClassVar

import attrs
import numpy as np

from optiscope.optim import Optimizer, State, at_least_zero, decay_rate
from optiscope.params import Array, Parameters
from optiscope_optimizers.parts import average, blocks_of, layers


@attrs.define(kw_only=True)
class LAMB(Optimizer):
    """LAMB. Weight decay is not preconditioned, and scaled with the layer."""

    name: ClassVar[str] = "lamb"

    lr: float = attrs.field(default=1e-3, validator=attrs.fields(Optimizer).lr.validator)
    beta1: float = attrs.field(default=0.9, validator=decay_rate)
    beta2: float = attrs.field(default=0.999, validator=decay_rate)
    epsilon: float = attrs.field(default=1e-6, validator=at_least_zero)
    weight_decay: float = attrs.field(default=0.01, validator=at_least_zero)

    def init(self, params: Parameters) -> State:
        """Return m and v, zeros over the flat buffer."""
        return {"m": np.zeros_like(params.flat), "v": np.zeros_like(params.flat)}

    def update(self, params: Parameters, grads: Parameters, state: State, step: int) -> None:
        """Take one step."""
        correction1 = 1 - self.beta1**step
        correction2 = 1 - self.beta2**step
        for layer in layers(params):
            direction = np.empty_like(params.flat[layer])
            for part in blocks_of(layer):
                g, m, v = grads.flat[part], state["m"][part], state["v"][part]
                average(m, self.beta1, g)
                average(v, self.beta2, np.square(g))
                root = np.sqrt(v / correction2)
                root += self.epsilon
                x = direction[part.start - layer.start : part.stop - layer.start]
                np.divide(m, root, out=x)
                x *= 1 / correction1
                if self.weight_decay:
                    x += self.weight_decay * params.flat[part]
            direction *= self.lr * _ratio(params.flat[layer], direction)
            params.flat[layer] -= direction


def _ratio(w: Array, x: Array) -> float:
    """Return |w| / |x|, or 1 where one of them is 0."""
    of_w, of_x = float(np.linalg.norm(w)), float(np.linalg.norm(x))
    return of_w / of_x if of_w and of_x else 1.0
