"""Gradient descent with momentum, the heavy ball (Polyak 1964).

    v <- b v + g                w <- w - lr v

Polyak writes w' = w - lr g + b (w - w_before), which is the same at a constant lr. There is no dampening: a constant
gradient is amplified by 1 / (1 - b). As `torch.optim.SGD(momentum=b)` with its dampening of 0, and `optax.sgd`. Where
lr changes, it scales the whole velocity at once; Sutskever et al. 2013 and Caffe keep lr inside v.

Defaults: lr 0.01 and b 0.9 are those of Krizhevsky et al. 2012, section 5 (PyTorch: 0.001 and 0).

B. T. Polyak, "Some methods of speeding up the convergence of iteration methods", USSR Computational Mathematics and
Mathematical Physics 4(5), 1964. A. Krizhevsky, I. Sutskever, G. E. Hinton, "ImageNet classification with deep
convolutional neural networks", NIPS 2012.
"""

from typing import ClassVar

import attrs
import numpy as np

from optiscope.optim import Optimizer, State, at_least_zero, blocks, decay_rate
from optiscope.params import Parameters
from optiscope_optimizers.parts import decayed


@attrs.define(kw_only=True)
class Momentum(Optimizer):
    """Heavy ball. Weight decay is coupled, as in `torch.optim.SGD`."""

    name: ClassVar[str] = "momentum"

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
            v *= self.beta
            v += decayed(grads.flat[part], w, self.weight_decay)
            w -= self.lr * v

    def stable_lr(self, curvature: float) -> float:
        """Return 2 (1 + b) / (L + weight_decay): there a root of z^2 - (1 + b - lr L) z + b is -1."""
        return 2 * (1 + self.beta) / (curvature + self.weight_decay)

    def mean_square_lr(self, curvature: float, dimension: int, batch_size: int) -> float:
        """Return 2 (1 - b^2) h / ((1 + b) s - 2 b h^2), the limit of the heavy ball in mean square.

        A batch sees the curvature M = X'X / B + a I, a the weight decay, with E[M] = h I, h = L + a, and E[M^2] = s I,
        s = a^2 + 2 a L + c L^2, c = 1 + (d + 1) / B (Wishart's moments). In Polyak's form the second moments
        E||w||^2, E w.w_before and E||w_before||^2 follow a linear recursion, which has the eigenvalue 1 at this lr.
        """
        a, b, spread = self.weight_decay, self.beta, 1 + (dimension + 1) / batch_size
        mean, square = curvature + a, a**2 + 2 * a * curvature + spread * curvature**2
        return 2 * (1 - b**2) * mean / ((1 + b) * square - 2 * b * mean**2)
