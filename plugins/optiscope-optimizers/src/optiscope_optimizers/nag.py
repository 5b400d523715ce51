"""Nesterov's accelerated gradient in its own form: the gradient is taken at the point where the momentum leads.

    y = w + b d                 d <- b d - lr g(y)                  w <- w + d

d is the last displacement of w, so that w' = y - lr g(y) with y = w + b (w - w_before), as Nesterov has it, here with
a constant b. The displacement is kept, and no velocity, because y then depends on parameters and state alone: where lr
changes from step to step, y is still the point that Nesterov means. `evaluation_params` hands y to the host. What is
recorded as the loss of a step is therefore the loss at y; parameters, checkpoints and evaluations are those of w.

`nag-reformulated` follows y in place of w and takes the gradient where it stands, as PyTorch and optax do; neither of
them has this form. At a constant lr the two go the same way.

Defaults: b 0.9 and lr 0.01 are those of `momentum`, so that the two can be compared; Nesterov's b grows with t, as
(a_t - 1) / a_t+1, towards 1.

Y. Nesterov, "A method of solving a convex programming problem with convergence rate O(1/k^2)", Soviet Mathematics
Doklady 27(2), 1983. In this notation: I. Sutskever, J. Martens, G. Dahl, G. Hinton, "On the importance of
initialization and momentum in deep learning", ICML 2013, equations 3 and 4.
"""

from typing import ClassVar

import attrs
import numpy as np

from optiscope.optim import Optimizer, State, at_least_zero, blocks, decay_rate
from optiscope.params import Parameters
from optiscope_optimizers.parts import decayed


@attrs.define(kw_only=True)
class NAG(Optimizer):
    """Nesterov's own form. Weight decay is coupled, at the point where the gradient is taken."""

    name: ClassVar[str] = "nag"

    lr: float = attrs.field(default=0.01, validator=attrs.fields(Optimizer).lr.validator)
    beta: float = attrs.field(default=0.9, validator=decay_rate)
    weight_decay: float = attrs.field(default=0.0, validator=at_least_zero)

    def init(self, params: Parameters) -> State:
        """Return d, zeros over the flat buffer."""
        return {"d": np.zeros_like(params.flat)}

    def evaluation_params(self, params: Parameters, state: State) -> Parameters:
        """Return y = w + b d, over a new buffer."""
        ahead = self.beta * state["d"]
        ahead += params.flat
        return params.like(ahead)

    def update(self, params: Parameters, grads: Parameters, state: State, step: int) -> None:
        """Take one step with a gradient that was taken at `evaluation_params`."""
        for part in blocks(params.flat.size):
            w, d = params.flat[part], state["d"][part]
            d *= self.beta
            g = decayed(grads.flat[part], w + d, self.weight_decay) if self.weight_decay else grads.flat[part]
            d -= self.lr * g
            w += d

    def stable_lr(self, curvature: float) -> float:
        """Return (2 + 2 b) / ((1 + 2 b) (L + weight_decay)): a root of z^2 - (1 - lr L)((1 + b) z - b) is -1."""
        return (2 + 2 * self.beta) / ((1 + 2 * self.beta) * (curvature + self.weight_decay))
