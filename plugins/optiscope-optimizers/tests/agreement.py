"""How far is every optimizer that PyTorch has too from PyTorch's? Prints a line for each, in float32 and in float64:

    uv run --group oracle python plugins/optiscope-optimizers/tests/agreement.py

Both take the same 200 random gradients, at options other than the defaults. The distance is that of the weights at the
end, relative to their norm. PyTorch iterates Muon in bfloat16: once as it does, and once with that switched off.
"""

from __future__ import annotations

from contextlib import nullcontext
from unittest import mock

import attrs
import numpy as np

from optiscope.hooks import create_manager
from optiscope.params import Parameters

KINDS = {name: piece.factory for name, piece in create_manager().pieces("optimizers").items()}

BETAS = {"beta1": 0.8, "beta2": 0.95, "epsilon": 1e-3}
THEIR_BETAS = {"betas": (0.8, 0.95), "eps": 1e-3}

# name, our options, the class in torch.optim, its options
COUNTERPARTS = [
    ("sgd", {}, "SGD", {}),
    ("adam", BETAS, "Adam", THEIR_BETAS),
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
LR, WEIGHT_DECAY = 0.01, 0.05
STEPS = 200
SHAPES = {"a": (7, 5), "b": (5, 7), "c": (6, 6)}


def distance(name, options, theirs, their_options, dtype, *, half=False):
    """How far the two are apart after 200 steps, relative to the norm of the weights, and how far they have gone.

    With `half`, PyTorch rounds to bfloat16 where it does so.
    """
    import torch

    rng = np.random.default_rng(3)
    params = Parameters.from_arrays({key: rng.standard_normal(shape) for key, shape in SHAPES.items()}, dtype)
    start = params.copy()
    # a matrix of ours is inputs by outputs, one of PyTorch's outputs by inputs
    tensors = [torch.tensor(array.T.copy(), requires_grad=True) for array in params.values()]
    decay = {"weight_decay": WEIGHT_DECAY} if "weight_decay" in attrs.fields_dict(KINDS[name]) else {}
    ours = KINDS[name](lr=LR, **decay, **options)
    oracle = getattr(torch.optim, theirs)(tensors, lr=LR, **{"weight_decay": 0, **decay}, **their_options)
    state = ours.init(params)
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float32 if dtype == np.float32 else torch.float64)  # of NAdam's product of momenta
    try:
        with nullcontext() if half else mock.patch.object(torch.Tensor, "bfloat16", lambda tensor: tensor.clone()):
            for step in range(1, STEPS + 1):
                grads = params.like((0.3 + rng.standard_normal(params.flat.size)).astype(dtype))
                for tensor, grad in zip(tensors, grads.values(), strict=True):
                    tensor.grad = torch.tensor(grad.T.copy())
                oracle.step()
                ours.update(params, grads, state, step)
    finally:
        torch.set_default_dtype(before)
    flat = np.concatenate([tensor.detach().numpy().T.ravel() for tensor in tensors])
    assert params.dtype == flat.dtype == dtype
    return np.linalg.norm(params.flat - flat) / np.linalg.norm(flat), np.linalg.norm(flat - start.flat)


def main():
    print(f"{'ours':18} {'float32':>8} {'float64':>8}  PyTorch's, and options")
    for case in COUNTERPARTS:
        name, _, theirs, options = case
        single, double = (distance(*case, dtype)[0] for dtype in (np.float32, np.float64))
        shown = ", ".join(f"{key}={value}" for key, value in options.items())
        print(f"{name:18} {single:8.0e} {double:8.0e}  {theirs}({shown})")
        if theirs == "Muon":
            print(f"{name:18} {distance(*case, np.float32, half=True)[0]:8.0e} {'':8}  {theirs}({shown}), bfloat16")


if __name__ == "__main__":
    main()
