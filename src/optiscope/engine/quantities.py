"""What recorders may ask for, computed once a step and only when a due signal needs it.

The names are those of `optiscope.records.QUANTITIES`. Each recorder is called once at a step where a signal of its own
is due, and is handed exactly what its due signals declared, as read-only views: it cannot come to depend on what
another recorder happened to need, nor change what another one sees.
"""

from __future__ import annotations

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


@attrs.frozen
class Taken:
    """What the recorders said at a step: for the step itself, and for the epoch that it ends."""

    step: Recorded = attrs.field(factory=dict)
    epoch: Recorded = attrs.field(factory=dict)


class Recording:
    """Runs the recorders of one run."""

    def __init__(self, run: Prepared, trainer: Trainer, evaluator: Evaluator) -> None:
        self._run = run
        self._trainer = trainer
        self._evaluator = evaluator
        wanted = any("update" in _needs(signals) for signals in run.signals.values())
        self._before = trainer.params.zeros() if wanted else None
        self._change = trainer.params.zeros() if wanted else None

    def before_update(self, step: int, ends_epoch: bool) -> None:
        """Keep the parameters, where a signal that is due after the update needs the update itself."""
        if self._before is not None and any("update" in _needs(due) for _, due in self._due(step, ends_epoch)):
            np.copyto(self._before.flat, self._trainer.params.flat)

    def after_step(self, step: int, ends_epoch: bool, done: Pass) -> Taken:
        """Return what every recorder with a signal due now has to say."""
        due = self._due(step, ends_epoch)
        sources = self._sources(done)
        values = {name: sources[name]() for name in {name for _, signals in due for name in _needs(signals)}}
        taken = Taken()
        for recorder, signals in due:
            with blamed(self._run.host, "recorders", recorder.name, step):
                said = recorder.record(step, {name: values[name] for name in _needs(signals)})
            declared = self._run.signals[recorder.name]
            at_epochs = {signal.name for signal in declared if signal.every == "epoch"}
            for part, wanted in ((taken.step, False), (taken.epoch, True)):
                if any((signal.name in at_epochs) is wanted for signal in signals):
                    part[recorder.name] = {name: value for name, value in said.items() if (name in at_epochs) is wanted}
        return taken

    def _due(self, step: int, ends_epoch: bool) -> list[tuple[Recorder, list[Signal]]]:
        due = []
        for recorder in self._run.recorders:
            declared = self._run.signals[recorder.name]
            signals = [signal for signal in declared if signal.due(step) or (ends_epoch and signal.every == "epoch")]
            if signals:
                due.append((recorder, signals))
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
