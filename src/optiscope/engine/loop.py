"""The training loop: phases in order, everybody told, everything handed on.

    for each step      forward  -> on_forward
                       backward -> on_backward
                       update   -> on_step
                       recorders -> sink.write_step
    for each epoch     evaluation -> on_epoch_end, sink.write_epoch, sink.keep
    at the end         on_run_error, if something raised; sink.finish; on_run_end

Observers see read-only views, and nothing they do or cost enters the numbers: with no, some or all of them a run has
the same bits. A loss, gradient or parameter that is not finite ends the run as "diverged"; its last row then holds
the loss and no recorder's values. What an optimizer, a model, a schedule, a recorder or an observer raises ends it as
"failed", with the plugin named. Ctrl-C leaves it "interrupted", and the sink without an end of the run. A sink that
cannot write, and memory that ran out, travel on as errors, when everybody has heard of them.

After every epoch but the last the sink is handed a `Checkpoint`. One that comes with such a checkpoint from an earlier
process has the run taken up there: parameters, state, generators and the recorders' memory are put back, and the steps
after it are those of a run that was never interrupted.

The time of each observer is added up, as two readings of the clock around each call: plugins' hooks and the sink here,
recorders in `quantities`. It goes into the result, and from there into the file.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping
from contextlib import closing
from typing import Any

import numpy as np

from optiscope.engine import blas
from optiscope.engine.blame import blamed
from optiscope.engine.evaluate import Evaluator
from optiscope.engine.prepare import Prepared
from optiscope.engine.quantities import Recording, Taken
from optiscope.engine.step import Pass, Trainer, all_finite
from optiscope.errors import FileError, PluginError
from optiscope.params import readonly
from optiscope.records import (
    WRITER,
    Checkpoint,
    EpochRecord,
    RunInfo,
    RunResult,
    Signal,
    Sink,
    Status,
    hooks_observer,
    observers,
    recorder_observer,
)

OpenSink = Callable[[RunInfo, Mapping[str, tuple[Signal, ...]]], Sink]

TRAIN_SUBSET = 5_000
"""Training images, at most and at most a tenth of them, on which `train_loss` is measured once an epoch."""


def train(prepared: Prepared, open_sink: OpenSink | None = None) -> RunResult:
    """Train a prepared run; `open_sink` makes the place its facts go to."""
    sink = open_sink(prepared.info, prepared.signals) if open_sink is not None else None
    try:
        return Loop(prepared, sink).run()
    finally:
        if sink is not None:
            sink.close()


class Loop:
    """One run of the loop; `run()` may be called once."""

    def __init__(self, prepared: Prepared, sink: Sink | None) -> None:
        self._prepared = prepared
        self._info = prepared.info
        self._sink = sink
        self._kept = sink.kept if sink is not None else None
        self._recording: Recording | None = None
        self._spent = dict.fromkeys(observers(self._info, prepared.signals if sink is not None else ()), 0.0)
        self._spent_before: dict[str, float] = {}
        self._epochs: list[EpochRecord] = []
        self._steps = 0
        self._digest = ""
        self._began = time.perf_counter()

    def run(self) -> RunResult:
        """Train to the end, whatever it is, and tell everybody."""
        host, info = self._prepared.host, self._info
        result, raised = self._trained()
        if raised is not None:
            host.notify_all("on_run_error", run=info, error=raised)
        ended = result.status != "interrupted" and (raised is None or isinstance(raised, PluginError))
        if self._sink is not None and ended:
            try:
                self._sink.finish(result)
            except (FileError, OSError, MemoryError) as error:
                raised, result = error, self._result("failed", str(error))
                host.notify_all("on_run_error", run=info, error=error)
        host.notify_all("on_run_end", run=info, result=result)
        if raised is not None and not isinstance(raised, PluginError):
            raise raised
        return result

    def _trained(self) -> tuple[RunResult, Exception | None]:
        """Train; return how it ended, and what was raised if something was."""
        try:
            with np.errstate(all="ignore"):
                self._notify("on_run_start", run=self._info)
                with closing(Trainer(self._prepared)) as self._trainer:
                    self._begin()
                    bad = self._train()
        except (PluginError, FileError, OSError, MemoryError) as error:
            return self._result("failed", str(error)), error
        except KeyboardInterrupt:
            return self._result("interrupted", f"interrupted after step {self._steps}"), None
        self._digest = self._trainer.digest()
        if bad:
            return self._result("diverged", f"{bad} is not finite at step {self._steps}", self._steps), None
        return self._result("completed"), None

    def _result(self, status: Status, why: str = "", bad_step: int | None = None) -> RunResult:
        path = None if self._sink is None else self._sink.path
        return RunResult(
            run_id=self._info.run_id,
            status=status,
            steps=self._steps,
            epochs=tuple(self._epochs),
            first_bad_step=bad_step,
            why=why,
            digest=self._digest,
            wall_time=self._elapsed(),
            observer_time=self._observer_time(),
            path=None if path is None else str(path),
            taken_up=0 if self._kept is None else self._kept.step,
        )

    def _observer_time(self) -> dict[str, float]:
        recorders = self._recording.spent if self._recording is not None else {}
        spent = self._spent | {recorder_observer(name): seconds for name, seconds in recorders.items()}
        return {name: seconds + self._spent_before.get(name, 0.0) for name, seconds in spent.items()}

    def _notify(self, hook: str, **arguments: Any) -> None:
        self._prepared.host.notify(hook, self._count_hooks, **arguments)

    def _count_hooks(self, plugin: str, seconds: float) -> None:
        name = hooks_observer(plugin)
        self._spent[name] = self._spent.get(name, 0.0) + seconds

    def _begin(self) -> None:
        prepared = self._prepared
        self._evaluator = Evaluator(prepared.model, prepared.config.kernels)
        if self._sink is not None:
            self._recording = Recording(prepared, self._trainer, self._evaluator)
        self._params = self._trainer.params.readonly()
        self._grads = self._trainer.grads.readonly()
        if self._kept is not None:
            self._take_up(self._kept)

    def _take_up(self, kept: Checkpoint) -> None:
        self._trainer.take_up(kept)
        if self._recording is not None:
            self._recording.take_up(kept.memory)
        self._epochs, self._steps = list(kept.epochs), kept.step
        self._spent_before = dict(kept.observer_time)
        self._began -= kept.wall_time

    def _train(self) -> str:
        """Take all steps; return what was not finite at the last one, or an empty string."""
        steps, per_epoch = self._info.steps, self._info.steps_per_epoch
        for step in range(self._steps + 1, steps + 1):
            ends_epoch = step % per_epoch == 0 or step == steps
            taken, bad = self._step(step, ends_epoch)
            self._steps = step
            if bad:
                return bad
            if ends_epoch:
                self._end_epoch(step, taken)
        return ""

    def _step(self, step: int, ends_epoch: bool) -> tuple[Taken, str]:
        trainer, info, recording = self._trainer, self._info, self._recording
        done = trainer.forward(step)
        self._notify("on_forward", run=info, step=step, logits=readonly(done.logits), loss=done.loss)
        lr, taken, bad = math.nan, Taken(), "" if math.isfinite(done.loss) else "the loss"
        if not bad:
            trainer.backward(step)
            self._notify("on_backward", run=info, step=step, grads=self._grads)
            bad = "" if all_finite(trainer.grads) else "the gradient"
        if not bad:
            if recording is not None:
                recording.before_update(step, ends_epoch)
            lr = trainer.update(step)
            views = {name: readonly(array) for name, array in trainer.state.items()}
            self._notify("on_step", run=info, step=step, params=self._params, state=views)
            bad = "" if all_finite(trainer.params) else "a parameter"
        if not bad and recording is not None:
            taken = recording.after_step(step, ends_epoch, done)
        self._write_step(step, done, lr, taken)
        return taken, bad

    def _write_step(self, step: int, done: Pass, lr: float, taken: Taken) -> None:
        if self._sink is not None:
            facts = {"loss": done.loss, "accuracy": done.accuracy, "lr": lr, "wall_time": self._elapsed()}
            began = time.perf_counter()
            self._sink.write_step(step, facts, taken.step)
            self._spent[WRITER] += time.perf_counter() - began

    def _end_epoch(self, step: int, taken: Taken) -> None:
        record = EpochRecord(epoch=len(self._epochs) + 1, step=step, digest=self._trainer.digest(), **self._evaluate())
        self._epochs.append(record)
        self._notify("on_epoch_end", run=self._info, record=record)
        if self._sink is not None:
            began = time.perf_counter()
            self._sink.write_epoch(record, taken.epoch)
            if step < self._info.steps:
                self._sink.keep(self._checkpoint())
            self._spent[WRITER] += time.perf_counter() - began

    def _checkpoint(self) -> Checkpoint:
        return Checkpoint(
            run_id=self._info.run_id,
            step=self._steps,
            epochs=tuple(self._epochs),
            memory={} if self._recording is None else self._recording.memory(),
            wall_time=self._elapsed(),
            observer_time=self._observer_time(),
            **self._trainer.checkpoint(),
        )

    def _evaluate(self) -> dict[str, float]:
        with blamed(self._prepared.host, "models", self._prepared.config.model, self._steps or None):
            return self._evaluated()

    def _evaluated(self) -> dict[str, float]:
        params, images = self._trainer.params, self._prepared.images
        if images is None:
            own = self._prepared.model.evaluation()
            said = {split: self._evaluator.loss_and_accuracy_on(params, samples) for split, samples in own.items()}
            return _record(said["train"], said.get("val", (math.nan, math.nan)))
        count = min(TRAIN_SUBSET, -(-len(images.train_labels) // 10))
        train = self._evaluator.loss_and_accuracy(params, images.train_images[:count], images.train_labels[:count])
        val = self._evaluator.loss_and_accuracy(params, images.test_images, images.test_labels)
        return _record(train, val)

    def _elapsed(self) -> float:
        return time.perf_counter() - self._began


def _record(train: tuple[float, float], val: tuple[float, float]) -> dict[str, float]:
    return dict(zip(["train_loss", "train_accuracy", "val_loss", "val_accuracy"], [*train, *val], strict=True))


class _Rehearsal(Loop):
    """A loop whose hooks nobody hears: they may keep what they see for good."""

    def _notify(self, hook: str, **arguments: Any) -> None:
        pass


def rehearse(prepared: Prepared, sink: Sink, steps: int, evaluate: bool = True) -> tuple[float, float]:
    """Take the first `steps` steps of a run, and evaluate once; return the seconds of a step and of the evaluation.

    The first step makes buffers, and is not counted. Hooks of plugins are not called. PluginError where a piece raises.
    An evaluation that was not asked for takes none.
    """
    loop = _Rehearsal(prepared, sink)
    with blas.one_thread(), np.errstate(all="ignore"), closing(Trainer(prepared)) as loop._trainer:
        loop._begin()
        clock = []
        for step in range(1, steps + 1):
            if loop._step(step, False)[1]:
                break
            clock.append(time.perf_counter())
        began = time.perf_counter()
        if evaluate:
            loop._evaluate()
        evaluation = time.perf_counter() - began
    return (clock[-1] - clock[0]) / (len(clock) - 1) if len(clock) > 1 else 0.0, evaluation
