"""Any class of `torch.optim` as an optimizer of optiscope.

A PyTorch optimizer holds its parameters and keeps its state in a dict by tensor. One of optiscope holds nothing: it is
handed parameters, gradients and named arrays of state, and changes them in place. The bridge is that tensors and arrays
share memory. For each update a PyTorch optimizer is made over views of what was handed over, which takes a few
microseconds a parameter, steps once, and is forgotten:

    params["w"], grads["w"]       the tensor that is stepped, and its .grad
    state["exp_avg.w"]            optimizer.state[w]["exp_avg"]

PyTorch makes its state in the first step, and so does this: what `init` returns has the right names, shapes and types
but holds zeros, which the first step writes over. After that the tensors of the state are views of its arrays.

PyTorch steps on one thread, as everything else in a run does: with several, sums would depend on how many there are.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import ClassVar

import attrs
import numpy as np
import torch

from optiscope.optim import Optimizer, State
from optiscope.params import Parameters

REFUSED = {
    "LBFGS": "it computes the loss several times in a step, and an optimizer here is handed one gradient",
    "SparseAdam": "it takes sparse gradients only, and those here are dense",
}
"""Classes that cannot be used, and why."""

Tensors = Mapping[str, torch.Tensor]


@attrs.define(kw_only=True)
class TorchOptimizer(Optimizer):
    """A class of `torch.optim`; the subclasses that `optimizers` makes have its options as fields.

    Values are checked by PyTorch itself: one of these is made, and steps, when an instance is made. ValueError where
    it refuses.
    """

    torch_class: ClassVar[type[torch.optim.Optimizer]]

    def __attrs_post_init__(self) -> None:
        """Ask PyTorch whether it takes the options."""
        name = self.torch_class.__name__
        if name in REFUSED:
            raise ValueError(f"{name} cannot be used: {REFUSED[name]}")
        try:
            self._first_state({"w": torch.zeros(1, 1)})
        except Exception as error:
            raise ValueError(" ".join(str(error).split()) or type(error).__name__) from error

    def init(self, params: Parameters) -> State:
        """Return zeros in the place of all that PyTorch will keep, by names such as `exp_avg.conv1.weight`."""
        state = self._first_state({name: torch.from_numpy(np.zeros_like(array)) for name, array in params.items()})
        return {name: np.zeros_like(tensor.numpy()) for name, tensor in state.items()}

    def update(self, params: Parameters, grads: Parameters, state: State, step: int) -> None:
        """Let PyTorch take one step."""
        shared = {} if step == 1 else {name: torch.from_numpy(array) for name, array in state.items()}
        tensors = {name: torch.from_numpy(array) for name, array in params.items()}
        after = self._step(tensors, {name: torch.from_numpy(grads[name]) for name in tensors}, shared)
        for name, tensor in after.items():
            if tensor is not shared.get(name):
                np.copyto(state[name], tensor.numpy(), casting="no")

    def _first_state(self, tensors: Tensors) -> dict[str, torch.Tensor]:
        return self._step(tensors, {name: torch.zeros_like(tensor) for name, tensor in tensors.items()}, {})

    def _step(self, tensors: Tensors, grads: Tensors, state: Tensors) -> dict[str, torch.Tensor]:
        """Change `tensors` in place, and return the state after the step; that before it is changed or replaced."""
        options = {field.alias: getattr(self, field.name) for field in attrs.fields(type(self)) if field.init}
        for name, tensor in tensors.items():
            tensor.grad = grads[name]
        with _one_thread():
            optimizer = self.torch_class(list(tensors.values()), **options)
            for full_name, held in state.items():
                key, _, name = full_name.partition(".")
                optimizer.state[tensors[name]][key] = held
            optimizer.step()
        return named_state(optimizer, tensors)


def named_state(optimizer: torch.optim.Optimizer, tensors: Tensors) -> dict[str, torch.Tensor]:
    """Return the tensors that `optimizer` keeps for each of `tensors`, by what they are and whose."""
    return {
        f"{key}.{name}": value
        for name, tensor in tensors.items()
        for key, value in optimizer.state.get(tensor, {}).items()
        if isinstance(value, torch.Tensor)
    }


def optimizers() -> Sequence[type[TorchOptimizer]]:
    """Return a class for each of `torch.optim`, named after it: "torch:RAdam"."""
    found = vars(torch.optim).values()
    return [_bridge(each) for each in found if isinstance(each, type) and torch.optim.Optimizer in each.__mro__[1:]]


def _bridge(torch_class: type[torch.optim.Optimizer]) -> type[TorchOptimizer]:
    parameters = {name: each for name, each in inspect.signature(torch_class).parameters.items() if name != "params"}
    fields = {name: attrs.field(default=each.default, type=each.annotation) for name, each in parameters.items()}
    fields["lr"] = attrs.field(
        default=parameters["lr"].default, type=float, validator=attrs.fields(Optimizer).lr.validator
    )
    body = {
        "name": f"torch:{torch_class.__name__}",
        "torch_class": torch_class,
        "__doc__": f"`torch.optim.{torch_class.__name__}`.",
        "__module__": __name__,
    }
    made: type[TorchOptimizer] = attrs.make_class(
        torch_class.__name__, fields, bases=(TorchOptimizer,), class_body=body, kw_only=True, slots=True
    )
    return made


@contextmanager
def _one_thread() -> Iterator[None]:
    threads = torch.get_num_threads()
    if threads == 1:
        yield
        return
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)
