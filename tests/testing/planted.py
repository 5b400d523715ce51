"""Optimizers with one mistake each, as people make them, and right ones to compare with."""

import attrs
import numpy as np

from optiscope.optim import SGD, Adam, Optimizer, at_least_zero, decay_rate


@attrs.define(kw_only=True)
class AdamW(Optimizer):
    """The textbook's, with decoupled decay, in the plainest way: what the mistakes below are made in."""

    name = "planted-adamw"

    lr: float = attrs.field(default=1e-3, validator=attrs.fields(Optimizer).lr.validator)
    beta1: float = attrs.field(default=0.9, validator=decay_rate)
    beta2: float = attrs.field(default=0.999, validator=decay_rate)
    epsilon: float = attrs.field(default=1e-8, validator=at_least_zero)
    weight_decay: float = attrs.field(default=0.0, validator=at_least_zero)

    def init(self, params):
        return {"m": np.zeros_like(params.flat), "v": np.zeros_like(params.flat)}

    def update(self, params, grads, state, step):
        self.decay(params)
        self.average(state, grads.flat)
        params.flat[...] -= self.lr * self.direction(state, step)

    def decay(self, params):
        params.flat[...] *= 1 - self.lr * self.weight_decay

    def average(self, state, g):
        state["m"][...] = self.beta1 * state["m"] + (1 - self.beta1) * g
        state["v"][...] = self.beta2 * state["v"] + (1 - self.beta2) * g * g

    def direction(self, state, step):
        m_hat = state["m"] / (1 - self.beta1**step)
        v_hat = state["v"] / (1 - self.beta2**step)
        return m_hat / (np.sqrt(v_hat) + self.epsilon)


class NoBiasCorrection(AdamW):
    def direction(self, state, step):
        return state["m"] / (np.sqrt(state["v"]) + self.epsilon)


class OnlyMIsCorrected(AdamW):
    def direction(self, state, step):
        return state["m"] / (1 - self.beta1**step) / (np.sqrt(state["v"]) + self.epsilon)


class OnlyVIsCorrected(AdamW):
    def direction(self, state, step):
        return state["m"] / (np.sqrt(state["v"] / (1 - self.beta2**step)) + self.epsilon)


@attrs.define(kw_only=True)
class SwappedBetas(AdamW):
    def __attrs_post_init__(self):
        self.beta1, self.beta2 = self.beta2, self.beta1


class EpsilonInside(AdamW):
    def direction(self, state, step):
        v_hat = state["v"] / (1 - self.beta2**step)
        return state["m"] / (1 - self.beta1**step) / np.sqrt(v_hat + self.epsilon)


class EpsilonBeforeTheCorrection(AdamW):
    def direction(self, state, step):
        rate = np.sqrt(1 - self.beta2**step) / (1 - self.beta1**step)
        return rate * state["m"] / (np.sqrt(state["v"]) + self.epsilon)


class NoEpsilon(AdamW):
    def direction(self, state, step):
        v_hat = state["v"] / (1 - self.beta2**step)
        return state["m"] / (1 - self.beta1**step) / np.sqrt(v_hat)


class CoupledDecay(AdamW):
    def update(self, params, grads, state, step):
        self.average(state, grads.flat + self.weight_decay * params.flat)
        params.flat[...] -= self.lr * self.direction(state, step)


class DecayWithoutLr(AdamW):
    def decay(self, params):
        params.flat[...] *= 1 - self.weight_decay


class DecayForgotten(AdamW):
    def decay(self, params):
        pass


class StaleMoments(AdamW):
    def update(self, params, grads, state, step):
        params.flat[...] -= self.lr * self.direction(state, step)
        self.average(state, grads.flat)


class MomentsAreSums(AdamW):
    def average(self, state, g):
        state["m"][...] = self.beta1 * state["m"] + g
        state["v"][...] = self.beta2 * state["v"] + g * g


class CountsFromZero(AdamW):
    def direction(self, state, step):
        return super().direction(state, step - 1)


class CountsFromTwo(AdamW):
    def direction(self, state, step):
        return super().direction(state, step + 1)


class VIsNotSquared(AdamW):
    def average(self, state, g):
        state["m"][...] = self.beta1 * state["m"] + (1 - self.beta1) * g
        state["v"][...] = self.beta2 * state["v"] + (1 - self.beta2) * np.abs(g)


class SinglePrecision(AdamW):
    def direction(self, state, step):
        return super().direction(state, step).astype(np.float32)


class WrongSign(AdamW):
    def direction(self, state, step):
        return -super().direction(state, step)


@attrs.define(kw_only=True)
class HeavyBall(Optimizer):
    """v <- b v + g;  w <- w - lr v."""

    name = "planted-heavy-ball"

    momentum: float = attrs.field(default=0.9, validator=decay_rate)
    weight_decay: float = attrs.field(default=0.0, validator=at_least_zero)

    def init(self, params):
        return {"v": np.zeros_like(params.flat)}

    def update(self, params, grads, state, step):
        state["v"][...] = self.momentum * state["v"] + grads.flat + self.weight_decay * params.flat
        params.flat[...] -= self.lr * state["v"]

    def stable_lr(self, curvature):
        return 2 * (1 + self.momentum) / (curvature + self.weight_decay)


@attrs.define(kw_only=True)
class Switched(HeavyBall):
    """Not a mistake: Nesterov's step, if it is asked for."""

    nesterov: bool = False

    def update(self, params, grads, state, step):
        super().update(params, grads, state, step)
        if self.nesterov:
            self.look_ahead(params, grads, state)

    def look_ahead(self, params, grads, state):
        g = grads.flat + self.weight_decay * params.flat
        params.flat[...] -= self.lr * (g + (self.momentum - 1) * state["v"])


class RaisesWhereItIsSwitched(Switched):
    def look_ahead(self, params, grads, state):
        params.flat[...] -= self.lr * None


class StaleVelocity(HeavyBall):
    def update(self, params, grads, state, step):
        g = grads.flat + self.weight_decay * params.flat
        params.flat[...] -= self.lr * state["v"]
        state["v"][...] = self.momentum * state["v"] + g

    def stable_lr(self, curvature):
        return None


class Dampening(HeavyBall):
    def update(self, params, grads, state, step):
        g = grads.flat + self.weight_decay * params.flat
        state["v"][...] = self.momentum * state["v"] + (1 - self.momentum) * g
        params.flat[...] -= self.lr * state["v"]


class DecoupledWhereCoupledIsMeant(HeavyBall):
    def update(self, params, grads, state, step):
        state["v"][...] = self.momentum * state["v"] + grads.flat
        params.flat[...] -= self.lr * (state["v"] + self.weight_decay * params.flat)


class SumForMean(HeavyBall):
    def update(self, params, grads, state, step):
        for name, w in params.items():
            v = params.like(state["v"])[name]
            v[...] = self.momentum * v + grads[name]
            w -= self.lr * v * w.size


class RateInsideVelocity(HeavyBall):
    def update(self, params, grads, state, step):
        g = grads.flat + self.weight_decay * params.flat
        state["v"][...] = self.momentum * state["v"] + self.lr * g
        params.flat[...] -= state["v"]


class StateIsShared(HeavyBall):
    """One buffer for all tensors, each in its turn."""

    def init(self, params):
        return {"v": np.zeros(max(view.size for view in params.values()), params.dtype)}

    def update(self, params, grads, state, step):
        for name, w in params.items():
            v = state["v"][: w.size].reshape(w.shape)
            v[...] = self.momentum * v + grads[name]
            w -= self.lr * v


class OneArrayUnderTwoNames(AdamW):
    def init(self, params):
        return dict.fromkeys(["m", "v"], np.zeros_like(params.flat))


class StateIsTheParameters(HeavyBall):
    def init(self, params):
        return {"v": params.flat}


class StateInDoublePrecision(HeavyBall):
    def init(self, params):
        return {"v": np.zeros(params.flat.size)}


class StateBecomesDouble(HeavyBall):
    def update(self, params, grads, state, step):
        state["v"] = np.float64(self.momentum) * state["v"] + grads.flat
        params.flat[...] -= self.lr * state["v"]


class Rebinds(SGD):
    def update(self, params, grads, state, step):
        params.flat = params.flat - self.lr * grads.flat


class RebindsItsOwnName(SGD):
    def update(self, params, grads, state, step):
        params = params.like(params.flat - self.lr * grads.flat)


class ReturnsTheParameters(SGD):
    def update(self, params, grads, state, step):
        return params.like(params.flat - self.lr * grads.flat)


class WritesGradients(SGD):
    def update(self, params, grads, state, step):
        grads.flat[...] *= self.lr
        params.flat[...] -= grads.flat


class KeepsAViewOfGradients(SGD):
    def init(self, params):
        return {"last": params.zeros().flat}

    def update(self, params, grads, state, step):
        super().update(params, grads, state, step)
        state["last"] = grads.flat


@attrs.define(kw_only=True)
class KeepsGradientsOnSelf(SGD):
    """The mean of this gradient and the last one, which it did not copy."""

    last: object = None

    def update(self, params, grads, state, step):
        last = grads.flat if step == 1 else self.last
        params.flat[...] -= self.lr * (grads.flat + last) / 2
        self.last = grads.flat


class AddsState(SGD):
    def update(self, params, grads, state, step):
        super().update(params, grads, state, step)
        state["new"] = np.zeros(1)


class StateIsANumber(SGD):
    def init(self, params):
        return {"count": 0}


class DoesNothing(SGD):
    def update(self, params, grads, state, step):
        pass


class BlowsUp(SGD):
    def update(self, params, grads, state, step):
        params.flat[...] = np.nan


@attrs.define(kw_only=True)
class CountsOnSelf(SGD):
    calls: int = 0

    def update(self, params, grads, state, step):
        self.calls += 1
        params.flat[...] -= self.lr / self.calls * grads.flat


CALLS = []


class CountsInTheModule(SGD):
    def update(self, params, grads, state, step):
        CALLS.append(step)
        params.flat[...] -= self.lr / len(CALLS) * grads.flat


SEEN = {}


class RemembersInTheProcess(SGD):
    """What the first step leaves in the module, every later one finds: but not in another process."""

    def update(self, params, grads, state, step):
        if step == 1:
            SEEN["scale"] = 2.0
        params.flat[...] -= self.lr * SEEN.get("scale", 1.0) * grads.flat


class Unseeded(SGD):
    def update(self, params, grads, state, step):
        params.flat[...] -= self.lr * (grads.flat + np.random.default_rng().standard_normal(grads.flat.size))


@attrs.define(kw_only=True)
class VelocityOnSelf(Optimizer):
    velocity: object = None

    def update(self, params, grads, state, step):
        if step == 1:
            self.velocity = np.zeros_like(params.flat)
        self.velocity *= 0.9
        self.velocity += grads.flat
        params.flat[...] -= self.lr * self.velocity


@attrs.define(kw_only=True)
class RateFromInit(SGD):
    kept: float = 0.0

    def init(self, params):
        self.kept = self.lr
        return {}

    def update(self, params, grads, state, step):
        params.flat[...] -= self.kept * grads.flat


class RateInTheState(SGD):
    def init(self, params):
        return {"lr": np.array(self.lr)}

    def update(self, params, grads, state, step):
        params.flat[...] -= state["lr"] * grads.flat


@attrs.define(kw_only=True)
class AnyRate(SGD):
    lr: float = 0.1


@attrs.define(kw_only=True)
class AnyMomentum(HeavyBall):
    momentum: float = 0.9


class DividesByZero(SGD):
    def update(self, params, grads, state, step):
        params.flat[...] -= self.lr * grads.flat / np.abs(grads.flat)


class SpreadsNaN(SGD):
    """A guard that throws everything away with the one bad value."""

    def update(self, params, grads, state, step):
        worst = np.abs(grads.flat).max()
        params.flat[...] -= self.lr * grads.flat * (worst / worst)


class GlobalNorm(SGD):
    """Not a mistake: the length of all gradients together."""

    def update(self, params, grads, state, step):
        params.flat[...] -= self.lr * grads.flat / (np.linalg.norm(grads.flat) + 1e-12)


class FirstBlockOnly(SGD):
    def update(self, params, grads, state, step):
        params.flat[:65_536] -= self.lr * grads.flat[:65_536]


class BlocksOfATensor(SGD):
    """Only the first block of each tensor has the whole rate."""

    def update(self, params, grads, state, step):
        for name, w in params.items():
            change = self.lr * grads[name].reshape(-1)
            change[65_536:] /= 2
            w -= change.reshape(w.shape)


class NeedsAxes(SGD):
    def update(self, params, grads, state, step):
        for name, w in params.items():
            w -= self.lr * grads[name] / len(grads[name])


class MeansOverEmpty(SGD):
    def update(self, params, grads, state, step):
        for name, w in params.items():
            w -= self.lr * grads[name] / max(grads[name].max(), 1)


@attrs.define(kw_only=True)
class DampenedLater(HeavyBall):
    """As PyTorch has it: the first gradient enters whole."""

    momentum: float = attrs.field(default=0.0, validator=decay_rate)
    dampening: float = attrs.field(default=0.0, validator=decay_rate)

    def update(self, params, grads, state, step):
        share = 1 if step == 1 else 1 - self.dampening
        state["v"][...] = self.momentum * state["v"] + share * (grads.flat + self.weight_decay * params.flat)
        params.flat[...] -= self.lr * state["v"]

    def stable_lr(self, curvature):
        return None


class WrongEdge(HeavyBall):
    def stable_lr(self, curvature):
        return 2 / curvature


class OtherDefaults(Adam):
    lr = attrs.field(default=0.01, validator=attrs.fields(Optimizer).lr.validator)


class NoCurvature(HeavyBall):
    """The edge for a curvature of 1."""

    def stable_lr(self, curvature):
        return 2 * (1 + self.momentum) / (1 + self.weight_decay)


@attrs.define(kw_only=True)
class RestsBelowMore(Adam):
    def converging_lr(self, curvature):
        return 1.1 * super().converging_lr(curvature)


@attrs.define(kw_only=True)
class RestsBelowLess(Adam):
    def converging_lr(self, curvature):
        return 0.9 * super().converging_lr(curvature)


class OneInputForAll(SGD):
    """The limit in mean square of a single axis, whatever the dimension."""

    def mean_square_lr(self, curvature, dimension, batch_size):
        return super().mean_square_lr(curvature, 1, batch_size)


class WithoutTheOne(SGD):
    """d + 1 is not d + 2."""

    def mean_square_lr(self, curvature, dimension, batch_size):
        return super().mean_square_lr(curvature, dimension + 1, batch_size)


class StateOfAllTensors(SGD):
    """No step depends on what is remembered for each tensor, but that depends on all gradients."""

    def init(self, params):
        return {f"norm.{name}": np.zeros(1, params.dtype) for name in params}

    def update(self, params, grads, state, step):
        super().update(params, grads, state, step)
        for name in params:
            state[f"norm.{name}"] += np.linalg.norm(grads.flat)


class OneValueForEachTensor(StateOfAllTensors):
    def init(self, params):
        return {"norms": np.zeros(len(params), params.dtype)}

    def update(self, params, grads, state, step):
        SGD.update(self, params, grads, state, step)
        state["norms"] += np.linalg.norm(grads.flat)
