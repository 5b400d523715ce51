"""The kit itself: whoever is registered passes, and what is told is what theory says."""

import sys

import attrs
import numpy as np
import pytest

from optiscope.hooks import create_manager
from optiscope.optim import SGD, Adam
from optiscope.testing import CHECKS, CONTRACT, CheckFailed, Subject, check, check_all, check_optimizer, subject_of

PIECES = create_manager().pieces("optimizers")
KNOWN = {name: piece.factory for name, piece in PIECES.items()}


@pytest.mark.parametrize("name", PIECES)
def test_every_registered_optimizer_passes(name):
    results = check_all(Subject(factory=PIECES[name].factory, known=KNOWN, against=name))
    assert [result.name for result in results] == list(CHECKS)
    assert [f"{result.name}: {result.why}" for result in results if result.outcome == "failed"] == []


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_one_that_keeps_the_promises_raises_nothing(dtype):
    check_optimizer(Adam(), dtype)


class Silent(SGD):
    def update(self, params, grads, state, step):
        pass


def test_the_first_broken_promise_is_raised_with_its_sentence():
    with pytest.raises(CheckFailed, match="in-place: 8 updates changed no parameter"):
        check_optimizer(Silent())


class Plain:
    """An optimizer that is no attrs class, and keeps the promises."""

    name = "plain"

    def __init__(self, lr=0.1):
        if not 0 < lr < np.inf:
            raise ValueError("lr must be above zero")
        self.lr = lr

    def init(self, params):
        return {}

    def update(self, params, grads, state, step):
        params.flat[...] -= self.lr * grads.flat

    def evaluation_params(self, params, state):
        return params

    def stable_lr(self, curvature):
        return 2 / curvature


def test_any_class_with_these_methods_will_do():
    outcomes = {result.name: result for result in check_all(subject_of(Plain))}
    assert {result.outcome for result in outcomes.values()} <= {"passed", "fact"}
    assert outcomes["fingerprint"].why.startswith("equals sgd to ")
    check_optimizer(Plain(lr=0.3))


class Raises(SGD):
    def update(self, params, grads, state, step):
        raise KeyError("momentum")


class Leaves(SGD):
    def update(self, params, grads, state, step):
        sys.exit(0)


@pytest.mark.parametrize(("optimizer", "what"), [(Raises, "KeyError: 'momentum'"), (Leaves, "SystemExit: 0")])
def test_what_an_optimizer_raises_fails_the_check(optimizer, what):
    result = check(subject_of(optimizer), "in-place")
    assert result.outcome == "failed"
    assert result.why.startswith(f"raises {what} (test_kit.py, line ")


def test_adam_is_what_its_module_says():
    found = {result.name: result for result in check_all(subject_of(PIECES["adam-inside"].factory))}
    assert found["fingerprint"].figures["rule"] == "adam(epsilon=inside)"
    assert found["fingerprint"].figures["difference"] < 1e-12
    assert found["state-size"].figures["values_per_parameter"] == 2
    assert found["permutation"].figures["elements_in_another_order"] < 1e-12
    assert found["rotation"].figures["a_rotated_vector"] > 1e-2


def test_sgd_is_linear_and_round():
    """w - lr g commutes with every linear map, and steps are as large as gradients."""
    found = {result.name: result for result in check_all(subject_of(SGD, weight_decay=0.1))}
    assert found["gradient-scale"].outcome == "fact"
    assert found["rotation"].figures["a_rotated_matrix"] < 1e-12
    assert found["closed-form"].outcome == "passed"
    assert found["stable-lr"].figures["stable_lr"] == pytest.approx(2 / 3.1)
    assert found["stable-lr"].why.endswith("times its stable_lr and mean_square_lr")
    assert found["state-size"].figures["values_per_parameter"] == 0


@pytest.mark.parametrize(("arrays", "words"), [(0, "0 values"), (1, "1 value"), (2, "2 values")])
def test_state_is_counted(arrays, words):
    class Remembers(SGD):
        name = "remembers"

        def init(self, params):
            return {str(number): np.zeros_like(params.flat) for number in range(arrays)}

    assert check(subject_of(Remembers), "state-size").why == f"{words} of state for a parameter"


@attrs.define(kw_only=True)
class Renamed(SGD):
    """Adam, with others' names for its options."""

    name = "renamed"

    lr: float = attrs.field(default=2e-3, validator=attrs.fields(SGD).lr.validator)
    betas: tuple[float, float] = (0.8, 0.99)
    eps: float = 1e-6

    def init(self, params):
        return {"m": np.zeros_like(params.flat), "v": np.zeros_like(params.flat)}

    def update(self, params, grads, state, step):
        b1, b2 = self.betas
        Adam(lr=self.lr, beta1=b1, beta2=b2, epsilon=self.eps).update(params, grads, state, step)


def test_options_are_known_by_other_names():
    result = check(subject_of(Renamed), "fingerprint")
    assert result.why.startswith("equals adam to ")
    assert check(subject_of(Renamed), "options").outcome == "warning"


def test_other_defaults_than_the_reference_are_told():
    subject = subject_of(Renamed, against="adam", weight_decay=0.0)
    result = check(subject, "against")
    assert (result.outcome, "lr is 0.002 by default, and in adam 0.001" in result.why) == ("warning", True), result.why


class PerLayer(SGD):
    def init(self, params):
        return {"weight": np.ones(len(params)), "steps": np.zeros((), int)}


def test_numbers_of_layers_may_be_in_double_precision():
    assert check(subject_of(PerLayer), "dtype").outcome == "passed"


def test_contract_comes_first():
    assert list(CHECKS)[: len(CONTRACT)] == list(CONTRACT)


def test_where_adam_comes_to_rest_is_tried():
    result = check(subject_of(Adam, beta1=0.5), "stable-lr")
    assert (result.outcome, list(result.figures)) == ("passed", ["converging_lr"])
    assert result.figures["converging_lr"] == pytest.approx(3 / 0.5 * 1e-8 / 3.0)
