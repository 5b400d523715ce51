"""Stochastic gradient descent: w <- w - lr * (g + weight_decay * w)."""

from typing import ClassVar

import attrs
import numpy as np

from optiscope.optim.base import Optimizer, State, at_least_zero, blocks
from optiscope.params import Parameters


@attrs.define(kw_only=True)
class SGD(Optimizer):
    """Plain stochastic gradient descent, without momentum.

    Weight decay is coupled: it enters as the gradient of (weight_decay / 2) * ||w||^2. The same as
    `torch.optim.SGD` with `momentum=0`.
    """

    name: ClassVar[str] = "sgd"

    lr: float = attrs.field(default=0.01, validator=attrs.fields(Optimizer).lr.validator)
    weight_decay: float = attrs.field(default=0.0, validator=at_least_zero)

    def update(self, params: Parameters, grads: Parameters, state: State, step: int) -> None:
        """Take one step."""
        for part in blocks(params.flat.size):
            w = params.flat[part]
            change = np.multiply(grads.flat[part], self.lr, dtype=w.dtype)
            if self.weight_decay:
                change += (self.lr * self.weight_decay) * w
            w -= change

    def stable_lr(self, curvature: float) -> float:
        """Return 2 / (L + weight_decay): beyond it |1 - lr (L + weight_decay)| > 1."""
        return 2 / (curvature + self.weight_decay)

    def mean_square_lr(self, curvature: float, dimension: int, batch_size: int) -> float:
        """Return 2 (L + a) / (a^2 + 2 a L + c L^2) with c = 1 + (d + 1) / B and a the weight decay.

        A batch sees the curvature A = X'X / B with E[A] = L I and E[A^2] = c L^2 I (Wishart's moments), so a step
        multiplies E||w||^2 by (1 - lr a)^2 - 2 lr (1 - lr a) L + lr^2 c L^2. Without decay the limit is
        2 B / ((B + d + 1) L).
        """
        a, spread = self.weight_decay, 1 + (dimension + 1) / batch_size
        return 2 * (curvature + a) / (a**2 + 2 * a * curvature + spread * curvature**2)
