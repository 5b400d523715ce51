"""The layout of a run file, as data: the only place that names its groups, types, units and version.

    /param  /class  /bin                what the axes of the arrays below mean (dimension scales)
    /run_state                          how far the run has come: the one record that a commit changes
    /observer  /observer_time           what each recorder, each plugin and the writer took of the run's time
    /step/...   /probe/...   /epoch/... the core signals, one row a step, a probe, an epoch
    /plugins/<recorder>/<signal>        what any other recorder declared

`layout` turns a `RunInfo` and the signals declared for it into `Dataset` descriptions, scales first. The writer makes
the file from these and nothing else, at full length while the run lives and cut to the committed rows at its end.
Every axis has a scale in its own group or in the root, because readers of the netCDF kind look nowhere else. A scale
whose rows grow says so in its attribute `every`, and that is all a reader needs to know how many of them are valid:
`rows`.

The core recorders are named "step", "probe" and "epoch"; `step_signals`, `probe_signals` and `epoch_signals` say what
they declare. What the writer stores by itself, from the facts of a step or an epoch, is in `FACTS`.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import Any, Literal

import attrs
import numpy as np

from optiscope.errors import PluginError, storable
from optiscope.records import RunInfo, Signal, Status, observers, thinned

SCHEMA_VERSION = 1
"""Raised when an old reader would misread a new file; new datasets and attributes do not raise it."""

STATUS_CODES: dict[Status, int] = {"running": 0, "completed": 1, "diverged": 2, "failed": 3, "interrupted": 4}

RUN_STATE = "/run_state"
OBSERVER_TIME = "/observer_time"
RUN_STATE_FIELDS = ("n_steps", "n_epochs", "status", "commits")

SUBSAMPLE = 50
"""Rows of the batch in the statistics that are compared between batch sizes."""

PROBE_WORK = 6400
"""A probe is taken every ceil(PROBE_WORK / batch_size) steps.

Its 256 images then add 4 % to those that pass forward, which is less than 2 % of the run.
"""

_MAGNITUDES = np.logspace(-5, 1, 31)
HISTOGRAM_EDGES = np.concatenate(([-np.inf], -_MAGNITUDES[::-1], [0.0], _MAGNITUDES, [np.inf]))
"""f8 [65]: edges of the 64 bins of a histogram, five a decade from 1e-5 to 10 on either side of 0; NaN is in none."""

GROUP_ATTRIBUTES: dict[str, dict[str, str]] = {
    "/step": {"NX_class": "NXdata", "signal": "loss", "axes": "step"},
}
"""NeXus viewers draw the loss against the step by these."""

DTYPES = ("f4", "f8", "i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8")
"""What a signal may be made of; booleans are stored as i1."""

Every = int | Literal["epoch"]


def _fact(name: str, dtype: str, units: str, long_name: str, every: Every = 1, **shape: Any) -> Signal:
    return Signal(name, dtype=dtype, units=units, long_name=long_name, every=every, **shape)


FACTS: dict[str, tuple[Signal, ...]] = {
    "step": (
        _fact("loss", "f8", "1", "loss, mean over the batch"),
        _fact("accuracy", "f4", "1", "fraction of the batch classified correctly"),
        _fact("lr", "f8", "1", "learning rate in force"),
        _fact("wall_time", "f8", "s", "time since the run began"),
    ),
    "probe": (),
    "epoch": (
        _fact("step", "i8", "1", "last step of the epoch", "epoch"),
        _fact("train_loss", "f8", "1", "mean loss on a fixed subset of the training images, dropout off", "epoch"),
        _fact("train_accuracy", "f4", "1", "fraction of that subset classified correctly, dropout off", "epoch"),
        _fact("val_loss", "f8", "1", "mean loss on all test images, dropout off", "epoch"),
        _fact("val_accuracy", "f4", "1", "fraction of all test images classified correctly, dropout off", "epoch"),
        _fact(
            "digest",
            "u1",
            "1",
            "SHA-256 of parameters and optimizer state, its 32 bytes",
            "epoch",
            shape=(32,),
            dims=("byte",),
        ),
    ),
}


@attrs.frozen(kw_only=True, eq=False)
class Dataset:
    """One dataset of a run file.

    `shape` is the full one. `scales` holds the path of the dimension scale of each axis; a dataset that is its own
    scale names itself. `every` is the schedule of its rows, or None where the first axis does not grow. `source`
    says where a row comes from: a recorder's name ("" for the writer's own facts) and the name of the value.
    `values` are those of a dataset that never changes, `attributes` what it carries beside units and long_name.
    """

    path: str
    dtype: str
    shape: tuple[int, ...]
    scales: tuple[str, ...]
    units: str = "1"
    long_name: str = ""
    every: Every | None = None
    source: tuple[str, str] = ("", "")
    values: Any = None
    attributes: Mapping[str, Any] = attrs.field(factory=dict)

    @property
    def is_scale(self) -> bool:
        """Whether other datasets refer to this one for the meaning of an axis."""
        return self.scales == (self.path,)

    @property
    def nbytes(self) -> int:
        """How many bytes its data takes, uncompressed."""
        return math.prod(self.shape) * np.dtype(self.dtype).itemsize

    @property
    def fill(self) -> float:
        """What a row holds before it is written: NaN, -1, or 0 where the type knows neither."""
        return {"f": math.nan, "i": -1, "u": 0}[np.dtype(self.dtype).kind]


def rows(every: Every, n_steps: int, n_epochs: int) -> int:
    """Return how many rows of a schedule are valid after `n_steps` steps and `n_epochs` epochs."""
    return n_epochs if every == "epoch" else -(-n_steps // every)


def step_signals(info: RunInfo) -> tuple[Signal, ...]:
    """Return what the core recorder "step" declares: norms [P], and statistics of the output signal, f4 scalars.

    The names begin with `logits` whatever the model calls its output. A model whose output is not "logits" has no
    layer before it, and no gradient at it, that could be recorded.
    """
    count, out = len(info.parameters), info.output
    few, whole = f"{SUBSAMPLE} rows of the batch", "the whole batch"
    signals = [
        Signal("grad_norm", (count,), needs=("grads",), dims=("param",), long_name="L2 norm of the gradient"),
        Signal("update_norm", (count,), needs=("update",), dims=("param",), long_name="L2 norm of the update"),
        Signal("logits_q05", needs=("logits",), long_name=f"5 % quantile of the {out} of {few}"),
        Signal("logits_min", needs=("logits",), long_name=f"minimum of the {out} of {few}"),
        Signal("logits_median", needs=("logits",), long_name=f"median of the {out} of {few}"),
        Signal("logits_iqr", needs=("logits",), long_name=f"interquartile range of the {out} of {few}"),
        Signal("logits_batch_min", needs=("logits",), long_name=f"minimum of the {out} of {whole}"),
    ]
    if out == "logits":
        signals += [
            Signal("dlogits_norm", needs=("dlogits",), long_name=f"L2 norm of the gradient at the logits of {whole}"),
            Signal("last_input_mean", needs=("last_input",), long_name=f"mean input of the output layer, {whole}"),
            Signal("last_input_q95", needs=("last_input",), long_name=f"95 % quantile of that input, {few}"),
        ]
    return tuple(signals)


def probe_signals(info: RunInfo) -> tuple[Signal, ...]:
    """Return what the core recorder "probe" declares: the output for the probe images, f4 [256, K], and statistics."""
    if not info.probe_size:
        return ()
    every, out = math.ceil(PROBE_WORK / info.batch_size), f"{info.output} of the probe images"

    def signal(name: str, what: str, shape: tuple[int, ...] = (), dims: tuple[str, ...] = ()) -> Signal:
        return Signal(name, shape, every=every, needs=("probe_logits",), dims=dims, long_name=what)

    return (
        signal("logits", out, (info.probe_size, info.outputs), ("probe", "class")),
        signal("q05", f"5 % quantile of the {out}"),
        signal("min", f"minimum of the {out}"),
        signal("median", f"median of the {out}"),
        signal("iqr", f"interquartile range of the {out}"),
    )


def epoch_signals(info: RunInfo) -> tuple[Signal, ...]:
    """Return what the core recorder "epoch" declares: how many values of each parameter are in each bin, i8 [P, 64]."""
    shape = (len(info.parameters), len(HISTOGRAM_EDGES) - 1)
    what = "number of values of the parameter in each bin"
    return (Signal("histograms", shape, "i8", every="epoch", needs=("params",), dims=("param", "bin"), long_name=what),)


CORE = {"step": step_signals, "probe": probe_signals, "epoch": epoch_signals}
"""The core recorders, by name, and what each may declare; their signals go to the group of the same name."""


def layout(info: RunInfo, signals: Mapping[str, tuple[Signal, ...]]) -> tuple[Dataset, ...]:
    """Return every dataset of the run file, each scale before what it scales.

    `signals` maps a recorder's name to what it declared. PluginError where a declaration cannot be stored.
    """
    shared = {scale.path: scale for scale in _shared_scales(info)}
    state = Dataset(
        path=RUN_STATE,
        dtype="i8",
        shape=(len(RUN_STATE_FIELDS),),
        scales=("/run_state_field",),
        long_name="how far the run has come; status: "
        + ", ".join(f"{code} {name}" for name, code in STATUS_CODES.items()),
        values=(0, 0, 0, 0),
    )
    groups = []
    thin = info.config.get("thin") or {}
    for group, core in CORE.items():
        declared = signals.get(group, ())
        known = thinned(core(info), thin.get(group, 1))
        foreign = [signal.name for signal in declared if signal not in known]
        if foreign:
            raise PluginError(
                f"recorder '{group}' declares {', '.join(foreign)}, but the name is a core recorder's: take another"
            )
        if FACTS[group] or declared:
            groups.append(_group(f"/{group}", group, FACTS[group], declared, info, shared))
    for recorder, declared in sorted(signals.items()):
        if recorder not in CORE and declared:
            _check_name("recorder", recorder, recorder)
            groups.append(_group(f"/plugins/{recorder}", recorder, (), declared, info, shared))
    times = _observer_time(observers(info, [recorder for recorder, declared in signals.items() if declared]))
    return (*shared.values(), state, *times, *(dataset for group in groups for dataset in group))


def _observer_time(names: tuple[str, ...]) -> tuple[Dataset, Dataset]:
    """Return the scale of the observers and their times, which stay NaN until the run has ended."""
    path = OBSERVER_TIME.removesuffix("_time")
    what = "name of who observed: a recorder, a plugin's hooks, the writer"
    return (
        Dataset(path=path, dtype="str", shape=(len(names),), scales=(path,), long_name=what, values=names),
        Dataset(
            path=OBSERVER_TIME,
            dtype="f8",
            shape=(len(names),),
            scales=(path,),
            units="s",
            long_name="time that the observer took in the run",
            source=("", "observer_time"),
        ),
    )


def _shared_scales(info: RunInfo) -> Iterator[Dataset]:
    def scale(path: str, dtype: str, values: Any, what: str, **more: Any) -> Dataset:
        return Dataset(
            path=path, dtype=dtype, shape=(len(values),), scales=(path,), long_name=what, values=values, attributes=more
        )

    classes = info.class_names if len(info.class_names) == info.outputs else tuple(map(str, range(info.outputs)))
    bins = np.arange(len(HISTOGRAM_EDGES) - 1)
    yield scale("/param", "str", tuple(name for name, _ in info.parameters), "name of the parameter")
    yield scale("/class", "str", classes, f"name of the column of the {info.output}")
    yield scale("/bin", "i8", bins, "bin of a histogram, from edges[bin] up to edges[bin + 1]", edges=HISTOGRAM_EDGES)
    yield scale("/run_state_field", "str", RUN_STATE_FIELDS, "name of the entry of run_state")


def _group(
    group: str,
    recorder: str,
    facts: tuple[Signal, ...],
    declared: tuple[Signal, ...],
    info: RunInfo,
    shared: Mapping[str, Dataset],
) -> list[Dataset]:
    """Return the datasets of one group: a scale for each schedule and each axis of its own, then the signals."""
    everything = facts + declared
    names = [signal.name for signal in everything]
    periods = sorted({signal.every for signal in everything if signal.every != "epoch"})
    scales: dict[str, Dataset] = {}
    found = []
    for signal in everything:
        what = f"recorder '{recorder}', signal '{signal.name}'"
        _check(signal, what, names)
        row = _row_scale(group, signal.every, len(periods), info)
        scales.setdefault(row.path, row)
        axes = [row, *_axes(group, signal, what, scales, shared)]
        found.append(
            Dataset(
                path=f"{group}/{signal.name}",
                dtype=np.dtype("i1" if signal.dtype in ("bool", "?", "b1") else signal.dtype).str[1:],
                shape=(row.shape[0], *signal.shape),
                scales=tuple(axis.path for axis in axes),
                units=signal.units,
                long_name=signal.long_name,
                every=signal.every,
                source=("" if signal in facts else recorder, signal.name),
            )
        )
    for signal in everything:
        if f"{group}/{signal.name}" in scales or f"/{signal.name}" in shared:
            raise PluginError(
                f"recorder '{recorder}': '{signal.name}' names a signal and also an axis: rename one of them"
            )
    return [*scales.values(), *found]


def _axes(
    group: str, signal: Signal, what: str, scales: dict[str, Dataset], shared: Mapping[str, Dataset]
) -> Iterator[Dataset]:
    """Yield the scale of each axis of a signal's rows: one of the root's, one in `scales`, or a new one added to it."""
    dims = signal.dims or tuple(f"{signal.name}_{axis}" for axis in range(len(signal.shape)))
    for dim, length in zip(dims, signal.shape, strict=True):
        own = Dataset(
            path=f"{group}/{dim}",
            dtype="i8",
            shape=(length,),
            scales=(f"{group}/{dim}",),
            long_name=f"position along {dim}",
            values=np.arange(length),
        )
        axis = shared.get(f"/{dim}") or scales.setdefault(own.path, own)
        if axis.shape != (length,) or axis.every is not None or dims.count(dim) > 1:
            raise PluginError(
                f"{what}: the axis '{dim}' has {axis.shape[0]} entries and is not free for {length} of the shape "
                f"{signal.shape}: give each axis a name of its own"
            )
        yield axis


def _row_scale(group: str, every: Every, periods: int, info: RunInfo) -> Dataset:
    """Return the scale of a schedule: `epoch`, `step`, or `step_<k>` where a recorder has several periods k."""
    kind = "epoch" if every == "epoch" else "step"
    path = f"{group}/{kind}" if kind == "epoch" or periods == 1 else f"{group}/step_{every}"
    return Dataset(
        path=path,
        dtype="i8",
        shape=(rows(every, info.steps, info.epochs),),
        scales=(path,),
        long_name=f"number of the {kind}, from 1",
        every=every,
        source=("", kind),
        attributes={"every": every},
    )


def _check_name(kind: str, name: str, what: str) -> None:
    if not name or "/" in name or name.startswith("."):
        raise PluginError(
            f"{what}: the {kind} name {name!r} cannot be stored: it needs a name without '/' or leading '.'"
        )


def _check(signal: Signal, what: str, names: list[str]) -> None:
    for name in (signal.name, *signal.dims):
        _check_name("signal or axis", name, what)
    if names.count(signal.name) > 1:
        raise PluginError(f"{what} is declared twice: give each signal a name of its own")
    if signal.dtype not in (*DTYPES, "bool", "?", "b1"):
        raise PluginError(f"{what}: the type {signal.dtype!r} cannot be stored: use one of {', '.join(DTYPES)}")
    if not all(isinstance(length, int) and length >= 1 for length in signal.shape):
        raise PluginError(f"{what}: the shape {signal.shape} cannot be stored: lengths must be whole numbers >= 1")
    for text in (signal.name, *signal.dims, signal.units, signal.long_name):
        if text != storable(text):
            raise PluginError(f"{what}: the text {text!r} cannot be stored: leave out what is no character of UTF-8")
    if signal.dims and len(signal.dims) != len(signal.shape):
        raise PluginError(f"{what}: {len(signal.dims)} dims for the shape {signal.shape}: name each axis, or none")


def root_attributes(info: RunInfo) -> dict[str, Any]:
    """Return the attributes of the root, which are fixed before the file is published."""
    config = {name: value for name, value in attrs.asdict(info).items() if name not in ("run_id", "versions")}
    return {
        "schema_version": SCHEMA_VERSION,
        "Conventions": "CF-1.11",
        "default": "step",
        "run_id": info.run_id,
        "config_json": json.dumps(_plain(config), sort_keys=True),
        "optimizer": info.optimizer,
        "batch_size": info.batch_size,
        "lr": float(info.lr),
        "seed": info.seed,
        "versions_json": json.dumps(_plain(info.versions), sort_keys=True),
        "created_utc": datetime.now(UTC).isoformat(timespec="seconds"),
    }


def _plain(value: Any) -> Any:
    """Return `value` as JSON knows it: non-finite numbers and strangers become strings."""
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, (tuple, list)):
        return [_plain(item) for item in value]
    if isinstance(value, (np.generic, np.ndarray)):
        return _plain(value.tolist())
    if isinstance(value, float):
        return value if math.isfinite(value) else str(value)
    return value if value is None or isinstance(value, (bool, int, str)) else str(value)
