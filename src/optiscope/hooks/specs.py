"""Every hook there is.

    registration, asked once, when the plugin is loaded
        optiscope_optimizers  optiscope_models  optiscope_datasets  optiscope_schedules
        optiscope_recorders   optiscope_analyzers   optiscope_executors

    lifecycle, in this order, once a run, a step or an epoch
        on_run_start
          on_forward -> on_backward -> on_step          each step
                                       on_epoch_end     each epoch, and after the last step
        on_run_end                                      whichever way the run ended
        on_run_error                                    before on_run_end, if something raised

Registration hooks return classes (or factories) that carry a `name`. Lifecycle hooks observe: what they return is
ignored, wrappers are refused, and the arrays they are handed are read-only views that are valid only during the call.
An implementation may take fewer arguments than the specification has.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy.typing as npt

from optiscope.hooks.markers import hookspec
from optiscope.params import Parameters
from optiscope.records import EpochRecord, RunInfo, RunResult


@hookspec
def optiscope_optimizers() -> Sequence[Any]:  # type: ignore[empty-body]
    """Return classes of optimizers: subclasses of `optiscope.optim.Optimizer`."""


@hookspec
def optiscope_models() -> Sequence[Any]:  # type: ignore[empty-body]
    """Return classes of models: subclasses of `optiscope.nn.Model`."""


@hookspec
def optiscope_datasets() -> Sequence[Any]:  # type: ignore[empty-body]
    """Return classes of data sets: each has a `name` and `load() -> optiscope.data.Images`."""


@hookspec
def optiscope_schedules() -> Sequence[Any]:  # type: ignore[empty-body]
    """Return classes of learning-rate schedules: each has a `name` and `factor(step, steps) -> float`."""


@hookspec
def optiscope_recorders() -> Sequence[Any]:  # type: ignore[empty-body]
    """Return classes of recorders, see `optiscope.records.Recorder`. One instance is made for each run."""


@hookspec
def optiscope_analyzers() -> Sequence[Any]:  # type: ignore[empty-body]
    """Return classes of analyzers: each has a `name`, a `rule_version` and `analyze(run) -> Finding`.

    `required` (False where it is left out) and `axis` ("report") say how its finding counts, see
    `optiscope.analysis.Analyzer`.
    """


@hookspec
def optiscope_executors() -> Sequence[Any]:  # type: ignore[empty-body]
    """Return factories `(jobs: int) -> concurrent.futures.Executor` that carry a `name`."""


@hookspec
def on_run_start(run: RunInfo) -> None:
    """Called before the first step."""


@hookspec
def on_forward(run: RunInfo, step: int, logits: npt.NDArray[Any], loss: float) -> None:
    """Called after the forward pass of `step` (from 1): logits [B, K] before the update, loss a mean over the batch."""


@hookspec
def on_backward(run: RunInfo, step: int, grads: Parameters) -> None:
    """Called after the backward pass, before the update."""


@hookspec
def on_step(run: RunInfo, step: int, params: Parameters, state: Mapping[str, npt.NDArray[Any]]) -> None:
    """Called after the update, with the new parameters and the optimizer's state."""


@hookspec
def on_epoch_end(run: RunInfo, record: EpochRecord) -> None:
    """Called at the end of an epoch, after it was evaluated."""


@hookspec
def on_run_end(run: RunInfo, result: RunResult) -> None:
    """Called once for every run that started, whichever way it ended. Reaches every plugin, whatever another raises."""


@hookspec
def on_run_error(run: RunInfo, error: Exception) -> None:
    """Called when an optimizer, a recorder or an observer raised. Reaches every plugin, whatever another raises."""
