"""Problems with known answers: a point in a landscape whose stable learning rates, or whose traps, are known.

    quadratic         curvature / 2 * w^2, for each coordinate; gradients with noise, if asked for
    noisy-quadratic   (x w - t)^2 / 2 for Gaussian x, drawn anew for every batch: linear regression
    rosenbrock        (1 - x)^2 + 100 (y - x^2)^2, a bent valley
    reddi             a linear loss whose sign changes on a schedule: Adam walks the wrong way

A problem is a model whose output signal is the point itself, as a batch of one. What it needs of chance it draws in
`samples`, from the run's own generator: an evaluation sees the expected loss, without it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import attrs
import numpy as np
import numpy.typing as npt

from optiscope.autograd import Reduction, Tensor, matmul, mean, reshape, sum  # noqa: A004, the field's name
from optiscope.nn.base import Image, Labels, Limits, Model, Output, Samples
from optiscope.params import Array, Parameters


def _finite(_: Any, attribute: attrs.Attribute[Any], value: float) -> None:
    if not np.isfinite(value):
        raise ValueError(f"{attribute.name} must be a finite number, not {value!r}")


def positive(_: Any, attribute: attrs.Attribute[Any], value: float) -> None:
    """Validate an option that must be finite and above zero."""
    if not np.isfinite(value) or value <= 0:
        raise ValueError(f"{attribute.name} must be a finite number above zero, not {value!r}")


def not_negative(_: Any, attribute: attrs.Attribute[Any], value: float) -> None:
    """Validate an option that must be finite and not negative."""
    if not np.isfinite(value) or value < 0:
        raise ValueError(f"{attribute.name} must be a finite number >= 0, not {value!r}")


def count(_: Any, attribute: attrs.Attribute[Any], value: int) -> None:
    """Validate an option that counts something."""
    if not isinstance(value, int) or value < 1:
        raise ValueError(f"{attribute.name} must be a whole number >= 1, not {value!r}")


Spectrum = float | tuple[float, ...]


def _frozen(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value


def _spectrum(_: Any, attribute: attrs.Attribute[Any], value: Any) -> None:
    numbers = value if isinstance(value, tuple) else (value,)
    known = all(isinstance(number, (int, float)) and not isinstance(number, bool) for number in numbers)
    if not numbers or not known or not all(np.isfinite(number) and number > 0 for number in numbers):
        raise ValueError(
            f"{attribute.name} must be a finite number above zero, or several such as [1,10,100], not {value!r}"
        )


def curvatures(value: Spectrum) -> tuple[float, ...]:
    """Return the numbers of a spectrum, which may be one number; the largest is what `Optimizer.stable_lr` asks for."""
    return tuple(map(float, value)) if isinstance(value, tuple) else (float(value),)


class Problem(Model):
    """A point w that begins at `origin()`; a subclass writes that and `loss`."""

    output: ClassVar[str] = "coordinates"
    needs_data: ClassVar[bool] = False

    def origin(self) -> Array:
        """Return where w begins, float64 [d]."""
        raise NotImplementedError(f"problem {type(self).__name__} has no origin: write it")

    def shapes(self, image: Image, classes: int) -> dict[str, tuple[int, ...]]:
        """Return one vector, w; images and classes play no part."""
        return {"w": self.origin().shape}

    def init(
        self, rng: np.random.Generator, image: Image, classes: int, dtype: npt.DTypeLike = np.float32
    ) -> Parameters:
        """Return w at its origin."""
        params = Parameters(self.shapes(image, classes), dtype)
        params.flat[...] = self.origin()
        return params

    def forward(self, params: Mapping[str, Tensor], x: Tensor | None, rng: np.random.Generator | None) -> Output:
        """Return w as [1, d]; x is None."""
        return Output(reshape(params["w"], (1, self.outputs(0))))

    def outputs(self, classes: int) -> int:
        """Return d."""
        return self.origin().size


@attrs.frozen(kw_only=True)
class Quadratic(Problem):
    """A bowl: gradient curvature * w, coordinate by coordinate, minimum 0 at zero.

    `curvature` is one number for all `dimension` coordinates, or a spectrum, (1, 10, 100), which says how many there
    are. Every coordinate begins at `start`. `noise` is the standard deviation of what each example of a batch adds to
    each coordinate of the gradient; its mean over a batch of B is smaller by sqrt(B).
    """

    name: ClassVar[str] = "quadratic"

    curvature: Spectrum = attrs.field(default=1.0, converter=_frozen, validator=_spectrum)
    dimension: int = attrs.field(default=1, validator=count)
    start: float = attrs.field(default=1.0, validator=_finite)
    noise: float = attrs.field(default=0.0, validator=not_negative)

    def origin(self) -> Array:
        """Return `start`, once for each coordinate."""
        several = len(curvatures(self.curvature))
        return np.full(several if several > 1 else self.dimension, float(self.start))

    @property
    def minimum(self) -> float:
        """0, at zero."""
        return 0.0

    def gradient_noise(self, batch_size: int) -> float:
        """Return noise sqrt(d / B)."""
        return float(self.noise * np.sqrt(self.outputs(0) / batch_size))

    def samples(self, rng: np.random.Generator, batch_size: int, step: int) -> Samples:
        """Return what a batch adds to the gradient, [B, d]; nothing without noise."""
        if not self.noise:
            return None, None
        return None, rng.standard_normal((batch_size, self.outputs(0))) * self.noise

    def loss(self, output: Tensor, labels: Labels | None, reduction: Reduction) -> Tensor:
        """Return sum(curvature * w^2) / 2, and noise . w for each example of a batch; without noise a batch is one."""
        spectrum = curvatures(self.curvature)
        if len(spectrum) == 1:
            bowl = sum(output * output) * (spectrum[0] / 2)
        else:
            halves = output.tape.constant(np.array([spectrum], output.dtype) / 2)
            bowl = sum(output * output * halves)
        if labels is None:
            return bowl
        tilt = sum(output * output.tape.constant(labels.mean(axis=0, keepdims=True, dtype=output.dtype)))
        return (bowl + tilt) * len(labels) if reduction == "sum" else bowl + tilt

    def stable_lr(self, optimizer: Limits, batch_size: int, reduction: Reduction) -> float | None:
        """Return the limit for the largest curvature; a sum over a batch with noise is as steep as all its examples."""
        examples = batch_size if reduction == "sum" and self.noise else 1
        return optimizer.converging_lr(max(curvatures(self.curvature)) * examples)


@attrs.frozen(kw_only=True)
class NoisyQuadratic(Problem):
    """Linear regression on Gaussian inputs: x ~ N(0, curvature I) in `dimension` axes, target 0 plus label noise.

    The expected loss is curvature / 2 * ||w||^2. The curvature that one batch sees is random, so even without label
    noise a batch has a limit of its own: with curvature 1, SGD is stable in mean square below 2 B / (B + d + 1).
    `noise` is the standard deviation of the targets.
    """

    name: ClassVar[str] = "noisy-quadratic"

    curvature: float = attrs.field(default=1.0, validator=positive)
    dimension: int = attrs.field(default=10, validator=count)
    start: float = attrs.field(default=1.0, validator=_finite)
    noise: float = attrs.field(default=0.0, validator=not_negative)

    def origin(self) -> Array:
        """Return `start`, once for each coordinate."""
        return np.full(self.dimension, float(self.start))

    @property
    def minimum(self) -> float:
        """Half the variance of the targets."""
        return self.noise**2 / 2

    def gradient_noise(self, batch_size: int) -> float:
        """Return noise sqrt(curvature d / B)."""
        return float(self.noise * np.sqrt(self.curvature * self.dimension / batch_size))

    def samples(self, rng: np.random.Generator, batch_size: int, step: int) -> Samples:
        """Return inputs and targets side by side, [B, d + 1]."""
        drawn = rng.standard_normal((batch_size, self.dimension + 1))
        drawn[:, :-1] *= np.sqrt(self.curvature)
        drawn[:, -1] *= self.noise
        return None, drawn

    def loss(self, output: Tensor, labels: Labels | None, reduction: Reduction) -> Tensor:
        """Return half the squared error over the batch; its expectation where there is none."""
        if labels is None:
            return sum(output * output) * (self.curvature / 2) + self.noise**2 / 2
        tape, rows = output.tape, labels.astype(output.dtype, copy=False)
        error = matmul(output, tape.constant(rows[:, :-1].T)) - tape.constant(rows[:, -1:].T)
        return (sum if reduction == "sum" else mean)(error * error) * 0.5

    def stable_lr(self, optimizer: Limits, batch_size: int, reduction: Reduction) -> float | None:
        """Return the limit in mean square; single runs come to rest at somewhat larger learning rates too."""
        examples = batch_size if reduction == "sum" else 1
        return optimizer.mean_square_lr(self.curvature * examples, self.dimension, batch_size)


@attrs.frozen(kw_only=True)
class Rosenbrock(Problem):
    """Rosenbrock's valley (1960), from (-1.2, 1) to the minimum 0 at (1, 1), where the largest curvature is 1001.6."""

    name: ClassVar[str] = "rosenbrock"

    def origin(self) -> Array:
        """Return (-1.2, 1)."""
        return np.array([-1.2, 1.0])

    @property
    def minimum(self) -> float:
        """0, at (1, 1)."""
        return 0.0

    def loss(self, output: Tensor, labels: Labels | None, reduction: Reduction) -> Tensor:
        """Return (1 - x)^2 + 100 (y - x^2)^2."""
        x, y = (matmul(output, output.tape.constant(axis.astype(output.dtype))) for axis in np.eye(2)[:, :, None])
        bend = y - x * x
        return sum((1.0 - x) ** 2 + bend * bend * 100.0)


@attrs.frozen(kw_only=True)
class Reddi(Problem):
    """A linear loss on [-1, 1]: slope `c` at steps 1, 4, 7, ... and -1 at all others (Reddi, Kale and Kumar 2018).

    The average slope (c - 2) / 3 is positive, so the best point is -1. With beta1 = 0, beta2 = 1 / (1 + c^2) and
    lr / sqrt(t), Adam forgets the large gradient too soon and ends at the worst point, +1, where w begins.
    """

    name: ClassVar[str] = "reddi"

    c: float = attrs.field(default=3.0, validator=positive)

    def __attrs_post_init__(self) -> None:
        """Refuse slopes whose average does not point away from the trap."""
        if self.c <= 2:
            raise ValueError(f"c must be above 2, not {self.c!r}")

    def origin(self) -> Array:
        """Return 1, the worst point."""
        return np.ones(1)

    def samples(self, rng: np.random.Generator, batch_size: int, step: int) -> Samples:
        """Return the slope of `step`, [1]."""
        return None, np.array([self.c if step % 3 == 1 else -1.0])

    def loss(self, output: Tensor, labels: Labels | None, reduction: Reduction) -> Tensor:
        """Return slope * w, and where there is no step the average over three of them."""
        return sum(output) * ((self.c - 2) / 3 if labels is None else float(labels[0]))

    def project(self, params: Parameters) -> None:
        """Put w back into [-1, 1]."""
        np.clip(params.flat, -1, 1, out=params.flat)
