"""Every optimizer is compared with PyTorch's of that name, or with its paper's formulas worked out by hand."""

import math
import statistics
import sys
from pathlib import Path

import numpy as np
import pytest

from optiscope.hooks import create_manager
from optiscope.params import Parameters

sys.path.insert(0, str(Path(__file__).parent))

from agreement import COUNTERPARTS, distance

PLUGIN = "optiscope-optimizers"
KINDS = {name: piece.factory for name, piece in create_manager().pieces("optimizers").items() if piece.plugin == PLUGIN}


@pytest.fixture(autouse=True)
def oracle(request):
    if request.node.get_closest_marker("oracle"):
        pytest.importorskip("torch", reason="needs the dependency group 'oracle'")


@pytest.mark.oracle
@pytest.mark.parametrize(("dtype", "tolerance"), [(np.float32, 1e-6), (np.float64, 1e-12)])
@pytest.mark.parametrize("case", COUNTERPARTS, ids=lambda case: f"{case[0]}-{'-'.join(case[1])}")
def test_two_hundred_steps_are_those_of_pytorch(case, dtype, tolerance):
    apart, gone = distance(*case, dtype)
    assert apart <= tolerance
    assert gone > 0.1


@pytest.mark.oracle
@pytest.mark.parametrize("case", [case for case in COUNTERPARTS if case[0] == "muon"], ids=lambda case: str(case[1]))
def test_muon_differs_from_pytorch_by_the_rounding_of_bfloat16(case):
    """A number has 8 bits there, 0.4 %; the updates of 200 steps add up with random signs."""
    apart, _ = distance(*case, np.float32, half=True)
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


def hyadamc_by_hand(w, gradients, lr, beta1, beta2, freedom, friction, epsilon, scale):
    d = len(w)
    w, m, v, before = list(w), [0.0] * d, [0.0] * d, [0.0] * d
    nu, total = freedom * d, beta1 / (1 - beta1)
    longest = 2 / (1 - beta2) - 1
    for t, g in enumerate(gradients, 1):
        weight = (nu + d) / (nu + sum((g[i] - m[i]) ** 2 / (v[i] + epsilon) for i in range(d)))
        beta = total / (total + weight)
        total = total * (2 * beta1 - 1) / beta1 + weight
        length = longest - 2 * t * beta2**t / (1 - beta2**t)
        jumps = [abs(b - g_i) for b, g_i in zip(before, g, strict=True)]
        slope = friction * (statistics.variance(jumps) if d > 1 else 0) if scale else friction
        for i in range(d):
            m[i] = beta * m[i] + (1 - beta) * g[i]
            v[i] = beta2 * v[i] + (1 - beta2) * (g[i] - m[i]) ** 2
            change = m[i] / (1 - beta1**t) / (1 + math.exp(-slope * jumps[i]))
            if length > 4:
                change *= math.sqrt(1 - beta2**t) / (math.sqrt(v[i]) + epsilon)
                change *= math.sqrt((length - 4) / (longest - 4) * (length - 2) / (longest - 2) * longest / length)
            w[i] -= lr * change
            before[i] = g[i]
    assert length > 4, "both cases must have been met"
    return w


HYADAMC = {"lr": 0.1, "beta1": 0.7, "beta2": 0.9, "freedom": 2.0, "friction": 1.5, "epsilon": 1e-3}

# name, options, and the paper's formulas in plain floats
BY_HAND = [
    ("nag", {"lr": 0.1, "beta": 0.6, "weight_decay": 0.3}, nag_by_hand),
    ("sign-sgd", {"lr": 0.25}, sign_sgd_by_hand),
    ("lion", {"lr": 0.1, "beta1": 0.3, "beta2": 0.8, "weight_decay": 0.5}, lion_by_hand),
    ("lamb", {"lr": 0.1, "beta1": 0.7, "beta2": 0.9, "epsilon": 0.1, "weight_decay": 0.5}, lamb_by_hand),
    (
        "adan",
        {"lr": 0.1, "beta1": 0.9, "beta2": 0.7, "beta3": 0.8, "epsilon": 0.1, "weight_decay": 0.5},
        adan_by_hand,
    ),
    ("hyadamc", {**HYADAMC, "scale": False}, hyadamc_by_hand),
    ("hyadamc", {**HYADAMC, "scale": True}, hyadamc_by_hand),
]
NAMES_BY_HAND = {name for name, _, _ in BY_HAND}
# two layers, the second of which begins at zero
LAYERS = {"weight": [1.0, -2.0], "bias": [0.0]}
GRADIENTS = [[3.0, -0.5, 1.0], [-1.0, 0.25, 2.0], [0.5, 4.0, -3.0], [2.0, 1.0, 0.1], [-0.3, 0.2, 5.0], [1.5, -2.5, 0.7]]


@pytest.mark.parametrize(("name", "options", "by_hand"), BY_HAND)
def test_six_steps_by_hand(name, options, by_hand):
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
    assert KINDS.keys() <= {case[0] for case in COUNTERPARTS} | NAMES_BY_HAND


@pytest.mark.parametrize("name", sorted(NAMES_BY_HAND))
def test_every_option_is_off_its_default_in_some_case(name):
    cases = [options for each, options, _ in BY_HAND if each == name]
    for field in KINDS[name].__attrs_attrs__:
        assert any(options[field.name] != field.default for options in cases)
