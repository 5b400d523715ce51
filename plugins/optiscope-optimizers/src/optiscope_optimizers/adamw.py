"""AdamW (Loshchilov and Hutter 2019, algorithm 2): Adam with a weight decay that its preconditioner does not touch.

    w <- w - lr d w             then Adam's step: w <- w - lr m_hat / (sqrt(v_hat) + e)

The decay is multiplied by lr, as in `torch.optim.AdamW` and `optax.adamw`. In the paper only the schedule's factor
multiplies it: its d is lr d here.

Defaults: those of PyTorch, Adam's with d 0.01 (optax: 1e-4).

I. Loshchilov, F. Hutter, "Decoupled weight decay regularization", ICLR 2019, arXiv 1711.05101.
"""

from typing import ClassVar

import attrs

from optiscope.optim import Adam, State, at_least_zero
from optiscope.params import Parameters


@attrs.define(kw_only=True)
class AdamW(Adam):
    """Adam with decoupled weight decay, the same as `torch.optim.AdamW`."""

    name: ClassVar[str] = "adamw"

    weight_decay: float = attrs.field(default=0.01, validator=at_least_zero)

    def update(self, params: Parameters, grads: Parameters, state: State, step: int) -> None:
        """Take one step."""
        if self.weight_decay:
            params.flat *= 1 - self.lr * self.weight_decay
        super().update(params, grads, state, step)

    def frozen_stable_lr(self, preconditioned: float) -> float:
        """Return 2 / (s (1 - b1) / (1 + b1) + d), the edge with the preconditioner P held fixed, s = L / P."""
        return 2 / (preconditioned * (1 - self.beta1) / (1 + self.beta1) + self.weight_decay)

    def converging_lr(self, curvature: float) -> float | None:
        """Return the frozen edge at P = e, the smallest that there is, as for Adam; None where e is zero."""
        return self.frozen_stable_lr(curvature / self.epsilon) if self.epsilon else None
