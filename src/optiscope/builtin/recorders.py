"""The built-in recorders: what is known of every step, of the probe images, and of every epoch.

Which signals there are, their shapes, units and needs stand in `optiscope.storage.schema`; here they are computed.
The signal that verdicts rest on is that of a subsample of fixed size: the minimum or a low quantile over a whole batch
moves with the batch size by itself, so that batch sizes would not compare.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from optiscope.analysis import norms, quantiles, spread
from optiscope.records import RunInfo, Signal
from optiscope.storage import schema


class StepRecorder:
    """Signals of every step, from what the step computed anyway."""

    name: ClassVar[str] = "step"
    essential: ClassVar[bool] = True

    def signals(self, run: RunInfo) -> tuple[Signal, ...]:
        """Declare the signals of the group /step."""
        return schema.step_signals(run)

    def record(self, step: int, quantities: Mapping[str, Any]) -> Mapping[str, npt.ArrayLike]:
        """Return them."""
        logits = quantities["logits"]
        values: dict[str, npt.ArrayLike] = {
            "grad_norm": norms(quantities["grads"]),
            "update_norm": norms(quantities["update"]),
            **spread(logits[: schema.SUBSAMPLE], "logits_"),
            "logits_batch_min": float(logits.min()),
        }
        if "last_input" in quantities:
            values["dlogits_norm"] = float(np.linalg.norm(quantities["dlogits"]))
            last_input = quantities["last_input"]
            values |= {
                "last_input_mean": float(last_input.mean()),
                "last_input_q95": quantiles(last_input[: schema.SUBSAMPLE], 0.95)[0],
            }
        return values


class ProbeRecorder:
    """The model's output for images that stay the same, dropout off."""

    name: ClassVar[str] = "probe"

    def signals(self, run: RunInfo) -> tuple[Signal, ...]:
        """Declare the signals of the group /probe; none for a problem without images."""
        return schema.probe_signals(run)

    def record(self, step: int, quantities: Mapping[str, Any]) -> Mapping[str, npt.ArrayLike]:
        """Return them."""
        logits = quantities["probe_logits"]
        return {"logits": logits, **spread(logits)}


class EpochRecorder:
    """Histograms of the parameters at the end of each epoch."""

    name: ClassVar[str] = "epoch"

    def signals(self, run: RunInfo) -> tuple[Signal, ...]:
        """Declare the signals of the group /epoch."""
        return schema.epoch_signals(run)

    def record(self, step: int, quantities: Mapping[str, Any]) -> Mapping[str, npt.ArrayLike]:
        """Return them."""
        counts = [np.histogram(array, schema.HISTOGRAM_EDGES)[0] for array in quantities["params"].values()]
        return {"histograms": np.stack(counts)}
