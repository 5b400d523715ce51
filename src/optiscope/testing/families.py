"""Two families of rules in plain float64, each the product of what implementations get right, wrong, or do otherwise.

A rule is one value on each axis of its family; the first value of an axis is the textbook's. All rules of a family run
at once: what differs between them is a column of an array, [rules, 1], beside weights of [rules, values].

    adam    bias, epsilon, decay, amsgrad, and at most one of: betas, moments, age, count, scale
    sgd     velocity, nesterov, decay, rate, and at most one of: age, scale

Sources: Kingma and Ba 2015 (adam); Loshchilov and Hutter 2019 (decoupled decay); Reddi et al. 2018 (amsgrad);
Polyak 1964 and Sutskever et al. 2013 (velocity, nesterov).
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import attrs
import numpy as np
import numpy.typing as npt

from optiscope.params import Array

Values = Mapping[str, str]
Flags = npt.NDArray[np.bool_]

DECAY = {
    "none": "weights do not decay",
    "coupled": "weight decay is coupled (part of the gradient)",
    "decoupled": "weight decay is decoupled (w -= lr * weight_decay * w)",
    "without lr": "weight decay is decoupled and without lr (w -= weight_decay * w)",
    "after": "weight decay is decoupled and comes after the step",
}

SCALE = {
    "1": "steps have their size",
    "* size": "the step is multiplied by the number of the tensor's elements: a sum in the place of a mean",
    "/ size": "the step is divided by the number of the tensor's elements: a mean in the place of a sum",
    "* total": "the step is multiplied by the number of all elements: a sum in the place of a mean",
    "/ total": "the step is divided by the number of all elements: a mean in the place of a sum",
    "-1": "the step has the wrong sign: it climbs",
}

ADAM = {
    "bias": {
        "both": "m and v are corrected for their bias",
        "only m": "only m is corrected for its bias, v is not",
        "only v": "only v is corrected for its bias, m is not",
        "none": "there is no bias correction",
    },
    "epsilon": {
        "outside": "epsilon is outside the root (sqrt(v_hat) + e)",
        "inside": "epsilon is inside the root (sqrt(v_hat + e))",
        "before": "epsilon is outside the root and before the bias correction (sqrt(v) + e)",
        "inside before": "epsilon is inside the root and before the bias correction (sqrt(v + e))",
        "none": "epsilon has no effect",
    },
    "decay": DECAY,
    "amsgrad": {"no": "v may fall", "yes": "v is replaced by its maximum so far (AMSGrad)"},
    "betas": {"right": "beta1 is for m and beta2 for v", "swapped": "beta1 and beta2 are swapped"},
    "moments": {
        "mean": "m and v are means",
        "m sums": "m sums gradients, without the factor 1 - beta1",
        "v sums": "v sums squares, without the factor 1 - beta2",
        "both sum": "m and v are sums, without the factors 1 - beta",
    },
    "age": {
        "new": "m and v of this step are used",
        "old": "m and v from before this step are used: they are stale",
        "old m": "m from before this step is used: it is stale",
        "old v": "v from before this step is used: it is stale",
    },
    "count": {
        "1": "steps count from 1",
        "0": "the step before this one is counted (from 0) in the bias correction",
        "2": "the step after this one is counted (from 2) in the bias correction",
    },
    "scale": SCALE,
}

SGD = {
    "velocity": {
        "sum": "gradients enter the velocity whole (v = b v + g)",
        "mean": "dampening: gradients enter the velocity times 1 - momentum",
        "damped": "dampening: gradients enter the velocity times 1 - dampening",
        "mean later": "dampening: from the second step on gradients enter the velocity times 1 - momentum",
        "damped later": "dampening: from the second step on gradients enter the velocity times 1 - dampening",
    },
    "nesterov": {"no": "the step is the velocity", "yes": "the step looks ahead (g + b v, Nesterov's)"},
    "decay": DECAY,
    "rate": {"outside": "lr multiplies the velocity", "inside": "lr multiplies gradients as they enter the velocity"},
    "age": {
        "new": "the velocity of this step is used",
        "old": "the velocity from before this step is used: it is stale",
    },
    "scale": SCALE,
}


@attrs.frozen(kw_only=True, eq=False)
class Family:
    """Rules by their values on `axes` (axis to value to what it means); of the axes in `rare`, one at a time.

    `paths(rules, roles, origin, grads, lrs, sizes)` yields the weights [rules, values] after each step. `roles` are
    the numbers (see `optiscope.testing.roles`), `sizes` [values] the number of elements of each value's tensor.
    """

    name: str
    axes: Mapping[str, Mapping[str, str]]
    rare: tuple[str, ...]
    paths: Callable[[Sequence[Values], Mapping[str, Any], Array, Array, Array, Array], Iterator[Array]]

    def rules(self, roles: Mapping[str, Any]) -> list[dict[str, str]]:
        """Return all rules that differ where there are options of these roles, the textbook's first."""
        axes = {axis: list(values) for axis, values in self.axes.items()}
        if "weight_decay" not in roles:
            axes["decay"] = ["none"]
        if self.name == "sgd" and "momentum" not in roles:
            axes |= {axis: list(self.axes[axis])[:1] for axis in ("velocity", "nesterov", "rate", "age")}
        if self.name == "adam" and "beta2" in roles and "beta1" not in roles:  # m is the gradient, as in RMSProp
            axes |= {"bias": ["both", "none"], "betas": ["right"]}
        common = [axis for axis in axes if axis not in self.rare]
        usual = {axis: axes[axis][0] for axis in axes}
        odd: list[dict[str, str]] = [{}, *({axis: value} for axis in self.rare for value in axes[axis][1:])]
        products = itertools.product(*(axes[axis] for axis in common))
        rules = [usual | dict(zip(common, chosen, strict=True)) | more for chosen in products for more in odd]
        return sorted(rules, key=self.oddness)

    def oddness(self, rule: Values) -> tuple[int, int]:
        """Return how far a rule is from the textbook's: on how many axes, and how far down those."""
        places = [list(self.axes[axis]).index(value) for axis, value in rule.items()]
        return sum(place > 0 for place in places), sum(places)

    def label(self, rule: Values) -> str:
        """Return such as `adam(epsilon=inside)`: the values that are not the textbook's."""
        odd = [f"{axis}={value}" for axis, value in rule.items() if value != next(iter(self.axes[axis]))]
        return f"{self.name}({', '.join(odd)})" if odd else self.name

    def parse(self, label: str) -> dict[str, str] | None:
        """Return the rule that `label` names, None if there is none."""
        rule = {axis: next(iter(values)) for axis, values in self.axes.items()}
        name, _, rest = label.rstrip(")").partition("(")
        for part in filter(None, (part.strip() for part in rest.split(","))):
            axis, _, value = part.partition("=")
            if value not in self.axes.get(axis, ()):
                return None
            rule[axis] = value
        return rule if name == self.name else None


def _is(rules: Sequence[Values], axis: str, *values: str) -> Flags:
    return np.array([[rule[axis] in values] for rule in rules])


def _scales(rules: Sequence[Values], sizes: Array) -> Array:
    """Return what multiplies steps, [rules, values]."""
    total = np.full_like(sizes, sizes.size)
    factors = {"1": sizes / sizes, "* size": sizes, "/ size": 1 / sizes, "* total": total, "/ total": 1 / total}
    factors["-1"] = -factors["1"]
    return np.array([factors[rule["scale"]] for rule in rules])


def _decays(rules: Sequence[Values], decay: float) -> list[Array]:
    """Return how weights decay in each rule: decoupled, decoupled without lr, and after the step, [rules, 1] each."""
    return [decay * _is(rules, "decay", how) for how in ("decoupled", "without lr", "after")]


def _shrunk(w: Array, step: Array, lr: float, decays: Sequence[Array]) -> Array:
    """Return weights after `step` and decoupled decay."""
    decoupled, without_lr, after = decays
    return (w * (1 - lr * decoupled - without_lr) - step) * (1 - lr * after)


def _adam_paths(
    rules: Sequence[Values], roles: Mapping[str, Any], origin: Array, grads: Array, lrs: Array, sizes: Array
) -> Iterator[Array]:
    b1, b2 = roles.get("beta1", 0.0 if "beta2" in roles else 0.9), roles.get("beta2", 0.999)
    epsilon, decay = roles.get("epsilon", 1e-8), roles.get("weight_decay", 0.0)
    swapped, coupled = _is(rules, "betas", "swapped"), decay * _is(rules, "decay", "coupled")
    beta1, beta2 = np.where(swapped, b2, b1), np.where(swapped, b1, b2)
    enter1 = np.where(_is(rules, "moments", "m sums", "both sum"), 1, 1 - beta1)
    enter2 = np.where(_is(rules, "moments", "v sums", "both sum"), 1, 1 - beta2)
    bias1, bias2 = _is(rules, "bias", "both", "only m"), _is(rules, "bias", "both", "only v")
    old_m, old_v = _is(rules, "age", "old", "old m"), _is(rules, "age", "old", "old v")
    ahead = np.where(_is(rules, "count", "2"), 1, np.where(_is(rules, "count", "0"), -1, 0))
    place = {name: epsilon * _is(rules, "epsilon", name) for name in ADAM["epsilon"]}
    amsgrad, scale, decays = _is(rules, "amsgrad", "yes"), _scales(rules, sizes), _decays(rules, decay)
    w = np.repeat(origin[None], len(rules), axis=0)
    m = np.zeros_like(w)
    v, highest = m.copy(), m.copy()
    for number, (gradient, lr) in enumerate(zip(grads, lrs, strict=True), 1):
        g = gradient + coupled * w
        m, before_m = beta1 * m + enter1 * g, m
        v, before_v = beta2 * v + enter2 * g * g, v
        highest, before_highest = np.maximum(highest, v), highest
        first = np.where(old_m, before_m, m)
        second = np.where(amsgrad, np.where(old_v, before_highest, highest), np.where(old_v, before_v, v))
        correction1 = np.where(bias1, 1 - beta1 ** (number + ahead), 1)
        correction2 = np.where(bias2, 1 - beta2 ** (number + ahead), 1)
        root = np.sqrt(second / correction2 + place["inside"] + place["inside before"] / correction2)
        step = lr * scale * first / correction1 / (root + place["outside"] + place["before"] / np.sqrt(correction2))
        w = _shrunk(w, step, lr, decays)
        yield w


def _sgd_paths(
    rules: Sequence[Values], roles: Mapping[str, Any], origin: Array, grads: Array, lrs: Array, sizes: Array
) -> Iterator[Array]:
    b, dampening, decay = roles.get("momentum", 0.0), roles.get("dampening", 0.0), roles.get("weight_decay", 0.0)
    coupled = decay * _is(rules, "decay", "coupled")
    inside, old = _is(rules, "rate", "inside"), _is(rules, "age", "old")
    mean, damped = _is(rules, "velocity", "mean", "mean later"), _is(rules, "velocity", "damped", "damped later")
    enter = np.where(mean, 1 - b, np.where(damped, 1 - dampening, 1))
    later, nesterov = _is(rules, "velocity", "mean later", "damped later"), _is(rules, "nesterov", "yes")
    scale, decays = _scales(rules, sizes), _decays(rules, decay)
    w = np.repeat(origin[None], len(rules), axis=0)
    velocity = np.zeros_like(w)
    for number, (gradient, lr) in enumerate(zip(grads, lrs, strict=True), 1):
        g = (gradient + coupled * w) * np.where(inside, lr, 1)
        velocity, before = b * velocity + np.where(later & (number == 1), 1, enter) * g, velocity
        used = np.where(old, before, velocity)
        step = np.where(nesterov, g + b * used, used) * np.where(inside, 1, lr)
        w = _shrunk(w, scale * step, lr, decays)
        yield w


ADAM_FAMILY = Family(name="adam", axes=ADAM, rare=("betas", "moments", "age", "count", "scale"), paths=_adam_paths)
SGD_FAMILY = Family(name="sgd", axes=SGD, rare=("age", "scale"), paths=_sgd_paths)
FAMILIES = (SGD_FAMILY, ADAM_FAMILY)


def closed_form(rule: Values, roles: Mapping[str, Any], lr: float, curvature: float, steps: int) -> float | None:
    """Return where a rule of the SGD family takes x = 1 in `steps` on the quadratic of a curvature; None if not known.

    (x, v) is multiplied by one matrix each step:

        v <- b v + a c x;  x <- x - lr v,  or  x - lr (c x + b v)  with Nesterov's step;  c = curvature + weight decay
    """
    odd = rule["age"] != "new" or rule["scale"] != "1" or rule["decay"] not in ("none", "coupled")
    if odd or rule["velocity"].endswith("later"):
        return None
    b, dampening = roles.get("momentum", 0.0), roles.get("dampening", 0.0)
    c = curvature + (roles.get("weight_decay", 0.0) if rule["decay"] == "coupled" else 0.0)
    a = {"sum": 1.0, "mean": 1 - b, "damped": 1 - dampening}[rule["velocity"]]
    if rule["nesterov"] == "yes":
        matrix = np.array([[1 - lr * c - lr * b * a * c, -lr * b * b], [a * c, b]])
    else:
        matrix = np.array([[1 - lr * a * c, -lr * b], [a * c, b]])
    return float(np.linalg.matrix_power(matrix, steps)[0, 0])
