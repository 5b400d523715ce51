"""Rules on recorded series: pure functions, arrays in, frozen findings out.

NumPy only, no files, no plugins. `optiscope.labels` applies them to runs and forms the verdicts; what the words mean
is in docs/labels.md.
"""

from optiscope.analysis.analyzer import Analyzer, Axis, RunRecord, chance_loss, gradient_norm, series
from optiscope.analysis.boundary import Boundary, Trial, locate, next_lrs, unstable_share
from optiscope.analysis.collapse import collapse
from optiscope.analysis.detectors import Detectors, detect, detectors, holm
from optiscope.analysis.dynamics import Dynamics, dynamics
from optiscope.analysis.envelope import Envelope, LowerBound, burn_in, envelope, lower_bound, measure
from optiscope.analysis.facts import adam_rms, noise_scale, update_ratio, weight_norms
from optiscope.analysis.finding import Alarm, Finding
from optiscope.analysis.finite import finite, first_non_finite
from optiscope.analysis.intervals import (
    beta_cdf,
    beta_quantile,
    fewest_deciding,
    jeffreys,
    mean_interval,
    median_interval,
    rise_interval,
    rise_p_value,
)
from optiscope.analysis.outcome import outcome
from optiscope.analysis.setback import Setback, setback
from optiscope.analysis.softmax_step import softmax_step
from optiscope.analysis.statistics import norms, quantiles, spread

__all__ = [
    "Alarm",
    "Analyzer",
    "Axis",
    "Boundary",
    "Detectors",
    "Dynamics",
    "Envelope",
    "Finding",
    "LowerBound",
    "RunRecord",
    "Setback",
    "Trial",
    "adam_rms",
    "beta_cdf",
    "beta_quantile",
    "burn_in",
    "chance_loss",
    "collapse",
    "detect",
    "detectors",
    "dynamics",
    "envelope",
    "fewest_deciding",
    "finite",
    "first_non_finite",
    "gradient_norm",
    "holm",
    "jeffreys",
    "locate",
    "lower_bound",
    "mean_interval",
    "measure",
    "median_interval",
    "next_lrs",
    "noise_scale",
    "norms",
    "outcome",
    "quantiles",
    "rise_interval",
    "rise_p_value",
    "series",
    "setback",
    "softmax_step",
    "spread",
    "unstable_share",
    "update_ratio",
    "weight_norms",
]
