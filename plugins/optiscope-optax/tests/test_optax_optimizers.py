"""The transformations of optax keep optiscope's promises, and step as optax steps them.

To compile one takes up to a second, so that every one is traced, which finds what cannot be used, and a few that
differ in kind are compiled: element-wise and layer-wise ones, one with factors of matrices for its state, and one
that is no optimizer by itself.
"""

import importlib.metadata
import json
import subprocess
import sys

import numpy as np
import pytest

import optiscope
from optiscope.hooks import create_manager, options_of
from optiscope.optim import Adam
from optiscope.params import Parameters
from optiscope.testing import check_optimizer

optax = pytest.importorskip("optax", reason="needs the dependency group 'oracle'")
pytest.importorskip("optiscope_optax", reason="needs the dependency group 'oracle'")

from optiscope_optax.optimizers import optimizers  # noqa: E402

pytestmark = pytest.mark.oracle

CLASSES = {each.name: each for each in optimizers()}
OPTIMIZERS = [name for name, each in CLASSES.items() if "learning_rate" in each.function.__annotations__]
WANTS_MORE = {
    "optax:lbfgs": "value",
    "optax:contrib.momo": "value",
    "optax:contrib.momo_adam": "value",
    "optax:contrib.sophia": "obj_fn must be provided",
}
"""What cannot be used, and what is said of it."""

OLD = {"optax:noisy_sgd", "optax:optimistic_adam", "optax:contrib.dpsgd"}
"""Those whose way of being called is deprecated, which is an error in a test."""

COMPILED = {
    "optax:lion": {"b1": 0.8},
    "optax:scale_by_adam": {"b2": 0.95},
}


def start(dtype):
    rng = np.random.default_rng(0)
    shapes = {"first.weight": (5, 3), "first.bias": (5,)}
    return Parameters.from_arrays({name: rng.standard_normal(shape) for name, shape in shapes.items()}, dtype)


def gradients(steps, params):
    rng = np.random.default_rng(1)
    return [params.like(rng.standard_normal(params.flat.size).astype(params.dtype)) for _ in range(steps)]


def stepped(optimizer, params, steps):
    """Return parameters and state after `steps` updates, those at the start left alone."""
    params = params.copy()
    state = optimizer.init(params)
    for step, grads in enumerate(gradients(steps, params), 1):
        optimizer.update(params, grads, state, step)
    return params, state


def test_the_family_is_what_returns_a_transformation_and_needs_numbers_only():
    assert {"optax:sgd", "optax:adam", "optax:lion", "optax:scale_by_adam", "optax:contrib.muon"} <= CLASSES.keys()
    assert not {"optax:chain", "optax:masked", "optax:apply_updates", "optax:contrib.sam"} & CLASSES.keys()


@pytest.mark.parametrize("name", sorted(set(OPTIMIZERS) - OLD))
def test_every_optimizer_is_taken_or_refused_with_the_reason(name):
    if name not in WANTS_MORE:
        CLASSES[name](lr=0.01)
        return
    with pytest.raises(ValueError, match=WANTS_MORE[name]) as raised:
        CLASSES[name](lr=0.01)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(("name", "dtype"), [("optax:scale_by_adam", np.float64)])
def test_it_keeps_the_promises(name, dtype):
    check_optimizer(CLASSES[name](lr=0.05, **COMPILED[name]), dtype)


@pytest.mark.parametrize(
    ("name", "theirs"),
    [
        ("optax:lion", lambda: optax.lion(0.05, b1=0.8)),
        ("optax:scale_by_adam", lambda: optax.chain(optax.scale_by_adam(b2=0.95), optax.scale(-0.05))),
    ],
)
def test_it_steps_as_optax_does(name, theirs):
    params = start(np.float32)
    transformation, tree = theirs(), dict(params)
    state = transformation.init(tree)
    for grads in gradients(10, params):
        updates, state = transformation.update(dict(grads), state, tree)
        tree = optax.apply_updates(tree, updates)
    found, kept = stepped(CLASSES[name](lr=0.05, **COMPILED[name]), params, 10)
    for key, array in tree.items():
        np.testing.assert_allclose(found[key], array, rtol=1e-6, atol=1e-6)
    assert kept["0.count"] == 10
    np.testing.assert_allclose(kept["0.mu.first.weight"], state[0].mu["first.weight"], rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize(("dtype", "tolerance"), [(np.float32, 1e-5), (np.float64, 1e-12)])
def test_adam_is_the_built_in_one(dtype, tolerance):
    """In float32 optax rounds 1 - b2^t there, off by 1.3e-5 in the first step, and its root by half of that."""
    params = start(dtype)
    (found, state), (expected, _) = (
        stepped(each, params, 200) for each in (CLASSES["optax:adam"](lr=0.05), Adam(lr=0.05))
    )
    np.testing.assert_allclose(found.flat, expected.flat, rtol=tolerance, atol=tolerance * abs(expected.flat).max())
    assert {array.dtype for name, array in state.items() if "count" not in name} == {np.dtype(dtype)}


def test_parameters_and_state_are_changed_in_place():
    params, optimizer = start(np.float32), CLASSES["optax:lion"](lr=0.05)
    state, flat = optimizer.init(params), params.flat
    arrays = {name: id(array) for name, array in state.items()}
    optimizer.update(params, gradients(1, params)[0], state, 1)
    assert params.flat is flat
    assert {name: id(array) for name, array in state.items()} == arrays
    assert state["0.mu.first.bias"].any()


def test_the_schedule_of_the_host_is_followed():
    params, optimizer = start(np.float64), CLASSES["optax:sgd"](lr=1.0)
    state = optimizer.init(params)
    for step, grads in enumerate(gradients(2, params), 1):
        before = params.copy()
        optimizer.lr = 0.5**step
        optimizer.update(params, grads, state, step)
        np.testing.assert_allclose(before.flat - params.flat, 0.5**step * grads.flat, atol=1e-15)


def test_the_options_are_those_of_the_function_with_their_defaults():
    options = options_of(create_manager().build("optimizers", "optax:lion", {"lr": 1e-4, "b1": 0.8}))
    assert options == {"lr": 1e-4, "b1": 0.8, "b2": 0.99, "mu_dtype": None, "weight_decay": 1e-3, "mask": None}


@pytest.mark.parametrize(
    ("name", "options", "sentence"),
    [
        ("optax:lion", {}, "optax:lion has no default for lr: give it one with --set optax:lion.lr=VALUE"),
        ("optax:lion", {"lr": 0.1, "beta1": 0.8}, "unknown option of optax:lion 'beta1': known: b1, b2, lr, "),
        ("optax:lion", {"lr": 0.1, "b1": "much"}, "optax:lion: "),
        ("optax:lion", {"lr": -0.1}, "optax:lion: a learning rate must be a finite number above zero"),
        ("optax:clip", {"lr": 0.1}, "optax:clip has no default for max_delta"),
        ("optax:loin", {"lr": 0.1}, "unknown optimizer 'optax:loin': did you mean 'optax:lion'?"),
    ],
)
def test_what_is_refused_is_one_sentence(name, options, sentence):
    with pytest.raises(optiscope.errors.UsageError) as raised:
        create_manager().build("optimizers", name, options)
    assert str(raised.value).startswith(sentence)
    assert "\n" not in str(raised.value)


LAZY = """
import json, sys
from optiscope.hooks import create_manager

host = create_manager()
host.build("optimizers", "adam", {})
states = {state.name: (state.state, state.registers) for state in host.plugins}
print(json.dumps([states["optax"], sorted({"jax", "optax"} & set(sys.modules))]))
"""


def test_who_does_not_name_it_does_not_wait_for_jax():
    done = subprocess.run([sys.executable, "-c", LAZY], capture_output=True, text=True, check=True)
    assert json.loads(done.stdout) == [["active", ["optimizer optax:..."]], []]


def test_the_versions_of_optax_and_jax_are_among_those_of_a_run():
    versions = create_manager().versions([("optimizers", "optax:sgd")])
    assert versions.items() >= {name: importlib.metadata.version(name) for name in ("jax", "optax")}.items()
