"""What a model is.

A model is its options (a small frozen attrs class) and a few functions of them. It owns no arrays: parameters are
`optiscope.params.Parameters` that the host makes with `init`, updates and records.

    shapes(image, classes)      names and shapes of the parameters, in order
    init(rng, image, classes)   -> Parameters
    forward(params, x, rng)     -> Output           tensors on the tape of the parameters
    loss(output, labels, ...)   -> scalar Tensor    what is differentiated

One that needs no data set makes its own batches in `samples`, says in `evaluation` what it is judged by, and may
`project` the parameters back to where they are allowed. One may say what its least loss is, where that is known
(`minimum`, and `gradient_noise` for what chance adds there), and what theory knows of the largest stable learning rate
(`stable_lr`).

`on_tape` puts parameters on a tape for `forward`: with gradients for a training step, without for an evaluation.
A batch may be cut into shards that several threads give to `forward` and `loss` at once (`--threads`): the output for
an image must not depend on its neighbours, and the loss is a sum over the batch, or a mean. The loss that a run reports
is always the mean; `reduction` only says which one is differentiated.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Protocol

import attrs
import numpy as np
import numpy.typing as npt

from optiscope.autograd import Reduction, Tape, Tensor, softmax_cross_entropy
from optiscope.errors import UsageError
from optiscope.nn import initialisers
from optiscope.params import Parameters

Image = tuple[int, int, int]
"""Height, width, channels."""

Labels = npt.NDArray[Any]
"""Classes, int64 [B]; of a problem whatever its `loss` compares the output with."""

Samples = tuple[npt.NDArray[Any] | None, Labels | None]
"""The x and the labels of a problem's batch; None for what it does not need."""


class Limits(Protocol):
    """The closed forms that an optimizer may know of itself; see `optiscope.optim.Optimizer`."""

    def converging_lr(self, curvature: float) -> float | None:
        """Return the limit on a quadratic."""
        ...

    def mean_square_lr(self, curvature: float, dimension: int, batch_size: int) -> float | None:
        """Return the limit in Gaussian regression, in mean square."""
        ...


@attrs.frozen
class Output:
    """What a forward pass gives: `output` [B, K] and, if there is an output layer, what flows into it [B, H]."""

    output: Tensor
    last_input: Tensor | None = None


@attrs.frozen(kw_only=True)
class Model:
    """Base class: subclasses set `name`, add options as attrs fields, and write `shapes` and `forward`.

    `output` names the output signal. `needs_data` False means that `forward` and `loss` are given what `samples` and
    `evaluation` return: None for x and labels, unless these are overridden.
    """

    name: ClassVar[str]
    output: ClassVar[str] = "logits"
    needs_data: ClassVar[bool] = True

    def shapes(self, image: Image, classes: int) -> dict[str, tuple[int, ...]]:
        """Return the shapes of the parameters by name, in order. UsageError if the images are too small."""
        raise NotImplementedError(f"model {type(self).__name__} has no shapes: write them")

    def init(
        self, rng: np.random.Generator, image: Image, classes: int, dtype: npt.DTypeLike = np.float32
    ) -> Parameters:
        """Return new parameters.

        Weights of convolutions (four axes) by He, other weights by LeCun, biases (one axis) zero.
        """
        params = Parameters(self.shapes(image, classes), dtype)
        draw = {1: initialisers.zeros, 2: initialisers.lecun_normal, 4: initialisers.he_normal}
        for view in params.values():
            view[...] = draw[view.ndim](rng, view.shape)
        return params

    def forward(self, params: Mapping[str, Tensor], x: Tensor | None, rng: np.random.Generator | None) -> Output:
        """Return the output for images x [B, H, W, C]. Dropout draws from `rng`; None, for an evaluation, is off."""
        raise NotImplementedError(f"model {type(self).__name__} has no forward: write one")

    def loss(self, output: Tensor, labels: Labels | None, reduction: Reduction) -> Tensor:
        """Return the loss to differentiate: softmax cross-entropy against `labels` [B], unless overridden."""
        if labels is None:
            raise UsageError(f"model '{self.name}' learns from labels: give it those of the batch")
        return softmax_cross_entropy(output, labels, reduction)

    def outputs(self, classes: int) -> int:
        """Return K, the width of the output."""
        return classes

    def samples(self, rng: np.random.Generator, batch_size: int, step: int) -> Samples:
        """Return the batch of `step` (from 1), where there is no data set; `rng` is the run's, new for each epoch."""
        return None, None

    def evaluation(self) -> Mapping[str, Samples]:
        """Return what "train" and, if there is one, "val" loss and accuracy are measured on without a data set."""
        return {"train": (None, None)}

    @property
    def minimum(self) -> float | None:
        """The least expected loss, where it is known and a run can come down to it: runs are judged by it."""
        return None

    def gradient_noise(self, batch_size: int) -> float:
        """Return the root mean square norm of what chance adds to the gradient of a batch, its mean, at the minimum."""
        return 0.0

    def stable_lr(self, optimizer: Limits, batch_size: int, reduction: Reduction) -> float | None:
        """Return the largest lr at which `optimizer` is stable on this model, None where theory does not say."""
        return None

    def project(self, params: Parameters) -> None:
        """Put `params` back in place into the set where they are allowed; called after every update."""


def on_tape(tape: Tape, params: Parameters, grads: Parameters | None = None) -> dict[str, Tensor]:
    """Put parameters on a tape, by name: as leaves whose gradients land in `grads`, or as constants without it."""
    if grads is None:
        return {name: tape.constant(array) for name, array in params.items()}
    return {name: tape.leaf(array, grad=grads[name]) for name, array in params.items()}
