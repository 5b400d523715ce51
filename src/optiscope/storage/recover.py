"""Saves what can be saved of a run file that was left behind or damaged.

    a live file whose process is gone    becomes a finished one in its place: cut to the committed rows, compressed,
                                         checksummed, with the status "interrupted"
    a damaged finished file              is copied to another place, without what cannot be read

Every chunk of a finished file has a checksum of its own, so that damage costs the rows of a chunk, no more; they hold
NaN, -1 or 0 afterwards. Of a file that HDF5 does not open, because it was cut short, say, nothing can be saved: its
metadata is spread over all of it.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import attrs
import numpy as np
import numpy.typing as npt

from optiscope.errors import FileError, UsageError
from optiscope.storage import checkpoint, content, files, guard, image, schema
from optiscope.storage.header import check_ours, check_there, counts, open_h5
from optiscope.storage.reader import every_of
from optiscope.whole import telling

if TYPE_CHECKING:
    import h5py

LEFT = "its process ended before the run did"
LOST = "lost_json"
_OWN = {"units", "long_name", "CLASS", "NAME", "REFERENCE_LIST", "DIMENSION_LIST"}
"""Attributes that building a file writes by itself."""

DEEPEST = 3
"""Names in the longest path, /plugins/<recorder>/<signal>: groups may be linked in a circle."""


@attrs.frozen(kw_only=True)
class Recovery:
    """What `recover` saved: the new file, how far it goes, and the parts that are `lost` ("/step/loss rows 0 to 9")."""

    path: Path
    n_steps: int
    n_epochs: int
    lost: tuple[str, ...]


def recover(path: str | os.PathLike[str], to: str | os.PathLike[str] | None = None) -> Recovery:
    """Make a finished run file of what can be read at `path`, at `to`, or in its place where it is live and whole.

    UsageError where there is nothing to recover, or where a damaged file would be replaced. FileError where nothing can
    be saved, where another process is writing, or where `to` exists or cannot be written.
    """
    path = Path(path)
    if path.is_symlink():
        path = path.resolve()  # beside the file itself lies its lock
    target = path if to is None else Path(to)
    check_there(path)
    in_place = target.resolve() == path.resolve()
    if not in_place:
        if target.exists():
            raise FileError(f"{target} exists: choose another name")
        if who := files.holder(path):
            raise FileError(f"another process is writing {path} ({who}): wait for it to end")
    with telling(target):
        lock = files.Lock(target)
        try:
            found, datasets, root, values = _salvage(path, in_place)
            with guard.reading(path):
                data = image.build_finished(datasets, root, values)
            files.publish(target, data, read_back=True)
            if in_place:
                checkpoint.remove(checkpoint.path_of(path))
        finally:
            lock.release()
    return attrs.evolve(found, path=target)


Salvaged = tuple[Recovery, tuple[schema.Dataset, ...], dict[str, Any], dict[str, npt.NDArray[Any]]]


def _salvage(path: Path, in_place: bool) -> Salvaged:
    """Return what can be read: what was found, and what `image.build_finished` takes."""
    with guard.reading(path), open_h5(path) as file:
        root = {name: value for name, value in file.attrs.items() if name != content.DIGEST}
        check_ours(path, {name: getattr(value, "tolist", lambda v=value: v)() for name, value in root.items()}, file)
        n_steps, n_epochs, status, commits = counts(file, path)
        live = content.DIGEST not in file.attrs
        lost: list[str] = []
        datasets: list[schema.Dataset] = []
        values: dict[str, npt.NDArray[Any]] = {}
        for name in _names(file):
            read = _dataset(file, path, name, (n_steps, n_epochs), lost)
            if read is not None and {*read[0].scales} <= {d.path for d in datasets} | {name}:
                datasets.append(read[0])
                values[name] = read[1]
        saved = {d.path for d in datasets}
        if schema.RUN_STATE not in saved or not any(name.startswith("/step/") for name in saved):
            raise FileError(f"of {path} nothing can be saved: make the run again")
        if not live and not lost and _tried(lambda: content.digest_read(file)) == file.attrs[content.DIGEST]:
            raise UsageError(f"{path} is whole: there is nothing to recover")
    if in_place and (lost or not live):
        raise UsageError(f"{path} is damaged, and a damaged file is not replaced: say with --to where to save the rest")
    if live:
        status = status or schema.STATUS_CODES["interrupted"]
        root |= {"why": LEFT, "first_bad_step": -1, "digest": _digest(values, n_steps)}
        times = values.get("/step/wall_time")
        root["wall_time"] = float(times[-1]) if times is not None and len(times) else 0.0
    if lost:
        root[LOST] = json.dumps(lost)
    values[schema.RUN_STATE] = np.array([n_steps, n_epochs, status, commits])
    return Recovery(path=path, n_steps=n_steps, n_epochs=n_epochs, lost=tuple(lost)), tuple(datasets), root, values


def _names(file: h5py.File) -> list[str]:
    """Return the paths of all datasets that can be reached, scales first."""
    found: dict[str, bool] = {}

    def walk(group: Any, prefix: str, depth: int) -> None:
        for name in list(group):
            item = _tried(lambda name=name: guard.item(group, Path(prefix + name), name))
            if item is not None and hasattr(item, "shape"):
                found[prefix + name] = bool(_tried(lambda item=item: item.is_scale))
            elif item is not None and depth < DEEPEST:
                walk(item, f"{prefix}{name}/", depth + 1)

    walk(file, "/", 1)
    return sorted(found, key=lambda name: (not found[name], name))


def _dataset(
    file: h5py.File, path: Path, name: str, n: tuple[int, int], lost: list[str]
) -> tuple[schema.Dataset, npt.NDArray[Any]] | None:
    """Return a dataset and what can be read of its committed rows; None where nothing is left of it."""
    try:
        item = guard.dataset(file, path, name)
        every = every_of(item)
        text = item.dtype.kind == "O"
        described = schema.Dataset(
            path=name,
            dtype="str" if text else item.dtype.str[1:],
            shape=item.shape,
            scales=(name,) if item.is_scale else tuple(axis[0].name for axis in item.dims),
            units=item.attrs["units"],
            long_name=item.attrs["long_name"],
            every=every,
            attributes={key: value for key, value in item.attrs.items() if key not in _OWN},
        )
    except Exception:  # whatever h5py makes of damage
        lost.append(name)
        return None
    if text:
        labels = _tried(lambda: item.asstr()[...].tolist())
        if labels is None:
            lost.append(name)
        return attrs.evolve(described, values=labels or [str(i) for i in range(len(item))]), np.empty(0)
    rows = len(item) if every is None else schema.rows(every, *n)
    if rows > len(item):
        lost.append(name)
        return None
    if described.is_scale and every is not None:
        values = 1 + np.arange(rows) * (1 if every == "epoch" else every)
    else:
        values = _rows(item, described, rows, lost)
    return attrs.evolve(described, shape=values.shape, values=values), values


def _rows(item: Any, described: schema.Dataset, rows: int, lost: list[str]) -> npt.NDArray[Any]:
    """Return the rows of a dataset, those of a chunk that cannot be read as they were before anything was written."""
    values = np.full((rows, *item.shape[1:]), described.fill, item.dtype)
    step = item.chunks[0] if item.chunks else max(1, rows)
    for start in range(0, rows, step):
        end = min(start + step, rows)
        part = _tried(lambda start=start, end=end: item[start:end])
        if part is None:
            lost.append(f"{described.path} rows {start} to {end - 1}")
        else:
            values[start:end] = part
    return values


def _digest(values: dict[str, npt.NDArray[Any]], n_steps: int) -> str:
    """Return the digest after the last step, where that step ends an epoch."""
    steps, digests = values.get("/epoch/step"), values.get("/epoch/digest")
    if steps is None or digests is None or not len(steps) or steps[-1] != n_steps:
        return ""
    return str(digests[-1].tobytes().hex())


def _tried(read: Any) -> Any:
    """Return what `read` returns, None where the file does not let it."""
    try:
        return read()
    except Exception:  # whatever h5py makes of damage
        return None
