"""Reads run files, live or finished, whole or left behind by a process that was killed.

`open_run` trusts one thing: the committed counts in `/run_state`. Every growing axis has a scale that says in its
attribute `every` how its rows follow from those counts. So nothing here depends on which signals a run recorded, and
a row that was not committed is never shown. NaN says nothing about progress: a diverged loss is NaN as well.
"""

from __future__ import annotations

import json
import math
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

import attrs
import numpy as np
import numpy.typing as npt

from optiscope.errors import FileError, UsageError, unknown
from optiscope.storage import schema

if TYPE_CHECKING:
    import h5py
    import pandas
    import xarray


class Rows(Mapping[str, npt.NDArray[Any]]):
    """The datasets of one group by name: arrays [rows, ...], read when asked for, cut to the committed rows."""

    def __init__(self, run: Run, group: str) -> None:
        self._run = run
        self._group = group

    def __getitem__(self, name: str) -> npt.NDArray[Any]:
        dataset: Any = None if "/" in name else self._run.h5.get(f"{self._group}/{name}")
        if not hasattr(dataset, "shape"):
            raise KeyError(f"{self._run.path} has no {self._group}/{name}: there are {', '.join(self) or 'none'}")
        every = _every(dataset)
        values = dataset[...] if every is None else dataset[: self._run._rows(every)]
        array: npt.NDArray[Any] = np.asarray(values)
        array.flags.writeable = False
        return array

    def __iter__(self) -> Iterator[str]:
        group = self._run.h5.get(self._group, {})
        return iter([name for name, item in group.items() if hasattr(item, "shape")])

    def __len__(self) -> int:
        return sum(1 for _ in self)


class Plugins(Mapping[str, Rows]):
    """What each recorder that is not a core one wrote, by its name."""

    def __init__(self, run: Run) -> None:
        self._run = run

    def __getitem__(self, recorder: str) -> Rows:
        if recorder not in set(self):
            raise KeyError(f"{self._run.path} has nothing of '{recorder}': there are {', '.join(self) or 'none'}")
        return Rows(self._run, f"/plugins/{recorder}")

    def __iter__(self) -> Iterator[str]:
        return iter(self._run.h5.get("/plugins", {}))

    def __len__(self) -> int:
        return sum(1 for _ in self)


class Run:
    """One run file, open for reading; made by `open_run`. A context manager.

    `path`, `run_id`, `attrs` (those of the root), `config` (what was asked for, a dict), `status`, `n_steps`,
    `n_epochs`, `first_bad_step` (None where there is none, or while the run lives), `why`. `steps`, `probe`,
    `epochs` and `plugins[recorder]` map names to read-only arrays, and `observer_time` names of observers to seconds.
    `h5` is the h5py file underneath.
    """

    h5: h5py.File
    attrs: dict[str, Any]

    def __init__(self, path: Path) -> None:
        self.path = path
        self._open()

    def _open(self) -> None:
        self.h5 = _open_h5(self.path)
        try:
            self.attrs = {name: _python(value) for name, value in self.h5.attrs.items()}
            _check_ours(self.path, self.attrs, self.h5)
            self.n_steps, self.n_epochs, code, _ = map(int, self.h5[schema.RUN_STATE][...])
            self.status = {code: name for name, code in schema.STATUS_CODES.items()}[code]
        except (OSError, RuntimeError, ValueError, KeyError) as error:
            self.h5.close()
            raise FileError(f"{self.path} is damaged ({error}): make the run again") from error
        except FileError:
            self.h5.close()
            raise

    @property
    def run_id(self) -> str:
        """The run's identity: a readable prefix and a hash of everything that changes its bits."""
        return str(self.attrs["run_id"])

    @property
    def config(self) -> dict[str, Any]:
        """What the run is: the fields of `RunInfo` as plain values."""
        config: dict[str, Any] = json.loads(self.attrs["config_json"])
        return config

    @property
    def first_bad_step(self) -> int | None:
        """The first step with a value that was not finite; None where there was none or the run has not ended."""
        step = int(self.attrs.get("first_bad_step", -1))
        return None if step < 0 else step

    @property
    def why(self) -> str:
        """Why the run ended as it did; empty where there is nothing to say or the run has not ended."""
        return str(self.attrs.get("why", ""))

    @property
    def observer_time(self) -> dict[str, float]:
        """Seconds that each observer took of the run: "recorder NAME", "hooks of PLUGIN" and "writer".

        Their share is that of `attrs["wall_time"]`. Empty while the run has not ended.
        """
        times = self.h5.get(schema.OBSERVER_TIME)
        if times is None:
            return {}
        names = times.dims[0][0].asstr()[...]
        return {str(name): float(took) for name, took in zip(names, times[...], strict=True) if math.isfinite(took)}

    @property
    def steps(self) -> Rows:
        """The signals of every step, [n_steps, ...]."""
        return Rows(self, "/step")

    @property
    def probe(self) -> Rows:
        """The signals of the probe images; `probe["step"]` says at which steps. Empty where the run has none."""
        return Rows(self, "/probe")

    @property
    def epochs(self) -> Rows:
        """The signals of every epoch, [n_epochs, ...]."""
        return Rows(self, "/epoch")

    @property
    def plugins(self) -> Plugins:
        """What other recorders wrote: recorder -> signal -> array."""
        return Plugins(self)

    def to_dataframe(self) -> pandas.DataFrame:
        """Return the signals of every step as a pandas data frame with the step as its index.

        A signal with one value a parameter becomes one column each: `grad_norm/conv1.weight`.
        """
        frames = _extra("pandas")
        parameters = self.h5["/param"].asstr()[...]
        columns: dict[str, npt.NDArray[Any]] = {}
        for name, values in self.steps.items():
            if values.ndim == 1:
                columns[name] = values
            else:
                columns |= {f"{name}/{p}": values[:, i] for i, p in enumerate(parameters)}
        frame: pandas.DataFrame = frames.DataFrame(columns).set_index("step")
        return frame

    def tree(self) -> xarray.DataTree:
        """Return everything as an xarray DataTree in memory, cut to the committed rows."""
        trees = _extra("xarray")
        growing = {path: _every(item) for path, item in _scales(self.h5)}

        def cut(node: xarray.DataTree) -> xarray.Dataset:
            dataset = node.to_dataset(inherit=False)
            ends = {dim: growing.get(f"{node.path.rstrip('/')}/{dim}") for dim in dataset.dims}
            slices = {dim: slice(self._rows(every)) for dim, every in ends.items() if every is not None}
            loaded: xarray.Dataset = dataset.isel(slices).load()
            return loaded

        with trees.open_datatree(self.path, engine="h5netcdf") as tree:
            whole: xarray.DataTree = trees.DataTree.from_dict({node.path: cut(node) for node in tree.subtree})
        return whole

    def refresh(self) -> None:
        """Look again how far the run has come: the file is opened anew, as it may have been replaced by now."""
        self.close()
        self._open()

    def close(self) -> None:
        """Close the file."""
        self.h5.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"Run({self.run_id}, {self.status}, {self.n_steps} steps)"

    def _rows(self, every: schema.Every) -> int:
        return schema.rows(every, self.n_steps, self.n_epochs)


def open_run(path: str | os.PathLike[str]) -> Run:
    """Open a run file, live or finished. FileError where it is missing, damaged, foreign or from a newer version."""
    return Run(Path(path))


@attrs.frozen(kw_only=True)
class Verification:
    """What `verify` found: `intact` is None where the run has not ended, so that there is nothing to compare with."""

    path: Path
    intact: bool | None
    why: str


def verify(path: str | os.PathLike[str]) -> Verification:
    """Compare the content of a finished run file with the SHA-256 that was stored at its end.

    FileError where the file cannot be opened as a run at all.
    """
    from optiscope.storage import image

    with open_run(path) as run:
        stored = run.attrs.get(image.DIGEST)
        if stored is None:
            return Verification(path=run.path, intact=None, why="the run has not ended: nothing to compare with")
        try:
            found = image.content_digest(run.h5)
        except (OSError, RuntimeError, ValueError, KeyError) as error:
            return Verification(path=run.path, intact=False, why=f"a part cannot be read: {error}")
    if found != stored:
        return Verification(path=run.path, intact=False, why=f"the content has SHA-256 {found}, not {stored}")
    return Verification(path=run.path, intact=True, why="the content is as it was written")


class Grid:
    """The runs of a folder; made by `open_grid`.

    `runs` is a list of dicts, one a file: `path`, `run_id`, `status`, `n_steps`, `n_epochs`, `optimizer`,
    `batch_size`, `lr`, `seed`. A file that cannot be read has `path`, `status` "unreadable" and `why`.
    """

    def __init__(self, folder: Path) -> None:
        self.path = folder
        self.runs = [_summary(path) for path in sorted(_run_files(folder))]

    def load(self, signal: str) -> dict[str, npt.NDArray[Any]]:
        """Return run_id -> committed rows of `signal`: a name of /step or /epoch ("loss"), or a path ("probe/q05")."""
        found = {}
        for row in self.runs:
            if row["status"] != "unreadable":
                with open_run(row["path"]) as run:
                    found[row["run_id"]] = _find(run, signal)
        return found


def open_grid(folder: str | os.PathLike[str]) -> Grid:
    """Open a folder of runs: the `runs` folder of a characterization, or the folder that holds it.

    FileError where there is no such folder.
    """
    if not Path(folder).is_dir():
        raise FileError(f"there is no folder {folder}: give the output folder of a characterization")
    return Grid(Path(folder))


def _run_files(folder: Path) -> Iterator[Path]:
    runs = folder / "runs"
    return (runs if runs.is_dir() else folder).glob("*.h5")


def _summary(path: Path) -> dict[str, Any]:
    try:
        with open_run(path) as run:
            counts = {"status": run.status, "n_steps": run.n_steps, "n_epochs": run.n_epochs}
            named = ("optimizer", "batch_size", "lr", "seed")
            return {"path": path, "run_id": run.run_id, **counts, **{name: run.attrs[name] for name in named}}
    except FileError as error:
        return {"path": path, "status": "unreadable", "why": str(error)}


def _find(run: Run, signal: str) -> npt.NDArray[Any]:
    group, _, name = signal.rpartition("/")
    groups = {"step": run.steps, "epoch": run.epochs, "probe": run.probe}
    groups |= {f"plugins/{recorder}": rows for recorder, rows in run.plugins.items()}
    for where in [group] if group else ["step", "epoch"]:
        if where in groups and name in groups[where]:
            return groups[where][name]
    known = {*run.steps, *run.epochs} | {f"{group}/{name}" for group, rows in groups.items() for name in rows}
    raise unknown(f"signal of {run.path}", signal, known)


def _open_h5(path: Path) -> h5py.File:
    """Open with plain `r`, and without locks where the file system or another handle will not have them."""
    import h5py

    if not path.is_file():
        raise FileError(f"there is no run file {path}: give the path of an existing .h5 file")
    try:
        return h5py.File(path, "r")
    except OSError:
        pass
    try:
        return h5py.File(path, "r", locking=False)
    except OSError as error:
        if isinstance(error, PermissionError):
            raise FileError(f"{path} may not be read: ask for the right to read it") from error
        raise FileError(f"{path} is not an HDF5 file, or is damaged: give a run file, or make it again") from error


def _check_ours(path: Path, found: Mapping[str, Any], file: h5py.File) -> None:
    version = found.get("schema_version")
    if not isinstance(version, int) or schema.RUN_STATE not in file:
        raise FileError(f"{path} is an HDF5 file, but not a run file of optiscope: give one from a 'runs' folder")
    if version > schema.SCHEMA_VERSION:
        raise FileError(
            f"{path} has schema version {version} and this optiscope knows {schema.SCHEMA_VERSION}: "
            "install a newer optiscope to read it"
        )


def _every(dataset: h5py.Dataset) -> schema.Every | None:
    """Return the schedule of a dataset's rows, or None where they do not grow."""
    scale = dataset
    if not dataset.is_scale:
        scale = dataset.dims[0][0] if dataset.ndim and len(dataset.dims[0]) else dataset
    every = scale.attrs.get("every")
    return every if every is None or every == "epoch" else int(every)


def _scales(file: h5py.File) -> list[tuple[str, h5py.Dataset]]:
    found: list[tuple[str, h5py.Dataset]] = []

    def visit(name: str, item: Any) -> None:
        if getattr(item, "is_scale", False):
            found.append((f"/{name}", item))

    file.visititems(visit)
    return found


def _python(value: Any) -> Any:
    return value.item() if isinstance(value, np.generic) else value


def _extra(name: str) -> Any:
    import importlib

    try:
        return importlib.import_module(name)
    except ImportError:
        raise UsageError(f"this needs {name}, which is not installed: pip install 'optiscope[readers]'") from None
