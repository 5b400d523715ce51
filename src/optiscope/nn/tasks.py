"""Classification tasks that make their own examples: linear models that train in milliseconds.

    logistic    two Gaussian clouds, softmax regression
    wilson      the examples that an adaptive method separates by heart (Wilson et al. 2017)

The examples are fixed by the task's own `data_seed`, so that runs of any seed learn from the same ones; which of them
are in a batch is drawn, with replacement, from the run's generator.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from typing import Any, ClassVar

import attrs
import numpy as np
import numpy.typing as npt

from optiscope.autograd import Reduction, Tensor, linear, matmul, mean, sum  # noqa: A004, the field's name
from optiscope.nn.base import Image, Labels, Model, Output, Samples
from optiscope.nn.problems import count, not_negative
from optiscope.params import Array, Parameters

TEST = 256
"""Examples that are held out."""


def _seed(_: Any, attribute: attrs.Attribute[Any], value: int) -> None:
    if not isinstance(value, int) or value < 0:
        raise ValueError(f"{attribute.name} must be a whole number >= 0, not {value!r}")


class Task(Model):
    """A linear model of examples that a subclass makes in `examples`."""

    needs_data: ClassVar[bool] = False

    def examples(self) -> Mapping[str, tuple[Array, Labels]]:
        """Return "train" and "val": inputs, float64 [N, d], and labels, int64 [N], 0 or 1."""
        raise NotImplementedError(f"task {type(self).__name__} has no examples: write them")

    def samples(self, rng: np.random.Generator, batch_size: int, step: int) -> Samples:
        """Return some of the training examples, drawn with replacement."""
        x, labels = self.evaluation()["train"]
        assert x is not None
        assert labels is not None
        rows = rng.integers(0, len(x), batch_size)
        return x[rows], labels[rows]

    def evaluation(self) -> Mapping[str, Samples]:
        """Return all examples."""
        return self.examples()

    def outputs(self, classes: int) -> int:
        """Return 2."""
        return 2


@attrs.frozen(kw_only=True)
class Logistic(Task):
    """Softmax regression between two clouds N(+-u, I), whose means are `distance` standard deviations apart."""

    name: ClassVar[str] = "logistic"

    dimension: int = attrs.field(default=10, validator=count)
    distance: float = attrs.field(default=2.0, validator=not_negative)
    train: int = attrs.field(default=512, validator=count)
    data_seed: int = attrs.field(default=0, validator=_seed)

    @cached_property
    def _examples(self) -> Mapping[str, tuple[Array, Labels]]:
        rng = np.random.default_rng(self.data_seed)
        direction = rng.standard_normal(self.dimension)
        direction *= self.distance / 2 / np.linalg.norm(direction)

        def some(number: int) -> tuple[Array, Labels]:
            labels = rng.integers(0, 2, number)
            return rng.standard_normal((number, self.dimension)) + np.outer(2 * labels - 1, direction), labels

        return {"train": some(self.train), "val": some(TEST)}

    def examples(self) -> Mapping[str, tuple[Array, Labels]]:
        """Return the two clouds."""
        return self._examples

    def shapes(self, image: Image, classes: int) -> dict[str, tuple[int, ...]]:
        """Return a weight [d, 2] and a bias [2]."""
        return {"weight": (self.dimension, 2), "bias": (2,)}

    def forward(self, params: Mapping[str, Tensor], x: Tensor | None, rng: np.random.Generator | None) -> Output:
        """Return the logits of x [B, d]."""
        assert x is not None
        return Output(linear(x, params["weight"], params["bias"]), x)


@attrs.frozen(kw_only=True)
class Wilson(Task):
    """Least squares on the construction of Wilson et al. (2017, section 3.3): both kinds of method train to 1.0.

    Of an example with y = +-1 the first input is y, the next two are 1, and then come five inputs that only this
    example has: the first of them 1 for either class, the other four 1 if y = -1. `positive` is the share of y = 1.
    An unseen example has its first three inputs alone. Gradient descent finds the solution of least norm, which looks
    at the first input and is right about it; Adam, RMSProp and AdaGrad find one in which all inputs count the same,
    and call everything unseen by the class that is more frequent.
    """

    name: ClassVar[str] = "wilson"

    train: int = attrs.field(default=40, validator=count)
    positive: float = attrs.field(default=0.6)
    data_seed: int = attrs.field(default=0, validator=_seed)

    @positive.validator
    def _check_positive(self, attribute: attrs.Attribute[Any], value: float) -> None:
        if not 0.5 < value < 1:
            raise ValueError(f"{attribute.name} must be above 0.5 and below 1, not {value!r}")

    @cached_property
    def _examples(self) -> Mapping[str, tuple[Array, Labels]]:
        rng = np.random.default_rng(self.data_seed)

        def some(number: int) -> tuple[Array, Labels]:
            labels = rng.permutation((np.arange(number) < round(self.positive * number)).astype(np.int64))
            x = np.zeros((number, 3 + 5 * self.train))
            x[:, 0], x[:, 1:3] = 2 * labels - 1, 1
            return x, labels

        x, labels = some(self.train)
        for row, label in enumerate(labels):
            x[row, 3 + 5 * row : 3 + 5 * row + (1 if label else 5)] = 1
        return {"train": (x, labels), "val": some(TEST)}

    def examples(self) -> Mapping[str, tuple[Array, Labels]]:
        """Return the construction, and unseen examples of it."""
        return self._examples

    def shapes(self, image: Image, classes: int) -> dict[str, tuple[int, ...]]:
        """Return one weight for each input, [3 + 5 N, 1]."""
        return {"weight": (3 + 5 * self.train, 1)}

    def init(
        self, rng: np.random.Generator, image: Image, classes: int, dtype: npt.DTypeLike = np.float32
    ) -> Parameters:
        """Return zeros, from where the solutions of the source are reached."""
        return Parameters(self.shapes(image, classes), dtype)

    def forward(self, params: Mapping[str, Tensor], x: Tensor | None, rng: np.random.Generator | None) -> Output:
        """Return (-s, s) with the score s = x . w, for x [B, 3 + 5 N]."""
        assert x is not None
        sides = x.tape.constant(np.array([[-1.0, 1.0]], x.dtype))
        return Output(matmul(matmul(x, params["weight"]), sides), x)

    def loss(self, output: Tensor, labels: Labels | None, reduction: Reduction) -> Tensor:
        """Return (s - y)^2 / 2."""
        assert labels is not None
        half = output.tape.constant(np.array([[-0.5], [0.5]], output.dtype))
        y = output.tape.constant((2 * labels[:, None] - 1).astype(output.dtype))
        error = matmul(output, half) - y
        return (sum if reduction == "sum" else mean)(error * error) * 0.5
