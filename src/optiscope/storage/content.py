"""What a run file says, as one SHA-256: all names, attributes and data of it but the attribute that holds the digest.

fletcher32 guards the chunks only, not names, attributes or strings. The digest is independent of addresses, chunks,
compression and order of writing: references to scales count by name. It has two sides, which `verify` compares:

    digest_meant    of what is to be written, from the descriptions and values alone, before HDF5 has seen them
    digest_read     of what a file holds
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from optiscope.storage.schema import GROUP_ATTRIBUTES, Dataset

if TYPE_CHECKING:
    import h5py

DIGEST = "content_sha256"
_SCALE = np.bytes_(b"DIMENSION_SCALE")
_REFERENCES = {"DIMENSION_LIST", "REFERENCE_LIST"}

_Said = Mapping[str, tuple[Mapping[str, Any], Any]]
"""The attributes and the data, None for a group, of everything in a file, by path."""


def digest_meant(datasets: Iterable[Dataset], root: Mapping[str, Any], values: Mapping[str, npt.NDArray[Any]]) -> str:
    """Return the digest, in hex, of a file with these datasets and root attributes.

    `values` are the data by path; the others have those of their description.
    """
    users: dict[str, list[str]] = {}
    for dataset in datasets:
        for axis, scale in enumerate(dataset.scales if not dataset.is_scale else ()):
            users.setdefault(scale, []).append(f"{dataset.path},{axis}")
    said: dict[str, tuple[Mapping[str, Any], Any]] = {}
    for dataset in datasets:
        own = {"units": dataset.units, "long_name": dataset.long_name, **dataset.attributes}
        if dataset.is_scale:
            own |= {"CLASS": _SCALE, "NAME": np.bytes_(name_of(dataset).encode())}
        else:
            own["DIMENSION_LIST"] = ";".join(dataset.scales)
        if dataset.path in users:
            own["REFERENCE_LIST"] = ";".join(sorted(users[dataset.path]))
        data = values.get(dataset.path, dataset.values)
        as_stored = np.array(dataset.values, object) if dataset.dtype == "str" else np.asarray(data, dataset.dtype)
        said[dataset.path] = own, as_stored
        for group in map(str, PurePosixPath(dataset.path).parents):
            said.setdefault(group, (GROUP_ATTRIBUTES.get(group, {}), None))
    said["/"] = root, None
    return _digest(said)


def digest_read(file: h5py.File) -> str:
    """Return the digest, in hex, of what `file` holds."""
    said = {}
    for name in _names(file):
        item = file[name]
        own = {key: _dereferenced(file, value) if key in _REFERENCES else value for key, value in item.attrs.items()}
        said[name] = own, item[()] if hasattr(item, "shape") else None
    return _digest(said)


def name_of(scale: Dataset) -> str:
    """Return the name that a dimension scale has for HDF5."""
    return PurePosixPath(scale.path).name


def _digest(said: _Said) -> str:
    digest = hashlib.sha256()
    for name, (attributes, data) in sorted(said.items()):
        digest.update(f"{name}\0".encode())
        for key in sorted(attributes):
            if (name, key) != ("/", DIGEST):
                digest.update(f"@{key}\0".encode())
                _update(digest, attributes[key])
        if data is not None:
            _update(digest, data)
    return digest.hexdigest()


def _update(digest: Any, value: Any) -> None:
    array = np.asarray(value)
    digest.update(f"{array.dtype.kind}{array.dtype.itemsize}{array.shape}\0".encode())
    if array.dtype.kind in "OSU":
        for item in array.ravel():
            text = item if isinstance(item, bytes) else str(item).encode()
            digest.update(b"%d:" % len(text) + text)
    else:
        digest.update(np.ascontiguousarray(array).tobytes())


def _names(file: h5py.File) -> Iterator[str]:
    names = ["/"]
    file.visit(lambda name: names.append(f"/{name}"))
    return iter(names)


def _dereferenced(file: h5py.File, value: Any) -> str:
    """Return references to other datasets as their names: the addresses differ from file to file."""
    from h5py import h5r

    def name(reference: Any) -> str:
        return str(h5r.get_name(reference, file.id).decode())

    if value.dtype.names:
        return ";".join(sorted(f"{name(entry[0])},{entry[1]}" for entry in value))
    return ";".join(",".join(map(name, axis)) for axis in value)
