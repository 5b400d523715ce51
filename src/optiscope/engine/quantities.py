"""What recorders may ask for, computed once a step and only when a due signal needs it.

The names are those of `optiscope.records.QUANTITIES`. Each recorder is handed exactly what its due signals declared,
as read-only views: it cannot come to depend on what another recorder happened to need.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from optiscope.engine.evaluate import Evaluator
from optiscope.engine.prepare import Prepared
from optiscope.engine.step import Pass, Trainer
from optiscope.errors import PluginError
from optiscope.params import Parameters, readonly
from optiscope.records import QUANTITIES, Recorder, Signal

Recorded = dict[str, Mapping[str, npt.ArrayLike]]


class Recording:
    """Runs the recorders of one run."""

    def __init__(self, run: Prepared, trainer: Trainer, evaluator: Evaluator) -> None:
        self._run = run
        self._trainer = trainer
        self._evaluator = evaluator
        wanted = any("update" in _needs(signals) for signals in run.signals.values())
        self._before = trainer.params.zeros() if wanted else None
        self._change = trainer.params.zeros() if wanted else None

    def before_update(self) -> None:
        """Keep the parameters, where a signal needs the update itself."""
        if self._before is not None:
            np.copyto(self._before.flat, self._trainer.params.flat)

    def after_step(self, step: int, done: Pass) -> Recorded:
        """Return what the recorders with a signal due at `step` have to say."""
        return self._record(step, self._due(lambda signal: signal.due(step)), done)

    def after_epoch(self, step: int, done: Pass) -> Recorded:
        """Return the values of signals on the schedule "epoch"."""
        return self._record(step, self._due(lambda signal: signal.every == "epoch"), done)

    def _due(self, when: Callable[[Signal], bool]) -> list[tuple[Recorder, list[Signal]]]:
        declared = ((recorder, self._run.signals[recorder.name]) for recorder in self._run.recorders)
        due = ((recorder, [signal for signal in signals if when(signal)]) for recorder, signals in declared)
        return [(recorder, signals) for recorder, signals in due if signals]

    def _record(self, step: int, due: list[tuple[Recorder, list[Signal]]], done: Pass) -> Recorded:
        sources = self._sources(done)
        union = {name for _, signals in due for name in _needs(signals)}
        values = {name: sources[name]() for name in union}
        recorded: Recorded = {}
        for recorder, signals in due:
            try:
                recorded[recorder.name] = recorder.record(step, {name: values[name] for name in _needs(signals)})
            except Exception as error:
                plugin = self._run.host.pieces("recorders")[recorder.name].plugin
                raise PluginError(
                    f"recorder '{recorder.name}' of plugin '{plugin}' failed at step {step}: "
                    f"{type(error).__name__}: {error}"
                ) from error
        return recorded

    def _sources(self, done: Pass) -> dict[str, Callable[[], Any]]:
        trainer, images = self._trainer, self._run.images
        output, last_input = done.output.output, done.output.last_input

        def view(array: Any) -> Any:
            return None if array is None else readonly(array)

        def probe() -> Any:
            if images is None:
                return view(done.output.output.array)
            return self._evaluator.outputs(trainer.params, images.test_images[: self._run.info.probe_size])

        sources: dict[str, Callable[[], Any]] = {
            "loss": lambda: done.loss,
            "labels": lambda: view(done.labels),
            "logits": lambda: view(output.array),
            "dlogits": lambda: view(output.grad),
            "last_input": lambda: view(None if last_input is None else last_input.array),
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
