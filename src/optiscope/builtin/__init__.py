"""The built-in pieces, as a plugin like any other.

Nobody imports this package by name: it is found through its entry point, as a third party's plugin is, and can be
blocked as one. Its pieces live in their own rooms.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from optiscope.hooks import hookimpl


@hookimpl
def optiscope_optimizers() -> Sequence[Any]:
    """SGD, and Adam with epsilon in either place."""
    from optiscope.optim import SGD, Adam, AdamInside

    return [SGD, Adam, AdamInside]


@hookimpl
def optiscope_models() -> Sequence[Any]:
    """The paper's CNN, a small one, and the problems with known answers."""
    from optiscope.nn import Logistic, NoisyQuadratic, PaperCNN, Quadratic, Reddi, Rosenbrock, SmallCNN, Wilson

    return [PaperCNN, SmallCNN, Quadratic, NoisyQuadratic, Rosenbrock, Reddi, Logistic, Wilson]


@hookimpl
def optiscope_datasets() -> Sequence[Any]:
    """The embedded synthetic images, and CIFAR-10."""
    from optiscope.data import Cifar10, Synthetic

    return [Synthetic, Cifar10]


@hookimpl
def optiscope_schedules() -> Sequence[Any]:
    """Learning-rate schedules."""
    from optiscope.optim import SCHEDULES

    return list(SCHEDULES)


@hookimpl
def optiscope_recorders() -> Sequence[Any]:
    """What is recorded of every step, of the probe images, and of every epoch."""
    from optiscope.builtin.recorders import EpochRecorder, GradientRMSRecorder, ProbeRecorder, StepRecorder

    return [StepRecorder, ProbeRecorder, EpochRecorder, GradientRMSRecorder]


@hookimpl
def optiscope_analyzers() -> Sequence[Any]:
    """The rules that verdicts rest on."""
    from optiscope.builtin.analyzers import ANALYZERS

    return list(ANALYZERS)


@hookimpl
def optiscope_executors() -> Sequence[Any]:
    """Processes on this machine, or this process itself."""
    from optiscope.builtin.executors import InProcess, Processes

    return [InProcess, Processes]
