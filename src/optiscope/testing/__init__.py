"""For authors of plugins: checks that a piece of theirs keeps the promises that the host relies on."""

from optiscope.testing.optimizers import check_optimizer

__all__ = ["check_optimizer"]
