"""The facts that travel: from a run to its observers, to its file, and on to whoever reads it.

    Signal        what a recorder will write, declared before the run file is made
    RunInfo       what a run is, fixed before its first step
    EpochRecord   what was true at the end of an epoch
    Checkpoint    all that training depends on after an epoch, so that a run can be taken up there
    RunResult     how a run ended; divergence is one of the ways, not an exception

All are frozen and picklable; none holds anything that only lives inside a process.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Literal, Protocol

import attrs
import numpy.typing as npt

Status = Literal["running", "completed", "diverged", "failed", "interrupted"]
LOST = "lost"
"""What a run is called that came to no end although nobody is at it any more; its file says "running"."""

QUANTITIES: dict[str, str] = {
    "loss": "float, mean over the batch whatever the reduction",
    "labels": "int64 [B], the labels of the batch",
    "logits": "[B, K], the model's output for the batch, before the update",
    "dlogits": "[B, K], gradient of the back-propagated loss with respect to the logits",
    "last_input": "[B, H], what flows into the output layer",
    "grads": "Parameters, gradient of the back-propagated loss",
    "params": "Parameters, after the update",
    "update": "Parameters, parameters after the update minus before",
    "state": "dict of arrays, the optimizer's state after the update",
    "probe_logits": "[P, K], the model's output for the fixed probe images, dropout off, after the update",
}
"""What a signal may need, by name. The host computes the union of what is due at a step, and nothing else."""


def _positive_or_epoch(_: Any, __: Any, value: Any) -> None:
    if value != "epoch" and not (isinstance(value, int) and value >= 1):
        raise ValueError(f"every must be a number of steps >= 1 or 'epoch', not {value!r}")


def _names(names: Iterable[str]) -> tuple[str, ...]:
    return tuple(names)


def _known_quantities(_: Any, __: Any, value: tuple[str, ...]) -> None:
    for name in value:
        if name not in QUANTITIES:
            raise ValueError(f"a signal cannot need {name!r}: known quantities are {', '.join(QUANTITIES)}")


@attrs.frozen
class Signal:
    """One recording that a recorder declares: a row of `shape` at every step on its schedule.

    `every` is a number of steps k (rows at steps 1, 1 + k, 1 + 2k, ...) or "epoch" (a row at the end of each
    epoch). `dtype` is a NumPy type string ("f4", "f8", "i8"). `units` is "1" for a pure number. `needs` names the
    `QUANTITIES` that the recorder wants to be handed. `dims` names the axes of `shape`; "param" and "class" are
    those of the run file, others are made where they are missing.
    """

    name: str
    shape: tuple[int, ...] = ()
    dtype: str = "f4"
    units: str = "1"
    every: int | Literal["epoch"] = attrs.field(default=1, validator=_positive_or_epoch)
    needs: tuple[str, ...] = attrs.field(default=(), converter=_names, validator=_known_quantities)
    long_name: str = ""
    dims: tuple[str, ...] = ()

    def due(self, step: int) -> bool:
        """Say whether a row is due at `step` (counts from 1); never for the schedule "epoch"."""
        return self.every != "epoch" and (step - 1) % self.every == 0


def thinned(signals: Iterable[Signal], factor: int) -> tuple[Signal, ...]:
    """Return `signals` with `factor` times as many steps between two rows; those of the schedule "epoch" as they are.

    A row is due at no step at which it was not due before.
    """
    return tuple(
        signal if signal.every == "epoch" else attrs.evolve(signal, every=signal.every * factor) for signal in signals
    )


@attrs.frozen(kw_only=True)
class PluginInfo:
    """One plugin as it took part in a run; `hooks` are the lifecycle hooks that it implements."""

    name: str
    version: str
    origin: str
    hooks: tuple[str, ...] = ()


@attrs.frozen(kw_only=True)
class RunInfo:
    """What a run is: everything that is known before its first step.

    `lr` is the base learning rate in force (the optimizer's own default where none was asked for). The `*_options`
    are complete: defaults filled in. `parameters` gives name and shape in order. `outputs` is K, the width of the
    model's output signal, whose name is `output` ("logits"; "coordinates" for a quadratic). `minimum` is the least
    expected loss where it is known, and `gradient_noise` the root mean square norm of what chance adds there to the
    gradient that is back-propagated. `stable_lr` is the largest stable learning rate by theory, None where it does not
    say or a schedule changes the learning rate. `blas` is NumPy's linear algebra library as the run uses it: name,
    version, architecture and threads, as far as they are known.
    """

    run_id: str
    optimizer: str
    optimizer_options: Mapping[str, Any]
    model: str
    model_options: Mapping[str, Any]
    data: str
    data_digest: str
    batch_size: int
    lr: float
    seed: int
    reduction: str
    steps: int
    steps_per_epoch: int
    epochs: int
    train_samples: int
    test_samples: int
    probe_size: int
    parameters: tuple[tuple[str, tuple[int, ...]], ...]
    output: str
    outputs: int
    class_names: tuple[str, ...]
    config: Mapping[str, Any]
    minimum: float | None = None
    gradient_noise: float = 0.0
    stable_lr: float | None = None
    plugins: tuple[PluginInfo, ...] = ()
    versions: Mapping[str, str] = attrs.field(factory=dict)
    blas: Mapping[str, str | int] = attrs.field(factory=dict)


WRITER = "writer"


def recorder_observer(recorder: str) -> str:
    """Return the name under which the time of a recorder is added up."""
    return f"recorder {recorder}"


def hooks_observer(plugin: str) -> str:
    """Return the name under which the time of a plugin's lifecycle hooks is added up."""
    return f"hooks of {plugin}"


def observers(run: RunInfo, recorders: Iterable[str]) -> tuple[str, ...]:
    """Return the names of all whose time is added up during `run`: recorders, plugins with hooks, the writer."""
    plugins = (hooks_observer(plugin.name) for plugin in run.plugins if plugin.hooks)
    return (*map(recorder_observer, sorted(recorders)), *plugins, WRITER)


@attrs.frozen(kw_only=True)
class EpochRecord:
    """What was true at the end of an epoch (the last may be cut short by the number of steps).

    `train_*` are measured on a fixed subset of the training images and `val_*` on all test images, both with
    dropout off; NaN where the model has no such data. `digest` is a SHA-256 of parameters and optimizer state.
    """

    epoch: int
    step: int
    train_loss: float
    train_accuracy: float
    val_loss: float
    val_accuracy: float
    digest: str


@attrs.frozen(kw_only=True, eq=False)
class Checkpoint:
    """All that training depends on after an epoch: from here on a run has the bits of one that was never interrupted.

    `step` is the last one of the last of `epochs`. `params` [n] are all parameters, flat, `state` is the optimizer's.
    `generators` holds the state of the dropout generator of each shard of the batch, `memory` what each recorder that
    remembers something remembers. The order of the batches is a function of seed and epoch, and needs no place here.
    `wall_time` and `observer_time` are in seconds, and go on counting.
    """

    run_id: str
    step: int
    epochs: tuple[EpochRecord, ...]
    params: npt.NDArray[Any]
    state: Mapping[str, npt.NDArray[Any]] = attrs.field(factory=dict)
    memory: Mapping[str, Mapping[str, npt.NDArray[Any]]] = attrs.field(factory=dict)
    generators: tuple[Mapping[str, Any], ...] = ()
    wall_time: float = 0.0
    observer_time: Mapping[str, float] = attrs.field(factory=dict)


@attrs.frozen(kw_only=True)
class RunResult:
    """How a run ended.

    `status` is "completed", "diverged" (a loss, gradient or parameter was not finite: `first_bad_step` says when),
    "failed" (an optimizer, a recorder or an observer raised: `why` names it) or "interrupted". `steps` were finished.
    `digest` is that of the last step, empty where the run failed or was interrupted. `wall_time` is in seconds, and
    `observer_time` says how many of them each of the `observers` took. `path` is the run file, if one was written.
    A run that was taken up again was so after step `taken_up` (0 where it was begun), and `repeated` of the steps that
    an earlier process had stored were computed again. `overhead` are the seconds that it took besides `wall_time`:
    to be prepared, and to make its files.
    """

    run_id: str
    status: Status
    steps: int
    epochs: tuple[EpochRecord, ...] = ()
    first_bad_step: int | None = None
    why: str = ""
    digest: str = ""
    wall_time: float = 0.0
    observer_time: Mapping[str, float] = attrs.field(factory=dict)
    path: str | None = None
    taken_up: int = 0
    repeated: int = 0
    overhead: float = 0.0


class Recorder(Protocol):
    """Turns what flows through a run into signals. One instance serves one run.

    `signals(run)` is asked once, before the run file is made. `record(step, quantities)` is called once after the
    update of every step at which at least one of the signals is due (those with the schedule "epoch" at the last step
    of an epoch), with read-only views of the quantities that the due signals need (valid only during the call), and
    returns a value for each due signal, by name.

    `essential` may be left out and is then False. Where it is True, every row that is declared is needed, because a
    verdict rests on it or because a row compares with the one before: the recorder is never thinned.

    A recorder that remembers something from one row to the next keeps it in `memory`, a dict of named arrays, and
    nowhere else: it is then saved with the run, and put back when the run is taken up again. Others have none.
    """

    name: str

    def signals(self, run: RunInfo) -> tuple[Signal, ...]:
        """Declare what this recorder will write for `run`."""
        ...

    def record(self, step: int, quantities: Mapping[str, Any]) -> Mapping[str, npt.ArrayLike]:
        """Return a value for each signal that is due at `step`."""
        ...


class Sink(Protocol):
    """Where a run's facts go; the storage room has the one that writes HDF5.

    `recorded` maps a recorder's name to the values it returned; it is empty at the step that ends a run because a
    number was not finite.
    """

    @property
    def path(self) -> Any:
        """The file, where there is one, or None."""
        ...

    @property
    def kept(self) -> Checkpoint | None:
        """Where the run goes on: what was kept of it last; None where it begins. The next step to write is the next."""
        ...

    def write_step(
        self, step: int, facts: Mapping[str, float], recorded: Mapping[str, Mapping[str, npt.ArrayLike]]
    ) -> None:
        """Take one step: `facts` are loss, accuracy, lr and wall_time (seconds since the run began)."""
        ...

    def write_epoch(self, record: EpochRecord, recorded: Mapping[str, Mapping[str, npt.ArrayLike]]) -> None:
        """Take the end of an epoch, with the values of signals on the schedule "epoch"."""
        ...

    def keep(self, checkpoint: Checkpoint) -> None:
        """Take what the run can be taken up from, after the end of its epoch; what it holds is valid only now."""
        ...

    def finish(self, result: RunResult) -> None:
        """Take the end of the run, whichever way it ended; one that was interrupted has not ended."""
        ...

    def close(self) -> None:
        """Let go, keeping all that was taken so far; a no-op after `finish`."""
        ...
