import attrs
import numpy as np
import pytest

from optiscope.hooks import create_manager
from optiscope.optim import SGD, Optimizer
from optiscope.testing import check_optimizer

PIECES = create_manager().pieces("optimizers")


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("name", PIECES)
def test_every_registered_optimizer_keeps_the_promises(name, dtype):
    check_optimizer(PIECES[name].factory(), dtype)


class Replaces(SGD):
    def update(self, params, grads, state, step):
        params.flat = params.flat - self.lr * grads.flat


class WritesGradients(SGD):
    def update(self, params, grads, state, step):
        grads.flat[...] *= self.lr
        params.flat[...] -= grads.flat


class KeepsGradients(SGD):
    def init(self, params):
        return {"last": params.zeros().flat}

    def update(self, params, grads, state, step):
        super().update(params, grads, state, step)
        state["last"] = grads.flat


class AddsState(SGD):
    def update(self, params, grads, state, step):
        super().update(params, grads, state, step)
        state["new"] = np.zeros(1)


class NoArray(SGD):
    def init(self, params):
        return {"count": 0}


class DoesNothing(SGD):
    def update(self, params, grads, state, step):
        pass


class BlowsUp(SGD):
    def update(self, params, grads, state, step):
        params.flat[...] = np.nan


@attrs.define(kw_only=True)
class Remembers(SGD):
    calls: int = 0

    def update(self, params, grads, state, step):
        self.calls += 1
        params.flat[...] -= self.lr / self.calls * grads.flat


@attrs.define(kw_only=True)
class KeepsVelocityOnSelf(Optimizer):
    velocity: object = None

    def update(self, params, grads, state, step):
        if step == 1:
            self.velocity = np.zeros_like(params.flat)
        self.velocity *= 0.9
        self.velocity += grads.flat
        params.flat[...] -= self.lr * self.velocity


@pytest.mark.parametrize(
    ("broken", "sentence"),
    [
        (Replaces, "in place"),
        (WritesGradients, "leave the gradients"),
        (KeepsGradients, "'last' must be a copy"),
        (AddsState, "add or drop state"),
        (NoArray, "'count' is a int"),
        (DoesNothing, "changed no parameter"),
        (BlowsUp, "not finite at step 1"),
        (Remembers, "second time"),
        (KeepsVelocityOnSelf, "interleaved"),
    ],
)
def test_a_broken_promise_is_named(broken, sentence):
    with pytest.raises(AssertionError, match=sentence):
        check_optimizer(broken(lr=0.1))
