import inspect
import json
import re
from pathlib import Path

import attrs
import numpy as np
import optiscope_optimizers
import pytest

import optiscope
from optiscope.config import RunConfig
from optiscope.hooks import create_manager
from optiscope.params import Parameters
from optiscope.testing import CONTRACT, check_all, check_optimizer, subject_of

KINDS = {kind.name: kind for kind in optiscope_optimizers.optiscope_optimizers()}
EVERY = pytest.mark.parametrize("name", KINDS)


def test_they_are_found_by_their_entry_point():
    pieces = create_manager().pieces("optimizers")
    found = {name: piece.factory for name, piece in pieces.items() if piece.plugin == "optiscope-optimizers"}
    assert found == KINDS
    assert {kind.__name__ for kind in KINDS.values()} == set(optiscope_optimizers.__all__)


@EVERY
def test_each_has_a_file_that_says_where_it_comes_from(name):
    kind = KINDS[name]
    assert kind.__module__ == f"optiscope_optimizers.{name.replace('-', '_')}"
    text = inspect.getdoc(inspect.getmodule(kind))
    assert re.search(r"^Defaults: ", text, re.MULTILINE)
    assert re.search(r"\b(19|20)\d\d\b", text.rsplit("Defaults:", 1)[1])
    assert "PyTorch" in text or "torch.optim" in text


@EVERY
def test_each_keeps_the_promises_of_an_optimizer(name):
    """In both precisions, which share the fresh process that takes the run up: to start one costs the most of it."""
    results = check_all(subject_of(KINDS[name]()), CONTRACT)
    assert [f"{result.name}: {result.why}" for result in results if result.outcome == "failed"] == []
    assert {result.name: result.why for result in results}["fresh-process"].startswith("taken up")


@EVERY
def test_the_page_lists_every_option_with_its_default(name):
    page = Path(__file__).parents[3] / "docs" / "plugins" / "optimizers.md"
    row = next(line for line in page.read_text().splitlines() if line.startswith(f"| `{name}` |"))
    listed = dict(re.findall(r"`(\w+)` ([\w.-]+)", row.rsplit(" | ", 1)[1]))
    for field in attrs.fields(KINDS[name]):
        text = listed.pop(field.name)
        assert (text if isinstance(field.default, str) else json.loads(text)) == field.default
    assert not listed


VARIANTS = [
    ("rmsprop", {"centred": True, "momentum": 0.5, "weight_decay": 0.1}),
    ("nadam", {"decoupled": True, "weight_decay": 0.1}),
    ("radam", {"decoupled": True, "weight_decay": 0.1, "beta2": 0.9}),
    ("hyadamc", {"beta2": 0.9}),
    ("hyadamc", {"beta2": 0.9, "scale": True}),
    ("muon", {"adjust_lr": "original", "nesterov": False, "adamw_lr_ratio": 0.1}),
]


@pytest.mark.parametrize(("name", "options"), VARIANTS, ids=lambda value: value if isinstance(value, str) else "")
def test_so_do_those_with_other_paths_through_their_code(name, options):
    check_optimizer(KINDS[name](**options))


@EVERY
def test_state_has_the_dtype_of_the_parameters_or_is_a_few_numbers(name):
    params = Parameters({"a": (8, 16), "b": (16,)}, np.float32)
    for array in KINDS[name]().init(params).values():
        assert array.dtype == np.float32 or (array.dtype == np.float64 and array.size <= len(params))


NOT_BELOW_ZERO = {"weight_decay", "epsilon", "initial", "momentum_decay", "friction", "adamw_lr_ratio", "freedom"}
RATES = {"beta", "beta1", "beta2", "beta3", "alpha", "rho", "momentum"}
SWITCHES = {"centred", "decoupled", "nesterov", "scale"}


def bad_values(name):
    """Yield each option of an optimizer with values that it must refuse."""
    for field in attrs.fields(KINDS[name]):
        if field.name in NOT_BELOW_ZERO:
            yield from ((field.name, value) for value in (-0.1, float("nan"), float("inf")))
        elif field.name in RATES:
            yield from ((field.name, value) for value in (-0.1, 1.0, float("nan")))
        elif field.name in SWITCHES:
            yield from ((field.name, value) for value in ("yes", 1))
        else:
            others = {"lr": (0.0, float("inf")), "ns_steps": (0, 2.5, True), "adjust_lr": ("none",)}
            yield from ((field.name, value) for value in others[field.name])


@pytest.mark.parametrize(
    ("name", "option", "value"),
    [
        *((name, option, value) for name in KINDS for option, value in bad_values(name)),
        ("hyadamc", "beta1", 0.4),
        ("hyadamc", "epsilon", 0.0),
        ("hyadamc", "freedom", 0.0),
        ("adadelta", "epsilon", 0.0),
    ],
)
def test_what_makes_no_sense_is_refused_with_a_sentence(name, option, value):
    words = "a learning rate" if option == "lr" else option
    with pytest.raises(ValueError, match=rf"^{words} must be .*, not {re.escape(repr(value))}$"):
        KINDS[name](**{option: value})


@EVERY
def test_each_trains(name):
    """Forty coordinates go down a bowl, from a loss of 20; Adadelta's first steps are as short as sqrt(epsilon)."""
    lr = 50.0 if name == "adadelta" else 0.1
    config = RunConfig(optimizer=name, model="quadratic", lr=lr, steps=100, options={"quadratic": {"dimension": 40}})
    result = optiscope.train(config)
    assert result.status == "completed"
    assert result.epochs[-1].train_loss < 10


def test_a_centred_rmsprop_outlives_the_rounding_of_its_variance():
    """For a constant gradient v and m^2 are equal but for rounding, and their difference is often below zero."""
    params = Parameters.from_arrays({"w": np.linspace(-3, 3, 1000)})
    optimizer = KINDS["rmsprop"](centred=True, alpha=0.5, lr=1e-9)
    state = optimizer.init(params)
    grads = params.copy()
    for step in range(1, 100):
        optimizer.update(params, grads, state, step)
    assert (state["v"] < np.square(state["m"])).any()
    assert np.isfinite(params.flat).all()


def test_amsgrad_goes_where_adam_does_not():
    """Reddi's sequence: g is C = 3 at every third step and -1 at the others, so that -1 is best in [-1, 1]."""
    c = 3.0
    ends = {}
    for name in ("adam", "amsgrad"):
        optimizer = create_manager().build("optimizers", name, {"beta1": 0.0, "beta2": 1 / (1 + c * c), "epsilon": 0.0})
        params = Parameters.from_arrays({"x": [0.0]}, np.float64)
        state = optimizer.init(params)
        for step in range(1, 3001):
            optimizer.lr = 0.5 / step**0.5
            gradient = c if step % 3 == 1 else -1.0
            optimizer.update(params, params.like(np.array([gradient])), state, step)
            np.clip(params.flat, -1, 1, out=params.flat)
        ends[name] = params.flat[0]
    assert ends["adam"] > 0.9
    assert ends["amsgrad"] < -0.9


def test_a_layer_of_lamb_that_is_zero_leaves_zero():
    params = Parameters({"w": (2,)}, np.float64)
    optimizer = KINDS["lamb"](lr=0.1, epsilon=0.0)
    optimizer.update(params, params.like(np.array([3.0, -2.0])), optimizer.init(params), 1)
    np.testing.assert_allclose(params.flat, [-0.1, 0.1], rtol=1e-14)


def test_a_gradient_of_zero_leaves_a_layer_of_lamb_where_it_is():
    params = Parameters.from_arrays({"w": [1.0, 2.0]}, np.float64)
    optimizer = KINDS["lamb"](weight_decay=0.0)
    optimizer.update(params, params.zeros(), optimizer.init(params), 1)
    np.testing.assert_array_equal(params.flat, [1.0, 2.0])


def test_hyadamc_with_very_many_degrees_of_freedom_has_adams_first_moment():
    """q is then 1 whatever the gradients, and W stays at b1 / (1 - b1)."""
    rng = np.random.default_rng(0)
    params = Parameters({"w": (5,)}, np.float64)
    optimizer = KINDS["hyadamc"](freedom=1e300)
    state, m = optimizer.init(params), np.zeros(5)
    for step in range(1, 20):
        gradient = rng.standard_normal(5)
        optimizer.update(params, params.like(gradient), state, step)
        m = 0.9 * m + 0.1 * gradient
        np.testing.assert_allclose(state["m"], m, rtol=1e-12)


def test_hyadamc_hardly_moves_for_a_gradient_that_stands_out():
    params = Parameters({"w": (5,)}, np.float64)
    optimizer = KINDS["hyadamc"]()
    rng, state = np.random.default_rng(0), None
    state = optimizer.init(params)
    for step in range(1, 200):
        optimizer.update(params, params.like(1 + 0.1 * rng.standard_normal(5)), state, step)
    before = state["m"].copy()
    optimizer.update(params, params.like(np.full(5, -1e4)), state, 200)
    np.testing.assert_allclose(state["m"], before, atol=0.01)
