"""RMSProp (Tieleman and Hinton 2012), with the two options that it has grown since.

    v <- a v + (1 - a) g^2                  x = g / (sqrt(v) + e)           w <- w - lr x

    centred     m <- a m + (1 - a) g        x = g / (sqrt(v - m^2) + e)     Graves 2013, equations 38 to 45
    momentum    b <- mu b + x                                               w <- w - lr b

There is no bias correction: the first steps are 1 / sqrt(1 - a) times as long as later ones, ten times at a = 0.99.
Epsilon stands outside the root, as in `torch.optim.RMSprop`, which this equals; in `optax.rmsprop` and in TensorFlow it
stands inside. Centred, v - m^2 can be rounded to less than zero: it is then taken as zero, where PyTorch's
parameter becomes NaN.

Defaults: lr 0.01, a 0.99 and e 1e-8 are PyTorch's; the lecture has a 0.9.

T. Tieleman, G. Hinton, "Lecture 6.5 - RMSProp", Coursera: Neural networks for machine learning, 2012. A. Graves,
"Generating sequences with recurrent neural networks", 2013, arXiv 1308.0850.
"""

from typing import ClassVar

import attrs
import numpy as np

from optiscope.optim import Optimizer, State, at_least_zero, blocks, decay_rate
from optiscope.params import Parameters
from optiscope_optimizers.parts import average, decayed, true_or_false


@attrs.define(kw_only=True)
class RMSProp(Optimizer):
    """RMSProp. Weight decay is coupled, as in PyTorch."""

    name: ClassVar[str] = "rmsprop"

    lr: float = attrs.field(default=0.01, validator=attrs.fields(Optimizer).lr.validator)
    alpha: float = attrs.field(default=0.99, validator=decay_rate)
    centred: bool = attrs.field(default=False, validator=true_or_false)
    momentum: float = attrs.field(default=0.0, validator=decay_rate)
    epsilon: float = attrs.field(default=1e-8, validator=at_least_zero)
    weight_decay: float = attrs.field(default=0.0, validator=at_least_zero)

    def init(self, params: Parameters) -> State:
        """Return v, and m and b where the options ask for them, zeros over the flat buffer."""
        names = ["v", *(["m"] if self.centred else []), *(["b"] if self.momentum else [])]
        return {name: np.zeros_like(params.flat) for name in names}

    def update(self, params: Parameters, grads: Parameters, state: State, step: int) -> None:
        """Take one step."""
        for part in blocks(params.flat.size):
            w, v = params.flat[part], state["v"][part]
            g = decayed(grads.flat[part], w, self.weight_decay)
            average(v, self.alpha, np.square(g))
            change = v
            if self.centred:
                m = state["m"][part]
                average(m, self.alpha, g)
                change = np.maximum(v - np.square(m), 0)
            change = np.sqrt(change)
            change += self.epsilon
            np.divide(g, change, out=change)
            if self.momentum:
                b = state["b"][part]
                b *= self.momentum
                b += change
                change = b
            w -= self.lr * change

    def frozen_stable_lr(self, preconditioned: float) -> float:
        """Return 2 (1 + mu) / s, the edge with the preconditioner P held fixed, s = L / P.

        Live RMSProp settles in a bounded oscillation beyond it, so this is no `stable_lr`.
        """
        return 2 * (1 + self.momentum) / preconditioned

    def converging_lr(self, curvature: float) -> float | None:
        """Return the frozen edge at P = e, the smallest that there is: above it a gradient that goes to zero takes P
        below what the edge allows. None where e is zero.
        """
        return self.frozen_stable_lr((curvature + self.weight_decay) / self.epsilon) if self.epsilon else None
