"""One training step, phase by phase: forward, backward, update.

A `Trainer` owns what lives as long as the run: the tape with its buffers, parameters, gradients, optimizer state, and
the dropout generator. The loop decides when the phases run and who is told; here is only what they do.
"""

from __future__ import annotations

import math
from contextlib import AbstractContextManager
from typing import Any

import attrs
import numpy as np
import numpy.typing as npt

from optiscope.autograd import Tape, Tensor
from optiscope.data import Batch, to_batch
from optiscope.engine.blame import blamed
from optiscope.engine.identity import state_digest
from optiscope.engine.prepare import Prepared, input_of
from optiscope.nn import Output, on_tape
from optiscope.optim import State
from optiscope.params import Array, Parameters


@attrs.frozen
class Pass:
    """What a forward pass left: `loss` is the mean over the batch, whatever is differentiated."""

    output: Output
    objective: Tensor
    labels: npt.NDArray[Any] | None
    loss: float
    accuracy: float


class Trainer:
    """The mutable heart of a run."""

    def __init__(self, run: Prepared) -> None:
        self._run = run
        self._tape = Tape(kernels=run.config.kernels)
        self._dropout = np.random.default_rng(run.streams.dropout)
        self._epoch: tuple[int, list[Batch]] = (-1, [])
        image, classes = input_of(run.images)
        self._x = np.empty((run.config.batch_size, *image), dtype=np.float32)
        with self._model():
            self.params = run.model.init(np.random.default_rng(run.streams.initial), image, classes)
        self.grads = self.params.zeros()
        with self._optimizer():
            self.state: State = run.optimizer.init(self.params)

    def forward(self, step: int) -> Pass:
        """Run the model on the batch of `step` (from 1)."""
        model, reduction = self._run.model, self._run.config.reduction
        x, labels = self._batch(step)
        with self._optimizer(step):
            where = self._run.optimizer.evaluation_params(self.params, self.state)
        self._tape.reset()
        leaves = on_tape(self._tape, where, self.grads)
        with self._model(step):
            output = model.forward(leaves, None if x is None else self._tape.constant(x), self._dropout)
            objective = model.loss(output.output, labels, reduction)
        loss, accuracy = float(objective.array), math.nan
        if labels is not None:
            accuracy = float((output.output.array.argmax(axis=1) == labels).mean())
            if reduction == "sum":
                loss /= len(labels)
        return Pass(output, objective, labels, loss, accuracy)

    def backward(self, done: Pass) -> None:
        """Fill `grads` with the gradient of the pass's objective."""
        self._tape.backward(done.objective)

    def update(self, step: int) -> float:
        """Take the optimizer's step; return the learning rate that was in force."""
        run = self._run
        with blamed(run.host, "schedules", run.config.schedule, step):
            factor = run.schedule.factor(step, run.info.steps)
            run.optimizer.lr = run.info.lr * factor
        with self._optimizer(step):
            returned: Any = run.optimizer.update(self.params, self.grads, self.state, step)  # type: ignore[func-returns-value]
            if returned is not None:
                raise TypeError("update must change params in place and return nothing (params.flat -= ...)")
        return run.optimizer.lr

    def digest(self) -> str:
        """Return the SHA-256 of parameters and optimizer state."""
        return state_digest(self.params, self.state)

    def _model(self, step: int | None = None) -> AbstractContextManager[None]:
        return blamed(self._run.host, "models", self._run.config.model, step)

    def _optimizer(self, step: int | None = None) -> AbstractContextManager[None]:
        return blamed(self._run.host, "optimizers", self._run.config.optimizer, step)

    def _batch(self, step: int) -> tuple[Array | None, npt.NDArray[Any] | None]:
        images, batches = self._run.images, self._run.batches
        if images is None or batches is None:
            return None, None
        epoch, position = divmod(step - 1, batches.steps_per_epoch)
        if self._epoch[0] != epoch:
            self._epoch = (epoch, batches.epoch(epoch))
        rows = self._epoch[1][position]
        return to_batch(images.train_images[rows], out=self._x), images.train_labels[rows]


def all_finite(params: Parameters) -> bool:
    """Say whether every value is finite; one dot product in the common case."""
    with np.errstate(all="ignore"):
        return math.isfinite(float(params.flat @ params.flat)) or bool(np.isfinite(params.flat).all())
