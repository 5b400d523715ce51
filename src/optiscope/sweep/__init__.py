"""Grids of runs, and searches for the largest stable learning rate: executed, watched, judged."""

from optiscope.sweep.grid import expand, first_seeds, plan
from optiscope.sweep.progress import CellProgress, GridProgress
from optiscope.sweep.run import characterize
from optiscope.sweep.search import MaxLr, max_lr

__all__ = ["CellProgress", "GridProgress", "MaxLr", "characterize", "expand", "first_seeds", "max_lr", "plan"]
