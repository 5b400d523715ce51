"""Every optimizer is compared with PyTorch's of that name, or with its paper's formulas worked out by hand."""

import math

import numpy as np
import pytest

from optiscope.hooks import create_manager
from optiscope.params import Parameters

PLUGIN = "optiscope-optimizers"
KINDS = {name: piece.factory for name, piece in create_manager().pieces("optimizers").items() if piece.plugin == PLUGIN}

BETAS = {"beta1": 0.8, "beta2": 0.95, "epsilon": 1e-3}
THEIR_BETAS = {"betas": (0.8, 0.95), "eps": 1e-3}

# name, our options, the class in torch.optim, its options
COUNTERPARTS = [
    ("momentum", {"beta": 0.7}, "SGD", {"momentum": 0.7}),
    ("nag-reformulated", {"beta": 0.7}, "SGD", {"momentum": 0.7, "nesterov": True}),
    ("rmsprop", {"alpha": 0.9, "epsilon": 1e-3}, "RMSprop", {"alpha": 0.9, "eps": 1e-3}),
    (
        "rmsprop",
        {"alpha": 0.9, "epsilon": 1e-3, "centred": True},
        "RMSprop",
        {"alpha": 0.9, "eps": 1e-3, "centered": True},
    ),
    ("rmsprop", {"alpha": 0.9, "momentum": 0.6}, "RMSprop", {"alpha": 0.9, "momentum": 0.6}),
    (
        "rmsprop",
        {"alpha": 0.9, "epsilon": 1e-3, "centred": True, "momentum": 0.6},
        "RMSprop",
        {"alpha": 0.9, "eps": 1e-3, "centered": True, "momentum": 0.6},
    ),
    ("adagrad", {"initial": 0.2, "epsilon": 1e-3}, "Adagrad", {"initial_accumulator_value": 0.2, "eps": 1e-3}),
    ("adadelta", {"rho": 0.8, "epsilon": 1e-4}, "Adadelta", {"rho": 0.8, "eps": 1e-4}),
    ("amsgrad", BETAS, "Adam", {**THEIR_BETAS, "amsgrad": True}),
    ("adamw", BETAS, "AdamW", THEIR_BETAS),
    ("nadam", {**BETAS, "momentum_decay": 0.1}, "NAdam", {**THEIR_BETAS, "momentum_decay": 0.1}),
    ("nadam", {**BETAS, "decoupled": True}, "NAdam", {**THEIR_BETAS, "decoupled_weight_decay": True}),
    ("radam", BETAS, "RAdam", THEIR_BETAS),
    ("radam", {**BETAS, "decoupled": True}, "RAdam", {**THEIR_BETAS, "decoupled_weight_decay": True}),
    ("adamax", BETAS, "Adamax", THEIR_BETAS),
    ("muon", {"momentum": 0.8}, "Muon", {"momentum": 0.8, "adjust_lr_fn": "match_rms_adamw"}),
    (
        "muon",
        {"momentum": 0.8, "nesterov": False, "ns_steps": 3, "adjust_lr": "original"},
        "Muon",
        {"momentum": 0.8, "nesterov": False, "ns_steps": 3},
    ),
]
STEPS = 200
SHAPES = {"a": (7, 5), "b": (5, 7), "c": (6, 6)}


@pytest.fixture
def torch():
    return pytest.importorskip("torch", reason="needs the dependency group 'oracle'")


@pytest.fixture
def double(torch):
    """PyTorch keeps NAdam's product of momenta in its default type."""
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(before)


def distance(torch, name, options, theirs, their_options, dtype):
    """How far the two are apart after 200 steps, relative to how far they have gone."""
    rng = np.random.default_rng(3)
    params = Parameters.from_arrays({key: rng.standard_normal(shape) for key, shape in SHAPES.items()}, dtype)
    start = params.copy()
    # a matrix of ours is inputs by outputs, one of PyTorch's outputs by inputs
    tensors = [torch.tensor(array.T.copy(), requires_grad=True) for array in params.values()]
    ours = KINDS[name](lr=0.01, weight_decay=0.05, **options)
    oracle = getattr(torch.optim, theirs)(tensors, lr=0.01, weight_decay=0.05, **their_options)
    state = ours.init(params)
    for step in range(1, STEPS + 1):
        grads = params.like((0.3 + rng.standard_normal(params.flat.size)).astype(dtype))
        for tensor, grad in zip(tensors, grads.values(), strict=True):
            tensor.grad = torch.tensor(grad.T.copy())
        oracle.step()
        ours.update(params, grads, state, step)
    flat = np.concatenate([tensor.detach().numpy().T.ravel() for tensor in tensors])
    assert params.dtype == flat.dtype == dtype
    return np.linalg.norm(params.flat - flat) / np.linalg.norm(flat), np.linalg.norm(flat - start.flat)


@pytest.mark.oracle
@pytest.mark.parametrize("case", COUNTERPARTS, ids=lambda case: f"{case[0]}-{'-'.join(case[1])}")
def test_two_hundred_steps_are_those_of_pytorch_in_float32(case, torch, monkeypatch):
    monkeypatch.setattr(torch.Tensor, "bfloat16", lambda tensor: tensor.clone())  # in which Muon would iterate
    apart, gone = distance(torch, *case, np.float32)
    assert apart <= 1e-6
    assert gone > 0.1


@pytest.mark.oracle
@pytest.mark.usefixtures("double")
@pytest.mark.parametrize("case", COUNTERPARTS, ids=lambda case: f"{case[0]}-{'-'.join(case[1])}")
def test_two_hundred_steps_are_those_of_pytorch_in_float64(case, torch, monkeypatch):
    monkeypatch.setattr(torch.Tensor, "bfloat16", lambda tensor: tensor.clone())
    apart, _ = distance(torch, *case, np.float64)
    assert apart <= 1e-12


@pytest.mark.oracle
@pytest.mark.parametrize("case", [case for case in COUNTERPARTS if case[0] == "muon"], ids=lambda case: str(case[1]))
def test_muon_differs_from_pytorch_by_the_rounding_of_bfloat16(case, torch):
    """A number has 8 bits there, 0.4 %; the updates of 200 steps add up with random signs."""
    apart, _ = distance(torch, *case, np.float32)
    assert 1e-5 < apart < 4e-3


def nag_by_hand(w, gradients, lr, beta, weight_decay):
    """x' = y - lr (g + d y) with y = x + b (x - x_before), Nesterov's x and y."""
    before = list(w)
    for g in gradients:
        y = [x + beta * (x - b) for x, b in zip(w, before, strict=True)]
        before, w = w, [y_i - lr * (g_i + weight_decay * y_i) for y_i, g_i in zip(y, g, strict=True)]
    return w


def sign_sgd_by_hand(w, gradients, lr):
    for g in gradients:
        w = [x - math.copysign(lr, g_i) for x, g_i in zip(w, g, strict=True)]
    return w


def lion_by_hand(w, gradients, lr, beta1, beta2, weight_decay):
    m = [0.0] * len(w)
    for g in gradients:
        c = [beta1 * m_i + (1 - beta1) * g_i for m_i, g_i in zip(m, g, strict=True)]
        w = [x - lr * (math.copysign(1, c_i) + weight_decay * x) for x, c_i in zip(w, c, strict=True)]
        m = [beta2 * m_i + (1 - beta2) * g_i for m_i, g_i in zip(m, g, strict=True)]
    return w


def lamb_by_hand(w, gradients, lr, beta1, beta2, epsilon, weight_decay):
    m, v = [0.0] * len(w), [0.0] * len(w)
    for t, g in enumerate(gradients, 1):
        m = [beta1 * m_i + (1 - beta1) * g_i for m_i, g_i in zip(m, g, strict=True)]
        v = [beta2 * v_i + (1 - beta2) * g_i**2 for v_i, g_i in zip(v, g, strict=True)]
        r = [m_i / (1 - beta1**t) / (math.sqrt(v_i / (1 - beta2**t)) + epsilon) for m_i, v_i in zip(m, v, strict=True)]
        r = [r_i + weight_decay * x for r_i, x in zip(r, w, strict=True)]
        ratio = math.hypot(*w) / math.hypot(*r) if any(w) else 1
        w = [x - lr * ratio * r_i for x, r_i in zip(w, r, strict=True)]
    return w


def adan_by_hand(w, gradients, lr, beta1, beta2, beta3, epsilon, weight_decay):
    """In the letters of the paper's algorithm, but for 1 - beta, and with bias corrections."""
    result = []
    for i, x in enumerate(w):
        m = v = n = 0.0
        before = gradients[0][i]
        for k, g in enumerate((g[i] for g in gradients), 1):
            m = beta1 * m + (1 - beta1) * g
            v = beta2 * v + (1 - beta2) * (g - before)
            n = beta3 * n + (1 - beta3) * (g + beta2 * (g - before)) ** 2
            eta = lr / (math.sqrt(n / (1 - beta3**k)) + epsilon)
            x = (x - eta * (m / (1 - beta1**k) + beta2 * v / (1 - beta2**k))) / (1 + weight_decay * lr)
            before = g
        result.append(x)
    return result


def hyadamc_by_hand(w, gradients, lr, beta1, beta2, freedom, friction, epsilon):
    d = len(w)
    w, m, v, before = list(w), [0.0] * d, [0.0] * d, [0.0] * d
    nu, total = freedom * d, beta1 / (1 - beta1)
    longest = 2 / (1 - beta2) - 1
    for t, g in enumerate(gradients, 1):
        weight = (nu + d) / (nu + sum((g[i] - m[i]) ** 2 / (v[i] + epsilon) for i in range(d)))
        beta = total / (total + weight)
        total = total * (2 * beta1 - 1) / beta1 + weight
        length = longest - 2 * t * beta2**t / (1 - beta2**t)
        for i in range(d):
            m[i] = beta * m[i] + (1 - beta) * g[i]
            v[i] = beta2 * v[i] + (1 - beta2) * (g[i] - m[i]) ** 2
            change = m[i] / (1 - beta1**t) / (1 + math.exp(-friction * abs(before[i] - g[i])))
            if length > 4:
                change *= math.sqrt(1 - beta2**t) / (math.sqrt(v[i]) + epsilon)
                change *= math.sqrt((length - 4) / (longest - 4) * (length - 2) / (longest - 2) * longest / length)
            w[i] -= lr * change
            before[i] = g[i]
    assert length > 4, "both cases must have been met"
    return w


# name: options, which are none of the defaults, and the paper's formulas in plain floats
BY_HAND = {
    "nag": ({"lr": 0.1, "beta": 0.6, "weight_decay": 0.3}, nag_by_hand),
    "sign-sgd": ({"lr": 0.25}, sign_sgd_by_hand),
    "lion": ({"lr": 0.1, "beta1": 0.3, "beta2": 0.8, "weight_decay": 0.5}, lion_by_hand),
    "lamb": ({"lr": 0.1, "beta1": 0.7, "beta2": 0.9, "epsilon": 0.1, "weight_decay": 0.5}, lamb_by_hand),
    "adan": (
        {"lr": 0.1, "beta1": 0.9, "beta2": 0.7, "beta3": 0.8, "epsilon": 0.1, "weight_decay": 0.5},
        adan_by_hand,
    ),
    "hyadamc": (
        {"lr": 0.1, "beta1": 0.7, "beta2": 0.9, "freedom": 2.0, "friction": 1.5, "epsilon": 1e-3},
        hyadamc_by_hand,
    ),
}
# two layers, the second of which begins at zero
LAYERS = {"weight": [1.0, -2.0], "bias": [0.0]}
GRADIENTS = [[3.0, -0.5, 1.0], [-1.0, 0.25, 2.0], [0.5, 4.0, -3.0], [2.0, 1.0, 0.1], [-0.3, 0.2, 5.0], [1.5, -2.5, 0.7]]


@pytest.mark.parametrize("name", BY_HAND)
def test_six_steps_by_hand(name):
    options, by_hand = BY_HAND[name]
    params = Parameters.from_arrays(LAYERS, np.float64)
    optimizer = KINDS[name](**options)
    state = optimizer.init(params)
    for step, gradient in enumerate(GRADIENTS, 1):
        optimizer.update(params, params.like(np.array(gradient)), state, step)
    expected = {
        "weight": by_hand(LAYERS["weight"], [g[:2] for g in GRADIENTS], **options),
        "bias": by_hand(LAYERS["bias"], [g[2:] for g in GRADIENTS], **options),
    }
    for layer, values in expected.items():
        np.testing.assert_allclose(params[layer], values, rtol=1e-13)


def test_every_optimizer_is_compared_with_something():
    compared = {case[0] for case in COUNTERPARTS} | BY_HAND.keys()
    assert KINDS.keys() == compared


@pytest.mark.parametrize("name", BY_HAND)
def test_no_option_is_left_at_its_default(name):
    options, _ = BY_HAND[name]
    plain = KINDS[name]()
    assert options.keys() == {field.name for field in plain.__attrs_attrs__}
    assert all(value != getattr(plain, key) for key, value in options.items())
