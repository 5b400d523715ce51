"""Looking at a model without training it: dropout off, no gradients, a tape of its own.

The training tape's buffers are never touched, so that whether and when a run is evaluated cannot change its bits.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt

from optiscope.autograd import Tape
from optiscope.data import to_batch
from optiscope.nn import Model, Samples, on_tape
from optiscope.params import Parameters

CHUNK = 100
"""Images a forward pass: more would not be faster, and would cost memory."""


class Evaluator:
    """Evaluates one model; keeps its buffers from one call to the next."""

    def __init__(self, model: Model, kernels: str) -> None:
        self._model = model
        self._tape = Tape(kernels=kernels)

    def outputs(self, params: Parameters, images: npt.NDArray[np.uint8]) -> npt.NDArray[Any]:
        """Return the model's output [N, K] for uint8 `images` [N, H, W, C]."""
        parts = [
            self._forward(params, to_batch(images[start : start + CHUNK])).array.copy()
            for start in range(0, len(images), CHUNK)
        ]
        return np.concatenate(parts)

    def loss_and_accuracy(
        self, params: Parameters, images: npt.NDArray[np.uint8], labels: npt.NDArray[Any]
    ) -> tuple[float, float]:
        """Return the mean loss and the share of images whose largest output is their label."""
        total, correct = 0.0, 0
        for start in range(0, len(images), CHUNK):
            part = labels[start : start + CHUNK]
            output = self._forward(params, to_batch(images[start : start + CHUNK]))
            total += float(self._model.loss(output, part, "sum").array)
            correct += int((output.array.argmax(axis=1) == part).sum())
        return total / len(images), correct / len(images)

    def outputs_for(self, params: Parameters, samples: Samples) -> npt.NDArray[Any]:
        """Return the model's output for samples of its own; see `Model.evaluation`."""
        return np.array(self._forward(params, samples[0]).array)

    def loss_and_accuracy_on(self, params: Parameters, samples: Samples) -> tuple[float, float]:
        """Return the mean loss on samples of the model's own, and the accuracy: NaN where there are no classes."""
        x, labels = samples
        output = self._forward(params, x)
        return float(self._model.loss(output, labels, "mean").array), accuracy(output.array, labels)

    def _forward(self, params: Parameters, x: npt.NDArray[Any] | None) -> Any:
        self._tape.reset()
        tensor = None if x is None else self._tape.constant(x.astype(params.dtype, copy=False))
        return self._model.forward(on_tape(self._tape, params), tensor, None).output


def accuracy(logits: npt.NDArray[Any], labels: npt.NDArray[Any] | None) -> float:
    """Return the share of rows whose largest logit is their label; NaN where the labels are no classes, or none."""
    if labels is None or labels.dtype.kind not in "iu":
        return math.nan
    return float((logits.argmax(axis=1) == labels).mean())
