"""What a run file says of itself before any series is read: that it is one, of whom, and how far it has come.

Watching a grid and listing a folder need no more, and read no more: the attributes of the root and `/run_state`.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from optiscope.errors import FileError
from optiscope.storage import guard, schema

if TYPE_CHECKING:
    import h5py

STATUSES = {code: name for name, code in schema.STATUS_CODES.items()}


def check_there(path: Path) -> None:
    """Raise FileError unless `path` is a file."""
    if path.is_dir():
        raise FileError(f"{path} is a folder: give one run file, as they lie in the folder 'runs' of a grid")
    if not path.is_file():
        raise FileError(f"there is no run file {path}: give the path of an existing .h5 file")


def open_h5(path: Path) -> h5py.File:
    """Open with plain `r`, and without locks where the file system or another handle will not have them."""
    import h5py

    check_there(path)
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


_EXPECTED: dict[str, type] = {
    "run_id": str,
    "optimizer": str,
    "batch_size": int,
    "lr": float,
    "seed": int,
    "config_json": str,
}
"""Attributes of the root that readers rely on."""

_AT_THE_END: dict[str, type] = {"why": str, "first_bad_step": int, "wall_time": float, "digest": str}
"""Those that only a finished file has."""


def check_ours(path: Path, found: Mapping[str, Any], file: h5py.File) -> None:
    """Raise FileError unless the root attributes `found` are those of a run file that this version reads."""
    version = found.get("schema_version")
    if not isinstance(version, int) or schema.RUN_STATE not in file:
        raise FileError(f"{path} is an HDF5 file, but not a run file of optiscope: give one from a 'runs' folder")
    if version > schema.SCHEMA_VERSION:
        raise FileError(
            f"{path} has schema version {version} and this optiscope knows {schema.SCHEMA_VERSION}: "
            "install a newer optiscope to read it"
        )
    for name, kind in (_EXPECTED | _AT_THE_END).items():
        if not isinstance(found.get(name), kind) and (name in _EXPECTED or name in found):
            raise guard.damaged(path, f"the attribute {name} is missing or not of type {kind.__name__}")


def summary(path: Path) -> dict[str, Any]:
    """Return `status`, `n_steps`, `n_epochs` and what `_EXPECTED` names of a run file, which is all that is read of it.

    Errors are those of `open_run`.
    """
    with open_h5(path) as file, guard.reading(path):
        root = file.attrs  # h5py opens the root for each
        found = {name: python_of(root[name]) for name in ("schema_version", *_EXPECTED) if name in root}
        check_ours(path, found, file)
        n_steps, n_epochs, code, _ = counts(file, path)
    return {**found, "status": STATUSES[code], "n_steps": n_steps, "n_epochs": n_epochs}


def counts(file: h5py.File, path: Path) -> list[int]:
    """Return the entries of /run_state; FileError where they make no sense."""
    state = guard.dataset(file, path, schema.RUN_STATE)
    if state is None or state.dtype.kind != "i" or state.shape != (len(schema.RUN_STATE_FIELDS),):
        raise guard.damaged(path, f"{schema.RUN_STATE} is not what it should be")
    found = [int(count) for count in state[...]]
    if min(found) < 0:
        raise guard.damaged(path, f"{schema.RUN_STATE} has a negative count")
    if found[2] not in STATUSES:
        raise guard.damaged(path, f"{schema.RUN_STATE} has the status {found[2]}")
    return found


def python_of(value: Any) -> Any:
    """Return an attribute as a plain Python value."""
    return value.item() if isinstance(value, np.generic) else value
