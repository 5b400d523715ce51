import math
from pathlib import Path

import numpy as np
from my_plugin import MyPlugin, ratio

import optiscope
from optiscope.hooks import create_manager


def test_it_is_found_by_its_entry_point() -> None:
    assert create_manager().pieces("recorders")["my-plugin"].factory is MyPlugin


def test_the_ratio_by_hand() -> None:
    assert ratio(np.array([3.0, 4.0]), np.array([0.0, 10.0])) == 0.5
    assert math.isnan(ratio(np.ones(2), np.zeros(2)))


def test_gradient_descent_on_a_quadratic(tmp_path: Path) -> None:
    """With curvature 1 a step makes (1 - lr) w of w, so it is lr / (1 - lr) of what is left."""
    grid = optiscope.GridConfig(
        model="quadratic", optimizers=["sgd"], batch_sizes=[1], lrs=[0.2], steps=5, kernels="im2col"
    )
    optiscope.characterize(grid, tmp_path / "out", executor="in-process")
    (path,) = (tmp_path / "out" / "runs").glob("*.h5")
    with optiscope.open_run(path) as run:
        recorded = run.plugins["my-plugin"]["ratio"]
    np.testing.assert_allclose(recorded, np.full((5, 1), 0.25), rtol=1e-5)
