"""Series that somebody brings, judged as a run is: the same analyzers, the same verdict.

    label_series(loss=..., logits=...)      arrays or lists, a value or a row a step
    read_series(path)                       a CSV file: a column for each series, named as in a run file

A `SeriesRecord` is what an analyzer sees of them. What was not brought is not there, and the analyzers that need it say
so; without a loss and the two quantiles of the logits a run cannot be called stable.
"""

from __future__ import annotations

import csv
import math
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import attrs
import numpy as np
import numpy.typing as npt

from optiscope.analysis import spread
from optiscope.errors import FileError, UsageError
from optiscope.hooks import PluginHost, create_manager
from optiscope.labels.characterize import build_analyzers, label_run
from optiscope.labels.verdict import RunVerdict

MIN_STEPS = 50
"""Shorter series are refused: no analyzer but `finite` has an answer for them."""

KNOWN = ("loss", "grad_norm", "update_norm", "logits_q05", "logits_iqr")
"""The series that rules look at, by their names in a run file."""

Array = npt.NDArray[Any]


@attrs.frozen(kw_only=True)
class SeriesRecord:
    """Series as an analyzer sees them, see `optiscope.analysis.RunRecord`; the run has ended, and that is all."""

    run_id: str
    path: str
    n_steps: int
    config: Mapping[str, Any]
    steps: Mapping[str, Array]
    probe: Mapping[str, Array] = attrs.field(factory=dict)
    epochs: Mapping[str, Array] = attrs.field(factory=dict)
    plugins: Mapping[str, Mapping[str, Array]] = attrs.field(factory=dict)
    status: str = "completed"
    why: str = ""


def label_series(
    loss: npt.ArrayLike | None = None,
    *,
    logits: npt.ArrayLike | None = None,
    grad_norm: npt.ArrayLike | None = None,
    update_norm: npt.ArrayLike | None = None,
    logits_q05: npt.ArrayLike | None = None,
    logits_iqr: npt.ArrayLike | None = None,
    probe_logits: npt.ArrayLike | None = None,
    steps_per_epoch: int = 1,
    batch_size: int = 1,
    minimum: float | None = None,
    name: str = "series",
    host: PluginHost | None = None,
) -> RunVerdict:
    """Return what all analyzers make of series of T steps; UsageError where they cannot be judged.

    `loss` [T] is the mean over the batch. `logits` [T, P, K] are the outputs for some images of the step's batch, as
    many in each step (a run file has 50), of which the 5 % quantile and the inter-quartile range are taken; give these
    as `logits_q05` and `logits_iqr` [T] where that is all you have. `grad_norm` and `update_norm` are [T], or [T, P]
    with a column for each parameter. `probe_logits` [T, P, K] are the outputs for the same images after each step. The
    first epoch, and at least a tenth, is burn-in. `minimum` is the least possible loss, where it is known. `host`
    brings the analyzers; without it the installed plugins do.
    """
    given = {
        "loss": loss,
        "grad_norm": grad_norm,
        "update_norm": update_norm,
        "logits_q05": logits_q05,
        "logits_iqr": logits_iqr,
    }
    steps = {key: _numbers(key, values) for key, values in given.items() if values is not None}
    outputs = None
    if logits is not None:
        rows = _numbers("logits", logits)
        outputs = rows.shape[2] if rows.ndim == 3 else None
        told = [spread(row) for row in rows.reshape(len(rows), -1)] if rows.size else []
        steps |= {f"logits_{key}": np.array([row[key] for row in told]) for key in ("q05", "iqr")}
    probe = {}
    if probe_logits is not None:
        rows = _numbers("probe_logits", probe_logits)
        if rows.ndim != 3:
            raise UsageError(
                f"probe_logits must be steps x images x classes, not of shape {rows.shape}: give three axes"
            )
        probe = {"logits": rows, "step": np.arange(1, len(rows) + 1)}
    config = {"steps_per_epoch": steps_per_epoch, "batch_size": batch_size, "minimum": minimum, "outputs": outputs}
    return label_run(
        make_record(steps, name, probe=probe, config=config), build_analyzers(host or create_manager(), {})
    )


def make_record(
    steps: Mapping[str, Array],
    name: str = "series",
    *,
    probe: Mapping[str, Array] | None = None,
    config: Mapping[str, Any] | None = None,
) -> SeriesRecord:
    """Return `steps`, by their names in a run file, as a record; UsageError where they cannot be judged.

    `config` may say how many `steps_per_epoch` there are (1), the `batch_size` (1), and the `minimum` of the loss.
    """
    lengths = {key: len(values) for key, values in {**steps, **(probe or {})}.items()}
    if not lengths:
        raise UsageError("there is nothing to judge: give at least the loss of every step")
    longest = max(lengths.values())
    if odd := [key for key, length in lengths.items() if length != longest]:
        raise UsageError(
            f"{odd[0]} has {lengths[odd[0]]} steps and not {longest} like the longest series: give each a value a step"
        )
    if longest < MIN_STEPS:
        raise UsageError(f"{longest} steps are too few to judge: give at least {MIN_STEPS}")
    config = {"steps_per_epoch": 1, "batch_size": 1, **(config or {})}
    return SeriesRecord(run_id=name, path=name, n_steps=longest, config=config, steps=steps, probe=probe or {})


def read_series(path: str | os.PathLike[str]) -> SeriesRecord:
    """Return the series of a CSV file: a header, and a row a step.

    The columns are named as in a run file; `grad_norm/conv1.weight` is a column of `grad_norm`. Others are passed over,
    so that what `optiscope file export` wrote can be read. An empty field is a number that is missing, NaN. FileError
    where the file cannot be read, UsageError where it cannot be judged.
    """
    path = Path(path)
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            rows = list(csv.reader(file))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        reason = getattr(error, "strerror", None) or "it is no text"
        raise FileError(f"{path} cannot be read ({reason}): give a CSV file with a column 'loss'") from error
    header, rows = [title.strip() for title in rows[0]] if rows else [], [row for row in rows[1:] if row]
    columns: dict[str, list[int]] = {}
    for at, title in enumerate(header):
        columns.setdefault(title.partition("/")[0], []).append(at)
    if "loss" not in columns:
        titles = ", ".join(header[:8]) or "none"
        raise UsageError(f"{path} has no column 'loss' (its columns: {titles}): name one so in the first line")
    steps = {}
    for key in KNOWN:
        if key in columns:
            values = np.array(
                [[_number(path, row, at, line, key) for at in columns[key]] for line, row in _lines(rows)]
            )
            steps[key] = values[:, 0] if values.size and len(columns[key]) == 1 else values
    return make_record(steps, str(path))


def _lines(rows: list[list[str]]) -> Iterable[tuple[int, list[str]]]:
    return enumerate(rows, start=2)


def _number(path: Path, row: list[str], at: int, line: int, key: str) -> float:
    text = row[at].strip() if at < len(row) else ""
    try:
        return float(text) if text else math.nan
    except ValueError:
        raise UsageError(
            f"{path}, line {line}: {key} is '{text}', which is no number: mend it or leave it empty"
        ) from None


def _numbers(key: str, values: npt.ArrayLike) -> Array:
    try:
        array = np.asarray(values, dtype=np.float64)
    except (TypeError, ValueError):
        raise UsageError(f"{key} is not an array of numbers: give one value, or one row, a step") from None
    if not array.ndim:
        raise UsageError(f"{key} is a single number: give one value, or one row, a step")
    return array
