"""Lion (Chen et al. 2023, program 1): the sign of a momentum, which was found by a search over programs.

    c = b1 m + (1 - b1) g                   w <- w - lr (sign(c) + d w)
    m <- b2 m + (1 - b2) g

The decay is decoupled and multiplied by lr. The same as `optax.lion`; PyTorch has none.

Defaults: lr 1e-4, b1 0.9, b2 0.99 and d 0 are those of the authors' program (optax: d 0.001). Beside AdamW
the paper takes lr three to ten times smaller, and d as many times larger.

X. Chen et al., "Symbolic discovery of optimization algorithms", NeurIPS 2023, arXiv 2302.06675.
"""

from typing import ClassVar

import attrs
import numpy as np

from optiscope.optim import Optimizer, State, at_least_zero, blocks, decay_rate
from optiscope.params import Parameters
from optiscope_optimizers.parts import average


@attrs.define(kw_only=True)
class Lion(Optimizer):
    """Lion. Weight decay is decoupled."""

    name: ClassVar[str] = "lion"

    lr: float = attrs.field(default=1e-4, validator=attrs.fields(Optimizer).lr.validator)
    beta1: float = attrs.field(default=0.9, validator=decay_rate)
    beta2: float = attrs.field(default=0.99, validator=decay_rate)
    weight_decay: float = attrs.field(default=0.0, validator=at_least_zero)

    def init(self, params: Parameters) -> State:
        """Return m, zeros over the flat buffer."""
        return {"m": np.zeros_like(params.flat)}

    def update(self, params: Parameters, grads: Parameters, state: State, step: int) -> None:
        """Take one step."""
        for part in blocks(params.flat.size):
            w, g, m = params.flat[part], grads.flat[part], state["m"][part]
            change = self.beta1 * m
            change += (1 - self.beta1) * g
            change = np.sign(change)  # into new memory: in place NumPy takes ten times as long
            if self.weight_decay:
                change += self.weight_decay * w
            change *= self.lr
            w -= change
            average(m, self.beta2, g)
