"""What training meets at its edges: gradients that are zero or not finite, odd shapes, options out of range.

Two questions decide how much may be expected. Does a tensor's step depend on other tensors' gradients? For most methods
it does not, and then a NaN has no way from one tensor to another. Some take a norm over everything on purpose: for them
it is told as a warning. Does it depend on the order of the tensors as well? No method means that: memory is shared.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from optiscope.errors import RAISED, OptiscopeError, told
from optiscope.optim import State
from optiscope.params import Array, Parameters
from optiscope.testing.drive import SHAPES, STEPS, arrays_of, deviation, fresh, go, gradients, same, start, words
from optiscope.testing.result import CheckFailed, Result, passed, warned
from optiscope.testing.roles import DECAY_RATES, role_of
from optiscope.testing.subject import Subject, options_now

Reach = Literal["element", "tensor", "all"]

ROUNDING = 1e-9
"""What float64 runs may differ by, in units of the way gone, when sums are made in another order."""

TOUCHED = "conv.weight"
"""The tensor whose gradients are changed, to see who else notices."""

ROWS = 300
"""Rows, and columns, of a matrix that is longer than a block as well."""

TENSORS, EQUAL = 7, (100, 100)
"""How many equal tensors make a vector longer than a block of `optiscope.optim.blocks`, and their shape."""


def zero_gradients(subject: Subject) -> Result:
    """Gradients of zero, from the first step and after others, leave everything finite."""
    for dtype in subject.dtypes:
        for before in (0, STEPS):
            optimizer = subject.make()
            params, state = start(optimizer, dtype)
            grads = gradients(params)[:before] + [params.zeros() for _ in range(STEPS)]
            go(optimizer, params, state, grads)
            arrays = {
                "parameters": params.flat,
                **{f"state '{name}'": array for name, array in arrays_of(state).items()},
            }
            for name, array in arrays.items():
                if not _finite(array):
                    when = "from the first step" if before == 0 else f"after {before} others"
                    raise CheckFailed(f"gradients of zero, {when}, gave {name} that are not finite: guard 0/0")
    return passed("gradients of zero leave parameters and state finite")


def _finite(array: Any) -> bool:
    return array.dtype.kind not in "fc" or bool(np.isfinite(array).all())


def independent(subject: Subject) -> Result:
    """A tensor's step depends on its own gradients; if on all, then not on the order of the tensors."""
    reach = reach_of(subject)
    if reach != "all":
        by = {"element": "element by element", "tensor": "tensor by tensor"}[reach]
        _check_equal_parts(subject)
        return passed(f"works {by}: no tensor's step depends on another's gradient", reach=reach)
    moved = _order_matters(subject)
    if moved > ROUNDING:
        raise CheckFailed(
            f"state is shared between parameters: a tensor's step depends on the gradients of others and on the order "
            f"of the tensors (by {moved:.1e} of the way gone)"
        )
    _check_equal_parts(subject)
    return warned(
        "every tensor's step depends on all gradients: right only for a method with a global norm", reach=reach
    )


def reach_of(subject: Subject) -> Reach:
    """Say whose gradients an element's step depends on, as far as finite gradients show it."""

    def changed(element: bool) -> Callable[[Parameters], None]:
        def change(gradient: Parameters) -> None:
            part = gradient[TOUCHED].reshape(-1)[:1] if element else gradient[TOUCHED]
            part[...] = 1 - 3 * part

        return change

    (plain, plain_state), (whole, whole_state), (one, _) = (
        _ended(subject, change) for change in (None, changed(False), changed(True))
    )
    behind = int(np.prod(SHAPES[TOUCHED]))
    before, after = _others(plain, plain_state, behind), _others(whole, whole_state, behind)
    if any(array.tobytes() != after[name].tobytes() for name, array in before.items()):
        return "all"
    return "element" if plain[TOUCHED].flat[1:].tobytes() == one[TOUCHED].flat[1:].tobytes() else "tensor"


def _others(params: Parameters, state: State, begin: int) -> dict[str, Array]:
    """Return what is not of the first `begin` elements, by what it is: a step may show no more of state than a sign.

    State that belongs to a tensor has its name at the end, or is one value for each tensor.
    """
    found = {"parameters": params.flat[begin:]}
    for name, array in arrays_of(state).items():
        if array.size == params.flat.size:
            found[f"state '{name}'"] = array.reshape(-1)[begin:]
        elif array.shape == (len(SHAPES),):
            found[f"state '{name}'"] = array[1:]
        elif any(name.endswith(f".{tensor}") for tensor in SHAPES if tensor != TOUCHED):
            found[f"state '{name}'"] = array
    return found


def _ended(subject: Subject, change: Callable[[Parameters], None] | None = None) -> tuple[Parameters, State]:
    optimizer = subject.make()
    params, state = start(optimizer, np.float64)
    grads = gradients(params)
    if change is not None:
        for gradient in grads:
            change(gradient)
    return go(optimizer, params, state, grads), state


def _order_matters(subject: Subject) -> float:
    """Return by how much runs differ, of the way gone, when the tensors stand in reverse order."""
    optimizer = subject.make()
    origin, _ = start(optimizer, np.float64)
    turned = Parameters.from_arrays({name: origin[name] for name in reversed(SHAPES)}, np.float64)
    state = optimizer.init(turned)
    grads = [
        Parameters.from_arrays({name: gradient[name] for name in reversed(SHAPES)}, np.float64)
        for gradient in gradients(origin)
    ]
    go(optimizer, turned, state, grads)
    straight, _ = _ended(subject)
    return max(deviation(straight[name], turned[name], origin[name]) for name in SHAPES)


def _check_equal_parts(subject: Subject) -> None:
    _check_equal_tensors(subject)
    _check_equal_rows(subject)


def _check_equal_rows(subject: Subject) -> None:
    optimizer = subject.make()
    row, _ = start(optimizer, np.float64, {"row": (ROWS,)})

    def matrix(values: Array) -> Parameters:
        """A long tensor that does not stand first: its blocks do not begin where those of all parameters do."""
        return Parameters.from_arrays({"first": values[:5], "w": np.tile(values, (ROWS, 1))}, np.float64)

    params = matrix(row["row"])
    state, before = optimizer.init(params), params.copy()
    for step, gradient in enumerate(gradients(row, 2), 1):
        optimizer.update(params, matrix(gradient["row"]), state, step)
    w = params["w"]
    off = deviation(np.broadcast_to(w[0], w.shape), w, before["w"])
    if off > ROUNDING:
        raise CheckFailed(
            f"of the {ROWS} equal rows of one matrix with equal gradients, some go another way (off by {off:.1e}): "
            "not all of a large tensor is worked on in the same way"
        )


def _check_equal_tensors(subject: Subject) -> None:
    optimizer = subject.make()
    origin, _ = start(optimizer, np.float64, {"one": EQUAL})
    names = [f"layer{number}.weight" for number in range(TENSORS)]
    params = Parameters.from_arrays(dict.fromkeys(names, origin["one"]), np.float64)
    state = optimizer.init(params)
    before = params.copy()
    for step, gradient in enumerate(gradients(origin, 2), 1):
        optimizer.update(params, Parameters.from_arrays(dict.fromkeys(names, gradient["one"]), np.float64), state, step)
    for name in names:
        off = deviation(params[names[0]], params[name], before[name])
        if off > ROUNDING:
            raise CheckFailed(
                f"of {TENSORS} equal tensors with equal gradients, '{name}' goes another way than '{names[0]}': "
                "state is shared between parameters, or not all of params.flat is worked on"
            )


def not_finite(subject: Subject) -> Result:
    """NaN or infinity in one tensor's gradient, for one step, stays with what depends on that gradient."""
    reach = reach_of(subject)
    for value in (np.nan, np.inf):
        optimizer = subject.make()
        params, state = start(optimizer, np.float64)
        grads = gradients(params)
        grads[2][TOUCHED].reshape(-1)[0] = value
        try:
            go(optimizer, params, state, grads)
        except (ArithmeticError, ValueError, np.linalg.LinAlgError) as error:
            return warned(
                f"a gradient of {value} raises {type(error).__name__}: a run fails where it would end as diverged"
            )
        spread = _spread(params, state, reach)
        if spread and reach == "all":
            return warned(f"a gradient of {value} in '{TOUCHED}' reaches {spread}, as it must through a global norm")
        if spread:
            raise CheckFailed(f"a gradient of {value} in '{TOUCHED}' reaches {spread}: keep it where it is")
    return passed(
        f"NaN and infinity in one gradient do not reach other {'elements' if reach == 'element' else 'tensors'}"
    )


def _spread(params: Parameters, state: State, reach: Reach) -> str:
    """Return what else is not finite: other tensors of params and state, and other elements where those go alone."""
    begin = 1 if reach == "element" else int(np.prod(SHAPES[TOUCHED]))
    reached = [name for name, array in _others(params, state, begin).items() if not _finite(array)]
    return f"untouched {words(reached)}" if reached else ""


def shapes(subject: Subject) -> Result:
    """One parameter, one element, no axis, no element, and a buffer that is part of a larger one."""
    layouts: dict[str, dict[str, tuple[int, ...]]] = {
        "one parameter": {"w": (4, 3)},
        "one element": {"w": (1,)},
        "a parameter without axes": {"w": (), "matrix": (2, 3)},
        "an empty parameter": {"before": (2, 3), "empty": (0,), "none": (3, 0), "after": (4,)},
    }
    for dtype in subject.dtypes:
        for what, layout in layouts.items():
            optimizer = subject.make()
            try:
                params, state = start(optimizer, dtype, layout)
                go(optimizer, params, state, gradients(params))
            except RAISED as error:
                raise CheckFailed(f"{what} {tuple(layout.values())} raises {told(error)}") from error
            if not np.isfinite(params.flat).all():
                raise CheckFailed(f"{what} {tuple(layout.values())} gives parameters that are not finite")
        _check_part(subject, dtype)
    return passed(f"{words(list(layouts))}, and a part of a larger buffer")


def _check_part(subject: Subject, dtype: npt.DTypeLike) -> None:
    """Put the parameters, and the gradients, in the middle of larger buffers."""
    optimizer = subject.make()
    whole, _ = start(optimizer, dtype)
    margin, size = 5, whole.flat.size
    buffers = [np.full(size + 2 * margin, 7, dtype) for _ in range(2)]
    params, grads = (whole.like(buffer[margin : margin + size]) for buffer in buffers)
    params.flat[...] = whole.flat
    state = optimizer.init(params)
    for step, gradient in enumerate(gradients(params), 1):
        grads.flat[...] = gradient.flat
        optimizer.update(params, grads, state, step)
    around = np.concatenate([part for buffer in buffers for part in (buffer[:margin], buffer[-margin:])])
    if not (around == 7).all():
        raise CheckFailed("update writes outside of params.flat, when that is part of a larger buffer")
    if not same(params, fresh(subject.make(), dtype)):
        raise CheckFailed("parameters that are part of a larger buffer come to other bits than parameters of their own")


def options_refused(subject: Subject) -> Result:
    """An lr out of range is refused when an instance is made; so should other options be."""
    for lr in (0.0, -0.1, np.nan, np.inf):
        if _takes(subject, "lr", lr):
            raise CheckFailed(
                f"lr={lr:g} is taken: a field that overrides lr needs validator=attrs.fields(Optimizer).lr.validator"
            )
    careless = []
    for name, value in options_now(subject).items():
        wrong = _wrong(name, value) if name != "lr" else []
        taken = [str(bad) for bad in wrong if _takes(subject, name, bad)]
        careless += [f"{name} takes {words(taken)}"] if taken else []
    if careless:
        return warned(f"no validator refuses it: {'; '.join(careless)} (optiscope.optim has at_least_zero, decay_rate)")
    return passed("lr and other values out of range are refused")


def _wrong(name: str, value: Any) -> list[Any]:
    """Return values that an option of this name, and with this value, should hardly take."""
    if isinstance(value, bool):
        return []
    if isinstance(value, float):
        return [np.nan, np.inf, -1.0] + ([1.0] if role_of(name) in DECAY_RATES else [])
    return [-1] if isinstance(value, int) else ["no such value"] if isinstance(value, str) else []


def _takes(subject: Subject, name: str, value: Any) -> bool:
    try:
        subject.make(**{name: value})
    except (ValueError, TypeError, OptiscopeError):
        return False
    return True
