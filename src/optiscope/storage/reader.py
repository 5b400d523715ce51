"""Reads run files, live or finished, whole or left behind by a process that was killed.

`open_run` trusts one thing: the committed counts in `/run_state`. Every growing axis has a scale that says in its
attribute `every` how its rows follow from those counts. So nothing here depends on which signals a run recorded, and
a row that was not committed is never shown. NaN says nothing about progress: a diverged loss is NaN as well.

Nothing else is trusted: whatever is read comes through `guard`.
"""

from __future__ import annotations

import json
import math
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

import numpy as np
import numpy.typing as npt

from optiscope.errors import FileError, UsageError
from optiscope.storage import files, guard, notebook, schema, table
from optiscope.storage.header import STATUSES, check_ours, counts, open_h5, python_of

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
        array = None if "/" in name else self._run.read(f"{self._group}/{name}")
        if array is None:
            raise KeyError(f"{self._run.path} has no {self._group}/{name}: there are {', '.join(self) or 'none'}")
        array.flags.writeable = False
        return array

    def __contains__(self, name: object) -> bool:
        return isinstance(name, str) and "/" not in name and self._run.has(f"{self._group}/{name}")

    def __iter__(self) -> Iterator[str]:
        return iter(self._run.names(self._group))

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
        return iter(self._run.names("/plugins", groups=True))

    def __len__(self) -> int:
        return sum(1 for _ in self)


class Run:
    """One run file, open for reading; made by `open_run`. A context manager.

    `path`, `run_id`, `attrs` (those of the root), `config` (what was asked for, a dict), `versions` (of packages, a
    dict), `status`, `abandoned`, `n_steps`, `n_epochs`, `first_bad_step` (None where there is none, or while the run
    lives), `why`.
    `steps`, `probe`, `epochs` and `plugins[recorder]` map names to read-only arrays, and `observer_time` names of
    observers to seconds.
    `h5` is the h5py file underneath. In a notebook it shows what it is, and its loss.
    """

    h5: h5py.File
    attrs: dict[str, Any]

    def __init__(self, path: Path) -> None:
        self.path = path
        self._open()

    def _open(self) -> None:
        self._series: dict[str, npt.NDArray[Any]] = {}
        self._datasets: dict[str, h5py.Dataset | None] = {}
        self._names: dict[tuple[str, bool], list[str]] = {}
        self.h5 = open_h5(self.path)
        try:
            with guard.reading(self.path):
                self.attrs = {name: python_of(value) for name, value in self.h5.attrs.items()}
                check_ours(self.path, self.attrs, self.h5)
                self.n_steps, self.n_epochs, code, _ = counts(self.h5, self.path)
                self.status = STATUSES[code]
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
        with guard.reading(self.path):
            config: dict[str, Any] = dict(json.loads(self.attrs["config_json"], parse_constant=str))
            return config

    @property
    def versions(self) -> dict[str, str]:
        """The packages that the run was made with, by name."""
        with guard.reading(self.path):
            return dict(json.loads(self.attrs.get("versions_json", "{}")))

    @property
    def first_bad_step(self) -> int | None:
        """The first step with a value that was not finite; None where there was none or the run has not ended."""
        with guard.reading(self.path):
            step = int(self.attrs.get("first_bad_step", -1))
            return None if step < 0 else step

    @property
    def why(self) -> str:
        """Why the run ended as it did; empty where there is nothing to say or the run has not ended."""
        return str(self.attrs.get("why", ""))

    @property
    def abandoned(self) -> bool:
        """Whether the run has not ended and nobody writes it any more, as where its process was killed."""
        return self.status == "running" and not files.holder(self.path)

    @property
    def observer_time(self) -> dict[str, float]:
        """Seconds that each observer took of the run: "recorder NAME", "hooks of PLUGIN" and "writer".

        Their share is that of `attrs["wall_time"]`. Empty while the run has not ended.
        """
        times = self.read(schema.OBSERVER_TIME)
        names = self.read(schema.OBSERVER_TIME.removesuffix("_time"))
        if times is None or names is None or times.shape != names.shape:
            return {}
        return {str(name): float(took) for name, took in zip(names, times, strict=True) if math.isfinite(took)}

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

    def columns(self, group: str = "step") -> dict[str, npt.NDArray[Any]]:
        """Return a group as a table: columns of one length by name, the number of the step or epoch first.

        `group` is "step", "probe", "epoch" or "plugins/<recorder>". A signal with several values a row becomes one
        column each, named after them: `grad_norm/conv1.weight`. UsageError where there is no such group, or where its
        signals have several schedules.
        """
        return table.columns(self, group)

    def to_dataframe(self, group: str = "step") -> pandas.DataFrame:
        """Return `columns(group)` as a pandas data frame, with the number of the step or epoch as its index."""
        frames = extra("pandas")
        columns = self.columns(group)
        frame: pandas.DataFrame = frames.DataFrame(columns).set_index(next(iter(columns)))
        return frame

    def tree(self) -> xarray.DataTree:
        """Return everything as an xarray DataTree in memory, cut to the committed rows."""
        trees = extra("xarray")
        with guard.reading(self.path):
            guard.check_all(self.h5, self.path)
            growing = {path: every_of(item) for path, item in _scales(self.h5)}

        def cut(node: xarray.DataTree) -> xarray.Dataset:
            dataset = node.to_dataset(inherit=False)
            ends = {dim: growing.get(f"{node.path.rstrip('/')}/{dim}") for dim in dataset.dims}
            slices = {dim: slice(self._rows(every)) for dim, every in ends.items() if every is not None}
            loaded: xarray.Dataset = dataset.isel(slices).load()
            return loaded

        with guard.reading(self.path), trees.open_datatree(self.path, engine="h5netcdf") as tree:
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

    def _repr_html_(self) -> str:
        return notebook.show_run(self)

    def read(self, name: str) -> npt.NDArray[Any] | None:
        """Return the committed rows of the dataset at a path of the file, strings as str; None if there is none.

        Series of one number a row are kept: a dozen analyzers look at the same ones.
        """
        if name not in self._series:
            found = self._read(name)
            if found is None or found.ndim != 1:
                return found
            found.flags.writeable = False
            self._series[name] = found
        return self._series[name]

    def _read(self, name: str) -> npt.NDArray[Any] | None:
        with guard.reading(self.path):
            dataset = self._dataset(name)
            if dataset is None:
                return None
            rows, every = dataset.asstr() if dataset.dtype.kind == "O" else dataset, every_of(dataset)
            if every is None:
                return np.asarray(rows[...])
            end = self._rows(every)
            if end > len(dataset):
                raise guard.damaged(self.path, f"{name} has {len(dataset)} rows, not {end}")
            return np.asarray(rows[:end])

    def has(self, name: str) -> bool:
        """Say whether there is a dataset at a path of the file; none of it is read."""
        with guard.reading(self.path):
            return self._dataset(name) is not None

    def _dataset(self, name: str) -> h5py.Dataset | None:
        """Return the dataset at a path; what a file consists of never changes, so each is looked for once."""
        if name not in self._datasets:
            self._datasets[name] = guard.dataset(self.h5, self.path, name)
        return self._datasets[name]

    def names(self, group: str, groups: bool = False) -> list[str]:
        """Return the names of the datasets of a group, or those of the groups in it; none if it is not there."""
        import h5py

        if (group, groups) not in self._names:
            with guard.reading(self.path):
                kind = h5py.Group if groups else h5py.Dataset
                self._names[group, groups] = guard.names(self.h5, self.path, group, kind)
        return self._names[group, groups]

    def _rows(self, every: schema.Every) -> int:
        return schema.rows(every, self.n_steps, self.n_epochs)


def open_run(path: str | os.PathLike[str]) -> Run:
    """Open a run file, live or finished. FileError where it is missing, damaged, foreign or from a newer version."""
    return Run(Path(path))


def every_of(dataset: h5py.Dataset) -> schema.Every | None:
    """Return the schedule of a dataset's rows, or None where they do not grow; ValueError where it makes no sense."""
    scale = dataset
    if not dataset.is_scale:
        scale = dataset.dims[0][0] if dataset.ndim and len(dataset.dims[0]) else dataset
    every = scale.attrs.get("every")
    if every is None:
        return None
    if isinstance(every, str) and every == "epoch":
        return "epoch"
    if not isinstance(every, np.integer) or every < 1:
        raise ValueError(f"the schedule of {dataset.name} is {every!r}")
    return int(every)


def _scales(file: h5py.File) -> list[tuple[str, h5py.Dataset]]:
    found: list[tuple[str, h5py.Dataset]] = []

    def visit(name: str, item: Any) -> None:
        if getattr(item, "is_scale", False):
            found.append((f"/{name}", item))

    file.visititems(visit)
    return found


def extra(name: str) -> Any:
    """Return a package of the extra "readers"; UsageError that names both where it is not installed."""
    import importlib

    try:
        return importlib.import_module(name)
    except ImportError:
        raise UsageError(
            f"this needs {name}, which is not installed: pip install {name}, or optiscope with its extra 'readers'"
        ) from None
