"""The engine: trains one run and publishes what happens on the hooks. It knows no file format and no label."""

from optiscope.engine.budget import Measured, measure, schedules
from optiscope.engine.loop import OpenSink, rehearse
from optiscope.engine.prepare import Prepared, host_for, prepare
from optiscope.engine.run import train

__all__ = ["Measured", "OpenSink", "Prepared", "host_for", "measure", "prepare", "rehearse", "schedules", "train"]
