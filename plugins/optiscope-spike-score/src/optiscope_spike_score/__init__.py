"""An analyzer: the spike score of OLMo 2 (arXiv 2501.00656), reported beside the verdict.

A point of a series is a spike if it lies at least seven standard deviations from the mean of the (up to) thousand
points before it; the score is the share of spikes, and the analyzer reports that of the loss or of the gradient norm,
whichever is larger. A point has to have a past to be judged by: the first 50 are none.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import attrs
import numpy as np
import numpy.typing as npt

from optiscope.analysis import Finding, RunRecord, gradient_norm, series
from optiscope.hooks import hookimpl

WINDOW = 1000
LEAST_PAST = 50


@attrs.frozen
class SpikeScore:
    """Reports the larger of two scores. `sigmas` is the distance at which a point is a spike."""

    name: ClassVar[str] = "spike-score"
    rule_version: ClassVar[str] = "1"
    required: ClassVar[bool] = False
    axis: ClassVar[str] = "report"

    sigmas: float = attrs.field(default=7.0, validator=attrs.validators.gt(0))

    def analyze(self, run: RunRecord) -> Finding:
        """Return the score of `run`, with the first spike's step."""
        found = {"loss": series(run, "loss"), "gradient norm": gradient_norm(run)}
        spiky = {name: spikes(values, self.sigmas) for name, values in found.items() if len(values) > LEAST_PAST}
        if not spiky:
            why = f"a spike needs a past of {LEAST_PAST} steps, and {run.n_steps} were recorded"
            return Finding(name=self.name, rule_version=self.rule_version, result="undecided", why=why)
        worst = max(spiky, key=lambda name: spiky[name].mean())
        where = np.flatnonzero(spiky[worst])
        score = float(spiky[worst].mean())
        return Finding(
            name=self.name,
            rule_version=self.rule_version,
            result="info",
            statistic=score,
            steps=(1, len(spiky[worst])),
            first_step=int(where[0]) + 1 if where.size else None,
            why=f"{where.size} of {len(spiky[worst])} steps are spikes of the {worst} ({self.sigmas:g} sigma)",
        )


def spikes(values: npt.NDArray[np.float64], sigmas: float) -> npt.NDArray[np.bool_]:
    """Return which points lie `sigmas` standard deviations or more from the mean of the points before them, bool [T].

    A point that is not finite is a spike, and is left out of the past of those that follow.
    """
    finite = np.isfinite(values)
    kept = np.where(finite, values, 0.0)
    centre = kept[finite].mean() if finite.any() else 0.0
    kept = np.where(finite, kept - centre, 0.0)
    count, total, square = (_past(part) for part in (finite.astype(float), kept, kept * kept))
    known = count >= LEAST_PAST
    mean = np.divide(total, count, out=np.zeros_like(total), where=known)
    variance = np.divide(square, count, out=np.zeros_like(square), where=known) - mean * mean
    far = (kept - mean) ** 2 >= sigmas**2 * np.maximum(variance, 0.0)
    return known & (~finite | (far & (variance > 0)))


def _past(values: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Return the sum over the `WINDOW` points before each point."""
    sums = np.concatenate([[0.0], np.cumsum(values)])
    ends = np.arange(len(values))
    return np.asarray(sums[ends] - sums[np.maximum(ends - WINDOW, 0)])


@hookimpl
def optiscope_analyzers() -> Sequence[Any]:
    """Bring the analyzer."""
    return [SpikeScore]
