"""The bytes of a run file, built in memory.

HDF5 never touches the disk here. It builds an image with its core driver, which is then written plainly, so that a
full disk is an OSError at one known place instead of a crash inside the library. There are two images:

    live      every dataset at its full length, contiguous, filled with NaN or -1; nothing in it that HDF5 could
              leave half-changed, because its metadata never changes again. `offsets` says where rows go.
    finished  cut to the committed rows, in chunks of about 256 kB, gzip 4 + shuffle + fletcher32.

`optiscope.storage.content` has their digest.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import attrs
import numpy as np
import numpy.typing as npt

from optiscope.storage import content
from optiscope.storage.schema import GROUP_ATTRIBUTES, Dataset

if TYPE_CHECKING:
    import h5py

LIVE = ("earliest", "v110")
FINISHED = ("v110", "v110")
CHUNK_BYTES = 256 * 1024


@attrs.frozen
class LiveImage:
    """The bytes of a fresh live file, and the byte at which the data of each dataset begins."""

    data: bytes
    offsets: dict[str, int]


def build_live(datasets: tuple[Dataset, ...], root: Mapping[str, Any]) -> LiveImage:
    """Return the image of a run file that has no rows yet."""
    with _memory_file(LIVE) as file:
        made = {dataset.path: _create_live(file, dataset) for dataset in datasets}
        _describe(file, datasets, made, root)
        offsets = {d.path: made[d.path].id.get_offset() for d in datasets if d.dtype != "str"}
        file.flush()
        return LiveImage(file.id.get_file_image(), offsets)


def build_finished(
    datasets: tuple[Dataset, ...], root: Mapping[str, Any], values: Mapping[str, npt.NDArray[Any]]
) -> bytes:
    """Return the image of a finished run file: `values` by path, and those of the datasets that never change."""
    with _memory_file(FINISHED) as file:
        made = {d.path: _create_finished(file, d, values.get(d.path, d.values)) for d in datasets}
        _describe(file, datasets, made, {**root, content.DIGEST: content.digest_meant(datasets, root, values)})
        file.flush()
        image: bytes = file.id.get_file_image()
        return image


def build_table(
    columns: Mapping[str, Sequence[Any]], dtypes: Mapping[str, str], attributes: Mapping[str, Any]
) -> bytes:
    """Return the image of a file with one dataset a column; the first is the scale of all."""
    import h5py

    with _memory_file(FINISHED) as file:
        scale = next(iter(columns))
        for name, values in columns.items():
            dtype = h5py.string_dtype() if dtypes[name] == "str" else "<" + dtypes[name]
            file.create_dataset(name, (len(values),), dtype, data=list(values))
        file[scale].make_scale(scale)
        for name in columns:
            if name != scale:
                file[name].dims[0].attach_scale(file[scale])
        file.attrs.update(attributes)
        file.flush()
        found: bytes = file.id.get_file_image()
        return found


def _memory_file(libver: tuple[str, str]) -> h5py.File:
    """Return a new file in memory; HDF5 tells those of other threads from it by their names."""
    import h5py

    return h5py.File(f"image of thread {threading.get_ident()}", "w", driver="core", backing_store=False, libver=libver)


def _create_live(file: h5py.File, dataset: Dataset) -> h5py.Dataset:
    import h5py
    from h5py import h5d, h5p, h5s, h5t

    if dataset.dtype == "str":
        return _create_strings(file, dataset)
    dtype = np.dtype("<" + dataset.dtype)
    contiguous = h5p.create(h5p.DATASET_CREATE)
    contiguous.set_layout(h5d.CONTIGUOUS)
    contiguous.set_alloc_time(h5d.ALLOC_TIME_EARLY)
    contiguous.set_fill_time(h5d.FILL_TIME_ALLOC)
    contiguous.set_fill_value(np.array(dataset.fill, dtype))
    contiguous.set_obj_track_times(False)  # the image of a run is always the same, see `optiscope.storage.left`
    links = h5p.create(h5p.LINK_CREATE)
    links.set_create_intermediate_group(True)
    space = h5s.create_simple(dataset.shape)
    made = h5py.Dataset(h5d.create(file.id, dataset.path.encode(), h5t.py_create(dtype), space, contiguous, links))
    if dataset.values is not None:
        made[...] = dataset.values
    return made


def _create_finished(file: h5py.File, dataset: Dataset, values: Any) -> h5py.Dataset:
    if dataset.dtype == "str":
        return _create_strings(file, dataset)
    data = np.asarray(values, "<" + dataset.dtype)
    packing = {"compression": "gzip", "compression_opts": 4, "shuffle": True, "fletcher32": True}
    return file.create_dataset(dataset.path, data=data, **(packing | {"chunks": _chunks(data)} if data.size else {}))


def _create_strings(file: h5py.File, dataset: Dataset) -> h5py.Dataset:
    import h5py

    return file.create_dataset(dataset.path, dataset.shape, h5py.string_dtype(), data=list(dataset.values))


def _describe(
    file: h5py.File, datasets: tuple[Dataset, ...], made: Mapping[str, h5py.Dataset], root: Mapping[str, Any]
) -> None:
    """Write every attribute, and tie each axis to its scale; `made` has what was created, by path."""
    from h5py import h5ds

    put = _putter()
    for dataset in datasets:
        item = made[dataset.path]
        put(item, {"units": dataset.units, "long_name": dataset.long_name, **dataset.attributes})
        if dataset.is_scale:
            item.make_scale(content.name_of(dataset))
            continue
        for axis, scale in enumerate(dataset.scales):
            h5ds.attach_scale(item.id, made[scale].id, axis)
    for group, attributes in GROUP_ATTRIBUTES.items():
        put(file[group], attributes)
    put(file, root)


def _putter() -> Callable[[h5py.HLObject, Mapping[str, Any]], None]:
    """Return what writes attributes, which all are new, to an object; texts, as most are, by the short way."""
    from h5py import h5a, h5s, h5t, string_dtype

    text, scalar = string_dtype(), h5s.create(h5s.SCALAR)
    text_type = h5t.py_create(text, logical=True)

    def put(item: h5py.HLObject, attributes: Mapping[str, Any]) -> None:
        for name, value in attributes.items():
            if isinstance(value, str):
                h5a.create(item.id, name.encode(), text_type, scalar).write(np.array(value, text))
            else:
                item.attrs[name] = value

    return put


def _chunks(data: npt.NDArray[Any]) -> tuple[int, ...]:
    """Return a chunk of whole rows of about `CHUNK_BYTES`, at least one row."""
    row = max(1, math.prod(data.shape[1:]) * data.itemsize)
    return (min(len(data), max(1, CHUNK_BYTES // row)), *data.shape[1:])
