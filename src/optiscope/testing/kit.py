"""The conformance kit: is this optimizer implemented right?

CHECKS is a table of plain functions, each from a `Subject` to a `Result`. A check fails by raising `CheckFailed` with a
sentence, and whatever the optimizer itself raises fails the check in which it did.

    from optiscope.testing import check_all, check_optimizer

    def test_mine():
        check_optimizer(Mine(lr=0.1))           # the contract: raises AssertionError for the first broken promise

    for result in check_all(subject_of(Mine, against="adam")):
        print(result.name, result.outcome, result.why)
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial

import attrs
import numpy as np
import numpy.typing as npt

from optiscope.errors import RAISED, UsageError, told, unknown
from optiscope.optim import Optimizer
from optiscope.testing import against, behaviour, contract, edges, facts, theory
from optiscope.testing import fingerprint as compared
from optiscope.testing.drive import quiet
from optiscope.testing.result import CheckFailed, Result
from optiscope.testing.subject import Subject, subject_of

Check = Callable[[Subject], Result]

CONTRACT: dict[str, Check] = {
    "in-place": contract.in_place,
    "gradients": contract.gradients_kept,
    "state": contract.state_arrays,
    "dtype": contract.dtype_kept,
    "step": contract.step_number,
    "repeatable": contract.repeatable,
    "restored": contract.restored,
    "fresh-process": contract.fresh_process,
    "lr": contract.lr_obeyed,
    "options": edges.options_refused,
    "zero-gradients": edges.zero_gradients,
    "independent": edges.independent,
    "not-finite": edges.not_finite,
    "shapes": edges.shapes,
}
"""What the host relies on."""

CHECKS: dict[str, Check] = {
    **CONTRACT,
    "quadratic": partial(behaviour.descends, behaviour.quadratic),
    "rosenbrock": partial(behaviour.descends, behaviour.rosenbrock),
    "logistic": partial(behaviour.descends, behaviour.logistic),
    "stable-lr": theory.closed_limits,
    "closed-form": theory.trajectory,
    "option-effects": compared.option_effects,
    "gradient-scale": facts.gradient_scale,
    "permutation": facts.permutation,
    "rotation": facts.rotation,
    "state-size": facts.state_size,
    "step-time": facts.step_time,
    "fingerprint": compared.fingerprint,
    "against": against.equals_reference,
}
"""All checks by name, in the order in which they are shown."""


def check_all(subject: Subject, names: Iterable[str] | None = None) -> tuple[Result, ...]:
    """Return the results of the checks called `names`, all if not given; "against" only where a reference is named."""
    chosen = CHECKS if names is None else names
    return tuple(check(subject, name) for name in chosen if name != "against" or subject.against is not None)


def check(subject: Subject, name: str) -> Result:
    """Return the result of the check called `name`; UsageError if there is none."""
    if name not in CHECKS:
        raise unknown("check", name, CHECKS)
    try:
        with quiet():
            result = CHECKS[name](subject)
    except CheckFailed as failure:
        return Result(name, "failed", str(failure))
    except UsageError:
        raise
    except RAISED as error:
        return Result(name, "failed", f"raises {told(error)}")
    return attrs.evolve(result, name=name)


def check_optimizer(optimizer: Optimizer, dtype: npt.DTypeLike = np.float32) -> None:
    """Raise AssertionError, with a sentence, for the first promise of CONTRACT that `optimizer` breaks in `dtype`."""
    subject = attrs.evolve(subject_of(optimizer), dtypes=(dtype,))
    for name in CONTRACT:
        result = check(subject, name)
        if result.outcome == "failed":
            raise CheckFailed(f"{name}: {result.why}")
