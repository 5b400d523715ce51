import numpy as np
import pytest
from my_plugin import MyPlugin

from optiscope.hooks import create_manager
from optiscope.params import Parameters
from optiscope.testing import check_optimizer


def test_it_is_found_by_its_entry_point() -> None:
    assert create_manager().pieces("optimizers")["my-plugin"].factory is MyPlugin


def test_it_keeps_the_promises_that_recording_and_resuming_rest_on() -> None:
    check_optimizer(MyPlugin())


def test_two_steps_by_hand() -> None:
    optimizer = MyPlugin(lr=0.5, beta=0.5)
    params, grads = Parameters.from_arrays({"w": [1.0]}), Parameters.from_arrays({"w": [1.0]})
    state = optimizer.init(params)
    for step, expected in [(1, 0.5), (2, -0.25)]:  # the velocity is 1, then 1.5
        optimizer.update(params, grads, state, step)
        np.testing.assert_allclose(params["w"], expected)


def test_beta_is_checked() -> None:
    with pytest.raises(ValueError, match="beta"):
        MyPlugin(beta=1.0)
