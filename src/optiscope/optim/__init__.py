"""Optimizers: the protocol, the two built-in families, and learning-rate schedules."""

from optiscope.optim.adam import Adam, AdamInside
from optiscope.optim.base import Optimizer, State, at_least_zero, blocks, decay_rate
from optiscope.optim.sgd import SGD

__all__ = ["SGD", "Adam", "AdamInside", "Optimizer", "State", "at_least_zero", "blocks", "decay_rate"]
