"""The numbers that a step leaves behind: order statistics of the signal, norms of parameters and gradients.

They are computed at every step of every run, so they are written to cost little: one sort serves all quantiles.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt


def quantiles(values: npt.NDArray[Any], *shares: float) -> list[float]:
    """Return the quantiles of all `values`, linear between neighbours as in `np.quantile`, which takes longer."""
    ordered = np.sort(values, axis=None)
    places = np.multiply(shares, ordered.size - 1)
    return [float(value) for value in np.interp(places, np.arange(ordered.size), ordered)]


def spread(values: npt.NDArray[Any], prefix: str = "") -> dict[str, float]:
    """Return the 5 % quantile, minimum, median and inter-quartile range of all `values`.

    Their names are q05, min, median and iqr, each after `prefix`.
    """
    least, low, q1, median, q3 = quantiles(values, 0.0, 0.05, 0.25, 0.5, 0.75)
    return {f"{prefix}q05": low, f"{prefix}min": least, f"{prefix}median": median, f"{prefix}iqr": q3 - q1}


def norms(arrays: Mapping[str, npt.NDArray[Any]]) -> list[float]:
    """Return the Euclidean norm of each array, in the order of `arrays`."""
    return [float(np.linalg.norm(array)) for array in arrays.values()]
