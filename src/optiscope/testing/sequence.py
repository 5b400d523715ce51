"""The gradients that the fingerprint is taken with, and how far two ways through them are apart.

Rules that differ have to part: gradients of 1e-2 to 1e-8 show where epsilon stands, stretches of zeros how averages
fade, a burst whether v may fall, weights that are not one how they decay, weights of zero what a ratio to their norm
is, a learning rate that changes whether it is inside the velocity. No two tensors have the same size.
"""

from __future__ import annotations

from functools import cache

import attrs
import numpy as np

from optiscope.optim import Optimizer
from optiscope.params import Array, Parameters, readonly

STEPS = 200
SHAPES: dict[str, tuple[int, ...]] = {"matrix": (4, 3), "small": (7,), "sparse": (5,), "zero": (2,), "one": (1,)}
BURST = slice(20, 26)
LOWER_LR = slice(100, 160)


@cache
def sequence() -> tuple[Parameters, Array, Array]:
    """Return weights, gradients [STEPS, values], and the factor of lr at each step [STEPS]: read-only, float64."""
    rng = np.random.default_rng(11)
    origin = Parameters(SHAPES, np.float64)
    origin.flat[...] = rng.uniform(0.5, 2, origin.flat.size) * rng.choice([-1, 1], origin.flat.size)
    origin["zero"][...] = 0
    grads = rng.standard_normal((STEPS, origin.flat.size)) + 0.3 * rng.standard_normal(origin.flat.size)
    grads[BURST] *= 10
    for row in grads:
        part = origin.like(row)
        part["small"][...] *= np.logspace(-2, -8, 7)
        part["sparse"][...] *= rng.random(5) < 0.1
    origin.like(grads[0])["sparse"][...] = 0
    factors = np.ones(STEPS)
    factors[LOWER_LR] = 0.25
    return origin.readonly(), readonly(grads), readonly(factors)


def path(optimizer: Optimizer, steps: int = STEPS) -> Array:
    """Return the weights after each of `steps`, [steps, values]; gradients come in one buffer, as the host has them."""
    origin, grads, factors = sequence()
    params, gradient, lr = origin.copy(), origin.zeros(), optimizer.lr
    state = optimizer.init(params)
    rows = []
    for step, (row, factor) in enumerate(zip(grads[:steps], factors, strict=False), 1):
        optimizer.lr = lr * float(factor)
        gradient.flat[...] = row
        optimizer.update(params, gradient, state, step)
        rows.append(params.flat.copy())
    optimizer.lr = lr
    return np.array(rows)


@attrs.frozen(kw_only=True)
class Apart:
    """How far two ways are apart.

    `worst` is the largest difference of a weight in units of how far its tensor has gone in all; `mean` the mean over
    steps of the largest of each step. `step` (from 1) and `tensor` are where they first part, `by` the difference there
    in units of the length of that step; None, "" and 0 where they do not.
    """

    worst: float
    mean: float
    step: int | None
    tensor: str
    by: float


EQUAL = 1e-10
"""Two ways that are closer than this everywhere are one, computed with other roundings."""

SINGLE = 1e-5
"""Two ways that are closer than this everywhere are one, computed in single precision."""


def differences(one: Array, other: Array) -> Array:
    """Return the differences [steps, ..., values] in units of the way that each tensor of `one` goes in all.

    `one` is [steps, values], `other` [steps, ..., values]. Where both are NaN they do not differ.
    """
    origin, _, _ = sequence()
    way = origin.zeros()
    mine = one.reshape(len(one), *[1] * (other.ndim - 2), -1)
    with np.errstate(all="ignore"):
        gone = origin.like(np.abs(one - origin.flat).max(axis=0))
        for name, view in way.items():
            view[...] = np.max(gone[name], where=np.isfinite(gone[name]), initial=0)
        apart = np.abs(mine - other) / np.where(way.flat > 0, way.flat, 1)
        same = (mine == other) | (np.isnan(mine) & np.isnan(other))
    return np.where(np.isfinite(apart), apart, np.where(same, 0, np.inf))


def compare(one: Array, other: Array) -> Apart:
    """Return how far the way `other` is from `one`, both [steps, values]."""
    apart = differences(one, other)
    largest = apart.max(axis=1)
    left = np.flatnonzero(largest > EQUAL)
    if not left.size:
        return Apart(worst=float(largest.max()), mean=float(largest.mean()), step=None, tensor="", by=0.0)
    at = int(left[0])
    origin, _, _ = sequence()
    tensor = max(SHAPES, key=lambda name: float(origin.like(apart[at])[name].max()))
    before = origin.flat if at == 0 else one[at - 1]
    step = np.abs(origin.like(one[at] - before)[tensor]).max()
    off = np.abs(origin.like(one[at] - other[at])[tensor]).max()
    by = float(off / step) if step > 0 else np.inf
    return Apart(worst=float(largest.max()), mean=float(largest.mean()), step=at + 1, tensor=tensor, by=by)
