"""Sign descent: every parameter moves by lr, against the sign of its gradient (Bernstein et al. 2018, algorithm 1).

    w <- w - lr sign(g)

A gradient of exactly zero moves nothing. The same as `optax.sign_sgd`; PyTorch has none. On a quadratic it ends in an
oscillation of the size of lr whatever lr is, so there is no stable lr to speak of.

Defaults: lr 0.001 is Adam's, which moves by about lr as well; the paper tunes it for each network.

J. Bernstein, Y.-X. Wang, K. Azizzadenesheli, A. Anandkumar, "signSGD: compressed optimisation for non-convex problems",
ICML 2018, arXiv 1802.04434.
"""

from typing import ClassVar

import attrs
import numpy as np

from optiscope.optim import Optimizer, State, blocks
from optiscope.params import Parameters


@attrs.define(kw_only=True)
class SignSGD(Optimizer):
    """Sign descent, without momentum."""

    name: ClassVar[str] = "sign-sgd"

    lr: float = attrs.field(default=1e-3, validator=attrs.fields(Optimizer).lr.validator)

    def update(self, params: Parameters, grads: Parameters, state: State, step: int) -> None:
        """Take one step."""
        for part in blocks(params.flat.size):
            params.flat[part] -= self.lr * np.sign(grads.flat[part])
