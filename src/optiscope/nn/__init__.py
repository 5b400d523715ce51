"""Models, and the problems that stand in for one: see `optiscope.nn.base` for the protocol."""

from optiscope.nn.base import Image, Labels, Limits, Model, Output, Samples, on_tape
from optiscope.nn.models import PaperCNN, SmallCNN
from optiscope.nn.problems import NoisyQuadratic, Problem, Quadratic, Reddi, Rosenbrock, curvatures
from optiscope.nn.tasks import Logistic, Task, Wilson

__all__ = [
    "Image",
    "Labels",
    "Limits",
    "Logistic",
    "Model",
    "NoisyQuadratic",
    "Output",
    "PaperCNN",
    "Problem",
    "Quadratic",
    "Reddi",
    "Rosenbrock",
    "Samples",
    "SmallCNN",
    "Task",
    "Wilson",
    "curvatures",
    "on_tape",
]
