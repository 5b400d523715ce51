"""What recorders are charged, by a clock that moves by one at every look: each timed interval is one second."""

import itertools
from functools import partial
from types import SimpleNamespace

import pytest

from optiscope.config import RunConfig
from optiscope.engine import train
from optiscope.hooks import create_manager, hookimpl
from optiscope.records import Signal


def recorder(name, every, needs):
    class Records:
        def signals(self, run):
            return (Signal("x", every=every, needs=needs),)

        def record(self, step, quantities):
            assert set(quantities) == set(needs)
            return {"x": 0.0}

    Records.name = name
    return Records


class Sink:
    path = kept = None

    def write_step(self, *_):
        pass

    write_epoch = keep = finish = write_step

    def close(self):
        pass


@pytest.fixture
def spent(monkeypatch):
    """Return a function that trains four steps with recorders and returns what the observers took."""

    def run(*recorders, observer=None):
        class Plugin:
            @hookimpl
            def optiscope_recorders(self):
                return recorders

            @hookimpl
            def on_step(self, step):
                pass

            @hookimpl
            def on_epoch_end(self):
                pass

        for module in ("engine.quantities", "engine.loop", "hooks.manager"):
            clock = SimpleNamespace(perf_counter=partial(next, itertools.count()))
            monkeypatch.setattr(f"optiscope.{module}.time", clock)
        host = create_manager()
        host._pieces["recorders"].clear()
        host.register(Plugin(), "mine")
        return train(RunConfig(model="quadratic", steps=4), host, lambda *_: Sink()).observer_time

    return run


def test_a_recorder_is_charged_for_itself_and_for_what_it_needs(spent):
    took = spent(recorder("a", 1, ("grads", "loss")), recorder("b", 2, ()))
    assert took["recorder a"] == 4 * (1 + 1 + 1)
    assert took["recorder b"] == 2


def test_what_several_need_at_a_step_is_shared(spent):
    took = spent(recorder("a", 1, ("params",)), recorder("b", 2, ("params", "grads")))
    assert took["recorder a"] == 2 * (1 + 1) + 2 * (1 + 0.5)
    assert took["recorder b"] == 2 * (1 + 0.5 + 1)


def test_the_copy_that_an_update_takes_is_part_of_it(spent):
    assert spent(recorder("a", 1, ("update",)))["recorder a"] == 4 * (1 + 1 + 1)


def test_hooks_and_writing_are_counted(spent):
    took = spent()
    assert took == {"hooks of mine": 4 + 1, "writer": 4 + 1}
