"""What recorders may ask for, computed once a step and only when a due signal needs it.

The names are those of `optiscope.records.QUANTITIES`. Each recorder is called once at a step where a signal of its own
is due, and is handed exactly what its due signals declared, as read-only views: it cannot come to depend on what
another recorder happened to need, nor change what another one sees.

The time that all of this takes is added up by recorder: what `record` takes, and what the quantities take that it is
handed. Recorders that are handed the same quantity at a step share its time equally.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

import attrs
import numpy as np
import numpy.typing as npt

from optiscope.engine.blame import blamed
from optiscope.engine.evaluate import Evaluator
from optiscope.engine.prepare import Prepared, probe_of
from optiscope.engine.step import Pass, Trainer
from optiscope.params import Parameters, readonly
from optiscope.records import QUANTITIES, Recorder

Recorded = dict[str, Mapping[str, npt.ArrayLike]]


@attrs.frozen(eq=False, kw_only=True)
class Due:
    """A recorder with signals that are due, for the step, for the epoch that it ends, or both; and what these need.

    `at_epochs` are the names of all its signals on the schedule "epoch".
    """

    recorder: Recorder
    needs: frozenset[str]
    for_step: bool
    for_epoch: bool
    at_epochs: frozenset[str]


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
        signals = [signal for declared in run.signals.values() for signal in declared]
        self._periods = sorted({signal.every for signal in signals if signal.every != "epoch"})
        self._schedule: dict[tuple[bool, ...], list[Due]] = {}
        wanted = any("update" in signal.needs for signal in signals)
        self._before = trainer.params.zeros() if wanted else None
        self._change = trainer.params.zeros() if wanted else None
        self._shown = {"grads": trainer.grads.readonly(), "params": trainer.params.readonly()}
        if self._change is not None:
            self._shown["update"] = self._change.readonly()

    def memory(self) -> dict[str, dict[str, npt.NDArray[Any]]]:
        """Return what each recorder that remembers something remembers."""
        return {recorder.name: recorder.memory for recorder in self._run.recorders if hasattr(recorder, "memory")}

    def take_up(self, memory: Mapping[str, Mapping[str, npt.NDArray[Any]]]) -> None:
        """Let the recorders remember what they did."""
        for name, mine in self.memory().items():
            mine.clear()
            mine.update({key: array.copy() for key, array in memory.get(name, {}).items()})

    def before_update(self, step: int, ends_epoch: bool) -> None:
        """Keep the parameters, where a signal that is due after the update needs the update itself."""
        if self._before is not None and any("update" in due.needs for due in self._due(step, ends_epoch)):
            began = time.perf_counter()
            np.copyto(self._before.flat, self._trainer.params.flat)
            self._copying = time.perf_counter() - began

    def after_step(self, step: int, ends_epoch: bool, done: Pass) -> Taken:
        """Return what every recorder with a signal due now has to say."""
        all_due = self._due(step, ends_epoch)
        values = self._values(done, all_due)
        taken = Taken()
        for due in all_due:
            recorder = due.recorder
            began = time.perf_counter()
            with blamed(self._run.host, "recorders", recorder.name, step):
                said = recorder.record(step, {name: values[name] for name in due.needs})
            self.spent[recorder.name] += time.perf_counter() - began
            if due.for_step:
                taken.step[recorder.name] = {name: value for name, value in said.items() if name not in due.at_epochs}
            if due.for_epoch:
                taken.epoch[recorder.name] = {name: value for name, value in said.items() if name in due.at_epochs}
        return taken

    def _values(self, done: Pass, all_due: Iterable[Due]) -> dict[str, Any]:
        """Return every quantity that is needed now, its time charged to those who need it."""
        sources = self._sources(done)
        users: dict[str, list[str]] = {}
        for due in all_due:
            for name in due.needs:
                users.setdefault(name, []).append(due.recorder.name)
        values = {}
        for name, asking in users.items():
            began = time.perf_counter()
            values[name] = sources[name]()
            took = time.perf_counter() - began + (self._copying if name == "update" else 0.0)
            for recorder_name in asking:
                self.spent[recorder_name] += took / len(asking)
        return values

    def _due(self, step: int, ends_epoch: bool) -> list[Due]:
        """Return what is due at a step; worked out once for all steps at which the same schedules are due."""
        key = (ends_epoch, *((step - 1) % every == 0 for every in self._periods))
        if key not in self._schedule:
            self._schedule[key] = list(self._due_anew(step, ends_epoch))
        return self._schedule[key]

    def _due_anew(self, step: int, ends_epoch: bool) -> Iterator[Due]:
        for recorder in self._run.recorders:
            declared = self._run.signals[recorder.name]
            at_epochs = [signal for signal in declared if signal.every == "epoch"]
            now = [signal for signal in declared if signal.due(step)]
            due = now + at_epochs if ends_epoch else now
            if due:
                yield Due(
                    recorder=recorder,
                    needs=frozenset(name for signal in due for name in signal.needs),
                    for_step=bool(now),
                    for_epoch=ends_epoch and bool(at_epochs),
                    at_epochs=frozenset(signal.name for signal in at_epochs),
                )

    def _sources(self, done: Pass) -> dict[str, Callable[[], Any]]:
        trainer, images = self._trainer, self._run.images

        def view(array: Any) -> Any:
            return None if array is None else readonly(array)

        def probe() -> Any:
            with blamed(self._run.host, "models", self._run.config.model):
                if images is None:
                    return view(self._evaluator.outputs_for(trainer.params, probe_of(self._run.model)))
                shown = images.test_images[: self._run.info.probe_size]
                return view(self._evaluator.outputs(trainer.params, shown))

        sources: dict[str, Callable[[], Any]] = {
            "loss": lambda: done.loss,
            "labels": lambda: view(done.labels),
            "logits": lambda: view(done.logits),
            "dlogits": lambda: view(trainer.dlogits()),
            "last_input": lambda: view(trainer.last_input()),
            "grads": lambda: self._shown["grads"],
            "params": lambda: self._shown["params"],
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
        return self._shown["update"]
