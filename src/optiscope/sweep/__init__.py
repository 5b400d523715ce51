"""Grids of runs: multiplied out, executed, watched, judged."""

from optiscope.sweep.run import characterize, label
from optiscope.sweep.grid import expand, plan
from optiscope.sweep.progress import CellProgress, GridProgress

__all__ = ["CellProgress", "GridProgress", "characterize", "expand", "label", "plan"]
