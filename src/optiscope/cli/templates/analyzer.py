"""An analyzer: how soon the loss has fallen to half of where it began.

The rule: the first step from which the loss, as a median of five steps, is at most `share` of what it was at the start.
It is shown beside the verdict and is no part of it, as `axis` says.
"""

from collections.abc import Sequence
from typing import Any, ClassVar

import attrs
import numpy as np
import numpy.typing as npt

from optiscope.analysis import Finding, RunRecord, series
from optiscope.hooks import hookimpl

WINDOW = 5


@attrs.frozen
class MyPlugin:
    """`share` is the part of the first loss at which it counts as fallen."""

    name: ClassVar[str] = "my-plugin"
    rule_version: ClassVar[str] = "1"
    axis: ClassVar[str] = "report"

    share: float = attrs.field(default=0.5, validator=[attrs.validators.gt(0), attrs.validators.lt(1)])

    def analyze(self, run: RunRecord) -> Finding:
        """Return the step, with the loss that it was held against; undecided where the record does not say."""
        loss = series(run, "loss")
        if len(loss) < WINDOW:
            why = f"a median takes {WINDOW} steps, and {len(loss)} were recorded"
            return Finding(name=self.name, rule_version=self.rule_version, result="undecided", why=why)
        smooth = medians(loss)
        limit = self.share * float(smooth[0])
        fallen = np.flatnonzero(smooth <= limit)
        first = int(fallen[0]) + 1 if fallen.size else None
        where = f"at step {first}" if first else f"in none of {len(loss)} steps"
        return Finding(
            name=self.name,
            rule_version=self.rule_version,
            result="info",
            statistic=float(smooth.min()),
            threshold=limit,
            steps=(1, len(loss)),
            first_step=first,
            why=f"the loss fell from {smooth[0]:.3g} to {self.share:g} of that {where}",
        )


def medians(values: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Return the median of every `WINDOW` points in a row, [T - WINDOW + 1]; number t is of those from t on."""
    return np.asarray(np.median(np.lib.stride_tricks.sliding_window_view(values, WINDOW), axis=1))


@hookimpl
def optiscope_analyzers() -> Sequence[Any]:
    """Bring the analyzer."""
    return [MyPlugin]
