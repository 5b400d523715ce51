"""The closed forms for the largest stable lr, against the optimizers themselves, on a line in float64."""

import numpy as np
import pytest

from optiscope.analysis import dynamics
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


CONVERGING = {
    "rmsprop": {"alpha": 0.9, "momentum": 0.6, "weight_decay": 0.5},
    "adamw": {"beta2": 0.9, "weight_decay": 0.1},
}


@pytest.mark.parametrize("name", CONVERGING)
def test_live_runs_come_to_rest_below_the_edge_of_the_smallest_preconditioner_and_circle_above(name):
    """Where the preconditioner adapts: it goes to e as the gradient vanishes, and is larger where the gradient is."""
    options = {**CONVERGING[name], "epsilon": 0.1}
    edge = HOST.build("optimizers", name, options).converging_lr(4.0)
    assert far(HOST.build("optimizers", name, {**options, "lr": 0.97 * edge}), 4.0, 2000) < 1e-6
    assert 1e-4 < far(HOST.build("optimizers", name, {**options, "lr": 1.03 * edge}), 4.0, 2000) < 1e3
    assert HOST.build("optimizers", name, {**options, "epsilon": 0.0}).converging_lr(4.0) is None


@pytest.mark.parametrize("name", sorted(name for name in HOST.pieces("optimizers") if name not in CLOSED_FORMS))
def test_the_others_say_that_no_closed_form_is_known(name):
    if HOST.pieces("optimizers")[name].plugin == "optiscope-optimizers":
        assert HOST.build("optimizers", name, {}).stable_lr(4.0) is None


def second_moments(lr, beta, decay, dimension, batch, curvature):
    """Return E[T x T] for a step T of (w, v), v' = b v + M w and w' = w - lr v', with M = X'X / B + a I.

    T is linear in M: T = T0 + sum of M_ij G_ij, and cov(A_ij, A_kl) = L^2 (d_ik d_jl + d_il d_jk) / B for A = X'X / B.
    """
    axes, unit = range(dimension), np.eye(dimension)

    def step(curved):
        velocity = np.hstack([curved, beta * unit])
        return np.vstack([np.hstack([unit, 0 * unit]) - lr * velocity, velocity])

    mean = step((curvature + decay) * unit)
    slope = {(i, j): step(np.outer(unit[i], unit[j])) - step(0 * unit) for i in axes for j in axes}
    moments = np.kron(mean, mean)
    for i, j in slope:
        for k, m in ((i, j), (j, i)):
            moments += curvature**2 / batch * np.kron(slope[i, j], slope[k, m])
    return moments


@pytest.mark.parametrize("beta", [0.0, 0.5, 0.9, 0.99])
@pytest.mark.parametrize("decay", [0.0, 0.7])
@pytest.mark.parametrize(("dimension", "batch"), [(1, 1), (2, 4), (3, 20)])
def test_the_mean_square_limit_of_the_heavy_ball(beta, decay, dimension, batch):
    """The second moments of (w, v) in Gaussian regression, all of them, shrink below it and grow above it."""
    limit = HOST.build("optimizers", "momentum", {"beta": beta, "weight_decay": decay}).mean_square_lr(
        3.0, dimension, batch
    )
    below, above = (
        max(abs(np.linalg.eigvals(second_moments(factor * limit, beta, decay, dimension, batch, 3.0))))
        for factor in (0.999, 1.001)
    )
    assert below < 1 < above
    if not beta:
        sgd = HOST.build("optimizers", "sgd", {"weight_decay": decay}).mean_square_lr(3.0, dimension, batch)
        assert limit == pytest.approx(sgd, rel=1e-14)


@pytest.mark.parametrize(("factor", "kind"), [(0.7, "decaying"), (1.5, "growing")])
@pytest.mark.parametrize("seed", range(2))
def test_runs_of_the_heavy_ball_lie_on_the_side_of_that_limit_that_they_should(factor, kind, seed):
    """Gaussian regression in 10 dimensions, batches of 20, judged as `optiscope max-lr` judges."""
    dimension, batch, rng = 10, 20, np.random.default_rng(seed)
    limit = HOST.build("optimizers", "momentum", {}).mean_square_lr(1.0, dimension, batch)
    optimizer = HOST.build("optimizers", "momentum", {"lr": factor * limit})
    params = Parameters.from_arrays({"w": np.ones(dimension)}, np.float64)
    state, loss = optimizer.init(params), []
    for step in range(1, 401):
        x = rng.standard_normal((batch, dimension))
        error = x @ params.flat
        loss.append(error @ error / 2 / batch)
        optimizer.update(params, params.like(x.T @ error / batch), state, step)
    assert dynamics(np.array(loss)).kind == kind
