"""The built-in analyzers: shells that pick series out of a run and hand them to `optiscope.analysis`."""

from __future__ import annotations

from typing import ClassVar

from optiscope import analysis
from optiscope.analysis import Axis, Finding, RunRecord, series
from optiscope.analysis.collapse import RULE as COLLAPSE_RULE
from optiscope.analysis.envelope import RULE as ENVELOPE_RULE
from optiscope.analysis.finite import RULE as FINITE_RULE
from optiscope.analysis.outcome import RULE as OUTCOME_RULE


class Finite:
    """Loss, gradient and update norms are finite at every step."""

    name: ClassVar[str] = "finite"
    rule_version: ClassVar[str] = FINITE_RULE
    required: ClassVar[bool] = True
    axis: ClassVar[Axis] = "outcome"

    def analyze(self, run: RunRecord) -> Finding:
        """Judge the numbers, and what the run itself says of how it ended."""
        names = ("loss", "grad_norm", "update_norm")
        recorded = {name: series(run, name) for name in names}
        return analysis.finite(recorded, diverged=run.status == "diverged", said=run.why)


class Collapse:
    """The spread of the logits does not fall to nothing."""

    name: ClassVar[str] = "collapse"
    rule_version: ClassVar[str] = COLLAPSE_RULE
    required: ClassVar[bool] = True
    axis: ClassVar[Axis] = "outcome"

    def analyze(self, run: RunRecord) -> Finding:
        """Judge the inter-quartile range of the logits at every step."""
        return analysis.collapse(series(run, "logits_iqr"), series(run, "loss"))


class Outcome:
    """The training loss fell."""

    name: ClassVar[str] = "outcome"
    rule_version: ClassVar[str] = OUTCOME_RULE
    required: ClassVar[bool] = True
    axis: ClassVar[Axis] = "outcome"

    def analyze(self, run: RunRecord) -> Finding:
        """Judge the training loss of every step."""
        return analysis.outcome(series(run, "loss"))


class Envelope:
    """The lower envelope of the logits is steady."""

    name: ClassVar[str] = "envelope"
    rule_version: ClassVar[str] = ENVELOPE_RULE
    required: ClassVar[bool] = True
    axis: ClassVar[Axis] = "signal"

    def analyze(self, run: RunRecord) -> Finding:
        """Judge the 5 % quantile of the logits of 50 images of the batch at every step."""
        q05, iqr = series(run, "logits_q05"), series(run, "logits_iqr")
        return analysis.envelope(q05, iqr, int(run.config["steps_per_epoch"]))


ANALYZERS = (Finite, Collapse, Outcome, Envelope)
