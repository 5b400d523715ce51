import math

import numpy as np
import pytest
from optiscope_gradient_angle import GradientAngle, cosine

import optiscope
from optiscope.hooks import create_manager
from optiscope.params import Parameters


class Keep:
    """A sink that keeps what this recorder says."""

    path = kept = None

    def __init__(self):
        self.rows = []

    def write_step(self, step, facts, recorded):
        self.rows.append(recorded["gradient-angle"])

    def write_epoch(self, record, recorded):
        pass

    def keep(self, checkpoint):
        pass

    def finish(self, result):
        self.result = result

    def close(self):
        pass


def test_it_is_found_by_its_entry_point():
    assert create_manager().pieces("recorders")["gradient-angle"].factory is GradientAngle


@pytest.mark.parametrize(("lr", "expected"), [(0.1, 1.0), (0.9, 1.0), (1.1, -1.0), (1.9, -1.0)])
def test_gradient_descent_on_a_quadratic_turns_round_beyond_one_over_the_curvature(lr, expected):
    from optiscope.engine import train

    sink = Keep()
    config = optiscope.RunConfig(model="quadratic", optimizer="sgd", lr=lr, steps=20)
    train(config, open_sink=lambda info, signals: sink)
    assert sink.result.status == "completed"
    cosines = [row["cosine"] for row in sink.rows]
    assert math.isnan(cosines[0])
    assert cosines[1:] == pytest.approx([expected] * 19)


def test_each_parameter_has_its_own_cosine():
    recorder = GradientAngle()
    first = Parameters.from_arrays({"a": [1.0, 0.0], "b": [2.0]})
    second = Parameters.from_arrays({"a": [0.0, 3.0], "b": [-1.0]})
    assert np.isnan(recorder.record(1, {"grads": first})["cosine_by_parameter"]).all()
    values = recorder.record(2, {"grads": second})
    assert values["cosine_by_parameter"] == pytest.approx([0.0, -1.0])
    assert values["cosine"] == pytest.approx(-2 / (math.sqrt(5) * math.sqrt(10)))


def test_a_zero_gradient_has_no_angle():
    assert math.isnan(cosine(np.zeros(3), np.ones(3)))
