import numpy as np
import optiscope_optimizers
import pytest

import optiscope
from optiscope.config import RunConfig
from optiscope.params import Parameters

OPTIONS = {"lr": 0.05, "beta": 0.8, "weight_decay": 0.3}


def gradient(params):
    """A valley that is no quadratic."""
    return params.like(np.sinh(params.flat) * np.arange(1.0, 4.0))


def test_the_reformulation_follows_the_look_ahead_point():
    """y = w + b d and d = -lr v turn Nesterov's own form into PyTorch's, weight decay included."""
    nesterov = optiscope_optimizers.NAG(**OPTIONS)
    other = optiscope_optimizers.NAGReformulated(**OPTIONS)
    w = Parameters.from_arrays({"w": [1.0, -0.5, 0.3]}, np.float64)
    y = w.copy()
    state, theirs = nesterov.init(w), other.init(y)
    for step in range(1, 101):
        ahead = nesterov.evaluation_params(w, state)
        np.testing.assert_allclose(ahead.flat, y.flat, rtol=1e-10, atol=1e-14)
        np.testing.assert_allclose(state["d"], -0.05 * theirs["v"], rtol=1e-10, atol=1e-14)
        nesterov.update(w, gradient(ahead), state, step)
        other.update(y, gradient(y), theirs, step)
    assert not np.allclose(w.flat, y.flat, rtol=1e-3, atol=0)


def test_looking_ahead_changes_nothing_and_depends_on_no_lr():
    nesterov = optiscope_optimizers.NAG(**OPTIONS)
    params = Parameters.from_arrays({"w": [1.0]}, np.float64)
    state = {"d": np.array([-0.5])}
    assert nesterov.evaluation_params(params, state).flat == pytest.approx(1 - 0.8 * 0.5)
    nesterov.lr = 7.0
    assert nesterov.evaluation_params(params, state).flat == pytest.approx(1 - 0.8 * 0.5)
    assert (params.flat[0], state["d"][0]) == (1.0, -0.5)


def test_a_run_takes_its_gradient_at_the_look_ahead_point():
    """On w^2 / 2: d <- b d - lr (w + b d), w <- w + d."""
    w, d = 1.0, 0.0
    for _ in range(30):
        d = 0.8 * d - 0.1 * (w + 0.8 * d)
        w += d
    config = RunConfig(optimizer="nag", model="quadratic", lr=0.1, steps=30, options={"nag": {"beta": 0.8}})
    assert optiscope.train(config).epochs[-1].train_loss == pytest.approx(w * w / 2, rel=1e-4)
