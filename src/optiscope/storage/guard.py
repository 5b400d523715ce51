"""The door through which files come in that anybody may have written.

A run file is read by people who did not make it. Damage and malice look alike: sizes that no disk holds, links into
other files, types that make no sense. `reading` turns whatever h5py meets there into one FileError; `dataset` hands out
only what lies in the file itself, has numbers or strings in it, and is not larger than its bytes can hold.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from optiscope.errors import FileError, OptiscopeError

if TYPE_CHECKING:
    import h5py

MOST_DEFLATED = 1_100
"""A byte of deflate holds 1,032 at most (RFC 1951: 258 of them in two bits)."""

KINDS = "fiuOS"
"""Floats, integers and strings."""


@contextmanager
def reading(path: Path) -> Iterator[None]:
    """Turn what h5py raises over the content of `path` into a FileError; our own errors pass.

    h5py has no exception of its own: a flipped bit may come out as any of Python's.
    """
    try:
        yield
    except OptiscopeError:
        raise
    except Exception as error:
        raise damaged(path, error) from error


def damaged(path: Path, what: object) -> FileError:
    """Return the error that says so."""
    said = " ".join(f"{what}".split()) or type(what).__name__
    return FileError(f"{path} is damaged ({said}): see what 'optiscope file recover' can save, or make the run again")


def item(file: h5py.File, path: Path, name: str) -> Any:
    """Return the group or dataset `name`, None where there is none; FileError where a link leads elsewhere."""
    import h5py

    found: Any = file
    for part in name.strip("/").split("/"):
        link = found.get(part, getlink=True) if isinstance(found, h5py.Group) else None
        if link is None:
            return None
        if not isinstance(link, h5py.HardLink):
            raise damaged(path, f"{name} is a link to somewhere else")
        found = found[part]
    return found


def names(file: h5py.File, path: Path, group: str, kind: type) -> list[str]:
    """Return the names of what a group holds of one kind, h5py.Dataset or h5py.Group; none where it is not there."""
    import h5py

    found = item(file, path, group)
    if not isinstance(found, h5py.Group):
        return []
    inside = [name for name in found if isinstance(found.get(name, getlink=True), h5py.HardLink)]
    return [name for name in inside if found.get(name, getclass=True) is kind]


def dataset(file: h5py.File, path: Path, name: str) -> Any:
    """Return the dataset `name` of `file`, None where there is none; FileError where it is not fit to be read."""
    import h5py

    found = item(file, path, name)
    if not isinstance(found, h5py.Dataset):
        return None
    check(found, path)
    return found


def check(found: h5py.Dataset, path: Path) -> None:
    """Raise FileError unless a dataset may be read."""
    if found.external or found.is_virtual:
        raise damaged(path, f"the data of {found.name} lies in another file")
    if found.shape is None or found.dtype.kind not in KINDS:
        raise damaged(path, f"{found.name} has the type {found.dtype}")
    held = found.id.get_storage_size()
    if found.nbytes > (held if found.chunks is None else held * MOST_DEFLATED):
        raise damaged(path, f"{found.name} claims {found.nbytes} bytes and holds {held}")


def check_all(file: h5py.File, path: Path) -> None:
    """Raise FileError unless every dataset of `file` may be read, and no link leads elsewhere or back."""
    import h5py

    seen = {_address(file)}

    def link(name: str, found: Any) -> None:
        if not isinstance(found, h5py.HardLink):
            raise damaged(path, f"/{name} is a link to somewhere else")
        if (address := _address(file[name])) in seen:
            raise damaged(path, f"/{name} is in it under another name")
        seen.add(address)

    def each(_: str, found: Any) -> None:
        if isinstance(found, h5py.Dataset):
            check(found, path)

    file.visititems_links(link)
    file.visititems(each)


def _address(found: Any) -> int:
    import h5py

    return int(h5py.h5o.get_info(found.id).addr)
