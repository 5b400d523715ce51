"""One training step, phase by phase: forward, backward, update.

A `Trainer` owns what lives as long as the run: parameters, gradients, optimizer state, and the shards of the batch with
their tapes and threads (see `optiscope.engine.shards`). The loop decides when the phases run and who is told; here is
only what they do.
"""

from __future__ import annotations

import math
from contextlib import AbstractContextManager
from typing import Any

import attrs
import numpy as np
import numpy.typing as npt

from optiscope.data import Batch, child
from optiscope.engine.blame import blamed
from optiscope.engine.evaluate import accuracy
from optiscope.engine.identity import state_digest
from optiscope.engine.prepare import Prepared, input_of
from optiscope.engine.shards import Shards
from optiscope.nn import Samples
from optiscope.optim import State
from optiscope.params import Parameters
from optiscope.records import Checkpoint


@attrs.frozen
class Pass:
    """What a forward pass says: `loss` is the mean over the batch, whatever is differentiated.

    `logits` [B, K] is the model's output, valid until the next pass.
    """

    logits: npt.NDArray[Any]
    labels: npt.NDArray[Any] | None
    loss: float
    accuracy: float


class Trainer:
    """The mutable heart of a run. `close` ends its threads."""

    def __init__(self, run: Prepared) -> None:
        self._run = run
        self._epoch: tuple[int, list[Batch]] = (-1, [])
        image, classes = input_of(run.images)
        with self._model():
            self.params = run.model.init(np.random.default_rng(run.streams.initial), image, classes)
        self.grads = self.params.zeros()
        self._shards = Shards(run, self.grads)
        with self._optimizer():
            self.state: State = run.optimizer.init(self.params)

    def forward(self, step: int) -> Pass:
        """Run the model on the batch of `step` (from 1)."""
        images, labels = self._batch(step)
        with blamed(self._run.host, "schedules", self._run.config.schedule, step):
            factor = self._run.schedule.factor(step, self._run.info.steps)
            self._run.optimizer.lr = self._run.info.lr * factor  # a look-ahead may depend on it
        with self._optimizer(step):
            where = self._run.optimizer.evaluation_params(self.params, self.state)
        with self._model(step):
            loss = self._shards.forward(where, images, labels)
            logits = self._shards.output()
        if labels is not None and self._run.config.reduction == "sum":
            loss /= len(labels)
        return Pass(logits, labels, loss, accuracy(logits, labels))

    def backward(self, step: int) -> None:
        """Fill `grads` with the gradient of what `forward` computed."""
        with self._model(step):
            self._shards.backward()

    def dlogits(self) -> npt.NDArray[Any] | None:
        """Return the gradient with respect to the logits [B, K], after `backward`; valid until the next pass."""
        return self._shards.output_grad()

    def last_input(self) -> npt.NDArray[Any] | None:
        """Return what flowed into the output layer [B, H], None where there is none; valid until the next pass."""
        return self._shards.last_input()

    def update(self, step: int) -> float:
        """Take the optimizer's step; return the learning rate that was in force."""
        run = self._run
        with self._optimizer(step):
            returned: Any = run.optimizer.update(self.params, self.grads, self.state, step)  # type: ignore[func-returns-value]
            if returned is not None:
                raise TypeError("update must change params in place and return nothing (params.flat -= ...)")
        with self._model(step):
            run.model.project(self.params)
        return run.optimizer.lr

    def digest(self) -> str:
        """Return the SHA-256 of parameters and optimizer state."""
        return state_digest(self.params, self.state)

    def checkpoint(self) -> dict[str, Any]:
        """Return what the next step depends on, as the fields of a `Checkpoint`: views, valid until that step."""
        return {"params": self.params.flat, "state": self.state, "generators": self._shards.generators()}

    def take_up(self, checkpoint: Checkpoint) -> None:
        """Go on from `checkpoint`. What the optimizer made in `init` is filled, for it may hold on to it."""
        np.copyto(self.params.flat, checkpoint.params, casting="no")
        for name in self.state.keys() - checkpoint.state.keys():
            del self.state[name]
        for name, array in checkpoint.state.items():
            mine = self.state.get(name)
            if mine is not None and (mine.shape, mine.dtype) == (array.shape, array.dtype):
                mine[...] = array
            else:
                self.state[name] = array
        self._shards.take_up(checkpoint.generators)

    def close(self) -> None:
        """End the threads."""
        self._shards.close()

    def _model(self, step: int | None = None) -> AbstractContextManager[None]:
        return blamed(self._run.host, "models", self._run.config.model, step)

    def _optimizer(self, step: int | None = None) -> AbstractContextManager[None]:
        return blamed(self._run.host, "optimizers", self._run.config.optimizer, step)

    def _batch(self, step: int) -> Samples:
        images, batches = self._run.images, self._run.batches
        if images is None or batches is None:
            return self._drawn(step)
        epoch, position = divmod(step - 1, batches.steps_per_epoch)
        if self._epoch[0] != epoch:
            self._epoch = (epoch, batches.epoch(epoch))
        rows = self._epoch[1][position]
        return images.train_images[rows], images.train_labels[rows]

    def _drawn(self, step: int) -> Samples:
        """Return the batch that a problem makes itself; a generator lasts an epoch, where a run can be taken up."""
        run = self._run
        epoch, position = divmod(step - 1, run.info.steps_per_epoch)
        if position == 0:
            self._drawing = np.random.default_rng(child(run.streams.order, epoch))
        with self._model(step):
            return run.model.samples(self._drawing, run.config.batch_size, step)


def all_finite(params: Parameters) -> bool:
    """Say whether every value is finite; one dot product in the common case."""
    with np.errstate(all="ignore"):
        return math.isfinite(float(params.flat @ params.flat)) or bool(np.isfinite(params.flat).all())
