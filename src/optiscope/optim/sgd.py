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
