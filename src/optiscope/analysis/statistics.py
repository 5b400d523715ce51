"""The numbers that a step leaves behind: order statistics of the signal, norms of parameters and gradients.

They are computed at every step of every run, so they are written to cost little: one sort serves all quantiles, and a
norm is a product of BLAS without what `np.linalg.norm` does before it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt


def quantiles(values: npt.NDArray[Any], *shares: float) -> list[float]:
    """Return the quantiles of all `values`, linear between neighbours as in `np.quantile`, which takes longer."""
    ordered = np.sort(values, axis=None)
    found = []
    for share in shares:
        below, part = divmod(share * (ordered.size - 1), 1)
        low, high = float(ordered[int(below)]), float(ordered[math.ceil(below + part)])
        found.append(low + part * (high - low) if part else low)
    return found


def spread(values: npt.NDArray[Any], prefix: str = "") -> dict[str, float]:
    """Return the 5 % quantile, minimum, median and inter-quartile range of all `values`.

    Their names are q05, min, median and iqr, each after `prefix`.
    """
    least, low, q1, median, q3 = quantiles(values, 0.0, 0.05, 0.25, 0.5, 0.75)
    return {f"{prefix}q05": low, f"{prefix}min": least, f"{prefix}median": median, f"{prefix}iqr": q3 - q1}


def norms(arrays: Mapping[str, npt.NDArray[Any]]) -> list[float]:
    """Return the Euclidean norm of each array, in the order of `arrays`."""
    return [math.sqrt(np.vdot(array, array)) for array in arrays.values()]
