"""The built-in analyzers: shells that pick series out of a run and hand them to `optiscope.analysis`.

    judged      finite, collapse, outcome, envelope; and dynamics, which decides where the minimum is known
    advising    spike, variance, level, period-2, softmax-step: shown beside the verdict, part of it where `judged`
    reported    update-ratio, noise-scale, adam-rms

An option that is not the default stands in the finding's `rule_version`, so that it never passes for the rule itself.
"""

from __future__ import annotations

from typing import Any, ClassVar, Literal

import attrs
import numpy as np

from optiscope import analysis
from optiscope.analysis import Axis, Finding, RunRecord, chance_loss, gradient_norm, series
from optiscope.analysis.collapse import RULE as COLLAPSE_RULE
from optiscope.analysis.detectors import LEVEL, NAMES
from optiscope.analysis.detectors import RULE as DETECTORS_RULE
from optiscope.analysis.dynamics import RULE as DYNAMICS_RULE
from optiscope.analysis.envelope import ROUGHNESS_LIMIT
from optiscope.analysis.envelope import RULE as ENVELOPE_RULE
from optiscope.analysis.facts import RULE as FACTS_RULE
from optiscope.analysis.finite import RULE as FINITE_RULE
from optiscope.analysis.outcome import LIMIT as OUTCOME_LIMIT
from optiscope.analysis.outcome import RULE as OUTCOME_RULE
from optiscope.analysis.softmax_step import RULE as SOFTMAX_STEP_RULE

SERIES = ("signal", "loss", "gradient")


def _share(_: Any, attribute: attrs.Attribute[Any], value: Any) -> None:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 < value < 1:
        raise ValueError(f"{attribute.name} must be a number between 0 and 1, not {value!r}")


def _positive(_: Any, attribute: attrs.Attribute[Any], value: Any) -> None:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not value > 0:
        raise ValueError(f"{attribute.name} must be a number above zero, not {value!r}")


def _flag(_: Any, attribute: attrs.Attribute[Any], value: Any) -> None:
    if not isinstance(value, bool):
        raise ValueError(f"{attribute.name} must be true or false, not {value!r}")


def _known_series(_: Any, attribute: attrs.Attribute[Any], value: Any) -> None:
    if value not in SERIES:
        raise ValueError(f"{attribute.name} must be one of {', '.join(SERIES)}, not {value!r}")


@attrs.frozen(kw_only=True)
class _Rule:
    """Base of the shells: a subclass says in `judge` what its rule makes of a run that has all that it `needs`."""

    name: ClassVar[str]
    rule_version: ClassVar[str]
    required: ClassVar[bool] = False
    axis: ClassVar[Axis] = "report"
    needs: ClassVar[tuple[str, ...]] = ()

    def judge(self, run: RunRecord) -> Finding:
        raise NotImplementedError(f"rule {type(self).__name__} has no judge: write one")

    def analyze(self, run: RunRecord) -> Finding:
        """Return what the rule says; undecided where the record lacks a series that it needs."""
        if missing := [name for name in self.needs if not series(run, name).size]:
            why = f"the record has no {' and no '.join(missing)}"
            return Finding(name=self.name, rule_version=self.rule_version, result="undecided", why=why)
        finding = self.judge(run)
        given = {field.name: getattr(self, field.name) for field in attrs.fields(type(self)) if field.init}
        defaults = {field.name: field.default for field in attrs.fields(type(self))}
        changed = ", ".join(f"{name}={value}" for name, value in given.items() if value != defaults[name])
        return attrs.evolve(finding, rule_version=f"{self.rule_version} ({changed})") if changed else finding


@attrs.frozen(kw_only=True)
class Finite(_Rule):
    """Loss, gradient and update norms are finite at every step."""

    name: ClassVar[str] = "finite"
    rule_version: ClassVar[str] = FINITE_RULE
    required: ClassVar[bool] = True
    axis: ClassVar[Axis] = "outcome"

    def judge(self, run: RunRecord) -> Finding:
        """Judge the numbers, and what the run itself says of how it ended."""
        names = ("loss", "grad_norm", "update_norm")
        recorded = {name: series(run, name) for name in names}
        return analysis.finite(recorded, diverged=run.status == "diverged", said=run.why)


@attrs.frozen(kw_only=True)
class Collapse(_Rule):
    """The spread of the logits does not fall to nothing."""

    name: ClassVar[str] = "collapse"
    rule_version: ClassVar[str] = COLLAPSE_RULE
    required: ClassVar[bool] = True
    axis: ClassVar[Axis] = "outcome"
    needs: ClassVar[tuple[str, ...]] = ("logits_iqr", "loss")

    def judge(self, run: RunRecord) -> Finding:
        """Judge the inter-quartile range of the logits at every step."""
        return analysis.collapse(series(run, "logits_iqr"), series(run, "loss"))


@attrs.frozen(kw_only=True)
class Outcome(_Rule):
    """The training loss fell. `limit` is the share of that of a network that knows nothing from which on it did not."""

    name: ClassVar[str] = "outcome"
    rule_version: ClassVar[str] = OUTCOME_RULE
    required: ClassVar[bool] = True
    axis: ClassVar[Axis] = "outcome"
    needs: ClassVar[tuple[str, ...]] = ("loss",)

    limit: float = attrs.field(default=OUTCOME_LIMIT, validator=_positive)

    def judge(self, run: RunRecord) -> Finding:
        """Judge the training loss of every step."""
        return analysis.outcome(series(run, "loss"), chance_loss(run), self.limit)


@attrs.frozen(kw_only=True)
class Dynamics(_Rule):
    """The loss approaches its minimum, where that is known. It then decides, in place of every rule but `finite`."""

    name: ClassVar[str] = "dynamics"
    rule_version: ClassVar[str] = DYNAMICS_RULE
    axis: ClassVar[Axis] = "dynamics"
    decisive: ClassVar[bool] = True

    def judge(self, run: RunRecord) -> Finding:
        """Judge the training loss of every step, and whether the gradient has come down to its noise."""
        minimum = run.config.get("minimum")
        if minimum is None:
            why = "the least possible loss is not known, and the edge of stability was not measured"
            return Finding(name=self.name, rule_version=self.rule_version, result="info", why=why)
        noise = float(run.config.get("gradient_noise", 0.0))
        found = analysis.dynamics(series(run, "loss"), float(minimum), gradient_norm(run), noise)
        results: dict[str, Literal["pass", "fail"]] = {"decaying": "pass", "growing": "fail"}
        return Finding(
            name=self.name,
            rule_version=self.rule_version,
            result=results.get(found.kind, "undecided"),
            kind=found.kind,
            statistic=found.rate,
            threshold=0.0,
            interval=found.interval,
            steps=found.steps,
            why=found.why,
        )


@attrs.frozen(kw_only=True)
class Envelope(_Rule):
    """The lower envelope of the logits is steady. `limit` is the roughness, in spreads, from which on it is rough."""

    name: ClassVar[str] = "envelope"
    rule_version: ClassVar[str] = ENVELOPE_RULE
    required: ClassVar[bool] = True
    axis: ClassVar[Axis] = "signal"
    needs: ClassVar[tuple[str, ...]] = ("logits_q05", "logits_iqr")

    limit: float = attrs.field(default=ROUGHNESS_LIMIT, validator=_positive)

    def judge(self, run: RunRecord) -> Finding:
        """Judge the 5 % quantile of the logits of 50 images of the batch at every step."""
        q05, iqr = series(run, "logits_q05"), series(run, "logits_iqr")
        return analysis.envelope(q05, iqr, int(run.config["steps_per_epoch"]), self.limit)


@attrs.frozen(kw_only=True)
class _Detector(_Rule):
    """One of four tests of a series for a fault. `judged` makes it part of the verdict; without it, it advises.

    `series` is what it looks at: the "signal" (the lower bound of the logits in units of their spread, as the envelope
    has it), the "loss" or the norm of the whole "gradient". `level` is that of the four tests together.
    """

    rule_version: ClassVar[str] = DETECTORS_RULE
    letter: ClassVar[str]

    series: str = attrs.field(default="signal", validator=_known_series)
    level: float = attrs.field(default=LEVEL, validator=_share)
    judged: bool = attrs.field(default=False, validator=_flag)

    def __attrs_post_init__(self) -> None:
        """Refuse to judge another series: a verdict holds alarms of the signal against the loss."""
        if self.judged and self.series != "signal":
            raise ValueError(
                f"judged needs the series signal: a verdict does not hold the {self.series} against the loss"
            )

    @property
    def axis(self) -> Axis:  # type: ignore[override]
        """The signal where the detector is judged, and the report where it advises."""
        return "signal" if self.judged else "report"

    def judge(self, run: RunRecord) -> Finding:
        """Test the series."""
        epoch = int(run.config["steps_per_epoch"])
        bound = analysis.lower_bound(series(run, "logits_q05"), series(run, "logits_iqr"), epoch)
        if self.series == "signal":
            return analysis.detect(bound.values, bound.burn, self.letter, "lower bound of the signal", self.level)
        values, what = (series(run, "loss"), "loss") if self.series == "loss" else (gradient_norm(run), "gradient norm")
        burn = bound.burn if bound.values.size else analysis.burn_in(values.size, epoch)
        return analysis.detect(values, burn, self.letter, what, self.level)


@attrs.frozen(kw_only=True)
class Spike(_Detector):
    """The series has no spike."""

    name: ClassVar[str] = NAMES["X"]
    letter: ClassVar[str] = "X"


@attrs.frozen(kw_only=True)
class Variance(_Detector):
    """The noise of the series does not grow."""

    name: ClassVar[str] = NAMES["V"]
    letter: ClassVar[str] = "V"


@attrs.frozen(kw_only=True)
class Level(_Detector):
    """The series keeps its level."""

    name: ClassVar[str] = NAMES["D"]
    letter: ClassVar[str] = "D"


@attrs.frozen(kw_only=True)
class PeriodTwo(_Detector):
    """The series does not begin to swing from step to step."""

    name: ClassVar[str] = NAMES["P"]
    letter: ClassVar[str] = "P"


@attrs.frozen(kw_only=True)
class SoftmaxStep(_Rule):
    """The first steps do not throw the logits further than softmax bears. It advises, unless it is `judged`."""

    name: ClassVar[str] = "softmax-step"
    rule_version: ClassVar[str] = SOFTMAX_STEP_RULE

    judged: bool = attrs.field(default=False, validator=_flag)

    @property
    def axis(self) -> Axis:  # type: ignore[override]
        """The signal where the rule is judged, and the report where it advises."""
        return "signal" if self.judged else "report"

    def judge(self, run: RunRecord) -> Finding:
        """Judge the logits of the probe images, at the steps at which they were taken."""
        if run.config.get("output", "logits") != "logits" or not {"logits", "step"} <= set(run.probe):
            why = "the record has no logits of probe images"
            return Finding(name=self.name, rule_version=self.rule_version, result="undecided", why=why)
        return analysis.softmax_step(run.probe["logits"], run.probe["step"])


@attrs.frozen(kw_only=True)
class UpdateRatio(_Rule):
    """How large an update is beside the weights."""

    name: ClassVar[str] = "update-ratio"
    rule_version: ClassVar[str] = FACTS_RULE

    def judge(self, run: RunRecord) -> Finding:
        """Report it for the last epoch, whose histograms tell the norms of the weights."""
        from optiscope.storage.schema import HISTOGRAM_EDGES

        epochs = run.epochs
        if not {"histograms", "step"} <= set(epochs):
            empty = np.empty((0, 0))
            return analysis.update_ratio(empty, empty, np.empty(0, np.int64))
        weights = analysis.weight_norms(epochs["histograms"], HISTOGRAM_EDGES)
        return analysis.update_ratio(series(run, "update_norm"), weights, epochs["step"])


@attrs.frozen(kw_only=True)
class NoiseScale(_Rule):
    """How much of a gradient is noise, as the batch size from which on more examples hardly help."""

    name: ClassVar[str] = "noise-scale"
    rule_version: ClassVar[str] = FACTS_RULE

    def judge(self, run: RunRecord) -> Finding:
        """Report it where the plugin optiscope-gradient-angle recorded the angle between successive gradients."""
        cosine = np.asarray(run.plugins.get("gradient-angle", {}).get("cosine", ()), dtype=np.float64)
        return analysis.noise_scale(gradient_norm(run), cosine, int(run.config["batch_size"]))


@attrs.frozen(kw_only=True)
class AdamRMS(_Rule):
    """How much larger a gradient is than Adam's memory of it."""

    name: ClassVar[str] = "adam-rms"
    rule_version: ClassVar[str] = FACTS_RULE

    def judge(self, run: RunRecord) -> Finding:
        """Report it where the recorder gradient-rms was told to record it."""
        recorded = run.plugins.get("gradient-rms", {})
        rms = np.asarray(recorded.get("rms", ()), dtype=np.float64)
        return analysis.adam_rms(rms, recorded.get("step", np.arange(1, rms.size + 1)))


ANALYZERS = (
    Finite,
    Collapse,
    Outcome,
    Dynamics,
    Envelope,
    Spike,
    Variance,
    Level,
    PeriodTwo,
    SoftmaxStep,
    UpdateRatio,
    NoiseScale,
    AdamRMS,
)
