"""One training step, phase by phase: forward, backward, update.

A `Trainer` owns what lives as long as the run: the tape with its buffers, parameters, gradients, optimizer state, and
the random generators. The loop decides when the phases run and who is told; here is only what they do.

The run's seed is spawned into one stream for each use, in this order: initial parameters, batch order, dropout. A new
use is appended, never inserted, so that old runs keep their bits.
"""

from __future__ import annotations

import math
from typing import Any

import attrs
import numpy as np
import numpy.typing as npt

from optiscope.autograd import Tape, Tensor
from optiscope.data import Batches, to_batch
from optiscope.engine.identity import state_digest
from optiscope.engine.prepare import Prepared
from optiscope.nn import Output
from optiscope.optim import State
from optiscope.params import Array, Parameters

NO_IMAGE = (1, 1, 1)


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
        config, images = run.config, run.images
        initial, order, dropout = np.random.SeedSequence(config.seed).spawn(3)
        self._run = run
        self._tape = Tape(kernels=config.kernels)
        self._dropout = np.random.default_rng(dropout)
        self._batches = (
            None if images is None else Batches(config.order, len(images.train_labels), config.batch_size, order)
        )
        self._epoch: tuple[int, list[npt.NDArray[np.intp]]] = (-1, [])
        image = NO_IMAGE if images is None else images.train_images.shape[1:]
        classes = max(1, len(run.info.class_names))
        self.params = run.model.init(np.random.default_rng(initial), image, classes)
        self.grads = self.params.zeros()
        self.state: State = run.optimizer.init(self.params)

    def forward(self, step: int) -> Pass:
        """Run the model on the batch of `step` (from 1)."""
        model, reduction = self._run.model, self._run.config.reduction
        x, labels = self._batch(step)
        where = self._run.optimizer.evaluation_params(self.params, self.state)
        self._tape.reset()
        leaves = {name: self._tape.leaf(where[name], grad=self.grads[name]) for name in where}
        output = model.forward(leaves, None if x is None else self._tape.constant(x), self._dropout)
        objective = model.loss(output.output, labels, reduction)
        loss, accuracy = float(objective.data), math.nan
        if labels is not None:
            accuracy = float((output.output.data.argmax(axis=1) == labels).mean())
            if reduction == "sum":
                loss /= len(labels)
        return Pass(output, objective, labels, loss, accuracy)

    def backward(self, done: Pass) -> None:
        """Fill `grads` with the gradient of the pass's objective."""
        self.grads.flat.fill(0)
        self._tape.backward(done.objective)

    def update(self, step: int) -> float:
        """Take the optimizer's step; return the learning rate that was in force."""
        run = self._run
        run.optimizer.lr = run.info.lr * run.schedule.factor(step, run.info.steps)
        run.optimizer.update(self.params, self.grads, self.state, step)
        return run.optimizer.lr

    def digest(self) -> str:
        """Return the SHA-256 of parameters and optimizer state."""
        return state_digest(self.params, self.state)

    def _batch(self, step: int) -> tuple[Array | None, npt.NDArray[Any] | None]:
        images = self._run.images
        if images is None or self._batches is None:
            return None, None
        epoch, position = divmod(step - 1, self._run.info.steps_per_epoch)
        if self._epoch[0] != epoch:
            self._epoch = (epoch, self._batches.epoch(epoch))
        rows = self._epoch[1][position]
        return to_batch(images.train_images[rows]), images.train_labels[rows]


def all_finite(params: Parameters) -> bool:
    """Say whether every value is finite; one dot product in the common case."""
    with np.errstate(all="ignore"):
        return math.isfinite(float(params.flat @ params.flat)) or bool(np.isfinite(params.flat).all())
