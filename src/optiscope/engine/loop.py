"""The training loop: phases in order, everybody told, everything handed on.

    for each step      forward  -> on_forward
                       backward -> on_backward
                       update   -> on_step
                       recorders -> sink.write_step
    for each epoch     evaluation -> on_epoch_end, sink.write_epoch

Observers see read-only views, and nothing they do or cost enters the numbers: with no, some or all of them a run has
the same bits. A loss, gradient or parameter that is not finite ends the run as "diverged"; its last row then holds
the loss and no recorder's values. What an optimizer, a recorder or an observer raises ends it as "failed", with the
plugin named. Ctrl-C ends it as "interrupted"; a sink that cannot write is the one error that travels on.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping

import attrs
import numpy as np

from optiscope.engine.evaluate import Evaluator
from optiscope.engine.prepare import Prepared
from optiscope.engine.quantities import Recorded, Recording
from optiscope.engine.step import Pass, Trainer, all_finite
from optiscope.errors import FileError, PluginError
from optiscope.params import readonly
from optiscope.records import EpochRecord, RunInfo, RunResult, Signal, Sink, Status

OpenSink = Callable[[RunInfo, Mapping[str, tuple[Signal, ...]]], Sink]

TRAIN_SUBSET = 5_000
"""Training images, at most and at most a tenth of them, on which `train_loss` is measured once an epoch."""


class Loop:
    """One run of the loop; `run()` may be called once."""

    def __init__(self, prepared: Prepared, sink: Sink | None) -> None:
        self._prepared = prepared
        self._info = prepared.info
        self._notify = prepared.host.notify
        self._sink = sink
        self._trainer = Trainer(prepared)
        self._evaluator = Evaluator(prepared.model, prepared.config.kernels)
        self._recording = Recording(prepared, self._trainer, self._evaluator)
        self._params = self._trainer.params.readonly()
        self._grads = self._trainer.grads.readonly()
        self._epochs: list[EpochRecord] = []
        self._steps = 0

    def run(self) -> RunResult:
        """Train to the end, whatever it is, and tell everybody."""
        status: Status = "completed"
        why, bad_step, raised = "", None, None
        self._began = time.perf_counter()
        try:
            with np.errstate(all="ignore"):
                self._notify("on_run_start", run=self._info)
                bad_step = self._train()
            if bad_step is not None:
                status, why = "diverged", f"not finite at step {bad_step}"
        except (PluginError, FileError, OSError) as error:
            status, why, raised = "failed", str(error), error
            self._prepared.host.notify_all("on_run_error", run=self._info, error=error)
        except KeyboardInterrupt:
            status, why = "interrupted", f"interrupted after step {self._steps}"
        result = self._result(status, why, bad_step)
        self._prepared.host.notify_all("on_run_end", run=self._info, result=result)
        if raised is not None and not isinstance(raised, PluginError):
            raise raised
        if self._sink is not None and status != "interrupted":
            self._sink.finish(result)
        return result

    def _result(self, status: Status, why: str, bad_step: int | None) -> RunResult:
        return RunResult(
            run_id=self._info.run_id,
            status=status,
            steps=self._steps,
            epochs=tuple(self._epochs),
            first_bad_step=bad_step,
            why=why,
            digest=self._trainer.digest() if status in ("completed", "diverged") else "",
            wall_time=self._elapsed(),
        )

    def _train(self) -> int | None:
        """Take all steps; return the first that was not finite, if one was."""
        steps, per_epoch = self._info.steps, self._info.steps_per_epoch
        for step in range(1, steps + 1):
            done, finite = self._step(step)
            self._steps = step
            if not finite:
                return step
            if step % per_epoch == 0 or step == steps:
                self._end_epoch(step, done)
        return None

    def _step(self, step: int) -> tuple[Pass, bool]:
        trainer, info = self._trainer, self._info
        done = trainer.forward(step)
        self._notify("on_forward", run=info, step=step, logits=readonly(done.output.output.array), loss=done.loss)
        lr, recorded, finite = math.nan, Recorded(), math.isfinite(done.loss)
        recording = self._recording if self._sink is not None else None
        if finite:
            trainer.backward(done)
            self._notify("on_backward", run=info, step=step, grads=self._grads)
            finite = all_finite(trainer.grads)
        if finite:
            if recording is not None:
                recording.before_update()
            lr = self._update(step)
            views = {name: readonly(array) for name, array in trainer.state.items()}
            self._notify("on_step", run=info, step=step, params=self._params, state=views)
            finite = all_finite(trainer.params)
        if finite and recording is not None:
            recorded = recording.after_step(step, done)
        if self._sink is not None:
            facts = {"loss": done.loss, "accuracy": done.accuracy, "lr": lr, "wall_time": self._elapsed()}
            self._sink.write_step(step, facts, recorded)
        return done, finite

    def _update(self, step: int) -> float:
        try:
            return self._trainer.update(step)
        except Exception as error:
            name = self._info.optimizer
            plugin = self._prepared.host.pieces("optimizers")[name].plugin
            raise PluginError(
                f"optimizer '{name}' of plugin '{plugin}' failed at step {step}: {type(error).__name__}: {error}"
            ) from error

    def _end_epoch(self, step: int, done: Pass) -> None:
        record = EpochRecord(epoch=len(self._epochs) + 1, step=step, digest=self._trainer.digest(), **self._evaluate())
        self._epochs.append(record)
        self._notify("on_epoch_end", run=self._info, record=record)
        if self._sink is not None:
            self._sink.write_epoch(record, self._recording.after_epoch(step, done))

    def _evaluate(self) -> dict[str, float]:
        params, images = self._trainer.params, self._prepared.images
        if images is None:
            loss = self._evaluator.loss_without_data(params)
            return dict.fromkeys(["train_accuracy", "val_loss", "val_accuracy"], math.nan) | {"train_loss": loss}
        count = min(TRAIN_SUBSET, -(-len(images.train_labels) // 10))
        train = self._evaluator.loss_and_accuracy(params, images.train_images[:count], images.train_labels[:count])
        val = self._evaluator.loss_and_accuracy(params, images.test_images, images.test_labels)
        return dict(zip(["train_loss", "train_accuracy", "val_loss", "val_accuracy"], [*train, *val], strict=True))

    def _elapsed(self) -> float:
        return time.perf_counter() - self._began


def train(prepared: Prepared, open_sink: OpenSink | None = None) -> RunResult:
    """Train a prepared run; `open_sink` makes the place its facts go to."""
    sink = open_sink(prepared.info, prepared.signals) if open_sink is not None else None
    try:
        result = Loop(prepared, sink).run()
    finally:
        if sink is not None:
            sink.close()
    return attrs.evolve(result, path=getattr(sink, "path", None) and str(sink.path))  # type: ignore[union-attr]
