"""A recorder for somebody's own PyTorch model and optimizer.

    with record("out", model, optimizer, steps=len(loader) * epochs, steps_per_epoch=len(loader), batch_size=64) as run:
        for inputs, labels in batches:
            logits = model(inputs)
            loss = cross_entropy(logits, labels)
            run.observe(logits, loss, labels)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()

`observe` says what only the loop knows. All else is seen from hooks before and after `optimizer.step()`: gradients,
parameters, the optimizer's state and its learning rate. What comes of it is a run file of optiscope, in `out/runs`.

Everything is copied to arrays of the CPU, and nothing of the model's or the optimizer's is ever changed. A scheduler
may step before or after: the learning rate that is recorded is that of the update.
"""

from __future__ import annotations

import math
import os
from collections.abc import Mapping
from types import TracebackType
from typing import Any, Self

import numpy as np
import torch

import optiscope
from optiscope.params import Parameters
from optiscope.records import RunInfo, RunResult
from optiscope_torch.optimizers import named_state

EPOCH = 100
"""Steps in an epoch where nobody says, as for optiscope's problems without data."""


def record(
    out: str | os.PathLike[str],
    model: torch.nn.Module,
    optimizer: torch.optim.Optimizer,
    *,
    steps: int,
    batch_size: int,
    steps_per_epoch: int = EPOCH,
    seed: int = 0,
    model_name: str | None = None,
    data: str = "unknown",
    overwrite: bool = False,
) -> Attached:
    """Attach a recorder to `model` and `optimizer`, and return it; `with` it, or call `detach` at the end.

    `steps` is the most that will be recorded: the file has room for them from the start, and is cut at the end.
    `batch_size`, `steps_per_epoch`, `seed`, `model_name` (the class, if None) and `data` are written down as they are
    given. Runs that differ in nothing but the seed make one cell of a characterization. With `overwrite`, the file of
    the same run that was recorded before is replaced.

    The file is made at the first step, when the width of the logits is known: FileError where it cannot be. ValueError
    where a number is below 1, or `optimizer` is not one of `model`.
    """
    for name, number in (("steps", steps), ("batch_size", batch_size), ("steps_per_epoch", steps_per_epoch)):
        if number < 1:
            raise ValueError(f"{name} must be a whole number >= 1, not {number!r}")
    return Attached(
        out,
        model,
        optimizer,
        {
            "steps": steps,
            "batch_size": batch_size,
            "steps_per_epoch": steps_per_epoch,
            "epochs": -(-steps // steps_per_epoch),
            "seed": seed,
            "model": model_name or type(model).__name__,
            "data": data,
        },
        overwrite,
    )


class Attached:
    """The recorder that `record` attached; a context manager that detaches it."""

    def __init__(
        self,
        out: str | os.PathLike[str],
        model: torch.nn.Module,
        optimizer: torch.optim.Optimizer,
        told: Mapping[str, Any],
        overwrite: bool,
    ) -> None:
        self._out, self._optimizer, self._told, self._overwrite = out, optimizer, told, overwrite
        held = {id(tensor) for group in optimizer.param_groups for tensor in group["params"]}
        self._tensors = {name: tensor for name, tensor in model.named_parameters() if id(tensor) in held}
        if not self._tensors:
            raise ValueError("the optimizer holds no parameter of the model: make it with model.parameters()")
        dtype = np.float64 if all(tensor.dtype == torch.float64 for tensor in self._tensors.values()) else np.float32
        shapes = {name: tuple(tensor.shape) for name, tensor in self._tensors.items()}
        self._params, self._grads = Parameters(shapes, dtype), Parameters(shapes, dtype)
        self._observed: tuple[torch.Tensor, float, torch.Tensor | None] | None = None
        self._lr = math.nan
        self._recording: optiscope.Recording | None = None
        self._hooks = [
            optimizer.register_step_pre_hook(self._before_step),
            optimizer.register_step_post_hook(self._after_step),
        ]

    @property
    def result(self) -> RunResult | None:
        """How the recording ended: None before its end, or where not a single step was recorded."""
        return None if self._recording is None else self._recording.result

    def observe(self, logits: torch.Tensor, loss: torch.Tensor | float, labels: torch.Tensor | None = None) -> None:
        """Say what the next step is about: `logits` [..., K] and `loss` of the batch, a mean over it.

        With `labels` [...], the number of a class each, the accuracy is recorded too. Where several backward passes
        make one step, the last of them counts.
        """
        value = loss.item() if isinstance(loss, torch.Tensor) else float(loss)
        self._observed = logits.detach(), value, None if labels is None else labels.detach()

    def evaluated(self, **measured: float) -> None:
        """Add train_loss, train_accuracy, val_loss, val_accuracy to the epoch that the last step ended.

        UsageError where it did not end one, which is so after every `steps_per_epoch` steps.
        """
        if self._recording is not None:
            self._recording.evaluated(**measured)

    def detach(self) -> None:
        """Take the hooks away, and end the file."""
        self.__exit__(None, None, None)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for hook in self._hooks:
            hook.remove()
        if self._recording is not None:
            self._recording.__exit__(kind, error, trace)

    def _before_step(self, *_: Any) -> None:
        if self._observed is None:
            raise RuntimeError("optimizer.step() without observe(logits, loss): call it before each step")
        if self._recording is None:
            self._recording = self._begin(self._observed[0])
        self._lr = float(self._optimizer.param_groups[0]["lr"])
        self._recording.before_update()

    def _after_step(self, *_: Any) -> None:
        assert self._recording is not None
        assert self._observed is not None
        logits, loss, labels = self._observed
        accuracy = math.nan if labels is None else float((logits.argmax(dim=-1) == labels).float().mean())
        self._recording.after_update(loss=loss, accuracy=accuracy, lr=self._lr)
        self._observed = None

    def _begin(self, logits: torch.Tensor) -> optiscope.Recording:
        defaults = self._optimizer.defaults
        run = RunInfo(
            run_id="",
            optimizer=f"torch:{type(self._optimizer).__name__}",
            optimizer_options={name: value for name, value in sorted(defaults.items()) if name != "lr"},
            model_options={},
            data_digest="",
            lr=float(self._optimizer.param_groups[0]["lr"]),
            reduction="mean",
            train_samples=0,
            test_samples=0,
            probe_size=0,
            parameters=tuple(self._params.shapes.items()),
            output="logits",
            outputs=logits.shape[-1],
            class_names=(),
            config={"kernels": "torch", "threads": torch.get_num_threads()},
            versions={"torch": torch.__version__},
            **self._told,
        )
        sources = {
            "logits": self._logits,
            "labels": self._labels,
            "grads": self._copied_grads,
            "params": self._copied_params,
            "state": self._copied_state,
        }
        return optiscope.Recording(self._out, run, sources, overwrite=self._overwrite)

    def _logits(self) -> Any:
        assert self._observed is not None
        logits = self._observed[0]
        return _array(logits.reshape(-1, logits.shape[-1]).to(torch.promote_types(logits.dtype, torch.float32)))

    def _labels(self) -> Any:
        labels = None if self._observed is None else self._observed[2]
        return None if labels is None else _array(labels.reshape(-1))

    def _copied_params(self) -> Parameters:
        for name, tensor in self._tensors.items():
            _copy(tensor, self._params[name])
        return self._params

    def _copied_grads(self) -> Parameters:
        for name, tensor in self._tensors.items():
            if tensor.grad is None:
                self._grads[name][...] = 0
            else:
                _copy(tensor.grad, self._grads[name])
        return self._grads

    def _copied_state(self) -> dict[str, Any]:
        return {name: _array(value) for name, value in named_state(self._optimizer, self._tensors).items()}


def _copy(tensor: torch.Tensor, array: Any) -> None:
    torch.from_numpy(array).copy_(tensor.detach())


def _array(tensor: torch.Tensor) -> Any:
    return tensor.detach().cpu().numpy()
