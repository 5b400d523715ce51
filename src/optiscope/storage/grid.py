"""Many runs at once: a folder of run files, and its index.

`open_grid` shows one row a run file. Opening a thousand files takes seconds, so a characterization leaves an index
beside them, `index.h5`, one row a run that has ended. It is a cache and nothing else: a row counts only while the file
that it is about has the same size and was last changed at the same nanosecond. Whatever it does not know is read from
the file itself, and `write_index` makes it anew from the files alone.

    /run            UTF-8 [R]   identity of the run (scale)
    /path           UTF-8 [R]   relative to the index
    /status  /optimizer  /model  /reduction  /data   UTF-8 [R]
    /options                    UTF-8 [R]   of the optimizer, as JSON
    /n_steps  /n_epochs  /batch_size  /seed  /lr
    /bytes  /modified_time_ns   i8 [R]   of the run file
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from optiscope.errors import FileError, unknown
from optiscope.storage import files, guard, image, notebook
from optiscope.storage.header import summary
from optiscope.storage.reader import Run, open_run
from optiscope.whole import telling

INDEX = "index.h5"
INDEX_VERSION = 2
COLUMNS: dict[str, str] = {
    "run": "str",
    "path": "str",
    "status": "str",
    "n_steps": "i8",
    "n_epochs": "i8",
    "optimizer": "str",
    "options": "str",
    "model": "str",
    "reduction": "str",
    "data": "str",
    "batch_size": "i8",
    "lr": "f8",
    "seed": "i8",
    "bytes": "i8",
    "modified_time_ns": "i8",
}
_KNOWN = tuple(name for name in COLUMNS if name not in ("run", "path", "bytes", "modified_time_ns"))
Row = dict[str, Any]


class Grid:
    """The runs of a folder; made by `open_grid`.

    `runs` is a list of dicts, one a file: `path`, `run_id`, `status`, `n_steps`, `n_epochs`, `optimizer` and its
    `options`, `model`, `reduction`, `data`, `batch_size`, `lr`, `seed`. A file that cannot be read has `path`, `status`
    "unreadable" and `why`.
    In a notebook it shows them as a table.
    """

    def __init__(self, folder: Path) -> None:
        self.path = folder
        known = _read_index(folder / INDEX)
        self.runs = [_summary(path, known) for path in sorted(_run_files(folder))]

    def load(self, signal: str) -> dict[str, npt.NDArray[Any]]:
        """Return run_id -> committed rows of `signal`: a name of /step or /epoch ("loss"), or a path ("probe/q05")."""
        found = {}
        for row in self.runs:
            if row["status"] != "unreadable":
                with open_run(row["path"]) as run:
                    found[row["run_id"]] = _find(run, signal)
        return found

    def __repr__(self) -> str:
        return f"Grid({self.path}, {len(self.runs)} runs)"

    def _repr_html_(self) -> str:
        return notebook.show_grid(self)


def open_grid(folder: str | os.PathLike[str]) -> Grid:
    """Open a folder of runs: the `runs` folder of a characterization, or the folder that holds it.

    FileError where there is no such folder.
    """
    if not Path(folder).is_dir():
        raise FileError(f"there is no folder {folder}: give the output folder of a characterization")
    return Grid(Path(folder))


def write_index(folder: str | os.PathLike[str]) -> Path:
    """Write the index of a folder from its run files, whole or not at all, and return its path.

    FileError where there is no such folder, or where it cannot be written.
    """
    rows = [row for row in open_grid(folder).runs if _ended(row)]
    path = Path(folder) / INDEX
    with telling(path):
        columns: dict[str, list[Any]] = {name: [] for name in COLUMNS}
        for row in rows:
            found = row["path"].stat()
            whole = {**row, "run": row["run_id"], "path": row["path"].relative_to(folder).as_posix()}
            whole |= {"bytes": found.st_size, "modified_time_ns": found.st_mtime_ns}
            whole["options"] = json.dumps(row["options"])
            for name, values in columns.items():
                values.append(whole[name])
        files.publish(path, image.build_table(columns, COLUMNS, {"index_version": INDEX_VERSION}))
    return path


def _ended(row: Row) -> bool:
    return row["status"] not in ("running", "unreadable")


def _run_files(folder: Path) -> Iterator[Path]:
    runs = folder / "runs"
    return (path for path in (runs if runs.is_dir() else folder).glob("*.h5") if path.name != INDEX)


def _read_index(path: Path) -> dict[Path, Row]:
    """Return path -> row of an index; nothing where it is missing, damaged, or of a newer version."""
    import h5py

    with suppress(FileError, OSError), guard.reading(path), h5py.File(path, "r", locking=False) as file:
        if int(file.attrs["index_version"]) != INDEX_VERSION:
            return {}
        columns = {name: _values(file, path, name) for name in COLUMNS}
        rows = [dict(zip(COLUMNS, values, strict=True)) for values in zip(*columns.values(), strict=True)]
        return {path.parent / row["path"]: {**row, "options": json.loads(row["options"])} for row in rows}
    return {}


def _values(file: Any, path: Path, name: str) -> list[Any]:
    found = guard.dataset(file, path, name)
    values: list[Any] = np.asarray(found.asstr()[...] if COLUMNS[name] == "str" else found[...]).tolist()
    return values


def _summary(path: Path, known: Mapping[Path, Row]) -> Row:
    row = known.get(path)
    if row is not None:
        with suppress(OSError):
            found = path.stat()
            if (found.st_size, found.st_mtime_ns) == (row["bytes"], row["modified_time_ns"]):
                return {"path": path, "run_id": row["run"], **{name: row[name] for name in _KNOWN}}
    try:
        told = summary(path)
        told |= _setting(path, told["config_json"])
        return {"path": path, **{name: told[name] for name in ("run_id", *_KNOWN)}}
    except FileError as error:
        return {"path": path, "status": "unreadable", "why": str(error)}


def _setting(path: Path, config: str) -> Row:
    """Return the options, the model, the reduction and the data of a run; empty where its `config` tells none."""
    told: dict[str, Any] = {}
    with suppress(FileError), guard.reading(path):
        told = dict(json.loads(config, parse_constant=str))
    options = told.get("optimizer_options")
    setting = {name: str(told.get(name, "")) for name in ("model", "reduction", "data")}
    return {**setting, "options": options if isinstance(options, dict) else {}}


def _find(run: Run, signal: str) -> npt.NDArray[Any]:
    group, _, name = signal.rpartition("/")
    groups = {"step": run.steps, "epoch": run.epochs, "probe": run.probe}
    groups |= {f"plugins/{recorder}": rows for recorder, rows in run.plugins.items()}
    for where in [group] if group else ["step", "epoch"]:
        if where in groups and name in groups[where]:
            return groups[where][name]
    known = {*run.steps, *run.epochs} | {f"{group}/{name}" for group, rows in groups.items() for name in rows}
    raise unknown(f"signal of {run.path}", signal, known)
