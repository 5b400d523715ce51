"""Optimizers: the protocol, the two built-in families, and learning-rate schedules."""

from optiscope.optim.adam import Adam, AdamInside
from optiscope.optim.base import Optimizer, State, at_least_zero, blocks, decay_rate
from optiscope.optim.schedules import SCHEDULES, Constant, Cosine, InverseSqrt, Schedule, Step
from optiscope.optim.sgd import SGD

__all__ = [
    "SCHEDULES",
    "SGD",
    "Adam",
    "AdamInside",
    "Constant",
    "Cosine",
    "InverseSqrt",
    "Optimizer",
    "Schedule",
    "State",
    "Step",
    "at_least_zero",
    "blocks",
    "decay_rate",
]
