"""What a data set is: images that stay bytes, labels, and a digest of both.

A data set is a small attrs class: a `name`, its options as fields, and `load()`, which returns `Images`. Pixels stay
uint8 in memory (150 MB for CIFAR-10 instead of 600) and become numbers from 0 to 1 batch by batch, in `to_batch`.
Whatever training may see goes into `Images.digest`, so that a run can say which bytes it was trained on.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from functools import cached_property
from typing import Any, ClassVar, Protocol

import attrs
import numpy as np
import numpy.typing as npt

from optiscope.errors import DataError, UsageError

Pixels = npt.NDArray[np.uint8]
Labels = npt.NDArray[np.uint8]

SHAPE = (32, 32, 3)
"""Height, width and channels (red, green, blue) of an image."""


def _tuple(names: Iterable[str]) -> tuple[str, ...]:
    return tuple(names)


def _images(_: Any, attribute: attrs.Attribute[Any], value: Pixels) -> None:
    if value.dtype != np.uint8 or value.shape[1:] != SHAPE or not value.flags.c_contiguous:
        raise DataError(
            f"{attribute.name} must be contiguous uint8 of shape [N, 32, 32, 3], not {value.dtype} {value.shape}: "
            "convert them with np.ascontiguousarray(images, dtype=np.uint8)"
        )


def _labels(instance: Any, attribute: attrs.Attribute[Any], value: Labels) -> None:
    split = attribute.name.removesuffix("_labels")
    count = len(getattr(instance, f"{split}_images"))
    if value.dtype != np.uint8 or value.shape != (count,):
        raise DataError(
            f"{attribute.name} must be uint8 of shape [{count}], not {value.dtype} {value.shape}: "
            "give one label from 0 to 255 for each image"
        )
    classes = len(instance.class_names)
    bad = np.flatnonzero(value >= classes)
    if bad.size:
        raise DataError(
            f"{attribute.name}[{bad[0]}] is {value[bad[0]]}, but there are {classes} class names: "
            "labels count from 0, so correct the label or name its class"
        )


# Arrays have no single ==, and the cached digest needs an instance dictionary.
@attrs.frozen(kw_only=True, eq=False, slots=False)
class Images:
    """The images of a data set, in file order, for training and for testing.

    Images are uint8 [N, 32, 32, 3] (height, width, channels; contiguous), labels uint8 [N] that count from 0 and index
    `class_names`. Raises DataError where arrays and names do not fit together.
    """

    class_names: tuple[str, ...] = attrs.field(converter=_tuple)
    train_images: Pixels = attrs.field(validator=_images, repr=lambda array: str(array.shape))
    train_labels: Labels = attrs.field(validator=_labels, repr=lambda array: str(array.shape))
    test_images: Pixels = attrs.field(validator=_images, repr=lambda array: str(array.shape))
    test_labels: Labels = attrs.field(validator=_labels, repr=lambda array: str(array.shape))

    @cached_property
    def digest(self) -> str:
        """SHA-256, in hexadecimal, of names, sizes, labels and images: all that a run can see."""
        total = hashlib.sha256()
        header = [len(self.train_labels), len(self.test_labels), *self.class_names]
        total.update("\n".join(map(str, header)).encode())
        for array in (self.train_labels, self.train_images, self.test_labels, self.test_images):
            total.update(np.ascontiguousarray(array).data)
        return total.hexdigest()

    def take(self, train_samples: int | None) -> Images:
        """Return these images with only the first `train_samples` for training; None takes all.

        Raises UsageError if there are fewer.
        """
        have = len(self.train_labels)
        if train_samples is None or train_samples == have:
            return self
        if not 1 <= train_samples < have:
            raise UsageError(
                f"{train_samples} training images were asked for and the data set has {have}: ask for 1 to {have}"
            )
        return attrs.evolve(
            self, train_images=self.train_images[:train_samples], train_labels=self.train_labels[:train_samples]
        )


class Dataset(Protocol):
    """What `optiscope_datasets` registers: an attrs class with a name, its options as fields, and `load`."""

    name: ClassVar[str]

    def load(self) -> Images:
        """Return the images; raises DataError with one sentence that says how to get them where there are none."""
        ...


def to_batch(
    images: Pixels, dtype: npt.DTypeLike = np.float32, out: npt.NDArray[np.floating] | None = None
) -> npt.NDArray[np.floating]:
    """Return `images`, uint8 [B, H, W, C], as numbers pixels / 255 of `dtype`, from 0 to 1.

    `out` is a buffer of the same shape to write into; its dtype then counts, and it is what is returned.
    """
    if out is None:
        out = np.empty(images.shape, dtype=dtype)
    np.divide(images, out.dtype.type(255), out=out, dtype=out.dtype)
    return out
