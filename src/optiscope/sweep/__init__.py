"""Grids of runs: multiplied out, executed, watched, judged."""

from optiscope.sweep.grid import expand, plan
from optiscope.sweep.progress import CellProgress, GridProgress
from optiscope.sweep.run import characterize

__all__ = ["CellProgress", "GridProgress", "characterize", "expand", "plan"]
