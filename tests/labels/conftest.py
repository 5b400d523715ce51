"""Runs that never were: series with known properties in the shape of an opened run file."""

from types import SimpleNamespace

import numpy as np
import pytest

CONFIG = {
    "optimizer": "adam",
    "optimizer_options": {"beta1": 0.9},
    "batch_size": 100,
    "lr": 1e-3,
    "seed": 0,
    "reduction": "mean",
    "model": "small-cnn",
    "data": "synthetic",
    "steps": 400,
    "steps_per_epoch": 50,
}


def healthy(n=400, seed=0):
    rng = np.random.default_rng(seed)
    t = np.arange(1, n + 1)
    iqr = 1 + np.log(t)
    return {
        "step": t,
        "loss": 0.3 + 2 * np.exp(-t / 60) + 0.03 * rng.standard_normal(n),
        "logits_q05": iqr * (-2 + 0.2 * rng.standard_normal(n)),
        "logits_iqr": iqr * (1 + 0.05 * rng.standard_normal(n)),
        "grad_norm": np.abs(1 + 0.1 * rng.standard_normal((n, 3))),
        "update_norm": np.full((n, 3), 1e-3),
    }


def make(steps=None, status="completed", run_id="run-0", why="", **config):
    steps = healthy() if steps is None else steps
    return SimpleNamespace(
        run_id=run_id,
        path=f"runs/{run_id}.h5",
        status=status,
        why=why,
        n_steps=len(steps["loss"]),
        config=CONFIG | config,
        steps=steps,
        probe={},
        epochs={},
        plugins={},
    )


@pytest.fixture(scope="session")
def make_run():
    return make


@pytest.fixture
def steps():
    return healthy()
