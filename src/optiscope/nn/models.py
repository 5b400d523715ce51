"""Convolutional networks for small images.

    paper-cnn    [conv 32 - ReLU - conv 32 - ReLU - max-pool] x 3 - linear 512 - ReLU - dropout - linear K
    small-cnn    [conv 16 - ReLU - max-pool] x 3 - linear K

Convolutions are 3 x 3 and keep the size of the image, pools are 2 x 2. `paper-cnn` is the network of Ando,
Fukuhara and Takefuji (IJAINN 3(4), 2023), in the sizes of the first author's program: 314,922 parameters for
32 x 32 x 3 images and 10 classes. `small-cnn` has 7,658 and does about a tenth of the work.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import attrs
import numpy as np

from optiscope.autograd import Tensor, dropout, relu, reshape
from optiscope.errors import UsageError
from optiscope.nn.base import Image, Model, Output
from optiscope.nn.layers import conv_relu, conv_shapes, dense, linear_shapes

BLOCKS = 3
SHRINK = 8
"""What three 2 x 2 pools divide height and width by."""


def _flat_size(name: str, image: Image, channels: int) -> int:
    """Return the number of values that are left after the pools."""
    height, width = image[0] // SHRINK, image[1] // SHRINK
    if not height or not width:
        raise UsageError(
            f"model '{name}' halves images {BLOCKS} times, so {image[0]} x {image[1]} pixels are too few: "
            f"use images of at least {SHRINK} x {SHRINK}"
        )
    return height * width * channels


def _images(model: Model, x: Tensor | None) -> Tensor:
    if x is None:
        raise UsageError(f"model '{model.name}' is a function of images: give it a batch [B, H, W, C]")
    return x


def _flatten(x: Tensor) -> Tensor:
    return reshape(x, (x.shape[0], -1))


def _probability(_: Any, attribute: attrs.Attribute[Any], value: float) -> None:
    if not 0 <= value < 1:
        raise ValueError(f"{attribute.name} must be >= 0 and < 1, not {value!r}")


@attrs.frozen(kw_only=True)
class PaperCNN(Model):
    """The seed paper's network; `dropout` is the probability with which a hidden unit is dropped."""

    name: ClassVar[str] = "paper-cnn"
    channels: ClassVar[int] = 32
    hidden: ClassVar[int] = 512

    dropout: float = attrs.field(default=0.5, validator=_probability)

    def shapes(self, image: Image, classes: int) -> dict[str, tuple[int, ...]]:
        """Return conv1 ... conv6, linear1 and linear2."""
        shapes = conv_shapes("conv1", image[2], self.channels)
        for number in range(2, 2 * BLOCKS + 1):
            shapes |= conv_shapes(f"conv{number}", self.channels, self.channels)
        shapes |= linear_shapes("linear1", _flat_size(self.name, image, self.channels), self.hidden)
        return shapes | linear_shapes("linear2", self.hidden, classes)

    def forward(self, params: Mapping[str, Tensor], x: Tensor | None, rng: np.random.Generator | None) -> Output:
        """Return the logits [B, classes], and what flows into the last layer [B, 512]."""
        x = _images(self, x)
        for number in range(1, 2 * BLOCKS, 2):
            x = conv_relu(params, f"conv{number}", x)
            x = conv_relu(params, f"conv{number + 1}", x, pool=True)
        hidden = relu(dense(params, "linear1", _flatten(x)))
        if rng is not None and self.dropout:
            hidden = dropout(hidden, self.dropout, rng)
        return Output(dense(params, "linear2", hidden), hidden)


@attrs.frozen(kw_only=True)
class SmallCNN(Model):
    """A network for runs of a minute."""

    name: ClassVar[str] = "small-cnn"
    channels: ClassVar[int] = 16

    def shapes(self, image: Image, classes: int) -> dict[str, tuple[int, ...]]:
        """Return conv1 ... conv3 and linear1."""
        shapes = conv_shapes("conv1", image[2], self.channels)
        for number in range(2, BLOCKS + 1):
            shapes |= conv_shapes(f"conv{number}", self.channels, self.channels)
        return shapes | linear_shapes("linear1", _flat_size(self.name, image, self.channels), classes)

    def forward(self, params: Mapping[str, Tensor], x: Tensor | None, rng: np.random.Generator | None) -> Output:
        """Return the logits [B, classes], and what flows into the last layer."""
        x = _images(self, x)
        for number in range(1, BLOCKS + 1):
            x = conv_relu(params, f"conv{number}", x, pool=True)
        last = _flatten(x)
        return Output(dense(params, "linear1", last), last)
