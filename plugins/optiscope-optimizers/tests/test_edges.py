"""The closed forms for the largest stable lr, against the optimizers themselves, on a line in float64."""

import numpy as np
import pytest

from optiscope.hooks import create_manager
from optiscope.params import Parameters

HOST = create_manager()


def far(optimizer, curvature, steps=4000, start=1.0, first=1):
    """How far out on (curvature / 2) w^2 the iterate is after `steps`, or as soon as it is a million times `start`."""
    params = Parameters.from_arrays({"w": [start]}, np.float64)
    state = optimizer.init(params)
    for step in range(first, first + steps):
        where = optimizer.evaluation_params(params, state)
        optimizer.update(params, params.like(curvature * where.flat), state, step)
        if abs(params.flat[0]) > 1e6 * start:
            break
    return abs(params.flat[0]) / start


CLOSED_FORMS = {
    "momentum": lambda b, total: 2 * (1 + b) / total,
    "nag": lambda b, total: (2 + 2 * b) / ((1 + 2 * b) * total),
    "nag-reformulated": lambda b, total: (2 + 2 * b) / ((1 + 2 * b) * total),
}


@pytest.mark.parametrize("name", CLOSED_FORMS)
@pytest.mark.parametrize("beta", [0.0, 0.5, 0.9, 0.99])
@pytest.mark.parametrize("decay", [0.0, 0.7])
def test_just_below_the_edge_converges_and_just_above_diverges(name, beta, decay):
    options = {"beta": beta, "weight_decay": decay}
    edge = HOST.build("optimizers", name, options).stable_lr(4.0)
    assert edge == pytest.approx(CLOSED_FORMS[name](beta, 4.0 + decay), rel=1e-14)
    assert far(HOST.build("optimizers", name, {**options, "lr": 0.995 * edge}), 4.0) < 1e-6
    assert far(HOST.build("optimizers", name, {**options, "lr": 1.005 * edge}), 4.0) > 1e6


FROZEN = {
    "rmsprop": ({"momentum": 0.6}, lambda s: 2 * 1.6 / s),
    "amsgrad": ({"beta1": 0.8}, lambda s: 3.6 / (0.2 * s)),
    "adamw": ({"beta1": 0.8, "weight_decay": 0.3}, lambda s: 2 / (s * 0.2 / 1.8 + 0.3)),
    "nadam": ({"beta1": 0.8, "momentum_decay": 1e4}, lambda s: 3.6 / (0.2 * 2.6 * s)),
    "adamax": ({"beta1": 0.8}, lambda s: 3.6 / (0.2 * s)),
    "radam": ({"beta1": 0.8, "beta2": 0.9}, lambda s: 3.6 / (0.2 * s)),
}


@pytest.mark.parametrize("name", FROZEN)
def test_the_edge_with_a_frozen_preconditioner(name):
    """Where e is far above every gradient the preconditioner is e, and s = L / e.

    The edge is that of a late step, where corrections of bias have died away.
    """
    options, closed_form = FROZEN[name]
    options, epsilon = {**options, "epsilon": 1e6}, 1e6
    edge = HOST.build("optimizers", name, options).frozen_stable_lr(4.0)
    assert edge == pytest.approx(closed_form(4.0), rel=1e-14)
    where = {"curvature": 4.0 * epsilon, "start": 1e-18, "first": 100_000}
    assert far(HOST.build("optimizers", name, {**options, "lr": 0.995 * edge}), **where) < 1e-6
    assert far(HOST.build("optimizers", name, {**options, "lr": 1.005 * edge}), **where) > 1e6


@pytest.mark.parametrize("name", sorted(name for name in HOST.pieces("optimizers") if name not in CLOSED_FORMS))
def test_the_others_say_that_no_closed_form_is_known(name):
    if HOST.pieces("optimizers")[name].plugin == "optiscope-optimizers":
        assert HOST.build("optimizers", name, {}).stable_lr(4.0) is None
