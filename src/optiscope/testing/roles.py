"""What options are called: the names by which authors know the same thing.

The fingerprint has to give your optimizer and another one the same momentum, whatever each of them calls it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

ROLES: dict[str, tuple[str, ...]] = {
    "lr": ("lr", "learning_rate", "alpha0", "step_size"),
    "beta1": ("beta1", "b1", "beta_1"),
    "beta2": ("beta2", "b2", "beta_2", "rho", "alpha", "decay_rate"),
    "momentum": ("momentum", "beta", "mu", "gamma"),
    "dampening": ("dampening", "damping"),
    "epsilon": ("epsilon", "eps", "delta"),
    "weight_decay": ("weight_decay", "wd", "l2", "lambda_", "decay"),
    "nesterov": ("nesterov",),
    "amsgrad": ("amsgrad",),
}
"""A role, in this house's word for it, and what it is called elsewhere."""

DECAY_RATES = ("beta1", "beta2", "momentum")
"""The roles that are decay rates of moving averages."""

FROM_ZERO = {"momentum": 0.6, "dampening": 0.3}
"""What an option of a role is moved to from 0, if not to 0.1: one that could be taken for another to another value."""

PAIR = "betas"
"""One option that holds beta1 and beta2."""


def role_of(name: str) -> str | None:
    """Return the role of an option of this name, None for a name that is not known."""
    return next((role for role, names in ROLES.items() if name in names), None)


def roles_in(options: Mapping[str, Any]) -> dict[str, Any]:
    """Return role to value for every option whose name is known."""
    found = {role: value for name, value in options.items() if (role := role_of(name)) is not None}
    pair = options.get(PAIR)
    if isinstance(pair, (tuple, list)) and len(pair) >= 2:
        found |= {"beta1": pair[0], "beta2": pair[1]}
    return found


def aligned(options: Mapping[str, Any], names: Iterable[str]) -> dict[str, Any]:
    """Return options for a factory that takes `names`: those of equal name, then those of equal role."""
    roles = roles_in(options)
    found: dict[str, Any] = {}
    for name in names:
        role = role_of(name)
        if name in options:
            found[name] = options[name]
        elif role in roles:
            found[name] = roles[role]
        elif name == PAIR and {"beta1", "beta2"} <= roles.keys():
            found[name] = (roles["beta1"], roles["beta2"])
    return found
