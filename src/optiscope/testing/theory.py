"""The closed forms of theory, where an optimizer has them or is of a family that has: each is tried on both sides.

    stable_lr         quadratic, from 1: below it the distance from the minimum falls, above it grows
    converging_lr     quadratic, from so near that epsilon is all that a gradient is divided by: comes to rest, or not
    mean_square_lr    Gaussian regression: the mean square of the distance falls, or grows

Means over many runs would say little of a mean square, which few runs make up. So its growth is that of one step, over
and over: many copies of parameters and state, normal with the second moments that the step before left them.
"""

from __future__ import annotations

from collections.abc import Callable

import attrs
import numpy as np

from optiscope.optim import Optimizer, State
from optiscope.params import Array, Parameters
from optiscope.testing.drive import arrays_of, deviation, words
from optiscope.testing.families import SGD_FAMILY, closed_form
from optiscope.testing.fingerprint import family_rule, numbers, settings
from optiscope.testing.result import CheckFailed, Result, fact, passed
from optiscope.testing.subject import Subject, options_now

CURVATURE = 3.0
DIMENSION, BATCH = 3, 4
"""Of the Gaussian regression."""

NEAR = 0.05
"""How far below and above its limit a learning rate is tried."""

MEND = "correct the form, or leave it out"

STEPS = 2000
NEARNESS = 1e-30
"""Where a run begins that shows whether it comes to rest: small against every epsilon, and so is its square."""

COPIES, ROUNDS = 2000, 60
"""Of the regression, and how often a step is taken; the growth is that of the second half."""


@attrs.frozen
class Form:
    """A closed form: its arguments, how much a run with an lr grows, and what it does below and above the limit."""

    arguments: tuple[float, ...]
    growth: Callable[[Optimizer], float]
    below: str
    above: str


def _far(optimizer: Optimizer, begin: float) -> list[float]:
    """Return the distance from the minimum after each step on the quadratic; the last is 1e200 at most."""
    params = Parameters.from_arrays({"x": np.full(2, begin)}, np.float64)
    state = optimizer.init(params)
    far: list[float] = []
    for step in range(1, STEPS + 1):
        gradient = params.like(CURVATURE * optimizer.evaluation_params(params, state).flat)
        optimizer.update(params, gradient, state, step)
        far.append(float(np.abs(params.flat).max()))
        if not far[-1] < 1e200:
            return [*far[:-1], 1e200]
    return far


def _grown(optimizer: Optimizer) -> float:
    """Return the largest distance in the last tenth of a run over that in the first."""
    far = _far(optimizer, 1.0)
    return far[-1] if len(far) < STEPS else max(far[-STEPS // 10 :]) / max(far[: STEPS // 10])


def _left_the_minimum(optimizer: Optimizer) -> float:
    """Return the largest distance in the last tenth of a run from near the minimum, over that at its beginning."""
    return max(_far(optimizer, NEARNESS)[-STEPS // 10 :]) / NEARNESS


def _mean_square_growth(optimizer: Optimizer) -> float:
    """Return by what a step multiplies the mean square of parameters and state in Gaussian regression."""
    rng = np.random.default_rng(4)
    params = Parameters({"w": (COPIES, DIMENSION)}, np.float64)
    state = optimizer.init(params)
    flats = _values(params, state)
    moments = np.zeros((len(flats), len(flats)))
    moments[0, 0] = 1
    growth = []
    for step in range(1, ROUNDS + 1):
        axes, vectors = np.linalg.eigh(moments)
        drawn = vectors @ (np.sqrt(axes.clip(0))[:, None] * rng.standard_normal((len(flats), params.flat.size)))
        for flat, values in zip(flats, drawn, strict=True):
            flat[...] = values
        w = optimizer.evaluation_params(params, state)["w"]
        inputs = np.sqrt(CURVATURE) * rng.standard_normal((COPIES, BATCH, DIMENSION))
        gradient = np.einsum("nbd,nb->nd", inputs, np.einsum("nbd,nd->nb", inputs, w)) / BATCH
        optimizer.update(params, params.like(gradient.reshape(-1)), state, step)
        values = np.array(flats)
        moments = values @ values.T / params.flat.size
        growth.append(float(np.trace(moments)))
        if not 0 < growth[-1] < np.inf:
            return growth[-1]
        moments /= growth[-1]
    return float(np.exp(np.mean(np.log(growth[ROUNDS // 2 :]))))


def _values(params: Parameters, state: State) -> list[Array]:
    """Return views of all that has a value for each parameter, the parameters first."""
    return [params.flat, *(array.reshape(-1) for array in arrays_of(state).values() if array.size == params.flat.size)]


FORMS = {
    "stable_lr": Form((CURVATURE,), _grown, "converge", "diverge"),
    "converging_lr": Form((CURVATURE,), _left_the_minimum, "come to rest", "leave the minimum"),
    "mean_square_lr": Form((CURVATURE, DIMENSION, BATCH), _mean_square_growth, "fall in mean square", "grow in it"),
}


def limits_of(optimizer: Optimizer) -> dict[str, float]:
    """Return the closed forms that an optimizer claims to have, and what they say; those that say the same once."""
    found: dict[str, float] = {}
    for name, form in FORMS.items():
        limit = getattr(optimizer, name, lambda *_: None)(*form.arguments)
        if limit is not None and (name != "converging_lr" or limit != found.get("stable_lr")):
            found[name] = limit
    return found


def closed_limits(subject: Subject) -> Result:
    """A little below each limit that it claims it is stable, and a little above it is not."""
    for setting in settings(subject):
        tried = attrs.evolve(subject, options=setting.options)
        for name, limit in limits_of(tried.make()).items():
            form = FORMS[name]
            given = ", ".join(f"{argument:g}" for argument in form.arguments)
            claim = f"{name}({given}) is {limit:g}{f' with {setting.what}' if setting.what else ''}, and at"
            low, high = (form.growth(tried.make(lr=limit * factor)) for factor in (1 - NEAR, 1 + NEAR))
            if not low < 1:
                raise CheckFailed(f"{claim} {1 - NEAR:g} times that it does not {form.below}: {MEND}")
            if not high > 1:
                raise CheckFailed(f"{claim} {1 + NEAR:g} times that it does not {form.above}: {MEND}")
    limits = limits_of(subject.make())
    if not limits:
        return fact("no stable_lr: no closed form is claimed")
    return passed(f"stable at {1 - NEAR:g} and unstable at {1 + NEAR:g} times its {words(list(limits))}", **limits)


def trajectory(subject: Subject) -> Result:
    """A member of the SGD family follows the power of its matrix on a quadratic."""
    rule = family_rule(subject, SGD_FAMILY)
    optimizer, steps = subject.make(), 60
    lr = min(optimizer.lr, 0.1 / CURVATURE)
    expected = closed_form(rule, numbers(options_now(subject)), lr, CURVATURE, steps) if rule else None
    if rule is None or expected is None:
        return fact("no closed form is known for its way on a quadratic")
    optimizer.lr = lr
    params = Parameters.from_arrays({"x": np.ones(1)}, np.float64)
    state = optimizer.init(params)
    for step in range(1, steps + 1):
        optimizer.update(params, params.like(CURVATURE * params.flat), state, step)
    off = deviation(params.flat, np.array([expected]), np.ones(1))
    if off > 1e-9:
        raise CheckFailed(f"after {steps} steps on a quadratic it is at {params.flat[0]:g}, and theory at {expected:g}")
    return passed(
        f"follows the closed form of {SGD_FAMILY.label(rule)} on a quadratic to {off:.0e} over {steps} steps", off=off
    )
