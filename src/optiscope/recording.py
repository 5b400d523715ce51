"""Recording a run that somebody else trains: with PyTorch, with JAX, in a loop of one's own.

    sources = {"logits": ..., "grads": ..., "params": ..., "state": ...}     functions without arguments
    with Recording("out", run, sources) as recording:
        for ...:
            ...                              forward and backward: the gradient is there
            recording.before_update()
            ...                              the update
            recording.after_update(loss=..., accuracy=..., lr=...)
            recording.evaluated(val_loss=..., val_accuracy=...)      after an epoch, where somebody measured

What comes of it is a run file as any other, `out/runs/<run_id>.h5`, so that labels and reports work on the folder.

`run` says what the run is. `sources` says where each of the `QUANTITIES` is to be had; it is asked when a signal that
is due needs it. Recorders are those of the plugins, and of each the signals whose needs can be met are recorded: "loss"
is always there, and "update" where "params" is. Hooks are not called, because the loop is not the engine's.

A number that is not finite ends the recording as it ends a run here, with the status "diverged"; what is said after
that, or after the last of the announced steps, is passed over. The training itself is never touched.
"""

from __future__ import annotations

import math
import os
import platform
import time
import warnings
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import attrs
import numpy as np

import optiscope
from optiscope.engine.blame import blamed
from optiscope.engine.identity import run_id, state_digest
from optiscope.engine.step import all_finite
from optiscope.errors import UsageError, told
from optiscope.hooks import PluginHost, create_manager
from optiscope.params import Parameters, readonly
from optiscope.records import (
    QUANTITIES,
    WRITER,
    EpochRecord,
    Recorder,
    RunInfo,
    RunResult,
    Signal,
    Status,
    observers,
    recorder_observer,
)
from optiscope.storage import RunWriter

Source = Callable[[], Any]
Due = Mapping[str, tuple[Signal, ...]]

_NOT_COMPARED = ("run_id", "config", "plugins", "versions", "blas")


class Recording:
    """The file of a run that somebody else trains, while it grows; see the module's docstring.

    `run` needs no `run_id`, `plugins` and `versions`: they are filled in. Its `steps` are the most that can be
    recorded, and the file has room for them from the start; one that ends earlier is cut to length.
    `host` brings the recorders; without it the installed plugins do. `result` is None until the recording has ended.

    UsageError where a source has no name of the `QUANTITIES`; FileError where the file exists, unless `overwrite`, or
    cannot be written.
    """

    def __init__(
        self,
        out: str | os.PathLike[str],
        run: RunInfo,
        sources: Mapping[str, Source],
        *,
        host: PluginHost | None = None,
        overwrite: bool = False,
    ) -> None:
        if foreign := sorted(sources.keys() - QUANTITIES.keys()):
            raise UsageError(f"there is no quantity '{foreign[0]}': known: {', '.join(QUANTITIES)}")
        self._host = host or create_manager()
        self._sources = dict(sources)
        self.run = _completed(run, self._host)
        self._recorders, self._signals = self._take_part()
        self._before = self._params().zeros() if "params" in sources else None
        self._steps = 0
        self._epochs: list[EpochRecord] = []
        self._epoch: tuple[EpochRecord, Mapping[str, Any]] | None = None
        self._spent = dict.fromkeys(observers(self.run, self._signals), 0.0)
        self.result: RunResult | None = None
        path = Path(out) / "runs" / f"{self.run.run_id}.h5"
        self._writer = RunWriter.create(path, self.run, self._signals, overwrite)
        self._began = time.perf_counter()

    @property
    def path(self) -> Path:
        """The run file."""
        return self._writer.path

    def before_update(self) -> None:
        """Remember the parameters, where a signal that is due after the update needs to know what it changed."""
        if self.result is None and self._before is not None and "update" in _needs(self._due(self._steps + 1)):
            np.copyto(self._before.flat, self._params().flat)

    def after_update(self, *, loss: float, accuracy: float = math.nan, lr: float = math.nan) -> None:
        """Record a step: `loss` is the mean over the batch, before the update, `lr` that of the update.

        PluginError where a recorder raises; FileError where the file cannot be written.
        """
        if self.result is not None:
            return
        if self._steps == self.run.steps:
            self.finish()
            warnings.warn(
                f"{self.path} has room for {self.run.steps} steps, and more of them are not recorded: announce as many",
                RuntimeWarning,
                stacklevel=2,
            )
            return
        self._write_epoch()
        step = self._steps + 1
        due = self._due(step)
        bad = "" if math.isfinite(loss) else "the loss"
        values = {} if bad else self._values(due, loss)
        bad = bad or _not_finite(values)
        said = {} if bad else {name: self._said(step, name, signals, values) for name, signals in due.items()}
        facts = {"loss": loss, "accuracy": accuracy, "lr": lr, "wall_time": self._elapsed()}
        self._timed(self._writer.write_step, step, facts, _of(said, due, epoch=False))
        self._steps = step
        if bad:
            self.finish("diverged", f"{bad} is not finite at step {step}")
        elif self._ends_epoch(step):
            self._epoch = self._record(step), _of(said, due, epoch=True)

    def evaluated(
        self,
        *,
        train_loss: float = math.nan,
        train_accuracy: float = math.nan,
        val_loss: float = math.nan,
        val_accuracy: float = math.nan,
    ) -> None:
        """Add what was measured to the epoch that has just ended.

        UsageError where the last step did not end an epoch of `run.steps_per_epoch`.
        """
        if self.result is not None:
            return
        if self._epoch is None:
            raise UsageError(
                f"step {self._steps} ends no epoch of {self.run.steps_per_epoch} steps: evaluate after one that does"
            )
        record = attrs.evolve(
            self._epoch[0],
            train_loss=float(train_loss),
            train_accuracy=float(train_accuracy),
            val_loss=float(val_loss),
            val_accuracy=float(val_accuracy),
        )
        self._epoch = record, self._epoch[1]

    def finish(self, status: Status = "completed", why: str = "") -> None:
        """End the recording: the file is compressed, and cut to what was recorded. A no-op after the first time."""
        if self.result is not None:
            return
        self._write_epoch()
        self.result = RunResult(
            run_id=self.run.run_id,
            status=status,
            steps=self._steps,
            epochs=tuple(self._epochs),
            first_bad_step=self._steps if status == "diverged" else None,
            why=why,
            digest=self._digest(),
            wall_time=self._elapsed(),
            observer_time=self._spent,
            path=str(self.path),
        )
        self._writer.finish(self.result)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is None:
            self.finish()
        elif isinstance(error, KeyboardInterrupt):
            self.finish("interrupted", f"interrupted after step {self._steps}")
        else:
            self.finish("failed", told(error))

    def _take_part(self) -> tuple[dict[str, Recorder], dict[str, tuple[Signal, ...]]]:
        """Return the recorders of which something can be recorded, and what."""
        there = {"loss", *self._sources} | ({"update"} if "params" in self._sources else set())
        recorders, signals = {}, {}
        for name in self._host.pieces("recorders"):
            recorder: Recorder = self._host.build("recorders", name, {})
            with blamed(self._host, "recorders", name):
                declared = recorder.signals(self.run)
            if met := tuple(signal for signal in declared if there.issuperset(signal.needs)):
                recorders[name], signals[name] = recorder, met
        return recorders, signals

    def _ends_epoch(self, step: int) -> bool:
        return step % self.run.steps_per_epoch == 0 or step == self.run.steps

    def _due(self, step: int) -> Due:
        """Return the signals that are due at a step, and at the end of the epoch that it ends, by recorder."""
        ends = self._ends_epoch(step)
        due = {
            name: tuple(each for each in signals if each.due(step) or (ends and each.every == "epoch"))
            for name, signals in self._signals.items()
        }
        return {name: signals for name, signals in due.items() if signals}

    @np.errstate(all="ignore")
    def _values(self, due: Due, loss: float) -> dict[str, Any]:
        """Return the quantities that are needed, read-only; their time is shared by the recorders that need them."""
        values = {}
        for name in _needs(due):
            began = time.perf_counter()
            values[name] = loss if name == "loss" else self._update() if name == "update" else self._sources[name]()
            took = time.perf_counter() - began
            users = [recorder for recorder, signals in due.items() if name in _needs({recorder: signals})]
            for recorder in users:
                self._spent[recorder_observer(recorder)] += took / len(users)
        return {name: _shown(value) for name, value in values.items()}

    @np.errstate(all="ignore")
    def _said(self, step: int, name: str, signals: Iterable[Signal], values: Mapping[str, Any]) -> Mapping[str, Any]:
        """Return what a recorder says, as far as it was asked for."""
        began = time.perf_counter()
        with blamed(self._host, "recorders", name, step):
            said = self._recorders[name].record(step, {need: values[need] for need in _needs({name: tuple(signals)})})
        self._spent[recorder_observer(name)] += time.perf_counter() - began
        return said

    def _record(self, step: int) -> EpochRecord:
        return EpochRecord(
            epoch=len(self._epochs) + 1,
            step=step,
            train_loss=math.nan,
            train_accuracy=math.nan,
            val_loss=math.nan,
            val_accuracy=math.nan,
            digest=self._digest(),
        )

    def _write_epoch(self) -> None:
        if self._epoch is not None:
            record, said = self._epoch
            self._epoch = None
            self._timed(self._writer.write_epoch, record, said)
            self._epochs.append(record)

    def _timed(self, write: Callable[..., None], *arguments: Any) -> None:
        began = time.perf_counter()
        write(*arguments)
        self._spent[WRITER] += time.perf_counter() - began

    def _params(self) -> Parameters:
        params: Parameters = self._sources["params"]()
        return params

    def _update(self) -> Parameters:
        assert self._before is not None
        return self._before.like(self._params().flat - self._before.flat)

    def _digest(self) -> str:
        if "params" not in self._sources:
            return ""
        return state_digest(self._params(), self._sources.get("state", dict)())

    def _elapsed(self) -> float:
        return time.perf_counter() - self._began


def _completed(run: RunInfo, host: PluginHost) -> RunInfo:
    plugins = tuple(attrs.evolve(plugin, hooks=()) for plugin in host.active)
    versions = {"optiscope": optiscope.__version__, "numpy": np.__version__, "python": platform.python_version()}
    identity = {name: value for name, value in attrs.asdict(run).items() if name not in _NOT_COMPARED}
    named = run.run_id or run_id(f"{run.optimizer}-b{run.batch_size}-lr{run.lr:g}-s{run.seed}", identity)
    return attrs.evolve(run, run_id=named, plugins=plugins, versions={**versions, **run.versions})


def _needs(due: Due) -> set[str]:
    return {need for signals in due.values() for signal in signals for need in signal.needs}


def _of(said: Mapping[str, Mapping[str, Any]], due: Due, *, epoch: bool) -> dict[str, dict[str, Any]]:
    """Return what was said of the signals of a step, or of an `epoch`, by recorder."""
    asked = {name: {each.name for each in signals if (each.every == "epoch") is epoch} for name, signals in due.items()}
    return {
        name: {key: value for key, value in values.items() if key in asked[name]}
        for name, values in said.items()
        if asked[name]
    }


def _not_finite(values: Mapping[str, Any]) -> str:
    for name, what in (("grads", "the gradient"), ("update", "a parameter")):
        if name in values and not all_finite(values[name]):
            return what
    return ""


def _shown(value: Any) -> Any:
    """Return a view through which nothing can be changed."""
    if isinstance(value, Parameters):
        return value.readonly()
    if isinstance(value, np.ndarray):
        return readonly(value)
    return {name: readonly(array) for name, array in value.items()} if isinstance(value, Mapping) else value
