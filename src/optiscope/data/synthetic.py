"""The embedded default: a made-up set of ten textures and shapes, drawn from a seed.

It stands in for CIFAR-10 where there is no network, and it has to be worth training on. Three properties make it so.

- A linear classifier cannot do it. Every image draws its own phase, position, scale, slant, colours and polarity, so
  that the mean image of a class says little; what tells classes apart is how neighbouring pixels go together.
- A small CNN can, within a few hundred steps.
- Nobody can do it perfectly: a few labels, in training and in test data, are wrong on purpose.

The same seed gives the same bytes on every machine. The only arithmetic is + - * /, square root, floor and comparison
on float32, which IEEE 754 rounds in one way, element by element; sines differ from one library to the next, so stripes
are triangle waves. Randomness is uniform numbers and raw bytes, the oldest and simplest streams of a Generator.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, ClassVar

import attrs
import numpy as np
import numpy.typing as npt

from optiscope.data.base import SHAPE, Images, Labels, Pixels

Field = npt.NDArray[np.float32]

_SIZE = SHAPE[0]
_CENTRE = np.float32((_SIZE - 1) / 2)


class _Draw:
    """Uniform numbers for `count` images at once, shaped to broadcast over [count, 32, 32], and the pixel grid."""

    def __init__(self, rng: np.random.Generator, count: int) -> None:
        self.rng = rng
        self.count = count
        axis = np.arange(_SIZE, dtype=np.float32) - _CENTRE
        self.x, self.y = axis[None, None, :], axis[None, :, None]

    def uniform(self, low: float, high: float, width: int = 1) -> Field:
        """Return float32 [count, 1, width] from low to high."""
        draw = self.rng.random((self.count, 1, width)).astype(np.float32)
        return np.float32(low) + np.float32(high - low) * draw

    def offsets(self, reach: float) -> tuple[Field, Field]:
        """Return x and y [count, 32, 32] relative to a centre drawn within `reach` pixels of the image's."""
        return self.x - self.uniform(-reach, reach), self.y - self.uniform(-reach, reach)


def _wave(t: Field) -> Field:
    """Return a triangle wave of period 1 with flattened tops, from -1 to 1."""
    triangle = np.float32(6) * np.abs(t - np.floor(t + np.float32(0.5))) - np.float32(1.5)
    flattened: Field = np.clip(triangle, -1, 1)
    return flattened


def _inside(distance: Field) -> Field:
    """Return 1 inside an outline and -1 outside, by the signed distance to it in pixels; the edge is 2 pixels wide."""
    clipped: Field = np.clip(-distance, -1, 1)
    return clipped


def _radius(x: Field, y: Field) -> Field:
    radius: Field = np.sqrt(x * x + y * y)
    return radius


def _stripes(draw: _Draw, across: float, down: float) -> Field:
    slant = draw.uniform(-0.25, 0.25)
    along_x = np.float32(across) - np.float32(down) * slant
    along_y = np.float32(down) + np.float32(across) * slant
    t: Field = along_x * draw.x + along_y * draw.y
    return _wave(t / draw.uniform(5, 9) + draw.uniform(0, 1))


def _horizontal(draw: _Draw) -> Field:
    return _stripes(draw, 0, 1)


def _vertical(draw: _Draw) -> Field:
    return _stripes(draw, 1, 0)


def _rising(draw: _Draw) -> Field:
    return _stripes(draw, 0.7, 0.7)


def _falling(draw: _Draw) -> Field:
    return _stripes(draw, -0.7, 0.7)


def _checkers(draw: _Draw) -> Field:
    period = draw.uniform(7, 13)
    return _wave(draw.x / period + draw.uniform(0, 1)) * _wave(draw.y / period + draw.uniform(0, 1))


def _dots(draw: _Draw) -> Field:
    period = draw.uniform(6, 10)
    a = _wave(draw.x / period + draw.uniform(0, 1))
    b = _wave(draw.y / period + draw.uniform(0, 1))
    return np.minimum(a, b)


def _rings(draw: _Draw) -> Field:
    return _wave(_radius(*draw.offsets(6)) / draw.uniform(5, 9) + draw.uniform(0, 1))


def _disc(draw: _Draw) -> Field:
    return _inside(_radius(*draw.offsets(6)) - draw.uniform(5, 10))


def _frame(draw: _Draw) -> Field:
    x, y = draw.offsets(5)
    return _inside(np.abs(np.maximum(np.abs(x), np.abs(y)) - draw.uniform(6, 11)) - draw.uniform(1, 2))


def _cross(draw: _Draw) -> Field:
    x, y = (np.abs(offset) for offset in draw.offsets(5))
    width, reach = draw.uniform(1.2, 2.8), draw.uniform(8, 13)
    return _inside(np.maximum(np.minimum(x, y) - width, np.maximum(x, y) - reach))


CLASSES: dict[str, Callable[[_Draw], Field]] = {
    "horizontal": _horizontal,
    "vertical": _vertical,
    "rising": _rising,
    "falling": _falling,
    "checkers": _checkers,
    "dots": _dots,
    "rings": _rings,
    "disc": _disc,
    "frame": _frame,
    "cross": _cross,
}
"""Class name to the function that draws its pattern, -1 to 1, in the order of the labels."""

_CONTRAST = (0.15, 0.45)
_NOISE = 0.25


def _paint(pattern: Field, draw: _Draw) -> Pixels:
    """Return uint8 [count, 32, 32, 3]: `pattern` in two random colours, under a random ramp of light and noise."""
    base = draw.uniform(0.35, 0.65, 3)[..., None]
    flip = np.where(draw.uniform(0, 1) < np.float32(0.5), np.float32(-1), np.float32(1))
    tint = (flip * draw.uniform(*_CONTRAST) * draw.uniform(0.5, 1, 3))[..., None]
    ramp = draw.uniform(-0.006, 0.006) * draw.x + draw.uniform(-0.006, 0.006) * draw.y
    image = np.empty((*pattern.shape, 3), np.float32)
    for channel in range(3):
        image[..., channel] = base[:, :, channel] + tint[:, :, channel] * pattern + ramp
    raw = np.frombuffer(draw.rng.bytes(2 * image.size), dtype=np.uint8).reshape(2, *image.shape)
    image += np.float32(_NOISE / 255) * (np.add(raw[0], raw[1], dtype=np.int16) - np.int16(255))
    np.clip(image, 0, 1, out=image)
    image *= np.float32(255)
    image += np.float32(0.5)
    return image.astype(np.uint8)


def _draw_split(rng: np.random.Generator, count: int, label_noise: float) -> tuple[Pixels, Labels]:
    """Return `count` images and labels in a random order, every class as often as any other (or once more)."""
    classes = len(CLASSES)
    truth = np.argsort(rng.random(count), kind="stable") % classes
    wrong = rng.random(count) < label_noise
    shift = 1 + np.floor(rng.random(count) * (classes - 1)).astype(np.int64)
    labels = np.where(wrong, (truth + shift) % classes, truth).astype(np.uint8)
    images = np.empty((count, *SHAPE), dtype=np.uint8)
    for label, pattern in enumerate(CLASSES.values()):
        where = np.flatnonzero(truth == label)
        draw = _Draw(rng, where.size)
        images[where] = _paint(pattern(draw), draw)
    return images, labels


def _fraction(_: Any, attribute: attrs.Attribute[Any], value: float) -> None:
    if not 0 <= value < 1:
        raise ValueError(f"{attribute.name} must be >= 0 and < 1, not {value!r}")


def _whole(low: int) -> Any:
    def check(_: Any, attribute: attrs.Attribute[Any], value: int) -> None:
        if isinstance(value, bool) or not isinstance(value, int) or value < low:
            raise ValueError(f"{attribute.name} must be a whole number >= {low}, not {value!r}")

    return check


@attrs.frozen(kw_only=True)
class Synthetic:
    """Ten textures and shapes, drawn from `seed`; the same bytes on every machine.

    `train` and `test` are numbers of images, and the test images do not depend on `train`. `label_noise` is the
    probability that an image carries a label of another class, in both splits.
    """

    name: ClassVar[str] = "synthetic"

    train: int = attrs.field(default=5000, validator=_whole(1))
    test: int = attrs.field(default=1000, validator=_whole(1))
    seed: int = attrs.field(default=0, validator=_whole(0))
    label_noise: float = attrs.field(default=0.03, validator=_fraction)

    def load(self) -> Images:
        """Return the images, read-only. Drawing the default 6,000 takes about 0.2 s; the last set stays drawn."""
        return _draw_set(self)


@functools.lru_cache(maxsize=1)  # a worker makes many runs on one data set
def _draw_set(asked: Synthetic) -> Images:
    train_rng, test_rng = (np.random.default_rng(seed) for seed in np.random.SeedSequence(asked.seed).spawn(2))
    train_images, train_labels = _draw_split(train_rng, asked.train, asked.label_noise)
    test_images, test_labels = _draw_split(test_rng, asked.test, asked.label_noise)
    for array in (train_images, train_labels, test_images, test_labels):
        array.flags.writeable = False
    return Images(
        class_names=tuple(CLASSES),
        train_images=train_images,
        train_labels=train_labels,
        test_images=test_images,
        test_labels=test_labels,
    )
