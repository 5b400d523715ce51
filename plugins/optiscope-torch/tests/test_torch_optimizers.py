"""Every class of torch.optim keeps optiscope's promises, and steps as PyTorch steps it."""

import importlib.metadata
import json
import subprocess
import sys

import numpy as np
import pytest

import optiscope
from optiscope.hooks import create_manager, options_of
from optiscope.optim import SGD, Adam
from optiscope.params import Parameters
from optiscope.testing import check_optimizer

torch = pytest.importorskip("torch", reason="needs the dependency group 'oracle'")
pytest.importorskip("optiscope_torch", reason="needs the dependency group 'oracle'")

from optiscope_torch.optimizers import REFUSED, optimizers  # noqa: E402

pytestmark = pytest.mark.oracle

CLASSES = {each.name: each for each in optimizers()}
USABLE = [name for name in CLASSES if name.removeprefix("torch:") not in REFUSED]
ANY_SHAPE = [name for name in USABLE if name != "torch:Muon"]
OPTIONS = {
    "torch:SGD": {"momentum": 0.8, "nesterov": True, "weight_decay": 0.1},
    "torch:Adam": {"betas": (0.8, 0.95), "amsgrad": True, "eps": 1e-5},
    "torch:RMSprop": {"momentum": 0.7, "centered": True},
    "torch:Adagrad": {"initial_accumulator_value": 0.1, "lr_decay": 0.01},
    "torch:Adafactor": {"d": 2.0, "weight_decay": 0.1},
    "torch:NAdam": {"momentum_decay": 0.01, "decoupled_weight_decay": True, "weight_decay": 0.1},
    "torch:ASGD": {"t0": 2, "lambd": 0.01},
    "torch:Rprop": {"etas": (0.4, 1.3), "step_sizes": (1e-5, 1.0)},
    "torch:AdamW": {"maximize": True},
}
SHAPES = {"first.weight": (5, 3), "first.bias": (5,), "second.weight": (2, 5)}


def gradients(steps, params, seed=1):
    rng = np.random.default_rng(seed)
    return [params.like(rng.standard_normal(params.flat.size).astype(params.dtype)) for _ in range(steps)]


def start(dtype, shapes=SHAPES):
    rng = np.random.default_rng(0)
    return Parameters.from_arrays({name: rng.standard_normal(shape) for name, shape in shapes.items()}, dtype)


def stepped(optimizer, params, steps, seed=1):
    """Return the parameters after `steps` updates, those at the start left alone."""
    params = params.copy()
    state = optimizer.init(params)
    for step, grads in enumerate(gradients(steps, params, seed), 1):
        optimizer.update(params, grads, state, step)
    return params, state


def test_the_family_is_all_of_torch_optim():
    names = [name for name, each in vars(torch.optim).items() if isinstance(each, type)]
    assert CLASSES.keys() == {f"torch:{name}" for name in names} - {"torch:Optimizer"}
    assert {"torch:SGD", "torch:Adam", "torch:RAdam", "torch:Muon"} <= CLASSES.keys()


@pytest.mark.parametrize(("name", "dtype"), [("torch:SGD", np.float32), ("torch:NAdam", np.float64)])
def test_it_keeps_the_promises(name, dtype):
    """Each takes seconds, PyTorch's import in a fresh process: the others differ by what PyTorch does alone."""
    check_optimizer(CLASSES[name](lr=0.05, **OPTIONS.get(name, {})), dtype)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("name", USABLE)
def test_it_steps_as_pytorch_does_bit_for_bit(name, dtype):
    matrices = {key: shape for key, shape in SHAPES.items() if len(shape) == 2 or name != "torch:Muon"}
    params, options = start(dtype, matrices), OPTIONS.get(name, {})
    tensors = [torch.nn.Parameter(torch.tensor(array)) for array in params.values()]
    theirs = CLASSES[name].torch_class(tensors, lr=0.05, **options)
    for grads in gradients(20, params):
        for tensor, grad in zip(tensors, grads.values(), strict=True):
            tensor.grad = torch.tensor(grad)
        theirs.step()
    found, state = stepped(CLASSES[name](lr=0.05, **options), params, 20)
    for array, tensor in zip(found.values(), tensors, strict=True):
        np.testing.assert_array_equal(array, tensor.detach().numpy())
    kept = {
        f"{key}.{of}": value
        for of, tensor in zip(matrices, tensors, strict=True)
        for key, value in theirs.state[tensor].items()
        if value is not None
    }
    assert state.keys() == kept.keys()
    for key, value in kept.items():
        np.testing.assert_array_equal(state[key], value.numpy())


@pytest.mark.parametrize(("name", "ours"), [("torch:Adam", Adam(lr=0.05)), ("torch:SGD", SGD(lr=0.05))])
@pytest.mark.parametrize(("dtype", "tolerance"), [(np.float32, 1e-6), (np.float64, 1e-12)])
def test_it_agrees_with_the_built_in_one(name, ours, dtype, tolerance):
    params = start(dtype)
    found, expected = stepped(CLASSES[name](lr=0.05), params, 200)[0], stepped(ours, params, 200)[0]
    np.testing.assert_allclose(found.flat, expected.flat, rtol=tolerance, atol=tolerance * abs(expected.flat).max())


def test_parameters_and_state_are_shared_and_not_copied():
    params = start(np.float32)
    optimizer = CLASSES["torch:Adam"]()
    state = optimizer.init(params)
    arrays = {key: array.ctypes.data for key, array in state.items()}
    for step, grads in enumerate(gradients(3, params), 1):
        optimizer.update(params, grads, state, step)
    assert {key: array.ctypes.data for key, array in state.items()} == arrays
    assert state["step.first.bias"] == 3
    assert state["exp_avg.first.weight"].shape == (5, 3)


def test_the_schedule_of_the_host_is_followed():
    params, optimizer = start(np.float64), CLASSES["torch:SGD"](lr=1.0)
    for step, grads in enumerate(gradients(2, params), 1):
        before = params.copy()
        optimizer.lr = 0.5**step
        optimizer.update(params, grads, {}, step)
        np.testing.assert_allclose(before.flat - params.flat, 0.5**step * grads.flat, atol=1e-15)


def test_the_options_are_those_of_the_class_with_their_defaults():
    host = create_manager()
    optimizer = host.build("optimizers", "torch:RAdam", {"betas": (0.8, 0.95)})
    options = options_of(optimizer)
    assert options["betas"] == (0.8, 0.95)
    assert (options["lr"], options["eps"], options["weight_decay"]) == (1e-3, 1e-8, 0)
    assert options.keys() == CLASSES["torch:RAdam"].torch_class([torch.zeros(1)]).defaults.keys()


@pytest.mark.parametrize(
    ("name", "options", "sentence"),
    [
        ("torch:RAdam", {"beta": 0.8}, "unknown option of torch:RAdam 'beta': did you mean 'betas'?"),
        ("torch:RAdam", {"betas": (0.8, 1.5)}, "torch:RAdam: Invalid beta parameter at index 1: 1.5"),
        ("torch:RAdam", {"betas": 0.8}, "torch:RAdam: "),
        ("torch:RAdam", {"lr": -1.0}, "torch:RAdam: a learning rate must be a finite number above zero"),
        ("torch:SGD", {"nesterov": True}, "torch:SGD: Nesterov momentum requires a momentum and zero dampening"),
        ("torch:SGD", {"nesterov": 1}, "torch:SGD: nesterov must be true or false, not 1"),
        ("torch:Adam", {"fused": True, "foreach": True}, "torch:Adam: `fused` and `foreach` cannot be `True` together"),
        ("torch:Adam", {"capturable": True}, "torch:Adam: If capturable=True, params and state_steps must be on"),
        ("torch:Radam", {}, "unknown optimizer 'torch:Radam': did you mean 'torch:RAdam'?"),
        ("torch:LBFGS", {}, "torch:LBFGS: LBFGS cannot be used: it computes the loss several times in a step"),
        ("torch:SparseAdam", {}, "torch:SparseAdam: SparseAdam cannot be used: it takes sparse gradients only"),
    ],
)
def test_what_is_refused_is_one_sentence(name, options, sentence):
    with pytest.raises(optiscope.errors.UsageError) as raised:
        create_manager().build("optimizers", name, options)
    assert str(raised.value).startswith(sentence)
    assert "\n" not in str(raised.value)


def test_what_an_update_raises_fails_the_run_with_its_sentence():
    config = optiscope.RunConfig(optimizer="torch:Muon", kernels="im2col", model="quadratic", steps=2)
    result = optiscope.train(config)
    assert result.status == "failed"
    assert "optimizer 'torch:Muon' of plugin 'torch' failed" in result.why
    assert "Muon only supports 2D parameters" in result.why


def test_several_threads_are_given_back():
    threads = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        stepped(CLASSES["torch:Adam"](), start(np.float32), 1)
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(threads)


LAZY = """
import json, sys
from optiscope.cli import main
from optiscope.hooks import create_manager

host = create_manager()
host.build("optimizers", "adam", {})
main(["plugins", "--json"])
print(json.dumps(sorted({"torch", "jax", "optax"} & set(sys.modules))))
"""


def test_who_does_not_name_it_does_not_wait_for_pytorch():
    done = subprocess.run([sys.executable, "-c", LAZY], capture_output=True, text=True, check=True)
    *document, last = done.stdout.splitlines()
    assert json.loads(last) == []
    states = {state["name"]: state for state in json.loads("\n".join(document))["plugins"]}
    assert (states["torch"]["state"], states["torch"]["registers"]) == ("active", ["optimizer torch:..."])


def test_the_version_of_pytorch_is_among_those_of_a_run():
    versions = create_manager().versions([("optimizers", "torch:SGD")])
    assert versions["torch"] == importlib.metadata.version("torch")
    assert versions.keys() == {"attrs", "numpy", "optiscope", "optiscope-torch", "torch"}
