"""Nesterov's accelerated gradient, rewritten so that the gradient is taken at the parameters themselves.

    v <- b v + g                w <- w - lr (g + b v)

What is called w here is the look-ahead point y of `nag`: at a constant lr, y = w + b d and d = -lr v turn one into the
other, step by step. The same as `torch.optim.SGD(nesterov=True)` with a dampening of 0, and `optax.sgd(nesterov=True)`;
Bengio et al. keep lr inside v.

Defaults: as `momentum`.

Y. Bengio, N. Boulanger-Lewandowski, R. Pascanu, "Advances in optimizing recurrent networks", ICASSP 2013, section 3.5.
I. Sutskever, "Training recurrent neural networks", PhD thesis, University of Toronto, 2013, chapter 7.
"""

from typing import ClassVar

import attrs
import numpy as np

from optiscope.optim import Optimizer, State, at_least_zero, blocks, decay_rate
from optiscope.params import Parameters
from optiscope_optimizers.parts import decayed


@attrs.define(kw_only=True)
class NAGReformulated(Optimizer):
    """Nesterov's method as PyTorch has it. Weight decay is coupled."""

    name: ClassVar[str] = "nag-reformulated"

    lr: float = attrs.field(default=0.01, validator=attrs.fields(Optimizer).lr.validator)
    beta: float = attrs.field(default=0.9, validator=decay_rate)
    weight_decay: float = attrs.field(default=0.0, validator=at_least_zero)

    def init(self, params: Parameters) -> State:
        """Return v, zeros over the flat buffer."""
        return {"v": np.zeros_like(params.flat)}

    def update(self, params: Parameters, grads: Parameters, state: State, step: int) -> None:
        """Take one step."""
        for part in blocks(params.flat.size):
            w, v = params.flat[part], state["v"][part]
            g = decayed(grads.flat[part], w, self.weight_decay)
            v *= self.beta
            v += g
            change = self.beta * v
            change += g
            change *= self.lr
            w -= change

    def stable_lr(self, curvature: float) -> float:
        """Return (2 + 2 b) / ((1 + 2 b) (L + weight_decay)), that of Nesterov's own form."""
        return (2 + 2 * self.beta) / ((1 + 2 * self.beta) * (curvature + self.weight_decay))
