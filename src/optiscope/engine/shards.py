"""One batch on several threads: it is cut into shards, and each thread differentiates its own.

    batch  ->  shard 0 (the calling thread)   forward, backward  ->  grads    -+
               shard 1 (a thread)             forward, backward  ->  grads 1   +->  grads + grads 1 + ...
               ...

NumPy lets go of Python's lock while it computes, so the threads run side by side. A shard has whatever a step writes
to: a tape with its buffers, gradients, a dropout generator. They share the parameters and the model, to which nobody
writes. All of it lives as long as the run, and so do the threads.

What comes out is that of the whole batch. A shard differentiates the sum over its images, divided by the size of the
batch if the mean is asked for: gradients then simply add up, however unequal the shards are. They are added in the
order of the shards, so that the bits depend on the number of threads, never on which was first. Outputs are joined in
the order of the batch.

On one thread there is one shard, which is the batch, and none of this happens.
"""

from __future__ import annotations

import contextvars
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import numpy.typing as npt

from optiscope.autograd import Tape, Tensor
from optiscope.data import to_batch
from optiscope.engine import blas
from optiscope.engine.prepare import Prepared, input_of
from optiscope.nn import Output, on_tape
from optiscope.params import Parameters

Inputs = npt.NDArray[Any]
"""uint8 images [B, H, W, C]; of a problem that makes its own samples, numbers [B, ...]."""

Labels = npt.NDArray[Any]


class Shard:
    """The images `rows` of every batch; `whole` if these are all. Gradients land in `grads`."""

    def __init__(self, run: Prepared, rows: slice, whole: bool, grads: Parameters, dropout: np.random.SeedSequence):
        self._model, self._reduction, self._size = run.model, run.config.reduction, run.config.batch_size
        self._rows, self._whole = rows, whole
        self._tape = Tape(kernels=run.config.kernels)
        self.dropout = np.random.default_rng(dropout)
        image, _ = input_of(run.images)
        self._of_images = run.images is not None
        self._x = np.empty((rows.stop - rows.start, *image), dtype=grads.dtype)
        self.grads = grads

    def forward(self, params: Parameters, inputs: Inputs | None, labels: Labels | None) -> None:
        """Run the model on this shard of a batch; a problem may have no inputs, or no labels."""
        self._tape.reset()
        x = None
        if self._of_images and inputs is not None and labels is not None:
            x = self._tape.constant(to_batch(inputs[self._rows], out=self._x))
            labels = labels[self._rows]
        elif inputs is not None:
            x = self._tape.constant(inputs.astype(self.grads.dtype, copy=False))
        self.output: Output = self._model.forward(on_tape(self._tape, params, self.grads), x, self.dropout)
        self.objective: Tensor = self._model.loss(self.output.output, labels, self._reduction if self._whole else "sum")
        if not self._whole and self._reduction == "mean":
            self.objective = self.objective * (1 / self._size)

    def backward(self) -> None:
        """Fill `grads` with the gradient of the objective."""
        self._tape.backward(self.objective)


class Shards:
    """A batch in as many shards as the run has threads, one for each image at most; one for a problem without data.

    Sizes differ by one at most. `grads` takes the gradient of the whole batch. `close` ends the threads.
    """

    def __init__(self, run: Prepared, grads: Parameters) -> None:
        size = run.config.batch_size
        count = 1 if run.images is None else min(run.config.threads, size)
        starts = [size * index // count for index in range(count + 1)]
        self._shards = [
            Shard(
                run,
                slice(starts[index], starts[index + 1]),
                count == 1,
                grads if index == 0 else grads.zeros(),
                run.streams.dropout_of(index),
            )
            for index in range(count)
        ]
        self._threads = None if count == 1 else ThreadPoolExecutor(count - 1, "shard", initializer=blas.one_thread)
        self._joined: dict[str, npt.NDArray[Any]] = {}

    def __len__(self) -> int:
        return len(self._shards)

    def forward(self, params: Parameters, inputs: Inputs | None, labels: Labels | None) -> float:
        """Run the model on a batch, uint8 [B, H, W, C] and its labels [B]; return the loss that is differentiated."""
        self._each(lambda shard: shard.forward(params, inputs, labels))
        return sum(float(shard.objective.array) for shard in self._shards)

    def backward(self) -> None:
        """Fill the gradients of the batch."""
        self._each(Shard.backward)
        first, *others = self._shards
        for other in others:
            first.grads.flat += other.grads.flat

    def output(self) -> npt.NDArray[Any]:
        """Return the model's output [B, K]."""
        joined = self._join("output", [shard.output.output.array for shard in self._shards])
        assert joined is not None
        return joined

    def output_grad(self) -> npt.NDArray[Any] | None:
        """Return the gradient of what is differentiated by the output [B, K]; None before `backward`."""
        return self._join("output_grad", [shard.output.output.grad for shard in self._shards])

    def last_input(self) -> npt.NDArray[Any] | None:
        """Return what flows into the output layer [B, H]; None where there is none."""
        tensors = [shard.output.last_input for shard in self._shards]
        return self._join("last_input", [None if tensor is None else tensor.array for tensor in tensors])

    def generators(self) -> tuple[Mapping[str, Any], ...]:
        """Return the state of each shard's dropout generator."""
        return tuple(shard.dropout.bit_generator.state for shard in self._shards)

    def take_up(self, generators: Sequence[Mapping[str, Any]]) -> None:
        """Put the states of the dropout generators back."""
        for shard, state in zip(self._shards, generators, strict=True):
            shard.dropout.bit_generator.state = state

    def close(self) -> None:
        """End the threads, when they have finished what they do."""
        if self._threads is not None:
            self._threads.shutdown()

    def _each(self, work: Callable[[Shard], None]) -> None:
        """Do `work` for every shard at the same time; raise what the first of those that failed raised.

        Threads work in copies of the caller's context, where NumPy keeps what it does about overflow. When this
        raises, others may still be at work: `close` waits for them.
        """
        first, *others = self._shards
        if self._threads is None:
            work(first)
            return
        begun = [self._threads.submit(contextvars.copy_context().run, work, other) for other in others]
        work(first)
        for future in begun:
            future.result()

    def _join(self, name: str, parts: list[npt.NDArray[Any] | None]) -> npt.NDArray[Any] | None:
        """Return the rows of all parts in one array, which is this object's and used again; None if one has none."""
        arrays = [part for part in parts if part is not None]
        if len(arrays) < len(parts):
            return None
        if len(arrays) == 1:
            return arrays[0]
        shape = (sum(map(len, arrays)), *arrays[0].shape[1:])
        joined = self._joined.get(name)
        if joined is None or joined.shape != shape:
            joined = self._joined[name] = np.empty(shape, arrays[0].dtype)
        return np.concatenate(arrays, out=joined)
