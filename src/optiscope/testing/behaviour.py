"""Whether it optimizes: three small problems.

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
from optiscope.testing.result import CheckFailed, Result, passed
from optiscope.testing.subject import Subject

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
        f"{_percent(problem.left)} of the loss after {STEPS} steps; the least is {_percent(best)}, at lr {at:g}"
    )


def _percent(share: float) -> str:
    if share >= 10:
        return f"{share:.2g} times"
    return f"{100 * share:.0f} %" if share >= 0.1 else f"{100 * share:.2g} %"


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
