"""What several of the optimizers share: moving averages, weight decay, layers, and validators of options."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import attrs

from optiscope.optim import blocks
from optiscope.params import Array, Parameters


def average(mean: Array, beta: float, value: Array) -> None:
    """Move an exponential average in place: mean <- beta mean + (1 - beta) value."""
    mean *= beta
    mean += (1 - beta) * value


def decayed(g: Array, w: Array, weight_decay: float) -> Array:
    """Return g + weight_decay w, the gradient with a coupled weight decay; g itself where there is none."""
    return g + weight_decay * w if weight_decay else g


def layers(params: Parameters) -> Iterator[slice]:
    """Yield the slice of `params.flat` that each named array covers, in order."""
    start = 0
    for array in params.values():
        yield slice(start, start + array.size)
        start += array.size


def blocks_of(layer: slice) -> Iterator[slice]:
    """Yield the slices that cut one layer into cache-sized blocks."""
    for part in blocks(layer.stop - layer.start):
        yield slice(layer.start + part.start, layer.start + part.stop)


def true_or_false(_: Any, attribute: attrs.Attribute[Any], value: bool) -> None:
    """Validate a switch."""
    if not isinstance(value, bool):
        raise ValueError(f"{attribute.name} must be true or false, not {value!r}")


def at_least_one(_: Any, attribute: attrs.Attribute[Any], value: int) -> None:
    """Validate a count."""
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise ValueError(f"{attribute.name} must be a whole number >= 1, not {value!r}")


def above_zero(_: Any, attribute: attrs.Attribute[Any], value: float) -> None:
    """Validate a number that must be finite and positive."""
    if not 0 < value < float("inf"):
        raise ValueError(f"{attribute.name} must be a finite number above zero, not {value!r}")
