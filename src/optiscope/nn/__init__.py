"""Models, and the problems that stand in for one: see `optiscope.nn.base` for the protocol."""

from optiscope.nn.base import Image, Labels, Model, Output, on_tape
from optiscope.nn.models import PaperCNN, SmallCNN
from optiscope.nn.problems import Quadratic

__all__ = ["Image", "Labels", "Model", "Output", "PaperCNN", "Quadratic", "SmallCNN", "on_tape"]
