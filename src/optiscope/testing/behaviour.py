"""Whether it optimizes: three small problems, and the closed forms of theory where they are known.

    quadratic     sum_i c_i x_i^2 / 2, curvatures c from 1 to 10, from x_i = 1
    rosenbrock    100 (y - x^2)^2 + (1 - x)^2, from (-1.2, 1)
    logistic      logistic regression, 60 samples, 5 weights and a bias, from 0

Nobody's default suits all problems, so a ladder of learning rates is climbed, the optimizer's own first, until one
brings the loss down far enough within STEPS steps. What is reported is which one did.
"""

from __future__ import annotations

from collections.abc import Callable

import attrs
import numpy as np

from optiscope.params import Array, Parameters
from optiscope.testing.drive import deviation
from optiscope.testing.families import SGD_FAMILY, closed_form
from optiscope.testing.fingerprint import family_rule, numbers, settings
from optiscope.testing.result import CheckFailed, Result, fact, passed
from optiscope.testing.subject import Subject, options_now

STEPS = 400
LADDER = (1e-3, 1e-2, 1e-1, 1.0, 10.0, 1e-4)

Value = Callable[[Parameters], tuple[float, Parameters]]
"""A problem: parameters to loss and gradient."""


@attrs.frozen
class Problem:
    """Where it begins, its loss and gradient, and the share of the initial loss above `floor` that may be left."""

    origin: dict[str, Array]
    value: Value
    floor: float
    left: float


def quadratic() -> Problem:
    """Return the bowl of the module's docstring."""
    curvatures = np.linspace(1, 10, 12).reshape(4, 3)

    def value(params: Parameters) -> tuple[float, Parameters]:
        x = params["x"]
        return float((curvatures * x * x).sum() / 2), params.like((curvatures * x).reshape(-1))

    return Problem({"x": np.ones((4, 3))}, value, 0.0, 0.05)


def rosenbrock() -> Problem:
    """Return Rosenbrock's valley; a tenth of its first loss is reached in the valley only."""

    def value(params: Parameters) -> tuple[float, Parameters]:
        x, y = params["x"]
        slope = np.array([-400 * x * (y - x * x) - 2 * (1 - x), 200 * (y - x * x)])
        return float(100 * (y - x * x) ** 2 + (1 - x) ** 2), params.like(slope)

    return Problem({"x": np.array([-1.2, 1.0])}, value, 0.0, 0.2)


def logistic() -> Problem:
    """Return a logistic regression whose labels are noisy; its minimum is found by Newton's method."""
    rng = np.random.default_rng(3)
    inputs = np.column_stack([rng.standard_normal((60, 5)), np.ones(60)])
    truth = rng.standard_normal(6) * 1.5
    labels = (rng.random(60) < 1 / (1 + np.exp(-inputs @ truth))).astype(np.float64)

    def at(weights: Array) -> tuple[float, Array, Array]:
        logits = inputs @ weights
        chance = 1 / (1 + np.exp(-logits))
        loss = float(np.mean(np.logaddexp(0, logits) - labels * logits))
        return loss, chance, inputs.T @ (chance - labels) / 60

    best = np.zeros(6)
    for _ in range(30):
        _, chance, slope = at(best)
        best -= np.linalg.solve((inputs * (chance * (1 - chance))[:, None]).T @ inputs / 60, slope)

    def value(params: Parameters) -> tuple[float, Parameters]:
        loss, _, slope = at(params.flat)
        return loss, params.like(slope)

    return Problem({"weight": np.zeros((5, 1)), "bias": np.zeros(1)}, value, at(best)[0], 0.2)


def descends(make: Callable[[], Problem], subject: Subject) -> Result:
    """A learning rate of the ladder brings the loss down to the share of the problem that may be left."""
    problem = make()
    own = subject.make().lr
    best, at = np.inf, own
    for lr in dict.fromkeys((own, *LADDER)):
        share = _share_left(problem, subject, lr)
        if share < best:
            best, at = share, lr
        if share <= problem.left:
            return passed(
                f"at lr {lr:g} it leaves {_percent(share)} of the loss after {STEPS} steps", lr=lr, left=share
            )
    raise CheckFailed(
        f"at no lr of {', '.join(f'{lr:g}' for lr in dict.fromkeys((own, *LADDER)))} does it leave less than "
        f"{problem.left:.0%} of the loss after {STEPS} steps; the least is {_percent(best)}, at lr {at:g}"
    )


def _percent(share: float) -> str:
    return f"{100 * share:.2g} %" if share < 10 else f"{share:.2g} times"


def _share_left(problem: Problem, subject: Subject, lr: float) -> float:
    optimizer = subject.make(lr=lr)
    params = Parameters.from_arrays(problem.origin, np.float64)
    state = optimizer.init(params)
    above = problem.value(params)[0] - problem.floor
    for step in range(1, STEPS + 1):
        _, gradient = problem.value(optimizer.evaluation_params(params, state))
        optimizer.update(params, gradient, state, step)
        if not np.isfinite(params.flat).all():
            return np.inf
    share = (problem.value(params)[0] - problem.floor) / above
    return share if np.isfinite(share) else np.inf


CURVATURE = 1.0
NEAR = 0.05
"""How far below and above its edge a learning rate is tried."""

EDGE_STEPS = 2000


def stable_lr(subject: Subject) -> Result:
    """On a quadratic it converges a little below its `stable_lr`, and diverges a little above."""
    if subject.make().stable_lr(CURVATURE) is None:
        return fact("no stable_lr: no closed form is claimed")
    for setting in settings(subject):
        tried = attrs.evolve(subject, options=setting.options)
        limit = tried.make().stable_lr(CURVATURE)
        if limit is None:
            continue
        claim = f"stable_lr({CURVATURE:g}) is {limit:g}{f' with {setting.what}' if setting.what else ''}, and at"
        if not _grown(tried, limit * (1 - NEAR)) < 1:
            raise CheckFailed(f"{claim} {1 - NEAR:g} times that it does not converge")
        if not _grown(tried, limit * (1 + NEAR)) > 1:
            raise CheckFailed(f"{claim} {1 + NEAR:g} times that it does not diverge")
    limit = subject.make().stable_lr(CURVATURE)
    return passed(f"converges at {1 - NEAR:g} and diverges at {1 + NEAR:g} times its stable_lr", stable_lr=limit)


def _grown(subject: Subject, lr: float) -> float:
    """Return the largest distance from the minimum in the last tenth of a run over that in the first; at most 1e200."""
    optimizer = subject.make(lr=lr)
    params = Parameters.from_arrays({"x": np.ones(2)}, np.float64)
    state = optimizer.init(params)
    far = []
    for step in range(1, EDGE_STEPS + 1):
        gradient = params.like(CURVATURE * optimizer.evaluation_params(params, state).flat)
        optimizer.update(params, gradient, state, step)
        far.append(float(np.abs(params.flat).max()))
        if not far[-1] < 1e200:
            return 1e200
    return max(far[-EDGE_STEPS // 10 :]) / max(far[: EDGE_STEPS // 10])


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
