"""Driving an optimizer by hand: parameters to begin with, gradients of a seed, and updates as the host makes them."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import numpy.typing as npt

from optiscope.optim import Optimizer, State
from optiscope.params import Array, Parameters

STEPS = 8
SHAPES: dict[str, tuple[int, ...]] = {
    "conv.weight": (3, 3, 2, 4),
    "conv.bias": (6,),
    "linear.weight": (5, 3),
    "one": (1,),
}


def start(
    optimizer: Optimizer, dtype: npt.DTypeLike, shapes: Mapping[str, tuple[int, ...]] = SHAPES
) -> tuple[Parameters, State]:
    """Return parameters, random but the same every time, and the state that `optimizer` makes for them."""
    rng = np.random.default_rng(1)
    params = Parameters.from_arrays({name: rng.standard_normal(shape) for name, shape in shapes.items()}, dtype)
    return params, optimizer.init(params)


def gradients(params: Parameters, steps: int = STEPS) -> list[Parameters]:
    """Return `steps` random gradients, standard normal, of the layout and dtype of `params`."""
    rng = np.random.default_rng(2)
    return [params.like(rng.standard_normal(params.flat.size).astype(params.dtype)) for _ in range(steps)]


def go(
    optimizer: Optimizer, params: Parameters, state: State, grads: Sequence[Parameters], first: int = 1
) -> Parameters:
    """Take a step for each of `grads`, numbered from `first`, and return `params`; every step gets a copy."""
    for step, gradient in enumerate(grads, first):
        optimizer.update(params, gradient.copy(), state, step)
    return params


def fresh(optimizer: Optimizer, dtype: npt.DTypeLike) -> Parameters:
    """Return where `optimizer` comes to from `start` with `gradients`."""
    params, state = start(optimizer, dtype)
    return go(optimizer, params, state, gradients(params))


def arrays_of(state: State) -> State:
    """Return what is an array in `state`: another check says so of what is none."""
    return {name: array for name, array in state.items() if isinstance(array, np.ndarray)}


def saved(state: State) -> State:
    """Return a copy, as a checkpoint has it."""
    return {name: np.array(array) for name, array in state.items()}


def fill(state: State, kept: Mapping[str, npt.NDArray[Any]]) -> None:
    """Put `kept` in the place of what `init` made, in the same arrays where they fit: as the host takes up a run."""
    for name in state.keys() - kept.keys():
        del state[name]
    for name, array in kept.items():
        mine = state.get(name)
        if isinstance(mine, np.ndarray) and (mine.shape, mine.dtype) == (array.shape, array.dtype):
            mine[...] = array
        else:
            state[name] = array.copy()


def same(one: Parameters, other: Parameters) -> bool:
    """Say whether both hold the same bits, NaN included."""
    return one.flat.tobytes() == other.flat.tobytes()


def deviation(one: Array, other: Array, origin: Array) -> float:
    """Return the largest difference of `one` and `other` in units of the way from `origin`; infinity where not finite.

    All three have one shape; the way is the larger of the two. No way at all is a deviation of 0.
    """
    gone = max(float(np.abs(one - origin).max(initial=0)), float(np.abs(other - origin).max(initial=0)))
    apart = float(np.abs(one - other).max(initial=0))
    if not np.isfinite(gone + apart):
        return np.inf
    return apart / gone if gone else 0.0


@contextmanager
def quiet() -> Iterator[None]:
    """Let arithmetic give NaN and infinity without a word, as it does in a run: the checks look for them."""
    with np.errstate(all="ignore"), warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)
        yield


def words(names: Sequence[str]) -> str:
    """Return `a`, `a and b`, or `a, b and c`."""
    return " and ".join(filter(None, [", ".join(names[:-1]), *names[-1:]]))
