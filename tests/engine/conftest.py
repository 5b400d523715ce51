from types import SimpleNamespace

import attrs
import pytest

from optiscope.hooks import create_manager, hookimpl
from optiscope.optim import SGD
from optiscope.records import Signal


class Clock:
    """Stands still unless somebody says how long something takes."""

    def __init__(self):
        self.now = 0.0

    def perf_counter(self):
        return self.now


@pytest.fixture
def clock(monkeypatch):
    """The clock of the measurement and of the recorders, in the place of the real one."""
    clock = Clock()
    for module in ("budget", "quantities"):
        monkeypatch.setattr(f"optiscope.engine.{module}.time", clock)
    return clock


@pytest.fixture
def timed(clock):
    """Make recorders that take as long as one says, and a host in which a training step takes a second."""

    @attrs.define(kw_only=True)
    class OneSecond(SGD):
        name = "one-second"

        def update(self, params, grads, state, step):
            clock.now += 1.0
            super().update(params, grads, state, step)

    def recorder(name, periods, cost, **more):
        """Return a recorder with a signal for each period; `cost(due, call)` is in seconds."""

        class Takes:
            def __init__(self):
                self.calls = 0

            def signals(self, run):
                return tuple(Signal(f"x{every}", every=every, needs=more.get("needs", ())) for every in periods)

            def record(self, step, quantities):
                due = tuple(signal for signal in self.signals(None) if signal.due(step))
                clock.now += cost(due, self.calls)
                self.calls += 1
                return {signal.name: 0.0 for signal in self.signals(None)}

        Takes.name = name
        Takes.essential = more.get("essential", False)
        return Takes

    def host(*recorders, observer=None):
        class Plugin:
            @hookimpl
            def optiscope_recorders(self):
                return recorders

            @hookimpl
            def optiscope_optimizers(self):
                return [OneSecond]

        made = create_manager(block=["gradient-angle", "spike-score"])
        made.register(Plugin(), "timed")
        if observer is not None:
            made.register(observer, "observer")
        return made

    return SimpleNamespace(recorder=recorder, host=host)
