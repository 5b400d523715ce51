"""The built-in recorders: what is known of every step, of the probe images, and of every epoch.

Which signals there are, their shapes, units and needs stand in `optiscope.storage.schema`; here they are computed.
The signal that verdicts rest on is that of a subsample of fixed size: the minimum or a low quantile over a whole batch
moves with the batch size by itself, so that batch sizes would not compare.

`gradient-rms` records nothing unless it is told how often: `--set gradient-rms.every=10`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import attrs
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


def _count(_: Any, attribute: attrs.Attribute[Any], value: Any) -> None:
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        raise ValueError(f"{attribute.name} must be a whole number of steps, or 0 for never, not {value!r}")


@attrs.define(kw_only=True)
class GradientRMSRecorder:
    """How large the gradient is beside Adam's memory of it, every `every` steps; 0, the default, is never.

    The number is sqrt(mean(g^2 / max(v, e^2))) over all parameters (StableAdamW, arXiv 2304.13013), with v the second
    moment of the step, its bias taken out. It takes a few passes over the parameters.
    """

    name: ClassVar[str] = "gradient-rms"

    every: int = attrs.field(default=0, validator=_count)
    _beta2: float = attrs.field(default=0.0, init=False)
    _floor: float = attrs.field(default=0.0, init=False)

    def signals(self, run: RunInfo) -> tuple[Signal, ...]:
        """Declare one number; nothing where the optimizer has no beta2, or where nobody asked."""
        if not self.every or "beta2" not in run.optimizer_options:
            return ()
        self._beta2 = float(run.optimizer_options["beta2"])
        self._floor = float(run.optimizer_options.get("epsilon", 0.0)) ** 2
        what = "root mean square of the gradient over the root of Adam's second moment"
        return (Signal("rms", every=self.every, needs=("grads", "state"), long_name=what),)

    def record(self, step: int, quantities: Mapping[str, Any]) -> Mapping[str, npt.ArrayLike]:
        """Return it; NaN where the optimizer's state has no v like the parameters."""
        g, v = quantities["grads"].flat, quantities["state"].get("v")
        if v is None or v.shape != g.shape:
            return {"rms": np.nan}
        share = np.maximum(v, self._floor * (1 - self._beta2**step))
        with np.errstate(all="ignore"):
            np.divide(g, np.sqrt(share, out=share), out=share)
        np.nan_to_num(share, copy=False)  # 0 / 0: a parameter that never had a gradient
        return {"rms": float(np.sqrt(np.vdot(share, share) / g.size * (1 - self._beta2**step)))}
