"""HyAdamC (Kim and Choi 2021): Adam with four ideas of others, one for each scale of time.

    gradients that stand out    W_t is large where g is near m: it weighs the new gradient, layer by layer
        s = sum over the layer of (g - m)^2 / (v + e), of n parameters
        q = (k n + n) / (k n + s)           b = W / (W + q)             W <- (2 - 1/b1) W + q
        m <- b m + (1 - b) g                W begins at b1 / (1 - b1)
    long term                   v <- b2 v + (1 - b2) (g - m)^2
    short term                  x = 1 / (1 + exp(-c D)), from 1/2 to 1, with D = |g - g_before|
    at the beginning            R and r_t as in `radam`

    r_t > 4     w <- w - lr R x m_hat sqrt(1 - b2^t) / (sqrt(v) + e)
    else        w <- w - lr x m_hat

with m_hat = m / (1 - b1^t), although m was averaged with b. The parts are TAdam's (Ilboudo et al. 2020), AdaBelief's
(Zhuang et al. 2020), diffGrad's (Dubey et al. 2020) and RAdam's (Liu et al. 2020). As v is 0 at the first step, q is
then almost 0, and so is the first m.

The paper has two variants. This is HyAdamC-Basic; with `scale` it is HyAdamC-Scale, where c is multiplied by the sample
variance of D over the layer. A layer of one element has no variance: it is taken as 0, where the program that is named
below makes NaN of it.

The names of the parts are the paper's; the formulas were read from two PyTorch programs, HyAdamC_Basic and
HyAdamC_Scale, in a repository that goes by the first author's name (github.com/Kyungskim8476/
large-scale-global-optimization). The paper's numbered equations were not at hand, so take details, such as where e
stands, as the programs'. PyTorch and optax have neither variant.

Defaults: all those of the programs: lr 0.001, b1 0.9, b2 0.999, k 1, c 1 and e 1e-8. HyAdamC_Scale has no c: it is 1.

K.-S. Kim, Y.-S. Choi, "HyAdamC: a new Adam-based hybrid optimization algorithm for convolution neural networks",
Sensors 21(12) 4054, 2021, doi 10.3390/s21124054.
"""

from __future__ import annotations

import math
from typing import Any, ClassVar

import attrs
import numpy as np

from optiscope.optim import Optimizer, State, at_least_zero, decay_rate
from optiscope.params import Parameters
from optiscope_optimizers.parts import above_zero, average, blocks_of, layers, true_or_false
from optiscope_optimizers.radam import rectification


def _remembers(_: Any, attribute: attrs.Attribute[Any], value: float) -> None:
    """Validate b1, for which 2 - 1/b1 must not be negative."""
    if not 0.5 <= value < 1:
        raise ValueError(f"{attribute.name} must be >= 0.5 and < 1, not {value!r}")


@attrs.define(kw_only=True)
class HyAdamC(Optimizer):
    """HyAdamC-Basic, or with `scale` HyAdamC-Scale. There is no weight decay.

    `freedom` is k, degrees of freedom a parameter; `friction` is c.
    """

    name: ClassVar[str] = "hyadamc"

    lr: float = attrs.field(default=1e-3, validator=attrs.fields(Optimizer).lr.validator)
    beta1: float = attrs.field(default=0.9, validator=_remembers)
    beta2: float = attrs.field(default=0.999, validator=decay_rate)
    freedom: float = attrs.field(default=1.0, validator=above_zero)
    friction: float = attrs.field(default=1.0, validator=at_least_zero)
    epsilon: float = attrs.field(default=1e-8, validator=above_zero)
    scale: bool = attrs.field(default=False, validator=true_or_false)

    def init(self, params: Parameters) -> State:
        """Return m, v and the last gradient, zeros over the flat buffer, and W, one float64 a named array."""
        state = {name: np.zeros_like(params.flat) for name in ("m", "v", "last")}
        return {**state, "W": np.full(len(params), self.beta1 / (1 - self.beta1))}

    def update(self, params: Parameters, grads: Parameters, state: State, step: int) -> None:
        """Take one step."""
        rectified = rectification(self.beta2, step, least=4)
        length = self.lr / (1 - self.beta1**step)
        if rectified is not None:
            length *= rectified * math.sqrt(1 - self.beta2**step)
        for index, layer in enumerate(layers(params)):
            if layer.start == layer.stop:
                continue
            beta = self._weigh(index, layer, grads, state)
            friction = self._friction(layer, grads, state)
            for part in blocks_of(layer):
                g, m, v, last = grads.flat[part], *(state[name][part] for name in ("m", "v", "last"))
                average(m, beta, g)
                average(v, self.beta2, np.square(g - m))
                x = np.abs(g - last)
                last[...] = g
                x *= -friction
                np.exp(x, out=x)
                x += 1
                if rectified is not None:
                    root = np.sqrt(v)
                    root += self.epsilon
                    x *= root
                np.divide(m, x, out=x)
                x *= length
                params.flat[part] -= x

    def _weigh(self, index: int, layer: slice, grads: Parameters, state: State) -> float:
        """Return b for one layer, and move its W on."""
        distance = 0.0
        for part in blocks_of(layer):
            square = np.square(grads.flat[part] - state["m"][part])
            square /= state["v"][part] + self.epsilon
            distance += float(square.sum())
        size: int = layer.stop - layer.start
        weight = (self.freedom + 1) * size / (self.freedom * size + distance)
        total: float = state["W"].item(index)
        state["W"][index] = (2 - 1 / self.beta1) * total + weight
        return total / (total + weight)

    def _friction(self, layer: slice, grads: Parameters, state: State) -> float:
        """Return what multiplies D in one layer: c, or c times the variance of D there."""
        if not self.scale:
            return self.friction
        if layer.stop - layer.start == 1:
            return 0.0
        changes = np.abs(grads.flat[layer] - state["last"][layer])
        return self.friction * float(np.var(changes, ddof=1, dtype=np.float64))
