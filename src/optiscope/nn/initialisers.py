"""How parameters begin: plain functions of a generator, a shape and the number of inputs of a unit.

    he_normal       N(0, 2 / fan_in)    keeps the variance of a signal that passes ReLUs (He et al., 2015)
    lecun_normal    N(0, 1 / fan_in)    keeps the variance of a signal that passes linear units (LeCun et al., 1998)
    zeros           0

All return float64; `Model.init` rounds. So runs in float32 and float64 begin at the same point.
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]


def fan_in(shape: tuple[int, ...]) -> int:
    """Return how many values one output adds up: every axis of a weight but the last, which counts the outputs."""
    return math.prod(shape[:-1])


def he_normal(rng: np.random.Generator, shape: tuple[int, ...]) -> Array:
    """Return normal draws with standard deviation sqrt(2 / fan_in)."""
    return rng.standard_normal(shape) * math.sqrt(2 / fan_in(shape))


def lecun_normal(rng: np.random.Generator, shape: tuple[int, ...]) -> Array:
    """Return normal draws with standard deviation sqrt(1 / fan_in)."""
    return rng.standard_normal(shape) * math.sqrt(1 / fan_in(shape))


def zeros(rng: np.random.Generator, shape: tuple[int, ...]) -> Array:
    """Return zeros; the generator is left alone."""
    return np.zeros(shape)
