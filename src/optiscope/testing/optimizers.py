"""What every optimizer must hold to, as one function that raises AssertionError with a sentence.

The host relies on a few promises: an update happens in place, keeps the dtype, leaves gradients alone, and depends on
nothing but parameters, gradients, state and step. If that holds, a run can be recorded, stopped and taken up again with
the same bits. `check_optimizer` feeds random gradients and looks whether it does.

    from optiscope.testing import check_optimizer

    def test_mine():
        check_optimizer(Mine(lr=0.1))
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from optiscope.optim import Optimizer, State
from optiscope.params import Parameters

STEPS = 8
SHAPES: dict[str, tuple[int, ...]] = {
    "conv.weight": (3, 3, 2, 4),
    "conv.bias": (4,),
    "linear.weight": (5, 1),
    "one": (1,),
}


def check_optimizer(optimizer: Optimizer, dtype: npt.DTypeLike = np.float32) -> None:
    """Raise AssertionError, with a sentence, for the first promise that `optimizer` breaks in `dtype`."""
    params, state = _start(optimizer, dtype)
    before = params.copy()
    for step, grads in _gradients(params):
        kept, flat = grads.copy(), params.flat
        arrays = {name: id(array) for name, array in state.items()}
        optimizer.update(params, grads, state, step)
        assert params.flat is flat, "update must change params.flat in place, not put another array there"
        assert np.array_equal(grads.flat, kept.flat), "update must leave the gradients as they are"
        assert state.keys() == arrays.keys(), (
            f"update must not add or drop state: {sorted(state.keys() ^ arrays.keys())}"
        )
        _check_state(state, grads)
        assert np.isfinite(params.flat).all(), f"finite gradients gave parameters that are not finite at step {step}"
    assert params.dtype == before.dtype, f"parameters must stay {before.dtype}, and became {params.dtype}"
    assert not np.array_equal(params.flat, before.flat), f"{STEPS} updates changed no parameter"
    _check_same_bits(optimizer, dtype, params)
    _check_taken_up_again(optimizer, dtype, params)


def _start(optimizer: Optimizer, dtype: npt.DTypeLike) -> tuple[Parameters, State]:
    rng = np.random.default_rng(1)
    params = Parameters.from_arrays({name: rng.standard_normal(shape) for name, shape in SHAPES.items()}, dtype)
    return params, optimizer.init(params)


def _gradients(params: Parameters) -> Iterator[tuple[int, Parameters]]:
    rng = np.random.default_rng(2)
    for step in range(1, STEPS + 1):
        yield step, params.like(rng.standard_normal(params.flat.size).astype(params.dtype))


def _check_state(state: State, grads: Parameters) -> None:
    for name, array in state.items():
        assert isinstance(array, np.ndarray), f"state must be arrays, and '{name}' is a {type(array).__name__}"
        assert not np.shares_memory(array, grads.flat), f"state '{name}' must be a copy, not a view of the gradients"


def _check_same_bits(optimizer: Optimizer, dtype: npt.DTypeLike, expected: Parameters) -> None:
    params, state = _start(optimizer, dtype)
    for step, grads in _gradients(params):
        optimizer.update(params, grads, state, step)
    same = np.array_equal(params.flat, expected.flat)
    assert same, "the same gradients gave other bits the second time: keep everything in the state, nothing on self"


def _check_taken_up_again(optimizer: Optimizer, dtype: npt.DTypeLike, expected: Parameters) -> None:
    """Save and restore the state after each step, and let another run go on in between."""
    params, state = _start(optimizer, dtype)
    other, other_state = _start(optimizer, dtype)
    for step, grads in _gradients(params):
        optimizer.update(params, grads, state, step)
        optimizer.update(other, other.like(-2 * grads.flat), other_state, step)
        state = {name: array.copy() for name, array in state.items()}
    same = np.array_equal(params.flat, expected.flat)
    assert same, (
        "a run that is saved, restored and interleaved with another ends elsewhere: keep everything in the state"
    )
