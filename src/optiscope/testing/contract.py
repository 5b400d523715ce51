"""The promises that recording, resuming and interleaving rest on.

An update happens in place, keeps the dtype, leaves gradients alone, and depends on nothing but parameters, gradients,
state, step and options. If that holds, a run can be recorded, stopped and taken up again with the same bits. Each
check feeds random gradients and looks whether one of these promises is kept.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import attrs
import numpy as np
import numpy.typing as npt

from optiscope.optim import Optimizer, State
from optiscope.params import Parameters
from optiscope.testing.drive import STEPS, arrays_of, fill, fresh, go, gradients, same, saved, start, words
from optiscope.testing.result import CheckFailed, Result, fact, passed
from optiscope.testing.subject import Subject

PATIENCE = 60
"""Seconds that a fresh process may take."""


def _in(subject: Subject) -> str:
    return "in " + words([np.dtype(dtype).name for dtype in subject.dtypes])


def in_place(subject: Subject) -> Result:
    """An update changes `params` in place and returns nothing."""
    for dtype in subject.dtypes:
        optimizer = subject.make()
        params, state = start(optimizer, dtype)
        flat, before = params.flat, params.flat.copy()
        for step, gradient in enumerate(gradients(params), 1):
            returned = optimizer.update(params, gradient, state, step)  # type: ignore[func-returns-value]
            if returned is not None:
                raise CheckFailed("update must change params in place and return nothing (params.flat -= ...)")
            if params.flat is not flat:
                raise CheckFailed("update must change params.flat in place, not put another array there")
        if np.array_equal(flat, before):
            raise CheckFailed(f"{STEPS} updates changed no parameter: change params.flat in place (params.flat -= ...)")
    return passed(f"parameters change in their own memory, {_in(subject)}")


def gradients_kept(subject: Subject) -> Result:
    """An update leaves gradients as they are and keeps no hold on their memory, which the host uses again."""
    for dtype in subject.dtypes:
        optimizer = subject.make()
        params, state = start(optimizer, dtype)
        buffer = params.zeros()
        for step, gradient in enumerate(gradients(params), 1):
            buffer.flat[...] = gradient.flat
            optimizer.update(params, buffer, state, step)
            if not same(buffer, gradient):
                raise CheckFailed(f"update must leave the gradients as they are, and changed them at step {step}")
            for name, array in state.items():
                if isinstance(array, np.ndarray) and np.shares_memory(array, buffer.flat):
                    raise CheckFailed(f"state '{name}' must be a copy, not a view of the gradients")
            buffer.flat[...] = np.nan
        if not same(params, fresh(subject.make(), dtype)):
            raise CheckFailed(
                "with gradients in one buffer, as the host has them, the bits differ: update must copy what it keeps "
                "of them"
            )
    return passed("gradients are left as they are, and no view of them is kept")


def state_arrays(subject: Subject) -> Result:
    """The state is named arrays, the same ones from the first step to the last, with memory of their own."""
    for dtype in subject.dtypes:
        optimizer = subject.make()
        params, state = start(optimizer, dtype)
        if not isinstance(state, dict):
            raise CheckFailed(f"init must return a dict of named arrays, not a {type(state).__name__}")
        names = set(state)
        for step, gradient in enumerate(gradients(params), 1):
            _check_arrays(state, params)
            optimizer.update(params, gradient, state, step)
            if set(state) != names:
                raise CheckFailed(f"update must not add or drop state: {sorted(names ^ set(state))} at step {step}")
        _check_arrays(state, params)
    held = f"state {words([repr(name) for name in state])}" if state else "no state"
    return passed(f"{held}, with memory of its own" if state else held, arrays=len(state))


def _check_arrays(state: State, params: Parameters) -> None:
    for name, array in state.items():
        if not isinstance(array, np.ndarray) or array.dtype.hasobject:
            raise CheckFailed(f"state must be arrays, and '{name}' is a {type(array).__name__}: use np.zeros(())")
        if np.shares_memory(array, params.flat):
            raise CheckFailed(f"state '{name}' must be a copy, not a view of the parameters")
        for other in state:
            if other < name and np.shares_memory(array, state[other]):
                raise CheckFailed(f"state '{other}' and state '{name}' share memory: make an array for each")


def dtype_kept(subject: Subject) -> Result:
    """Parameters and state stay in the dtype of the parameters.

    State of no more values than there are tensors, and whole numbers, may have a dtype of their own, and keep that.
    """
    for dtype in subject.dtypes:
        optimizer = subject.make()
        params, state = start(optimizer, dtype)
        wanted = params.dtype
        begun = {name: array.dtype for name, array in arrays_of(state).items()}
        for name, array in arrays_of(state).items():
            if array.dtype.kind in "fc" and array.size > len(params) and array.dtype != wanted:
                raise CheckFailed(
                    f"init makes state '{name}' {array.dtype} where the parameters are {wanted}: "
                    "use np.zeros_like(params.flat)"
                )
        for step, gradient in enumerate(gradients(params), 1):
            optimizer.update(params, gradient, state, step)
            if params.flat.dtype != wanted:
                raise CheckFailed(f"parameters must stay {wanted}, and became {params.flat.dtype} at step {step}")
            for name, array in arrays_of(state).items():
                if array.dtype != begun.get(name, array.dtype):
                    raise CheckFailed(
                        f"state '{name}' must stay {begun[name]}, and became {array.dtype} at step {step}: "
                        "change it in place (v *= ..., v += ...)"
                    )
    return passed(f"parameters and state keep their dtype, {_in(subject)}")


def step_number(subject: Subject) -> Result:
    """The steps count from 1, and with them finite gradients give finite parameters."""
    looks = False
    for dtype in subject.dtypes:
        for first in (1, 2):
            optimizer = subject.make()
            params, state = start(optimizer, dtype)
            for step, gradient in enumerate(gradients(params), first):
                optimizer.update(params, gradient, state, step)
                if not np.isfinite(params.flat).all():
                    raise CheckFailed(_not_finite(subject, dtype, step))
            if first == 1:
                counted = params
        looks = looks or not same(counted, params)
    return passed("counts steps from 1" if looks else "does not look at the number of the step", looks=int(looks))


def _not_finite(subject: Subject, dtype: npt.DTypeLike, step: int) -> str:
    optimizer = subject.make()
    params, state = start(optimizer, dtype)
    go(optimizer, params, state, gradients(params), first=2)
    sentence = f"finite gradients gave parameters that are not finite at step {step}"
    if step == 1 and np.isfinite(params.flat).all():
        return f"{sentence}, but not when the first step is called 2: step counts from 1, and this counts from 0"
    return sentence


def repeatable(subject: Subject) -> Result:
    """The same gradients give the same bits, in a new instance and in the same one."""
    for dtype in subject.dtypes:
        optimizer = subject.make()
        expected = fresh(optimizer, dtype)
        if not same(fresh(optimizer, dtype), expected):
            if not same(fresh(subject.make(), dtype), fresh(subject.make(), dtype)):
                raise CheckFailed(
                    "the same gradients gave other bits the second time, in a new instance too: keep nothing in the "
                    "module or the class, and draw random numbers from a generator that is seeded"
                )
            raise CheckFailed(
                "the same gradients gave other bits the second time: keep everything in the state, nothing on self"
            )
        if not same(fresh(subject.make(), dtype), expected):
            raise CheckFailed(
                "a new instance gave other bits: keep nothing in the module or the class, and draw random numbers "
                "from a generator that is seeded"
            )
    return passed("the same gradients give the same bits, in a new instance and in the same one")


def restored(subject: Subject) -> Result:
    """A run goes on with the same bits whoever else uses the instance, and in a new instance with the state saved."""
    for dtype in subject.dtypes:
        expected = fresh(subject.make(), dtype)
        if not same(_taking_turns(subject.make(), dtype), expected):
            raise CheckFailed(
                "two runs that are interleaved on one instance disturb each other: keep everything in the state"
            )
        if not same(_taken_up_each_step(subject, dtype), expected):
            raise CheckFailed(
                "a run that is saved and restored into a new instance ends elsewhere: keep everything in the state"
            )
    return passed("saved, restored and interleaved with another run: the same bits")


def _taking_turns(optimizer: Optimizer, dtype: npt.DTypeLike) -> Parameters:
    params, state = start(optimizer, dtype)
    other, other_state = start(optimizer, dtype)
    for step, gradient in enumerate(gradients(params), 1):
        optimizer.update(params, gradient.copy(), state, step)
        optimizer.update(other, other.like(-2 * gradient.flat), other_state, step)
    return params


def _taken_up_each_step(subject: Subject, dtype: npt.DTypeLike) -> Parameters:
    optimizer = subject.make()
    params, state = start(optimizer, dtype)
    for step, gradient in enumerate(gradients(params), 1):
        optimizer.update(params, gradient.copy(), state, step)
        kept = saved(state)
        optimizer = subject.make()
        _, state = start(optimizer, dtype)
        fill(state, kept)
    return params


def fresh_process(subject: Subject) -> Result:
    """The second half of a run, taken up in a fresh process, gives the bits of a run without a break."""
    if not subject.again.targets:
        return fact("not tried: another process would find no class of that name")
    try:
        options = json.dumps(dict(subject.options))
    except TypeError:
        return fact("not tried: its options cannot be written down for another process")
    expected = [fresh(subject.make(), dtype).flat.tobytes().hex() for dtype in subject.dtypes]
    request = {
        **attrs.asdict(subject.again),
        "options": json.loads(options),
        "dtypes": [np.dtype(dtype).name for dtype in subject.dtypes],
        "path": sys.path,
    }
    with tempfile.TemporaryDirectory() as folder:
        for dtype in subject.dtypes:
            optimizer = subject.make()
            params, state = start(optimizer, dtype)
            go(optimizer, params, state, gradients(params)[: STEPS // 2])
            arrays: dict[str, Any] = {"flat": params.flat, **{f"state.{name}": array for name, array in state.items()}}
            np.savez(Path(folder) / np.dtype(dtype).name, **arrays)
        command = [sys.executable, "-m", "optiscope.testing.afresh", folder]
        try:
            done = subprocess.run(
                command, input=json.dumps(request), capture_output=True, text=True, check=False, timeout=PATIENCE
            )
        except subprocess.TimeoutExpired:
            raise CheckFailed(f"a fresh process took longer than {PATIENCE} s for {STEPS // 2} steps") from None
    if done.returncode:
        last = (done.stderr.strip().splitlines() or ["it said nothing"])[-1]
        return fact(f"not tried: another process could not load it ({last})")
    if json.loads(done.stdout) != expected:
        raise CheckFailed(
            "a run that is taken up in a fresh process ends elsewhere: keep everything in the state, and nothing in "
            "the module or the class"
        )
    return passed("taken up in a fresh process: the same bits")


def lr_obeyed(subject: Subject) -> Result:
    """The lr that is set before an update, as schedules do, is the one in force."""
    for dtype in subject.dtypes:
        lr = subject.make().lr
        obeyed, unchanged, expected = _after_change(subject, dtype, lr, lr / 2)
        if same(obeyed, unchanged):
            raise CheckFailed("lr changed between updates has no effect: use self.lr in update, not a copy from before")
        if not same(obeyed, expected):
            raise CheckFailed(
                "lr changed between updates is not what a new instance with that lr does: use self.lr in update"
            )
    return passed("lr is obeyed when it changes between updates, as schedules do")


def _after_change(
    subject: Subject, dtype: npt.DTypeLike, before: float, after: float
) -> tuple[Parameters, Parameters, Parameters]:
    """Return where a run comes to whose lr is changed half way, not changed, and taken up by an instance made so."""
    half = STEPS // 2
    optimizer = subject.make(lr=before)
    params, state = start(optimizer, dtype)
    grads = gradients(params)
    go(optimizer, params, state, grads[:half])
    ends = []
    for made, lr in ((before, after), (before, before), (after, after)):
        optimizer = subject.make(lr=made)
        _, own = start(optimizer, dtype)
        fill(own, saved(state))
        optimizer.lr = lr
        ends.append(go(optimizer, params.copy(), own, grads[half:], half + 1))
    changed, unchanged, expected = ends
    return changed, unchanged, expected
