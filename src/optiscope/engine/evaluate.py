"""Looking at a model without training it: dropout off, no gradients, a tape of its own.

The training tape's buffers are never touched, so that whether and when a run is evaluated cannot change its bits.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from optiscope.autograd import Tape
from optiscope.data import to_batch
from optiscope.nn import Model, on_tape
from optiscope.params import Parameters

CHUNK = 100
"""Images a forward pass: more would not be faster, and would cost memory."""


class Evaluator:
    """Evaluates one model; keeps its buffers from one call to the next."""

    def __init__(self, model: Model, kernels: str) -> None:
        self._model = model
        self._tape = Tape(kernels=kernels)

    def outputs(self, params: Parameters, images: npt.NDArray[np.uint8] | None) -> npt.NDArray[Any]:
        """Return the model's output [N, K] for uint8 `images` [N, H, W, C]; None for a problem without data."""
        if images is None:
            return np.array(self._forward(params, None).array)
        parts = [
            self._forward(params, images[start : start + CHUNK]).array.copy() for start in range(0, len(images), CHUNK)
        ]
        return np.concatenate(parts)

    def loss_and_accuracy(
        self, params: Parameters, images: npt.NDArray[np.uint8], labels: npt.NDArray[Any]
    ) -> tuple[float, float]:
        """Return the mean loss and the share of images whose largest output is their label."""
        total, correct = 0.0, 0
        for start in range(0, len(images), CHUNK):
            part = labels[start : start + CHUNK]
            output = self._forward(params, images[start : start + CHUNK])
            total += float(self._model.loss(output, part, "sum").array)
            correct += int((output.array.argmax(axis=1) == part).sum())
        return total / len(images), correct / len(images)

    def loss_without_data(self, params: Parameters) -> float:
        """Return the loss of a problem that has no data set."""
        return float(self._model.loss(self._forward(params, None), None, "mean").array)

    def _forward(self, params: Parameters, images: npt.NDArray[np.uint8] | None) -> Any:
        self._tape.reset()
        x = None if images is None else self._tape.constant(to_batch(images))
        return self._model.forward(on_tape(self._tape, params), x, None).output
