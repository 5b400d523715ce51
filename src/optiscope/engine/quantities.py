"""What recorders may ask for, computed once a step and only when a due signal needs it.

The names are those of `optiscope.records.QUANTITIES`. Each recorder is called once at a step where a signal of its own
is due, and is handed exactly what its due signals declared, as read-only views: it cannot come to depend on what
another recorder happened to need, nor change what another one sees.

The time that all of this takes is added up by recorder: what `record` takes, and what the quantities take that it is
handed. Recorders that are handed the same quantity at a step share its time equally.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import attrs
import numpy as np
import numpy.typing as npt

from optiscope.engine.blame import blamed
from optiscope.engine.evaluate import Evaluator
from optiscope.engine.prepare import Prepared
from optiscope.engine.step import Pass, Trainer
from optiscope.params import Parameters, readonly
from optiscope.records import QUANTITIES, Recorder, Signal

Recorded = dict[str, Mapping[str, npt.ArrayLike]]
Due = tuple[Recorder, list[Signal], set[str]]
"""A recorder, those of its signals that are due at a step, and the quantities that these need."""


@attrs.frozen
class Taken:
    """What the recorders said at a step: for the step itself, and for the epoch that it ends."""

    step: Recorded = attrs.field(factory=dict)
    epoch: Recorded = attrs.field(factory=dict)


class Recording:
    """Runs the recorders of one run; `spent` maps the name of each to the seconds that it has taken so far."""

    def __init__(self, run: Prepared, trainer: Trainer, evaluator: Evaluator) -> None:
        self._run = run
        self._trainer = trainer
        self._evaluator = evaluator
        self.spent = {recorder.name: 0.0 for recorder in run.recorders}
        self._copying = 0.0
        wanted = any("update" in _needs(signals) for signals in run.signals.values())
        self._before = trainer.params.zeros() if wanted else None
        self._change = trainer.params.zeros() if wanted else None

    def before_update(self, step: int, ends_epoch: bool) -> None:
        """Keep the parameters, where a signal that is due after the update needs the update itself."""
        if self._before is not None and any("update" in needs for _, _, needs in self._due(step, ends_epoch)):
            began = time.perf_counter()
            np.copyto(self._before.flat, self._trainer.params.flat)
            self._copying = time.perf_counter() - began

    def after_step(self, step: int, ends_epoch: bool, done: Pass) -> Taken:
        """Return what every recorder with a signal due now has to say."""
        due = self._due(step, ends_epoch)
        values = self._values(done, due)
        taken = Taken()
        for recorder, signals, needs in due:
            began = time.perf_counter()
            with blamed(self._run.host, "recorders", recorder.name, step):
                said = recorder.record(step, {name: values[name] for name in needs})
            self.spent[recorder.name] += time.perf_counter() - began
            declared = self._run.signals[recorder.name]
            at_epochs = {signal.name for signal in declared if signal.every == "epoch"}
            for part, wanted in ((taken.step, False), (taken.epoch, True)):
                if any((signal.name in at_epochs) is wanted for signal in signals):
                    part[recorder.name] = {name: value for name, value in said.items() if (name in at_epochs) is wanted}
        return taken

    def _values(self, done: Pass, due: Iterable[Due]) -> dict[str, Any]:
        """Return every quantity that is needed now, its time charged to those who need it."""
        sources = self._sources(done)
        users: dict[str, list[str]] = {}
        for recorder, _, needs in due:
            for name in needs:
                users.setdefault(name, []).append(recorder.name)
        values = {}
        for name, asking in users.items():
            began = time.perf_counter()
            values[name] = sources[name]()
            took = time.perf_counter() - began + (self._copying if name == "update" else 0.0)
            for recorder_name in asking:
                self.spent[recorder_name] += took / len(asking)
        return values

    def _due(self, step: int, ends_epoch: bool) -> list[Due]:
        due = []
        for recorder in self._run.recorders:
            declared = self._run.signals[recorder.name]
            signals = [signal for signal in declared if signal.due(step) or (ends_epoch and signal.every == "epoch")]
            if signals:
                due.append((recorder, signals, _needs(signals)))
        return due

    def _sources(self, done: Pass) -> dict[str, Callable[[], Any]]:
        trainer, images = self._trainer, self._run.images

        def view(array: Any) -> Any:
            return None if array is None else readonly(array)

        def probe() -> Any:
            shown = None if images is None else images.test_images[: self._run.info.probe_size]
            return view(self._evaluator.outputs(trainer.params, shown))

        sources: dict[str, Callable[[], Any]] = {
            "loss": lambda: done.loss,
            "labels": lambda: view(done.labels),
            "logits": lambda: view(done.logits),
            "dlogits": lambda: view(trainer.dlogits()),
            "last_input": lambda: view(trainer.last_input()),
            "grads": trainer.grads.readonly,
            "params": trainer.params.readonly,
            "update": self._update,
            "state": lambda: {name: view(array) for name, array in trainer.state.items()},
            "probe_logits": probe,
        }
        assert sources.keys() == QUANTITIES.keys()
        return sources

    def _update(self) -> Parameters:
        assert self._before is not None
        assert self._change is not None
        np.subtract(self._trainer.params.flat, self._before.flat, out=self._change.flat)
        return self._change.readonly()


def _needs(signals: Iterable[Signal]) -> set[str]:
    return {name for signal in signals for name in signal.needs}
