"""A group of a run file as a table, and the table as a file that any tool reads.

The columns of a table have one length: a row a step, a probe or an epoch. What has several values a row is spread over
as many columns, each named after its place on the axes: `grad_norm/conv1.weight`, `logits/17/ship`.

CSV has the shortest digits that read back as the same number. Parquet has the types of the run file.
"""

from __future__ import annotations

import csv
import io
import itertools
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy.typing as npt

from optiscope.errors import UsageError, unknown
from optiscope.storage import guard
from optiscope.whole import write_whole

if TYPE_CHECKING:
    from optiscope.storage.reader import Run

Columns = dict[str, npt.NDArray[Any]]
FORMATS = (".csv", ".parquet")


def columns(run: Run, group: str = "step") -> Columns:
    """Return the table of a group; see `Run.columns`."""
    group = group.strip("/")
    if group not in groups(run):
        raise unknown(f"group of {run.path}", group, groups(run))
    names = run.names(group)
    with guard.reading(run.path):
        items = {name: guard.dataset(run.h5, run.path, f"{group}/{name}") for name in names}
        growing = {name: item for name, item in items.items() if item.attrs.get("every") is not None}
        scales = [name for name, item in growing.items() if item.is_scale]
        if len(scales) != 1:
            raise UsageError(
                f"{group} has the schedules {', '.join(scales)}, which make no one table: read its signals"
            )
        labels = {name: _labels(run, item) for name, item in items.items() if _is_signal(item)}
    found = {scales[0]: _column(run, f"{group}/{scales[0]}")}
    for name, ends in sorted(labels.items(), key=lambda label: len(label[1])):
        values = _column(run, f"{group}/{name}")
        if not ends:
            found[name] = values
            continue
        flat = values.reshape(len(values), -1)
        found |= {f"{name}/{'/'.join(end)}": flat[:, i] for i, end in enumerate(itertools.product(*ends))}
    return found


def groups(run: Run) -> list[str]:
    """Return the names of the groups that are tables."""
    return [name for name in ("step", "probe", "epoch") if run.names(name)] + [
        f"plugins/{name}" for name in run.plugins
    ]


def export(run: Run, path: Path, group: str = "step") -> None:
    """Write the table of a group to `path`, as its ending says: .csv or .parquet.

    UsageError for another ending, or where Parquet is asked for and pyarrow is not installed; FileError where `path`
    cannot be written.
    """
    if path.suffix not in FORMATS:
        raise UsageError(f"{path} does not end in {' or '.join(FORMATS)}: say by the name of the file what to write")
    table = columns(run, group)
    write_whole(path, _csv(table) if path.suffix == ".csv" else _parquet(table))


def _is_signal(item: Any) -> bool:
    return not item.is_scale and item.ndim > 0


def _labels(run: Run, item: Any) -> list[list[str]]:
    """Return what the places on each axis but the first are called."""
    scales = [axis[0] for axis in list(item.dims)[1:]]
    values = [run.read(scale.name) for scale in scales]
    return [[str(value) for value in array] for array in values if array is not None]


def _column(run: Run, name: str) -> npt.NDArray[Any]:
    values = run.read(name)
    assert values is not None
    return values


def _csv(table: Mapping[str, npt.NDArray[Any]]) -> str:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(table)
    writer.writerows(zip(*(map(str, values) for values in table.values()), strict=True))
    return text.getvalue()


def _parquet(table: Columns) -> bytes:
    from optiscope.storage.reader import extra

    extra("pyarrow")
    from pyarrow import Table, parquet

    sink = io.BytesIO()
    parquet.write_table(Table.from_pydict(table), sink)
    return sink.getvalue()
