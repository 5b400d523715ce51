"""Facts that are neither right nor wrong: which symmetries a method has, and what it costs.

A symmetry is measured: the same run in other coordinates, and how far it ends from where the symmetry would have it,
in units of the way gone. Rounding leaves about 1e-13 of that.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from statistics import median

import numpy as np

from optiscope.optim import SGD, Optimizer
from optiscope.params import Array, Parameters
from optiscope.testing.drive import deviation, gradients, start
from optiscope.testing.result import Result, fact
from optiscope.testing.subject import Subject

SCALE = 1024.0
"""What gradients are multiplied by: a power of two, so that nothing is rounded."""

STEPS = 20
HOLDS = 1e-6
"""A symmetry holds if the deviation is below this; epsilon breaks that of scale by a little."""

Change = Callable[[Array], Array]


def _way(subject: Subject, shape: tuple[int, ...], change: Change = lambda array: array, scale: float = 1.0) -> Array:
    """Return how far each element goes in STEPS steps from `change`d weights with `change`d and scaled gradients."""
    optimizer = subject.make()
    origin, _ = start(optimizer, np.float64, {"w": shape})
    params = Parameters.from_arrays({"w": change(origin["w"])}, np.float64)
    state, before = optimizer.init(params), params["w"].copy()
    for step, gradient in enumerate(gradients(origin, STEPS), 1):
        changed = Parameters.from_arrays({"w": scale * change(gradient["w"])}, np.float64)
        optimizer.update(params, changed, state, step)
    return params["w"] - before


def _off(one: Array, other: Array) -> float:
    return deviation(one, other, np.zeros_like(one))


def gradient_scale(subject: Subject) -> Result:
    """What becomes of the steps when all gradients are multiplied by one number."""
    plain, scaled = _way(subject, (6, 6)), _way(subject, (6, 6), scale=SCALE)
    invariant, proportional = _off(plain, scaled), _off(SCALE * plain, scaled)
    figures = {"invariant": _figure(invariant), "proportional": _figure(proportional)}
    if proportional < HOLDS:
        return fact(f"steps are proportional to the gradients' scale, to {_told(proportional)}", **figures)
    if invariant < HOLDS:
        return fact(f"steps do not depend on the gradients' scale, to {_told(invariant)}", **figures)
    return fact(
        f"steps with gradients {SCALE:g} times as large are off by {invariant:.1e} from the same steps, and by "
        f"{proportional:.1e} from {SCALE:g} times those",
        **figures,
    )


def permutation(subject: Subject) -> Result:
    """Whether elements of a tensor, or rows and columns of a matrix, may be numbered in another order."""
    rng = np.random.default_rng(5)
    order, rows, columns = rng.permutation(36), rng.permutation(6), rng.permutation(6)
    plain = _way(subject, (6, 6))
    elements: Change = lambda array: array.reshape(-1)[order].reshape(6, 6)  # noqa: E731
    lines: Change = lambda array: array[rows][:, columns]  # noqa: E731
    return _told_symmetry(
        {
            "elements in another order": _off(elements(plain), _way(subject, (6, 6), elements)),
            "rows and columns in another order": _off(lines(plain), _way(subject, (6, 6), lines)),
        }
    )


def rotation(subject: Subject) -> Result:
    """Whether a vector, or the rows of a matrix, may be rotated."""
    turn = np.linalg.qr(np.random.default_rng(6).standard_normal((6, 6)))[0]
    rotate: Change = lambda array: turn @ array  # noqa: E731
    vector, matrix = _way(subject, (6,)), _way(subject, (6, 6))
    return _told_symmetry(
        {
            "a rotated vector": _off(rotate(vector), _way(subject, (6,), rotate)),
            "a rotated matrix": _off(rotate(matrix), _way(subject, (6, 6), rotate)),
        }
    )


def _told_symmetry(off: Mapping[str, float]) -> Result:
    texts = [
        f"{what}: the same way, to {_told(value)}" if value < HOLDS else f"{what}: another way, off by {value:.1e}"
        for what, value in off.items()
    ]
    return fact("; ".join(texts), **{what.replace(" ", "_"): _figure(value) for what, value in off.items()})


def _told(value: float) -> str:
    return f"{max(value, 1e-16):.0e}"


def _figure(value: float) -> float | None:
    return value if np.isfinite(value) else None


COST_SHAPES = {"weight": (256, 256), "bias": (256,)}
ROUNDS = 15
LONGEST = 0.5
"""Seconds that the race may take, give or take a step."""


def state_size(subject: Subject) -> Result:
    """How many values of state there are for a parameter."""
    params, state = start(subject.make(), np.float32, COST_SHAPES)
    values = sum(array.size for array in state.values())
    share = values / params.flat.size
    return fact(f"{share:.3g} value{'s' * (share != 1)} of state for a parameter", values_per_parameter=share)


def step_time(subject: Subject) -> Result:
    """The time of a step over that of plain SGD, who takes turns with it: a ratio of medians."""
    racers = [_racer(subject.make()), _racer(SGD())]
    times: list[list[float]] = [[], []]
    began = time.perf_counter()
    for number in range(ROUNDS):
        for racer, spent in zip(racers, times, strict=True):
            before = time.perf_counter()
            racer(number + 1)
            spent.append(time.perf_counter() - before)
        if time.perf_counter() - began > LONGEST and number >= 2:
            break
    mine, theirs = (median(spent[1:]) for spent in times)
    size = sum(int(np.prod(shape)) for shape in COST_SHAPES.values())
    return fact(
        f"a step takes {mine / theirs:.2g} times as long as SGD's, on {size} parameters",
        over_sgd=mine / theirs,
    )


def _racer(optimizer: Optimizer) -> Callable[[int], None]:
    params, state = start(optimizer, np.float32, COST_SHAPES)
    (gradient,) = gradients(params, 1)
    return lambda step: optimizer.update(params, gradient, state, step)
