"""The file beside a live run from which the run is taken up: `<run_id>.state`.

Arrays and plain values only, so that nothing in it is ever executed:

    64 hex digits     SHA-256 of all that follows
    one line of JSON  the plain values, and what each array is
    arrays            one after the other, as NumPy's own format `.npy` has them

It is written whole to a temporary file, fsynced and renamed, once an epoch, after the run file vouches for that epoch.
So it is never ahead of the run file, and at most one epoch behind. At the end of the run it goes.
"""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import attrs
import numpy as np
import numpy.typing as npt

from optiscope.records import Checkpoint, EpochRecord
from optiscope.storage import files

VERSION = 1
_DIGITS = 64
_ARRAYS = ("params", "state", "memory")


def path_of(run_file: Path) -> Path:
    """Return where the checkpoint of a run file lies."""
    return run_file.with_suffix(".state")


def write(path: Path, checkpoint: Checkpoint) -> None:
    """Give `path` this content, whole or not at all; OSError where the disk is full."""
    arrays = list(_arrays(checkpoint))
    plain = {
        **attrs.asdict(checkpoint, filter=lambda field, _: field.name not in _ARRAYS),
        "version": VERSION,
        "arrays": [keys for keys, _ in arrays],
    }
    body = io.BytesIO()
    body.write(json.dumps(plain).encode() + b"\n")
    for _, array in arrays:
        np.lib.format.write_array(body, np.asarray(array), allow_pickle=False)
    data = body.getbuffer()
    files.publish(path, hashlib.sha256(data).hexdigest().encode() + data)


def read(path: Path) -> Checkpoint | None:
    """Return what `path` holds; None where there is no such file, or a damaged one, or one of another version."""
    try:
        data = path.read_bytes()
    except OSError:
        return None
    if hashlib.sha256(data[_DIGITS:]).hexdigest().encode() != data[:_DIGITS]:
        return None
    with suppress(ValueError, KeyError, TypeError, EOFError):
        return _parsed(io.BytesIO(data[_DIGITS:]))
    return None


def remove(path: Path) -> None:
    """Remove a checkpoint, if there is one."""
    path.unlink(missing_ok=True)


def _arrays(checkpoint: Checkpoint) -> Iterator[tuple[tuple[str, ...], npt.NDArray[Any]]]:
    """Yield each array with the names that lead to it."""
    yield ("params",), checkpoint.params
    for name, array in checkpoint.state.items():
        yield ("state", name), array
    for recorder, remembered in checkpoint.memory.items():
        for name, array in remembered.items():
            yield ("memory", recorder, name), array


def _parsed(body: io.BytesIO) -> Checkpoint | None:
    plain = json.loads(body.readline())
    if plain.pop("version") != VERSION:
        return None
    found: dict[str, Any] = {"state": {}, "memory": {}}
    for *groups, name in plain.pop("arrays"):
        place = found
        for group in groups:
            place = place.setdefault(group, {})
        place[name] = np.lib.format.read_array(body, allow_pickle=False)
    found["epochs"] = tuple(EpochRecord(**record) for record in plain.pop("epochs"))
    found["generators"] = tuple(plain.pop("generators"))
    return Checkpoint(**plain, **found)
