"""Adam (Kingma and Ba, 2015, algorithm 1), with epsilon in either of the two places that the literature has it.

    m <- b1 m + (1 - b1) g              m_hat = m / (1 - b1^t)
    v <- b2 v + (1 - b2) g^2            v_hat = v / (1 - b2^t)

    adam           w <- w - lr m_hat / (sqrt(v_hat) + e)        Kingma and Ba, PyTorch, optax (eps)
    adam-inside    w <- w - lr m_hat / sqrt(v_hat + e)          Ando et al. 2023, equation 3; optax (eps_root)

With the default e = 1e-8 the two differ where sqrt(v_hat) is not far above 1e-4: inside the root, e is the square
of a length. TensorFlow and the seed paper's own program add e to sqrt(v), before its bias is corrected: an e that
shrinks by sqrt(1 - b2^t) from there to here, which at 1e-8 no run can tell apart.
"""

from typing import ClassVar

import attrs
import numpy as np

from optiscope.optim.base import Optimizer, State, at_least_zero, blocks, decay_rate
from optiscope.params import Array, Parameters


@attrs.define(kw_only=True)
class Adam(Optimizer):
    """Adam with epsilon outside the root, the same as `torch.optim.Adam`."""

    name: ClassVar[str] = "adam"

    lr: float = attrs.field(default=1e-3, validator=attrs.fields(Optimizer).lr.validator)
    beta1: float = attrs.field(default=0.9, validator=decay_rate)
    beta2: float = attrs.field(default=0.999, validator=decay_rate)
    epsilon: float = attrs.field(default=1e-8, validator=at_least_zero)

    def init(self, params: Parameters) -> State:
        """Return m and v, zeros over the flat buffer."""
        return {"m": np.zeros_like(params.flat), "v": np.zeros_like(params.flat)}

    def update(self, params: Parameters, grads: Parameters, state: State, step: int) -> None:
        """Take one step."""
        correction1 = 1 - self.beta1**step
        correction2 = 1 - self.beta2**step
        for part in blocks(params.flat.size):
            g, m, v = grads.flat[part], state["m"][part], state["v"][part]
            m *= self.beta1
            m += (1 - self.beta1) * g
            v *= self.beta2
            v += (1 - self.beta2) * np.square(g)
            change = self._denominator(v / correction2)
            np.divide(m, change, out=change)
            change *= self.lr / correction1
            params.flat[part] -= change

    def _denominator(self, v_hat: Array) -> Array:
        """Return sqrt(v_hat) + epsilon, in the memory of `v_hat`."""
        np.sqrt(v_hat, out=v_hat)
        v_hat += self.epsilon
        return v_hat

    def frozen_stable_lr(self, preconditioned: float) -> float:
        """Return (2 + 2 b1) / ((1 - b1) s), the edge of Adam with its preconditioner P held fixed, s = L / P.

        Source: Cohen et al., arXiv 2207.14484. Live Adam does not diverge beyond it: it settles in a bounded
        oscillation, so this is no `stable_lr`.
        """
        return (2 + 2 * self.beta1) / ((1 - self.beta1) * preconditioned)

    def converging_lr(self, curvature: float) -> float | None:
        """Return the frozen edge with the smallest preconditioner that there is: that of a gradient of zero.

        That is P = e, or sqrt(e) with e inside the root. Above it, a gradient that goes to zero takes P below what
        the edge allows. A subclass with another update has another limit, and says which.
        """
        smallest = float(self._denominator(np.zeros(1))[0])
        if type(self).update is not Adam.update or smallest == 0:
            return None
        return self.frozen_stable_lr(curvature / smallest)


@attrs.define(kw_only=True)
class AdamInside(Adam):
    """Adam with epsilon inside the root, as the paper's equation 3 has it."""

    name: ClassVar[str] = "adam-inside"

    def _denominator(self, v_hat: Array) -> Array:
        v_hat += self.epsilon
        np.sqrt(v_hat, out=v_hat)
        return v_hat
