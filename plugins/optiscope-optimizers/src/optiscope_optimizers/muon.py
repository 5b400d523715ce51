"""Muon (Jordan et al. 2024): momentum whose singular values are all driven to about one, for matrices.

    m <- mu m + (1 - mu) g                  x = (1 - mu) g + mu m; without nesterov, x = m
    X = x / |x|, then ns_steps times        X <- a X + (b X X' + c (X X')^2) X
    w <- w - lr d w - lr s X

(a, b, c) = (3.4445, -4.7750, 2.0315) makes a quintic that takes small singular values up fast, and leaves them between
about 0.7 and 1.2. A matrix is every named array of two or more dimensions; the last axis is taken as outputs (A) and
all others together as inputs (B), so that a convolution's kernel [h, w, in, out] is [h w in, out]. s makes up for the
shape:

    match_rms_adamw     0.2 sqrt(max(A, B))         Liu et al. 2025: an update as large as AdamW's usually is
    original            sqrt(max(1, A / B))         Jordan

Everything else, biases above all, goes by AdamW with `adamw_lr_ratio` lr, b1, b2, e and the same d. Jordan's program
leaves output layers to AdamW as well, which no name tells here.

For a matrix this is `torch.optim.Muon`, which takes matrices only, as [A, B], the transpose of those here; a transposed
x gives a transposed X. PyTorch iterates in bfloat16, this in the type of the parameters.

Defaults: lr 0.001, mu 0.95, nesterov, five iterations and d 0.1 are PyTorch's; b1 0.9, b2 0.95, e 1e-10 are those
of Jordan's program for the rest. PyTorch's s is "original"; here one lr has to serve matrices and the rest,
which is what match_rms_adamw was made for. With "original", Jordan has lr 0.02, and 0.015 of it for the rest.

K. Jordan et al., "Muon: an optimizer for hidden layers in neural networks", 2024, kellerjordan.github.io/posts/muon.
J. Liu et al., "Muon is scalable for LLM training", 2025, arXiv 2502.16982.
"""

from __future__ import annotations

import math
from typing import Any, ClassVar

import attrs
import numpy as np

from optiscope.optim import Optimizer, State, at_least_zero, decay_rate
from optiscope.params import Array, Parameters
from optiscope_optimizers.parts import above_zero, at_least_one, average, true_or_false

COEFFICIENTS = (3.4445, -4.7750, 2.0315)
LEAST_NORM = 1e-7
"""What a matrix is divided by at least, as in PyTorch: a gradient of zero stays zero."""

ADJUSTMENTS = {
    "match_rms_adamw": lambda outputs, inputs: 0.2 * math.sqrt(max(outputs, inputs)),
    "original": lambda outputs, inputs: math.sqrt(max(1, outputs / inputs)),
}


def _adjustment(_: Any, attribute: attrs.Attribute[Any], value: str) -> None:
    if value not in ADJUSTMENTS:
        raise ValueError(f"{attribute.name} must be one of {', '.join(ADJUSTMENTS)}, not {value!r}")


@attrs.define(kw_only=True)
class Muon(Optimizer):
    """Muon for arrays of two or more dimensions, AdamW for the others. Weight decay is decoupled."""

    name: ClassVar[str] = "muon"

    lr: float = attrs.field(default=1e-3, validator=attrs.fields(Optimizer).lr.validator)
    momentum: float = attrs.field(default=0.95, validator=decay_rate)
    nesterov: bool = attrs.field(default=True, validator=true_or_false)
    ns_steps: int = attrs.field(default=5, validator=at_least_one)
    adjust_lr: str = attrs.field(default="match_rms_adamw", validator=_adjustment)
    weight_decay: float = attrs.field(default=0.1, validator=at_least_zero)
    adamw_lr_ratio: float = attrs.field(default=1.0, validator=above_zero)
    beta1: float = attrs.field(default=0.9, validator=decay_rate)
    beta2: float = attrs.field(default=0.95, validator=decay_rate)
    epsilon: float = attrs.field(default=1e-10, validator=at_least_zero)

    def init(self, params: Parameters) -> State:
        """Return m over the flat buffer, and v over the arrays that AdamW takes, one after the other; zeros."""
        return {"m": np.zeros_like(params.flat), "v": _by_adamw(params).flat}

    def update(self, params: Parameters, grads: Parameters, state: State, step: int) -> None:
        """Take one step."""
        m, v = params.like(state["m"]), _by_adamw(params, state["v"])
        for name, w in params.items():
            if name in v:
                self._adamw(w, grads[name], m[name], v[name], step)
            else:
                self._muon(_matrix(w), _matrix(grads[name]), _matrix(m[name]))

    def _muon(self, w: Array, g: Array, m: Array) -> None:
        average(m, self.momentum, g)
        x = (1 - self.momentum) * g + self.momentum * m if self.nesterov else m
        inputs, outputs = w.shape
        w *= 1 - self.lr * self.weight_decay
        w -= self.lr * ADJUSTMENTS[self.adjust_lr](outputs, inputs) * orthogonalised(x, self.ns_steps)

    def _adamw(self, w: Array, g: Array, m: Array, v: Array, step: int) -> None:
        lr = self.lr * self.adamw_lr_ratio
        average(m, self.beta1, g)
        average(v, self.beta2, np.square(g))
        root = np.sqrt(v / (1 - self.beta2**step))
        root += self.epsilon
        w *= 1 - lr * self.weight_decay
        w -= lr / (1 - self.beta1**step) * m / root


def orthogonalised(matrix: Array, steps: int) -> Array:
    """Return U S V' for `matrix` = U D V', with singular values S near one: `steps` Newton-Schulz iterations."""
    a, b, c = COEFFICIENTS
    tall = matrix.shape[0] > matrix.shape[1]
    x = (matrix.T if tall else matrix) / max(float(np.linalg.norm(matrix)), LEAST_NORM)
    for _ in range(steps):
        gram = x @ x.T
        x = a * x + (b * gram + c * (gram @ gram)) @ x
    return x.T if tall else x


def _matrix(array: Array) -> Array:
    """Return a view [inputs, outputs]."""
    return array.reshape(math.prod(array.shape[:-1]), array.shape[-1])


def _by_adamw(params: Parameters, flat: Array | None = None) -> Parameters:
    """Return parameters for the arrays that are no matrices, over `flat` or over zeros."""
    shapes = {name: shape for name, shape in params.shapes.items() if len(shape) < 2}
    return Parameters(shapes, params.dtype, flat)
